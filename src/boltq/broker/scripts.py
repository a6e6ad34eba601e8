"""Turns lua/*.lua into Python calls: assembles the scripts, and maps refusals to exceptions.

A script names the shared parts that it needs in a line `--@use a, b`. Those that keep anything during a call begin anew
with each (`begin_<name>` in their file). The table of moves, the bounds and the places in a row are rendered in: no
second copy stands in Lua.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, Final

import msgspec
from redis import exceptions as redis_errors

from boltq.broker.error_words import Kind, kind_of, word_of
from boltq.broker.knobs import DEFAULT_KNOBS, DEFAULT_LEASE_MS
from boltq.broker.named_rows import NAMED_ROWS, ContractBroken, with_places
from boltq.domain import errors, limits
from boltq.domain.states import ENTRIES, MOVES, JobState
from boltq.domain.workflow.bounds import MAX_SPREAD
from boltq.domain.workflow.phases import PHASES, Phase

MAX_EVENTS = 10_000
MAX_EVENT_BYTES = 8 << 20
MAX_PROMOTED = 200  # of one state, queue and call: a burst of due jobs must not hold up the server
MAX_TYPES = 1_000  # and half as many different sets of them, of workers that are here
SWEEP_MS = 60_000
UNCOUNTED = -(2**31)  # how many jobs a worker has, where the store does not know: it is gone, or of an older version
SERIES = ((10, 3_900), (60, 90_000))  # seconds a bucket, seconds kept

REFUSALS: Mapping[str, type[errors.BoltQError]] = {
    "NOT_FOUND": errors.NotFound,
    "CONFLICT": errors.Conflict,
    "LEASE_LOST": errors.LeaseLost,
    "UNKNOWN_WORKER": errors.UnknownWorker,
    "FULL": errors.QueueFull,
    "QUEUES": errors.TooManyQueues,
}
"""A refusal's word and what Python raises for it."""

CALL_ERRORS: Final = (redis_errors.RedisError, OSError)
"""What redis-py raises when a call fails; `translate` says which error of ours that is."""

Rewrite = Callable[[str, str], str]  # file name, text -> text


class Library:
    """All scripts as one function library of the server, whose name has the hash of its text.

    So processes of different versions share a server, and a call costs nothing for the shared parts: with EVALSHA the
    server builds all their functions anew for each call (measured: more than the work of a lone submit).
    """

    def __init__(self, rewrite: Rewrite | None = None) -> None:
        texts = {name: rewrite(f"{name}.lua", text) for name, text in _texts().items()} if rewrite else _texts()
        self.name, self.text = _assembled(tuple(texts.items()), tuple(NUMBERS.items()))

    def call(self, verb: str, prefix: str, now: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The command that runs a script."""
        return ("FCALL", f"{self.name}_{verb}", 1, prefix, now, *args)

    def load(self) -> tuple[str, str, str]:
        """The command that gives the library to a server that does not know it."""
        return ("FUNCTION", "LOAD", self.text)


def is_unknown(error: Exception) -> bool:
    """Whether the server does not know the library: it is new there, or somebody flushed it."""
    return isinstance(error, redis_errors.ResponseError) and "Function not found" in str(error)


def is_known(error: Exception) -> bool:
    """Whether another process has loaded the library at the same moment."""
    return isinstance(error, redis_errors.ResponseError) and "already exists" in str(error)


_NAME: Final = "LIBRARY_NAME"
_SHEBANG: Final = re.compile(r"#!lua(?: flags=([a-z,-]+))?\n")
_USE: Final = re.compile(r"^--@use (.+)$", re.MULTILINE)


_remembered: Final = lru_cache(maxsize=256)  # of each file: whoever makes many brokers does not wait for it again


@cache
def _texts() -> Mapping[str, str]:
    """Every file under lua/ by its name without the ending; libraries as lib/<name>. Read once a process."""
    folder = files("boltq.broker").joinpath("lua")
    found = {f"{entry.name}": entry for entry in folder.iterdir() if entry.name.endswith(".lua")}
    found |= {f"lib/{entry.name}": entry for entry in folder.joinpath("lib").iterdir() if entry.name.endswith(".lua")}
    return {name.removesuffix(".lua"): entry.read_text("utf-8") for name, entry in sorted(found.items())}


@lru_cache(maxsize=4)
def _assembled(files: tuple[tuple[str, str], ...], numbers: tuple[tuple[str, int], ...]) -> tuple[str, str]:
    """The name and the text of the library that is made of these files, with these bounds."""
    texts = {name: _with_places(name, text) for name, text in files}
    _check_phases(texts["lib/flow_phases"])
    body = _numbered(_body(texts), dict(numbers))
    name = f"boltq_{hashlib.sha1(body.encode(), usedforsecurity=False).hexdigest()[:12]}"
    return name, f"#!lua name={name}\n{body.replace(_NAME, name)}"


@_remembered
def _with_places(name: str, text: str) -> str:
    try:
        return with_places(text, NAMED_ROWS)
    except ContractBroken as broken:
        raise ContractBroken(f"{name}.lua: {broken}") from None


def _body(texts: Mapping[str, str]) -> str:
    names = sorted((n[4:] for n in texts if "/" in n), key=lambda name: -len(_locals(texts[f"lib/{name}"])))
    order = [f"lib/{name}" for name in _in_order(texts, names)]  # who has many names comes while few are shared
    words = {name: _words(text) for name, text in texts.items()}
    used = {name: frozenset().union(*(words[other] for other in texts if other != name)) for name in order}
    shared = [_part(texts[name], _locals(texts[name]) & (used[name] | {f"begin_{name[4:]}"})) for name in order]
    verbs = [_verb(name, texts) for name in texts if "/" not in name]
    return "".join([_constants(), *shared, *verbs])


_FUNCTION: Final = re.compile(r"^local function (\w+)", re.MULTILINE)
_NAMES: Final = re.compile(r"^local (?!function )([\w, ]+?)(?= *(?:=|--|$))", re.MULTILINE)


@_remembered
def _words(text: str) -> frozenset[str]:
    """The names that a file may mean of another. No name is what stands in a text, or behind a dot: that is a field."""
    return frozenset(re.findall(r"(?<![^.]\.)\b\w+", _TEXT.sub(" ", _stripped(text))))


_TEXT: Final = re.compile(r"""'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|\[\[.*?\]\]""")


@_remembered
def _locals(text: str) -> frozenset[str]:
    """The names that a file defines for itself and for others: those at the beginning of a line."""
    lists = [name.strip() for names in _NAMES.findall(text) for name in names.split(",")]
    return frozenset([*_FUNCTION.findall(text), *lists])


@_remembered
def _part(text: str, shared: frozenset[str]) -> str:
    """A library as a block of its own, so that only what others use counts: Lua allows 200 names in one piece."""

    def function(found: re.Match[str]) -> str:
        return found[0] if found[1] not in shared else found[0].removeprefix("local ")

    def names(found: re.Match[str]) -> str:
        listed = [name.strip() for name in found[1].split(",")]
        if shared.isdisjoint(listed):
            return found[0]
        own = [name for name in listed if name not in shared]
        has_values = found.string[found.end() :].lstrip(" ").startswith("=")
        return (f"local {', '.join(own)}\n" if own else "") + (found[1] if has_values else "")

    inside = _NAMES.sub(names, _FUNCTION.sub(function, text))
    outside = f"local {','.join(sorted(shared))}\n" if shared else ""
    return f"{outside}do\n{_stripped(inside)}end\n"


def _in_order(texts: Mapping[str, str], names: Sequence[str], known: list[str] | None = None) -> list[str]:
    """The libraries of these names and all that they use, each after what it uses itself."""
    ordered = [] if known is None else known
    for name in names:
        if name not in ordered:
            _in_order(texts, _uses(texts[f"lib/{name}"]), ordered)
            ordered.append(name)
    return ordered


@_remembered
def _uses(text: str) -> Sequence[str]:
    return [name.strip() for line in _USE.findall(text) for name in line.split(",")]


def _verb(name: str, texts: Mapping[str, str]) -> str:
    """One script as a registered function: the libraries that it uses begin anew, then it runs."""
    shebang = _SHEBANG.match(texts[name])
    flags = ",".join(f"'{flag}'" for flag in (shebang[1] or "").split(",") if flag) if shebang else ""
    used = [lib for lib in _in_order(texts, _uses(texts[name])) if f"function begin_{lib}(" in texts[f"lib/{lib}"]]
    begins = " ".join(f"begin_{library}(keys, argv)" for library in used)
    return (
        f"do\nlocal function main()\n{_stripped(_SHEBANG.sub('', texts[name], count=1))}end\n"
        f"redis.register_function{{function_name='{_NAME}_{name}', flags={{{flags}}}, "
        f"callback=function(keys, argv) {begins} return main() end}}\nend\n"
    )


@_remembered
def _stripped(text: str) -> str:
    """Without comments and indents: the server keeps the text."""
    lines = (re.sub(r"(^|\s)--.*$", "", line).strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line) + "\n"


NUMBERS: Final = {
    "MAX_EVENTS": MAX_EVENTS,
    "MAX_EVENT_BYTES": MAX_EVENT_BYTES,
    "MAX_PROMOTED": MAX_PROMOTED,
    "MAX_TYPES": MAX_TYPES,
    "MAX_LOG_LINES": limits.MAX_LOG_LINES,
    "MAX_RESULT_BYTES": limits.MAX_RESULT_BYTES,
    "MAX_RUNS": limits.MAX_RUNS,
    "MAX_CALL_BYTES": limits.MAX_CALL_BYTES,
    "MAX_REPLAYS": limits.MAX_REPLAYS,
    "MAX_SPREAD": MAX_SPREAD,
    "LEASE_MS": DEFAULT_LEASE_MS,
    "SWEEP_MS": SWEEP_MS,
    "UNCOUNTED": UNCOUNTED,
    "MAX_REMEMBERED": limits.MAX_REMEMBERED,
    "REMEMBERED_MS": limits.ID_MEMORY_MS,
}
"""What the scripts call these bounds. Each stands in their text as a number: Lua allows 200 names in one text."""

_NUMBER: Final = re.compile(rf"\b(?:{'|'.join(NUMBERS)})\b")


def _numbered(body: str, numbers: Mapping[str, int]) -> str:
    return _NUMBER.sub(lambda found: str(numbers[found[0]]), body)


def _constants() -> str:
    series = ",".join(f"{{{seconds},{keep}}}" for seconds, keep in SERIES)
    return "\n".join([f"local SERIES={{{series}}}", _knobs(), _moves(), _phases()]) + "\n"


def _knobs() -> str:
    defaults = msgspec.structs.asdict(DEFAULT_KNOBS).items()
    return f"local KNOBS={{{','.join(f'{name}={number}' for name, number in defaults)}}}"


def _moves() -> str:
    rows = [_row("new", ENTRIES), *(_row(state, targets) for state, targets in MOVES.items())]
    return f"local MOVES={{{','.join(rows)}}}"


def _phases() -> str:
    return f"local PHASES={{{','.join(_phase(phase) for phase in PHASES)}}}"


def _phase(phase: Phase) -> str:
    return f"{phase}={{name='{phase}',for_jobs={str(PHASES[phase].for_jobs).lower()}}}"


def _check_phases(text: str) -> None:
    acts = re.findall(r"^(?:function )?PHASES\.(\w+)\.(\w+)", text, re.MULTILINE)
    if missing := {(phase, act) for phase in PHASES for _, act in acts}.difference(acts):
        raise ContractBroken(f"lib/flow_phases.lua does not say of {', '.join(map('.'.join, sorted(missing)))}")


def _row(state: str, targets: Iterable[JobState]) -> str:
    return f"{state}={{{','.join(f'{target}=true' for target in sorted(targets))}}}"


_DECORATION: Final = re.compile(r"\s*script:(?: \w+,)? on @user_(?:script|function):\d+\.?$")


def translate(error: Exception) -> Exception:
    """The error of ours that stands for what redis-py raised."""
    if not isinstance(error, redis_errors.RedisError | OSError):
        return error
    word, text = word_of(error), _DECORATION.sub("", str(error))
    if refusal := REFUSALS.get(word):
        return refusal(text.partition(" ")[2])
    kind = kind_of(error)
    if kind is None:
        return _of_the_line(error)
    if "unknown command" in text.lower():
        return errors.StoreUnfit(f"the server is too old: use Valkey, or Redis 7 or later ({text[:80]})")
    make, about = _MADE[kind]
    return make(f"{about}: {text if text.startswith(word) else f'{word} {text}'}")


_MADE: Final[Mapping[Kind, tuple[type[errors.StoreError], str]]] = {
    Kind.PASSING: (errors.StoreUnavailable, "the store cannot work now"),
    Kind.FULL: (errors.StoreFull, "the store is out of memory, nothing was written"),
    Kind.CONFIG: (errors.StoreUnfit, "the store refuses"),
    Kind.FAULT: (errors.StoreFault, "the store answers what it never should"),
}


def _of_the_line(error: Exception) -> errors.StoreError:
    """What is no answer of the server: no answer at all, or something that redis-py cannot send."""
    broken = (redis_errors.ConnectionError, redis_errors.TimeoutError, redis_errors.InvalidResponse, OSError)
    if isinstance(error, broken):
        return errors.StoreUnavailable(f"the store does not answer: {error}")
    return errors.StoreFault(f"the store cannot be asked: {type(error).__name__}: {error}")
