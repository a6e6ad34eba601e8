"""The pages say what is true: their programs and calls are run, their links lead somewhere, their lists are complete.

Marks on the line before a block, which readers do not see:

    <!-- file: tasks.py -->   the block is (a further part of) that file
    <!-- run -->              Python or shell; run in the folder with these files, beside a worker for `tasks:app`
                              where the page has tasks, else for the built-in job types; and beside an API (BOLTQ_URL)
                              where it has `boltq.client`
    <!-- prints -->           what the program before it prints

Every call of `localhost:8080`, with curl or PowerShell, is made, marked or not.
"""

import argparse
import ast
import importlib.util
import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from boltq import cli, settings
from boltq.broker.scripts import REFUSALS
from boltq.domain.job_error import Category
from boltq.domain.states import ENTRIES, MOVES, JobState
from boltq.server.app import calls_of
from boltq.server.http.problems import KINDS

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")])

_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


class Block(NamedTuple):
    mark: str
    language: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    return [
        Block(found["mark"] or "", found["language"], found["text"], text.count("\n", 0, found.start("language")) + 1)
        for found in _BLOCK.finditer(text)
    ]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def with_blocks(choose: Any) -> list[Any]:
    return [pytest.param(page, id=name(page)) for page in PAGES if any(map(choose, blocks(page)))]


def is_run(block: Block) -> bool:
    return block.mark == "run"


def is_call(block: Block) -> bool:
    return block.language == "bash" and "curl" in block.text and "localhost:8080" in block.text


def is_powershell(block: Block) -> bool:
    return block.language == "powershell"


# --- programs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", with_blocks(is_run))
def test_the_programs_of_a_page_run(page, tmp_path, surroundings, working, serving):
    """What a page marks as runnable runs as it stands, and prints what the page says."""
    found = blocks(page)
    files = _write_files(found, tmp_path)
    api = serving() if any("boltq.client" in block.text for block in found) else nullcontext()
    with working(tmp_path, *(["tasks:app"] if "tasks.py" in files else [])), api:
        for block, after in zip(found, [*found[1:], None], strict=True):
            if is_run(block):
                printed = _run(block, tmp_path, surroundings)
                if after and after.mark == "prints":
                    assert printed == after.text, f"{name(page)}:{after.line}"


def _write_files(found: list[Block], folder: Path) -> set[str]:
    files: dict[str, list[str]] = {}
    for block in found:
        if block.mark.startswith("file: "):
            files.setdefault(block.mark.removeprefix("file: "), []).append(block.text)
    for file, parts in files.items():
        (folder / file).write_text("\n\n".join(parts), "utf-8")
    return set(files)


def _run(block: Block, folder: Path, surroundings: dict[str, str]) -> str:
    if block.language == "python":
        (folder / "program.py").write_text(block.text, "utf-8")
        command = [sys.executable, "program.py"]
    else:
        command = ["bash", "-euo", "pipefail", "-c", block.text]
    return _done(command, folder, surroundings, f"line {block.line}")


def _done(command: list[str], folder: Path, surroundings: dict[str, str] | None, where: str) -> str:
    """What a command that succeeds prints."""
    done = subprocess.run(
        command, cwd=folder, env=surroundings, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, f"{where}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("page", [pytest.param(page, id=name(page)) for page in PAGES])
def test_the_python_of_a_page_is_python(page):
    """Also where it is only a part of a program."""
    for block in blocks(page):
        if block.language == "python":
            compile(block.text, f"{name(page)}:{block.line}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


# --- calls ----------------------------------------------------------------------------------------------------------

_ID = re.compile(r'"id":"([0-9A-Z]{26})"')


@pytest.mark.parametrize("page", with_blocks(is_call))
def test_the_calls_of_a_page_work(page, dev, tmp_path):
    """Verbatim, but for the id, which a reader puts in as well, and for the port where 8080 is taken."""
    job_id = ""
    for block in filter(is_call, blocks(page)):
        text = block.text.replace("localhost:8080", dev.replace("127.0.0.1", "localhost")).replace("{job_id}", job_id)
        text = text.replace("{workflow_id}", job_id)
        script = f'curl() {{ command curl -sS --fail-with-body "$@"; }}\n{text}'
        printed = _done(["bash", "-euo", "pipefail", "-c", script], tmp_path, None, f"{name(page)}:{block.line}")
        if found := _ID.search(printed):
            job_id = found.group(1)


@pytest.mark.parametrize("page", with_blocks(is_powershell))
def test_the_powershell_of_a_page_means_calls_that_work(page, dev):
    """There is no PowerShell here, so its commands are read, and the same requests are made."""
    job_id = ""
    for block in filter(is_powershell, blocks(page)):
        words = dict(re.findall(r"-(Uri|Method|ContentType)\s+\"?([^\s\"]+)", block.text))
        body = re.search(r"-Body '(.*?)'", block.text, re.DOTALL)
        url = words["Uri"].replace("localhost:8080", dev).replace("$jobId", job_id)
        headers = {"Content-Type": words["ContentType"]} if body else {}
        data = body.group(1).encode() if body else None
        request = urllib.request.Request(url, data, headers, method=words["Method"])
        with urllib.request.urlopen(request, timeout=30) as answer:
            job_id = json.load(answer).get("id", job_id)


# --- links ----------------------------------------------------------------------------------------------------------

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@pytest.mark.parametrize("page", [pytest.param(page, id=name(page)) for page in PAGES])
def test_the_links_of_a_page_lead_somewhere(page):
    """To a file that is there, and to a heading that it has."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    for link in _LINK.findall(text):
        path, _, heading = link.partition("#")
        if ":" in path:
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name(page)}: {link}"
        if heading:
            assert heading in _anchors(target), f"{name(page)}: {link}"


def _anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


# --- words ----------------------------------------------------------------------------------------------------------

_VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]*[A-Z0-9]\b")
_COMING = {"METRICS_PORT"}


def test_every_variable_on_a_page_is_a_setting():
    """A name that nobody reads would be set in vain."""
    known = {variable for names, _, _ in settings.table() for variable in names.split(" or ")}
    refusals = {*REFUSALS, "JOB_ID", "NO_COLOR"}  # the last ones are PowerShell's, and every terminal program's
    for page in PAGES:
        for variable in _VARIABLE.findall(page.read_text("utf-8")):
            assert variable in known | refusals | _COMING or variable.endswith("_"), f"{name(page)}: {variable}"
    for variable in _COMING:
        assert variable not in known, f"{variable} is there: say so in the README"


@pytest.mark.parametrize("page", ["settings.md", "states.md", "workflow-form.md", "openapi.json"])
def test_a_generated_page_is_up_to_date(page):
    """Or else: .venv/bin/python scripts/make_reference.py."""
    assert (ROOT / "docs" / "reference" / page).read_text("utf-8") == _generator().PAGES[page]()


def _generator() -> Any:
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "scripts" / "make_reference.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_architecture_has_every_move():
    """In the diagram and in the table."""
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    moves = {(str(a), str(b)) for a in JobState for b in MOVES[a]} | {("new", str(b)) for b in ENTRIES}
    assert set(re.findall(r"^\| `(\w+)` \| `(\w+)` \|", text, re.MULTILINE)) == moves
    drawn = re.findall(r"^ +(\[\*\]|\w+) --> (\w+)$", text, re.MULTILINE)
    assert {("new" if a == "[*]" else a, b) for a, b in drawn} == moves


def test_the_architecture_has_every_key():
    """Those that keys.lua names, and no other."""
    lua = (ROOT / "src/boltq/broker/lua/lib/keys.lua").read_text("utf-8")
    named = {found.rstrip(":") for found in re.findall(r"P \.\. '([^']+)'", lua)}
    named |= set(re.findall(r"^--   (\w+) +(?:HASH|LIST|SET|ZSET|STREAM)", lua, re.MULTILINE))  # those of rare_key
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    rows = re.findall(r"^([a-z_]+)\S* +(?:HASH|LIST|SET|ZSET|STREAM|STRING) ", text, re.MULTILINE)
    assert set(rows) == named


def test_the_files_that_the_architecture_names_are_there():
    """Paths below src/boltq, in words and in the map."""
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    packages = "domain|broker|worker|server|client|cli|tasks|lib"
    for path in re.findall(rf"`((?:{packages})/[\w/]+\.(?:py|lua))`", text):
        home = "broker/lua" if path.startswith("lib/") else ""
        assert (ROOT / "src/boltq" / home / path).exists(), path
    folder = ROOT / "src/boltq"
    there = {file.name for file in folder.rglob("*.py")} | {file.name for file in folder.rglob("*.lua")}
    for file in re.findall(r"(?<![\w/])(\w+\.(?:py|lua))\b", text.split("```")[1]):
        assert file in there, file


def test_the_api_page_has_every_call_and_problem():
    text = (ROOT / "docs/reference/http-api.md").read_text("utf-8")
    there: Any = None  # no call is made
    listed = set(re.findall(r"^\| `(\w+) ([^`?]+)(?:\?id=)?` \|", text, re.MULTILINE))
    assert listed == {(call.method, call.path) for call in calls_of(there)}
    problems = re.findall(r"^\| `([a-z-]+)` \| (\d+) \|", text, re.MULTILINE)
    assert {(kind, int(status)) for kind, status in problems} == {(kind, status) for kind, (status, _) in KINDS.items()}


def test_the_command_line_page_has_every_command_and_option():
    """Section by section; and it has none that is not there."""
    text = (ROOT / "docs/reference/command-line.md").read_text("utf-8")
    sections = dict(re.findall(r"^## boltq ([\w-]+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    assert list(sections) == list(cli.COMMANDS)
    for command, section in sections.items():
        options = set(_options(command))
        assert set(re.findall(r"(?<!\w)--[a-z][\w-]*", section)) == options, command
    readme = (ROOT / "README.md").read_text("utf-8")
    assert set(re.findall(r"^\| `boltq ([\w-]+)", readme, re.MULTILINE)) == set(cli.COMMANDS)


def _options(command: str) -> Iterator[str]:
    parser = argparse.ArgumentParser()
    importlib.import_module(f"boltq.cli.commands.{command.replace('-', '_')}").add_arguments(parser)
    waiting = [parser]
    while waiting:
        for action in waiting.pop()._actions:
            if isinstance(action, argparse._SubParsersAction):
                waiting += action.choices.values()
            elif action.help != argparse.SUPPRESS and not isinstance(action, argparse._HelpAction):
                yield from action.option_strings


def test_the_page_on_errors_has_every_category():
    text = (ROOT / "docs/howto/errors-and-retries.md").read_text("utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == set(Category)


def test_the_readme_names_files_and_folders_that_are_there():
    tree = (ROOT / "README.md").read_text("utf-8").partition("## Project structure")[2].split("```")[1]
    inner = re.findall(r"^│ +[├└]── (\S+)", tree, re.MULTILINE)
    outer = re.findall(r"^[├└]── (\S+)", tree, re.MULTILINE)
    assert inner
    assert outer
    assert [name for name in inner if not (ROOT / "src" / "boltq" / name).exists()] == []
    assert [name for name in outer if not (ROOT / name).exists()] == []
