"""Words that begin with `-`: tokens, keys and texts may, and no command takes them for options."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from commands import Run

from boltq import cli
from boltq.server.http.token import token_of
from boltq.settings import Settings


def read(*words: str) -> dict[str, Any]:
    """What a command makes of its words."""
    module = import_module(f"boltq.cli.commands.{words[0].replace('-', '_')}")
    return vars(cli._parser(words[0], module).words(words[1:]))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["submit", "echo", "--key", "-abc", "x=1"], {"key": "-abc", "type": "echo", "data": ["x=1"]}),
        (["submit", "--key", "--abc", "echo"], {"key": "--abc", "type": "echo"}),
        (["submit", "echo", "--tag", "-x", "--tag=-y"], {"tag": ["-x", "-y"]}),
        (["submit", "echo", "--token", "-T0k", "--url", "http://x"], {"token": "-T0k", "url": "http://x"}),
        (["submit", "echo", "--tok", "-T0k"], {"token": "-T0k"}),
        (["submit", "echo", "x=-1", "y=--z"], {"data": ["x=-1", "y=--z"]}),
        (["submit", "echo", "--", "-x=1", "--y=2"], {"type": "echo", "data": ["-x=1", "--y=2"]}),
        (["cancel", "--reason", "-", "--", "-abc", "-d"], {"ids": ["-abc", "-d"], "reason": "-"}),
        (["queues", "pause", "--", "-q"], {"action": "pause", "queue": "-q"}),
        (["workflow", "list", "--name", "-x", "--json"], {"action": "list", "name": "-x", "json": True}),
        (["workflow", "show", "--token=-abc", "ID"], {"token": "-abc", "id": "ID"}),
        (["jobs", "--tag", "-x", "--limit", "5"], {"limit": 5}),
    ],
)
def test_a_value_may_begin_with_a_dash(words: list[str], expected: dict[str, Any]) -> None:
    found = read(*words)
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    "words",
    [
        ["cancel", "-abc"],
        ["jobs", "--token", "--json"],
        ["jobs", "-json"],
        ["workflow", "submit", "-f.json", "--dry-run"],
        ["workflow", "approve", "ID", "-step"],
    ],
)
def test_what_is_not_understood_says_how_it_is_written(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        read(*words)
    assert ended.value.code == 2
    assert "--option=-value, and after -- every word may begin with -" in capsys.readouterr().err


def test_a_key_that_begins_with_a_dash_is_one(anywhere: Run) -> None:
    first = anywhere("submit", "echo", "--key", "-abc", "x=1")
    again = anywhere("submit", "echo", "x=1", "--key=-abc")
    assert re.fullmatch(r"[0-9A-Z]{26}\s*", first.out)
    assert again.out == first.out


def test_no_token_that_is_made_begins_with_a_dash(tmp_path: Path) -> None:
    """One of 64 random texts would."""
    for number in range(300):
        made = token_of(Settings(auth="on", data_dir=str(tmp_path / str(number))))
        assert made
        assert not made.text.startswith("-")
