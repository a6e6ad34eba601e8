"""Finds the workflow that a file, standard input or `module:name` holds, as JSON text."""

import json
import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import msgspec

from boltq.cli.failures import USAGE, CommandFailed, trace
from boltq.cli.find_app import module_of
from boltq.domain.workflow.bounds import MAX_WORKFLOW_BYTES
from boltq.domain.workflow.builder import Workflow

_MODULE: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_PROGRAM: Final = re.compile(r"(.+\.py)(?::(\w+))?")


def find_workflow(word: str) -> str:
    """The form. Raises CommandFailed."""
    if word == "-":
        return _checked(sys.stdin.read(MAX_WORKFLOW_BYTES + 1), "standard input")
    if found := _PROGRAM.fullmatch(word):
        return _object(_program(Path(found[1])), found[2], word).json()
    path = Path(word)
    if path.is_file() or not _MODULE.fullmatch(word):
        return _checked(_read(path), word)
    module, _, name = word.partition(":")
    return _object(module_of(module), name, word).json()


def with_input(form: str, given: str) -> str:
    """The form with another input: JSON, or @ and a file that has it. Raises CommandFailed."""
    where = given[1:] if given.startswith("@") else "--input"
    text = _checked(_read(Path(where)) if given.startswith("@") else given, where)
    fields = msgspec.json.decode(form, type=dict[str, msgspec.Raw])
    return msgspec.json.encode({**fields, "input": msgspec.Raw(text.encode())}).decode()


# JSON


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(MAX_WORKFLOW_BYTES + 1)
    except OSError as error:
        raise CommandFailed(f"{path} cannot be read: {error.strerror}", USAGE) from None
    except UnicodeDecodeError as error:
        raise CommandFailed(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}", USAGE) from None


def _checked(text: str, where: str) -> str:
    """The text itself, once it has been found to be a JSON object. Raises CommandFailed."""
    if len(text.encode()) > MAX_WORKFLOW_BYTES:
        raise CommandFailed(f"{where}: a workflow has at most {MAX_WORKFLOW_BYTES} bytes", USAGE)
    try:
        msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError) as error:
        raise CommandFailed(f"{where}: {_place(text) or error}", USAGE) from None
    return text


def _place(text: str) -> str:
    """What is wrong in a text that is no JSON object, and in which line; empty if nothing is."""
    try:
        value: Any = json.loads(text)
    except json.JSONDecodeError as error:
        return f"line {error.lineno}, column {error.colno}: this is not JSON: {error.msg}"
    except (ValueError, RecursionError):
        return ""
    return "" if isinstance(value, dict) else "a JSON object is needed"


# Programs


def _program(path: Path) -> ModuleType:
    name = f"boltq_program_{path.stem}"  # a file may be called as a module that we need
    spec = spec_from_file_location(name, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise CommandFailed(f"{path} cannot be read: No such file", USAGE)
    sys.path.insert(0, str(path.parent.resolve()))
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # noqa: BLE001 - the user's program may raise anything
        trace(error)
        raise CommandFailed(f"{path} cannot be run: see above", USAGE) from None
    return module


def _object(module: ModuleType, name: str | None, word: str) -> Workflow:
    found = {key: value for key, value in vars(module).items() if isinstance(value, Workflow)}
    if name is None and len(found) == 1:
        return next(iter(found.values()))
    if name in found:
        return found[name]
    problem = f"has no workflow {name!r}" if name else "has several workflows" if found else "has no workflow"
    hint = f"say which: {', '.join(sorted(found))}" if found else 'write `flow = Workflow("…")` in it'
    raise CommandFailed(f"{word} {problem}: {hint}", USAGE)
