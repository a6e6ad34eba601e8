"""Rules of the house that no tool checks. The layers are import-linter's (`make lint`)."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import boltq
from boltq.broker.scripts import REFUSALS, Library
from boltq.domain import errors
from boltq.domain.states import ENTRIES, MOVES, TERMINAL, JobState, actions

SRC = Path(boltq.__file__).parent
LUA = SRC / "broker" / "lua"
MODULES = {path.relative_to(SRC).as_posix(): ast.parse(path.read_text("utf-8")) for path in sorted(SRC.rglob("*.py"))}
SCRIPTS = {path.stem: path.read_text("utf-8") for path in sorted(LUA.glob("*.lua"))}


SAME_NAMES = {
    **dict.fromkeys(("Job", "WorkflowRun"), "what a program holds of a job, beside the store and over HTTP: one word"),
    **dict.fromkeys(
        ("BatchItem", "BulkPreview", "JobSummary", "LogLine", "Problem"),
        "what the API says, as the server makes it and as a client reads it: tests compare the two",
    ),
}
"""Public classes that share their name with another one, and why."""


def test_the_public_names_are_sorted_and_there():
    assert boltq.__all__ == sorted(boltq.__all__)
    for name in boltq.__all__:
        assert getattr(boltq, name).__module__.startswith("boltq."), name
    everything: dict[str, object] = {}
    exec("from boltq import *", everything)
    assert set(boltq.__all__) <= set(everything)


def test_every_error_of_the_tree_is_in_its_picture():
    tree = errors.__doc__
    named = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert {name for name in named if not re.search(rf"\b{name}\b", tree)} == set()
    assert set(REFUSALS.values()) <= {getattr(errors, name) for name in named}


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_begins_with_its_contract(script):
    """What moves from where to where, its ARGV and its reply."""
    header = SCRIPTS[script].removeprefix("#!lua").split("--@use")[0]
    assert re.search(rf"^-- {script}: \S", header, re.MULTILINE), "the first line says what it does"
    assert re.search(r"^--   ARGV     now\b", header, re.MULTILINE), "the time comes first"


def test_each_script_has_one_function_and_nothing_else_names_a_script():
    """In broker/calls/, with the name of the script. Only there a Call of the store is made."""
    named: list[str] = []
    for name, tree in MODULES.items():
        made = [call for call in ast.walk(tree) if isinstance(call, ast.Call) and _name_of(call.func) == "Call"]
        if not made or "boltq.broker.call.Call" not in _imports(tree):
            continue
        assert name.startswith("broker/calls/"), f"{name} makes a Call"
        prefix = {
            "broker/calls/audit_log.py": "audit_",
            "broker/calls/operations.py": "op_",
            "broker/calls/workflows.py": "flow_",
        }.get(name, "")
        functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
        makers = [function.name for function in functions if any(call in ast.walk(function) for call in made)]
        scripts = [ast.literal_eval(call.args[0]) for call in sorted(made, key=lambda call: call.lineno)]
        assert scripts == [f"{prefix}{maker.removesuffix('_')}" for maker in makers], name
        named += scripts
    assert sorted(named) == sorted(SCRIPTS)


def test_the_states_in_lua_are_rendered_from_the_table():
    """No script has a copy, and none makes a move that the table does not have."""
    text = Library().text
    for state, targets in [("new", ENTRIES), *MOVES.items()]:
        row = ",".join(f"{target}=true" for target in sorted(targets))
        assert f"{state}={{{row}}}" in text
    for path in LUA.rglob("*.lua"):
        source = path.read_text("utf-8")
        assert not re.search(r"MOVES\s*=", source), path.name
        for before, after in re.findall(r"\bmove\([^,]+, [^,]+, '(\w+)', '(\w+)'", source):
            allowed = ENTRIES if before == "new" else MOVES[JobState(before)]
            assert JobState(after) in allowed, f"{path.name}: {before} -> {after}"


def test_lua_speaks_of_a_field_by_its_name():
    """A number in brackets stands only where a list is taken apart into names: `local id, n = item[1], item[2]`.

    ARGV is said by its numbers, for a script begins with what they are.
    """
    numbered = {path.stem: lines for path in sorted(LUA.rglob("*.lua")) if (lines := list(_numbered(path)))}
    assert {stem: lines for stem, lines in numbered.items() if stem not in NUMBERED} == {}
    assert NUMBERED.keys() - numbered.keys() == set(), "these need no exception any more"


def _numbered(path: Path) -> Iterator[str]:
    for line in path.read_text("utf-8").splitlines():
        code = re.sub(r"(^|\s)--.*$", "", line)
        if re.search(r"(?<!ARGV)(?<![\s{,(])\[\d+\]", code) and not re.match(r"\s*local [\w, ]+ = ", code):
            yield line.strip()


NUMBERED = {"keys": "what Lua is given beside ARGV: one key, which is the prefix of all others"}


def test_every_state_can_be_reached_and_left_or_is_an_end():
    reached = ENTRIES.union(*MOVES.values())
    assert reached == set(JobState) == set(MOVES)
    assert {state for state in JobState if MOVES[state] <= {JobState.QUEUED}} == TERMINAL
    assert {state for state in JobState if "cancel" in actions(state)} == set(JobState) - TERMINAL


def test_only_the_settings_read_the_environment():
    for name, tree in MODULES.items():
        if name == "settings.py":
            continue
        touched = [node.lineno for node in ast.walk(tree) if _name_of(node) in {"environ", "getenv", "putenv"}]
        assert touched == [], name


def test_everything_public_says_what_it_is():
    """A docstring of one sentence or more: modules, classes, functions and methods.

    But not the two that every command has: what they do is said once, in cli/__init__.py.
    """
    form = {f"{name}: {thing}" for name in MODULES for thing in ("add_arguments", "run") if "cli/commands/" in name}
    assert {f"{name}: {thing}" for name, tree in MODULES.items() for thing in _silent(tree)} <= form


def test_a_public_class_name_is_defined_once():
    """Whoever looks for a name finds one class, and every word has one meaning. An exception that is none must go."""
    homes: dict[str, list[str]] = {}
    for name, tree in MODULES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(name)
    assert {name: found for name, found in homes.items() if len(found) > 1}.keys() == SAME_NAMES.keys()


def test_nothing_stored_can_name_code():
    """No pickle and no eval. A module is imported by a name only if a person or our own code gave that name."""
    for name, tree in MODULES.items():
        for node in ast.walk(tree):
            imported = {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
            assert not imported & {"pickle", "marshal", "shelve", "dill", "cloudpickle"}, name
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"eval", "exec", "__import__"}, name
    importers = {name for name, tree in MODULES.items() if "import_module" in map(_name_of, ast.walk(tree))}
    assert importers <= {"__init__.py", "worker/processes.py", "cli/find_app.py", "cli/__init__.py"}


def test_every_module_can_be_imported_by_itself():
    for name in MODULES:
        if name != "__main__.py":
            importlib.import_module(f"boltq.{name.removesuffix('.py').replace('/', '.')}".removesuffix(".__init__"))


def _name_of(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _imports(tree: ast.AST) -> set[str]:
    """What a module imports from others, by full names."""
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {f"{node.module}.{alias.name}" for node in froms for alias in node.names}


def _silent(tree: ast.Module) -> Iterator[str]:
    """What is public and has no docstring; the variants of an overload are one function."""
    if not ast.get_docstring(tree) and tree.body:
        yield "the module"
    stack: list[tuple[str, ast.AST]] = [("", node) for node in tree.body]
    while stack:
        path, node = stack.pop()
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
            continue
        here = f"{path}{node.name}"
        if "overload" not in map(_name_of, node.decorator_list) and not ast.get_docstring(node):
            yield here
        if isinstance(node, ast.ClassDef):
            stack += [(f"{here}.", inner) for inner in node.body]
