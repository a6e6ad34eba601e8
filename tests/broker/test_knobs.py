import re
from importlib.resources import files

import msgspec

from boltq.broker.knobs import DEFAULT_KNOBS, Knobs, knobs_of
from boltq.settings import Settings


def test_a_stored_setting_has_its_default_in_the_settings_alone() -> None:
    assert [field.name for field in msgspec.structs.fields(Knobs) if not field.required] == []
    assert knobs_of(Settings()) == DEFAULT_KNOBS


def test_a_script_asks_for_no_setting_that_there_is_not() -> None:
    lua = files("boltq.broker").joinpath("lua")
    texts = [entry.read_text("utf-8") for folder in (lua, lua / "lib") for entry in folder.iterdir() if entry.is_file()]
    asked = {name for text in texts for name in re.findall(r"\bknob\('(\w+)'\)|\bKNOBS\.(\w+)", text)}
    assert asked
    assert {name for pair in asked for name in pair if name} <= set(Knobs.__struct_fields__)
