"""ARCHITECTURE.md is true: its files, functions, words and numbers are those of the code."""

import ast
import importlib
import re
from pathlib import Path
from typing import Any

import pytest

import boltq
from boltq.settings import Settings

SRC = Path(boltq.__file__).parent
PAGE = (Path(__file__).parents[2] / "ARCHITECTURE.md").read_text("utf-8")
BOUNDS: dict[str, dict[str, list[str]]] = {
    "jobs of one call: submitted; acted on; settled and claimed": {
        "domain/limits.py": ["MAX_CALL", "MAX_ACTED"],
        "worker/fetcher.py": ["MOST_SETTLED"],
    },
    "ids looked at in a claim": {"broker/lua/lib/claims.lua": ["MOST"]},
    "promotions a claim, per state and queue": {"broker/scripts.py": ["MAX_PROMOTED"]},
    "data, result": {"domain/limits.py": ["MAX_DATA_BYTES", "MAX_RESULT_BYTES", "MAX_BATCH_BYTES", "MAX_CALL_BYTES"]},
    "ids of jobs that are gone": {"domain/limits.py": ["ID_MEMORY_MS", "MAX_REMEMBERED"]},
    "events": {"broker/scripts.py": ["MAX_EVENTS", "MAX_EVENT_BYTES"]},
    "mailbox": {"broker/lua/lib/mail.lua": ["MOST_MAIL"]},
    "records looked at for a page, for a count": {"broker/search.py": ["MAX_EXAMINED", "MAX_COUNTED"]},
    "jobs of a bulk operation, operations kept": {"broker/operations.py": ["MAX_ITEMS", "MAX_KNOWN", "KEEP_SECONDS"]},
    "a workflow: steps, items of a map, jobs of all maps and sub-workflows, form": {
        "domain/workflow/bounds.py": ["MAX_STEPS", "MAX_MAP_ITEMS", "MAX_SPREAD", "MAX_WORKFLOW_BYTES"]
    },
    "steps that may follow in one call": {"broker/lua/lib/flow.lua": ["MOST"]},
    "earlier runs that stay readable; their inputs, results and errors": {
        "broker/lua/lib/flow.lua": ["PAST", "PAST_BYTES"]
    },
    "results that `ctx.parents()` reads": {"domain/limits.py": ["MAX_BATCH_BYTES"]},
    "the audit log": {"broker/audit_log.py": ["MAX_ENTRIES"]},
    "API keys": {"domain/api_keys.py": ["MAX_KEYS"]},
    "failed logins of an address": {"server/http/auth.py": ["MOST_FAILURES", "FAILURE_SECONDS", "MOST_ADDRESSES"]},
    "head of a request, trailers; bodies of all requests": {
        "server/http/protocol.py": ["MAX_HEAD_BYTES"],
        "server/http/held.py": ["MAX_HELD_BYTES"],
    },
    "log lines about what is no HTTP": {"server/http/complaints.py": ["MOST_LINES", "WINDOW_SECONDS"]},
    "jobs claimed ahead": {"worker/buffer.py": ["WORK_AHEAD", "MOST"]},
    "queues of a partition": {"settings.py": ["max_queues"]},
}
"""The constants behind each row of the bounds, by their files."""
_FILE = r"(?:[\w*]+/)*[\w*]+\.(?:py|lua)"


def rows_of(title: str) -> list[list[str]]:
    """The rows of the table below this title, cell by cell."""
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    lines = re.findall(r"^\| (.+) \|$", section, re.MULTILINE)
    return [line.split(" | ") for line in lines[1:]]


def path_of(file: str) -> Path:
    return SRC / ("broker/lua" if file.startswith("lib/") else "") / file


def defined(file: str, dotted: str) -> bool:
    """Whether the file has that class or function."""
    body: list[ast.stmt] = ast.parse(path_of(file).read_text("utf-8")).body
    for name in dotted.split("."):
        kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        found = [node for node in body if isinstance(node, kinds) and node.name == name]
        if not found:
            return False
        body = found[-1].body
    return True


def test_every_file_that_the_page_names_is_there():
    """Files in code spans, of the tables and of the text; below src/boltq, or of the project."""
    named = re.findall(rf"`({_FILE})`", PAGE)
    assert len(named) > 100
    beside = {
        cell for cells in rows_of("Where to go to change a thing") for cell in re.findall(rf"`({_FILE})`", cells[1])
    }
    for file in named:
        places = [path_of(file), SRC.parents[1] / file, *([SRC / "domain/workflow" / file] if file in beside else [])]
        assert any(list(place.parent.glob(place.name)) for place in places), file


def test_the_map_has_each_file_where_it_is():
    """Line by line: the folders that stand open, and the files beside them."""
    folders: list[str] = []
    for line in PAGE.split("```")[1].strip().splitlines()[1:]:
        depth, text = len(line.split("──")[0].rstrip("├└")) // 4, line.split("── ")[-1]
        if folder := re.match(r"(\w+)/ ", text):
            folders = [*folders[:depth], folder[1]]
        here = SRC.joinpath(*folders[: depth + bool(folder)])
        assert here.is_dir(), line
        for file in re.findall(r"(?<![\w/])(\w+\.(?:py|lua))\b", text):
            assert (here / file).exists() or any((inner / file).exists() for inner in (SRC / "broker", SRC)), (
                f"{here}: {file}"
            )


def test_the_way_of_a_job_names_functions_that_there_are():
    ways = re.findall(rf"`([\w.]+)`\s+\(`({_FILE})`\)", PAGE.replace("\n> ", " "))
    assert len(ways) >= 8
    for name, file in ways:
        assert defined(file, name), f"{file}: {name}"


@pytest.mark.parametrize(("word", "meaning", "file"), rows_of("Words"), ids=lambda cell: cell[:20])
def test_each_word_is_used_in_the_file_that_owns_it(word, meaning, file):
    text = path_of(file.strip("`")).read_text("utf-8").lower()
    assert re.search(rf"(?<![a-z]){word.strip('*').replace(' ', '[ _-]')}", text), f"{file} does not say {word}"
    assert meaning


@pytest.mark.parametrize(("what", "bound", "where"), rows_of("What bounds it"), ids=lambda cell: cell[:30])
def test_each_bound_is_that_of_the_code(what, bound, where):
    """Every constant behind a row is in its text, every number in the text is a constant, and their files are named."""
    constants = BOUNDS.get(what, {})
    assert constants.keys() <= set(re.findall(rf"`({_FILE})`", where))
    words = [_words(_value(file, name)) for file, names in constants.items() for name in names]
    for said in words:
        assert any(re.search(_number(word), bound) for word in said), f"{what}: {said}"
    left = bound
    for word in sorted({word for said in words for word in said}, key=len, reverse=True):
        left = re.sub(_number(word), "", left)
    assert not re.search(r"\d", left), f"{what}: whose number is {left!r}?"


def test_every_row_of_the_constants_is_on_the_page():
    assert BOUNDS.keys() <= {what for what, _, _ in rows_of("What bounds it")}


def _number(word: str) -> str:
    """Where the number stands as a whole."""
    return rf"(?<![\d,]){re.escape(word)}(?!,?\d)"


def _value(file: str, name: str) -> Any:
    if file == "settings.py":
        return getattr(Settings(), name)
    if file.endswith(".py"):
        return getattr(importlib.import_module(f"boltq.{file.removesuffix('.py').replace('/', '.')}"), name)
    for names, values in re.findall(
        r"^(?:local )?([\w., ]+) = ([\d, ]+)(?: --.*)?$", path_of(file).read_text(), re.MULTILINE
    ):
        found = dict(zip(re.split(", ?", names), re.split(", ?", values), strict=False))
        for full, value in found.items():
            if full.split(".")[-1] == name:
                return int(value)
    table = re.search(rf"\{{[^}}]*\b{name} = (\d+)", path_of(file).read_text())
    assert table, f"{file} has no {name}"
    return int(table[1])


_IN_WORDS = {0.02: "20 ms", 60.0: "a minute", 86_400: "a day", 120_000: "two minutes"}


def _words(value: float) -> list[str]:
    """How a number may be written."""
    if value in _IN_WORDS:
        return [_IN_WORDS[value]]
    sizes = [f"{int(value) >> bits} {unit}" for bits, unit in ((20, "MiB"), (10, "KiB")) if value % (1 << bits) == 0]
    return [f"{value:,}", *sizes]
