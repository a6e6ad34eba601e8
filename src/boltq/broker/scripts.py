"""Turns lua/*.lua into Python calls: assembles each script, runs it, and maps refusals to exceptions.

A script names its libraries in a line `--@use a, b`; each is put in front once, with what it uses itself. The table of
moves and the bounds are rendered in from `domain`, so that Lua has no copy of them.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from importlib.resources import files
from typing import Any, Final

from redis import exceptions as redis_errors

from boltq.domain import errors, limits
from boltq.domain.states import ENTRIES, MOVES, JobState

MAX_EVENTS = 10_000
MAX_EVENT_BYTES = 8 << 20
MAX_PROMOTED = 200  # of one state, queue and call: a burst of due jobs must not hold up the server
MAX_TYPES = 1_000
SWEEP_MS = 60_000
SERIES = ((10, 3_900), (60, 90_000))  # seconds a bucket, seconds kept

REFUSALS: Mapping[str, type[errors.BoltQError]] = {
    "NOT_FOUND": errors.NotFound,
    "CONFLICT": errors.Conflict,
    "LEASE_LOST": errors.LeaseLost,
    "UNKNOWN_WORKER": errors.UnknownWorker,
    "FULL": errors.QueueFull,
}
"""A refusal's word and what Python raises for it."""

PASSING = ("LOADING", "BUSY", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "READONLY", "NOREPLICAS", "MISCONF")
"""Error words of a server that cannot work now, but may soon."""

Rewrite = Callable[[str, str], str]  # file name, text -> text


class Script:
    """One assembled script: its text and the SHA-1 by which the server knows it."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def load_scripts(rewrite: Rewrite | None = None) -> dict[str, Script]:
    """Every script by its name. `rewrite` is for tests: it sees each file's text before it is assembled."""
    folder = files("boltq.broker").joinpath("lua")

    def read(name: str) -> str:
        text = folder.joinpath(name).read_text("utf-8")
        return rewrite(name, text) if rewrite else text

    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".lua"))
    return {name[:-4]: Script(name[:-4], _assemble(name, read)) for name in names}


_SHEBANG: Final = re.compile(r"#!lua[^\n]*\n")
_USE: Final = re.compile(r"^--@use (.+)$", re.MULTILINE)


def _assemble(name: str, read: Callable[[str], str]) -> str:
    body = read(name)
    shebang = _SHEBANG.match(body)
    parts = [shebang.group() if shebang else "#!lua\n", _constants()]
    parts += [_stripped(read(f"lib/{library}.lua")) for library in _libraries(body, read, [])]
    parts.append(_stripped(_SHEBANG.sub("", body)))
    return "".join(parts)


def _libraries(text: str, read: Callable[[str], str], known: list[str]) -> list[str]:
    """The libraries that a text uses, each after what it uses itself."""
    for line in _USE.findall(text):
        for name in line.split(","):
            library = name.strip()
            if library not in known:
                _libraries(read(f"lib/{library}.lua"), read, known)
                known.append(library)
    return known


def _stripped(text: str) -> str:
    """Without comments and indents: the server compiles a script once, but keeps and hashes its text."""
    lines = (re.sub(r"(^|\s)--.*$", "", line).strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line) + "\n"


def _constants() -> str:
    numbers = {
        "MAX_EVENTS": MAX_EVENTS,
        "MAX_EVENT_BYTES": MAX_EVENT_BYTES,
        "MAX_PROMOTED": MAX_PROMOTED,
        "MAX_TYPES": MAX_TYPES,
        "MAX_LOG_LINES": limits.MAX_LOG_LINES,
        "SWEEP_MS": SWEEP_MS,
    }
    series = ",".join(f"{{{seconds},{keep}}}" for seconds, keep in SERIES)
    lines = [f"local {name}={value}" for name, value in numbers.items()]
    return "\n".join([*lines, f"local SERIES={{{series}}}", _moves()]) + "\n"


def _moves() -> str:
    rows = [_row("new", ENTRIES), *(_row(state, targets) for state, targets in MOVES.items())]
    return f"local MOVES={{{','.join(rows)}}}"


def _row(state: str, targets: Iterable[JobState]) -> str:
    return f"{state}={{{','.join(f'{target}=true' for target in sorted(targets))}}}"


_DECORATION: Final = re.compile(r"\s*script: \w+, on @user_script:\d+\.?$")


def translate(error: Exception) -> Exception:
    """The error of ours that stands for what redis-py raised."""
    if isinstance(error, redis_errors.OutOfMemoryError) or "OOM command not allowed" in str(error):
        return errors.StoreFull("the store is out of memory; nothing was written")
    if isinstance(error, redis_errors.ConnectionError | redis_errors.TimeoutError | OSError):
        return errors.StoreUnavailable(f"the store does not answer: {error}")
    text = _DECORATION.sub("", str(error))
    word, _, about = text.partition(" ")
    if refusal := REFUSALS.get(word.lstrip("-")):
        return refusal(about)
    if word in PASSING or isinstance(error, redis_errors.ReadOnlyError | redis_errors.BusyLoadingError):
        return errors.StoreUnavailable(f"the store cannot work now: {text}")
    return error


def arguments(script: Script, prefix: str, now: str, args: tuple[Any, ...], *, whole: bool) -> tuple[Any, ...]:
    """The command that runs a script: by its SHA, or `whole` when the server does not know it yet."""
    head = ("EVAL", script.text) if whole else ("EVALSHA", script.sha)
    return (*head, 1, prefix, now, *args)
