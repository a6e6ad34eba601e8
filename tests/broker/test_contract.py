"""Rows between Lua and Python: a field that one side has alone is an error before any server is asked."""

import re

import msgspec
import pytest

from boltq.broker.contract import ROWS, NamedRow
from boltq.broker.named_rows import NAMED_ROWS, ContractBroken, with_places
from boltq.broker.scripts import Library

TEXTS = dict[str, str]()
Library(TEXTS.setdefault)
LUA = "".join(TEXTS.values())
rows = pytest.mark.parametrize("row", NAMED_ROWS)
made_or_read = pytest.mark.parametrize(
    "row", [row for row in NAMED_ROWS if re.search(rf"\b{row}{{|^\s*local [\w, ]+ = {row}\(", LUA, re.MULTILINE)]
)
A_ROW = {"Pair": {"one": True, "two": True, "more": False}}


def in_lua(text: str) -> str:
    return with_places(text, A_ROW)


@made_or_read
def test_a_field_that_only_python_has_is_an_error_when_the_library_is_assembled(row: str) -> None:
    """In one of the places where Lua makes the row, or takes it apart."""
    fresh = NAMED_ROWS | {row: {**NAMED_ROWS[row], "fresh": True}}
    with pytest.raises(ContractBroken, match=f"{row}.*fresh"):
        with_places(LUA, fresh)


def test_a_field_that_a_row_of_all_fields_gains_is_read_with_the_others() -> None:
    fresh = NAMED_ROWS | {"JobRow": {**NAMED_ROWS["JobRow"], "fresh": True}}
    assert "local FIELDS = { 'id', 'due', 'state', " in with_places(TEXTS["lib/reading.lua"], fresh)
    assert "'unlogged', 'fresh' }" in with_places(TEXTS["lib/reading.lua"], fresh)


@pytest.mark.parametrize("row", ["JobRow", "StepJobRow", "ItemJobRow"])
def test_a_row_of_a_job_names_fields_that_a_job_has(row: str) -> None:
    stored = re.search(r"^-- HASH  state.*?^local function", TEXTS["lib/keys.lua"], re.MULTILINE | re.DOTALL)
    assert stored
    assert {*NAMED_ROWS[row]} - {*re.findall(r"\w+", stored[0])} <= {"due"}


@rows
def test_a_place_that_python_does_not_have_is_an_error_when_the_library_is_assembled(row: str) -> None:
    with pytest.raises(ContractBroken, match=rf"list\.lua: {row} has no field fresh"):
        Library(lambda name, text: f"{text}\nlocal x = {row}.fresh" if name == "list.lua" else text)


@made_or_read
def test_a_field_that_only_lua_has_is_an_error_when_the_library_is_assembled(row: str) -> None:
    def rewrite(_: str, text: str) -> str:
        text = re.sub(rf"\b{row}{{", f"{row}{{ fresh = 1, ", text)
        return re.sub(rf"\blocal ([\w, ]+) = {row}\(", rf"local \1, fresh = {row}(", text)

    with pytest.raises(ContractBroken, match=rf"\.lua: {row}.*fresh"):
        Library(rewrite)


@made_or_read
def test_a_field_that_lua_gives_no_more_is_an_error_when_the_library_is_assembled(row: str) -> None:
    def rewrite(_: str, text: str) -> str:
        text = re.sub(rf"\b{row}{{\s*\w+ =[^,]*,", f"{row}{{ ", text)
        return re.sub(rf"\blocal \w+, ([\w, ]+) = {row}\(", rf"local \1 = {row}(", text)

    with pytest.raises(ContractBroken, match=rf"\.lua: {row} "):
        Library(rewrite)


def test_a_row_is_made_by_names_in_any_order():
    assert in_lua("return Pair{ two = f(1, 'a, }'), -- the other, and\n one = { 2, x[3] } }") == (
        "return { { 2, x[3] }, f(1, 'a, }') }"
    )
    assert in_lua("Pair{ two = 2, more = Pair{ two = 4, one = 3 }, one = 1 }") == "{ 1, 2, { 3, 4 } }"


def test_a_row_is_taken_apart_by_names_and_has_places():
    assert in_lua("local one, two, more = Pair(unpack(x)[1])") == "local one, two, more = unpack(unpack(x)[1], 1, 3)"
    assert in_lua("local one, _, more = Pair(row)") == "local one, more = row[1], row[3]"
    assert in_lua("row[Pair.more] = #row") == "row[3] = #row"
    assert in_lua("local FIELDS = Pair.fields") == "local FIELDS = { 'one', 'two', 'more' }"
    assert in_lua("x = 1 -- Pair{ of no row }") == "x = 1 -- Pair{ of no row }"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Pair{ one = 1 }", "lacks two"),
        ("Pair{ one = 1, two = 2, three = 3 }", "no field three"),
        ("Pair{ one = 1, 2 }", "2 has no name"),
        ("row[Pair.three]", "no field three"),
        ("local two, one, more = Pair(row)", "is one, two, more"),
        ("local one, two = Pair(row)", "is one, two, more"),
        ("Other{ one = 1 }", "no row Other"),
        ("Pair{ one = 1, two = (2 }", "not shut"),
    ],
)
def test_what_is_not_so_is_said(text: str, why: str) -> None:
    with pytest.raises(ContractBroken, match=why):
        in_lua(text)


def test_only_rows_with_a_reason_have_fields_that_may_be_left_out():
    may = {row: [name for name, required in names.items() if not required] for row, names in NAMED_ROWS.items()}
    assert {row: names for row, names in may.items() if names} == {
        "JobRow": ["data", "result", "by", "replay_of", "replays", "unlogged"],  # lists show no payloads
        "Settling": ["number", "text", "data"],  # Lua only reads it
        "ClaimedJob": ["look", "filled", "suspect"],  # look: of steps only; the others are the worker's own
        "ApiKey": ["expires_at", "last_used_at", "revoked_at"],  # it is a record, too
        "PastRun": ["error"],  # so is it
        "StepRow": ["inputs", "result", "data_truncated"],  # of a step that has run again since
    }


@pytest.mark.parametrize("row", [row for row in ROWS if issubclass(row, NamedRow)])
def test_python_reads_no_row_of_another_length(row: type[NamedRow]) -> None:
    least = sum(field.required for field in msgspec.structs.fields(row))
    for other in (least - 1, len(row.__struct_fields__) + 1):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(["1"] * other, row, strict=False)


# Written by a process of one version and read by one of another: jobs by mail, and what is stored. New fields of what
# is stored stand at the end; what goes by mail has none.
BY_MAIL = {
    "ClaimedJob": "id route data spec delivery attempts waited look",
    "Look": "workflow text input about phase item wrong reads failure later",
    "StepEndRow": "number state result error map",
    "MapRow": "total begun stopped bytes bearable completed failed cancelled",
    "FailureRow": "step error attempts",
}
STORED = {
    "StepInfoRow": "id group parents awaits dependents rule at_least allow_failure spared kind reads job",
    "StepRow": "number text ended job_id job error answer map truncated inputs result data_truncated",
    "StepJobRow": "state route since n tries worker took lost phase child prompt due cancel began left",
    "MapCountsRow": "total begun completed failed cancelled",
    "PastRun": "attempt delivery worker started_at ended_at outcome error",
    "ApiKey": "id name digest scopes created_by created_at expires_at last_used_at revoked_at",
}


@pytest.mark.parametrize("row", BY_MAIL)
def test_what_goes_by_mail_is_as_the_versions_before_read_it(row: str) -> None:
    fields = list(NAMED_ROWS[row])
    if row == "ClaimedJob":
        assert fields.pop() == "suspect"  # these two are the worker's own
        assert fields.pop() == "filled"
    assert fields == BY_MAIL[row].split()


@pytest.mark.parametrize("row", STORED)
def test_what_is_stored_has_its_new_fields_at_the_end(row: str) -> None:
    fields = STORED[row].split()
    assert list(NAMED_ROWS[row])[: len(fields)] == fields
