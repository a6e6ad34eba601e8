"""How one run of a job ended, as a value; and what a task raises to say so itself."""

import hashlib
import re
import traceback
from enum import StrEnum
from types import TracebackType
from typing import Any

import msgspec

from boltq.domain.errors import BoltQError
from boltq.domain.limits import MAX_ERROR_CHARS, MAX_MESSAGE_CHARS


class Category(StrEnum):
    """The kind of an error; each has its own retry policy (see `retry.py`)."""

    TRANSIENT = "transient"  # the network, a dependency: likely gone next time
    RATE_LIMITED = "rate_limited"  # told to slow down
    TIMEOUT = "timeout"  # ran longer than allowed
    DATA = "data"  # what was submitted cannot be processed: no retry helps
    SYSTEM = "system"  # this machine: memory, disk, a lost process
    POISON = "poison"  # took its worker down again and again
    UNKNOWN = "unknown"


class JobError(msgspec.Struct, frozen=True, omit_defaults=True, rename={"class_name": "class"}):
    """An error as plain data. It is never turned back into an exception object."""

    class_name: str
    message: str
    category: Category
    fingerprint: str = ""
    traceback: str = ""


class Completed(msgspec.Struct, frozen=True):
    """The function returned; `result` is JSON text."""

    result: str


class Failed(msgspec.Struct, frozen=True):
    """The function raised, ran too long, or could not be called. `retry_after` in seconds overrules the backoff."""

    error: JobError
    retry_after: float | None = None
    retry: bool = True


class Snoozed(msgspec.Struct, frozen=True):
    """Not now: run again in `delay` seconds. Does not count as an attempt."""

    delay: float


class Released(msgspec.Struct, frozen=True):
    """Handed back unrun, or stopped by a shutdown: it goes to the head of its queue and does not count."""


class Cancelled(msgspec.Struct, frozen=True):
    """Stopped because somebody asked for it, or because the function raised `Cancel`."""

    reason: str = ""


Outcome = Completed | Failed | Snoozed | Released | Cancelled


class TaskSignal(BoltQError):
    """The base of what a task raises to say how its run ends."""


class RetryLater(TaskSignal):
    """Fail this attempt and try again after `delay` seconds (None: by the backoff)."""

    category = Category.TRANSIENT

    def __init__(self, delay: float | None = None, message: str = "") -> None:
        super().__init__(message or "the task asked to be retried")
        self.delay = delay


class RateLimited(RetryLater):
    """The other side said to slow down: try again after `retry_after` seconds."""

    category = Category.RATE_LIMITED

    def __init__(self, message: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(retry_after, message or "rate limited")


class TransientError(TaskSignal):
    """An error that is likely gone next time."""

    category = Category.TRANSIENT


class DataError(TaskSignal):
    """What was submitted cannot be processed: the job goes to the dead letters at once."""

    category = Category.DATA


class Snooze(TaskSignal):
    """Run again in `delay` seconds; does not count as an attempt."""

    def __init__(self, delay: float) -> None:
        super().__init__(f"snoozed for {delay:g} s")
        self.delay = delay


class Cancel(TaskSignal):
    """End the job as cancelled."""


def describe(error: BaseException, category: Category) -> JobError:
    """An exception as plain data; works for exceptions whose own `str` raises."""
    return JobError(
        class_name=type(error).__name__,
        message=text_of(error),
        category=category,
        fingerprint=fingerprint(type(error).__name__, error.__traceback__),
        traceback=_traceback_of(error),
    )


def fingerprint(class_name: str, trace: TracebackType | None) -> str:
    """The same for errors of one class raised at one place, so that dead letters can be grouped."""
    place = ""
    for frame, _line in traceback.walk_tb(trace):
        place = f"{frame.f_globals.get('__name__', '')}.{frame.f_code.co_name}"
    return hashlib.sha1(f"{class_name}@{place}".encode(), usedforsecurity=False).hexdigest()[:12]


def text_of(error: BaseException) -> str:
    """What an exception says, as text that can be stored; works for exceptions whose own `str` raises."""
    try:
        text = str(error)
    except BaseException as broken:  # noqa: BLE001 - a user's __str__ may raise anything
        text = f"(its str() raised {type(broken).__name__})"
    return clean(text)[:MAX_MESSAGE_CHARS]


def _traceback_of(error: BaseException) -> str:
    try:
        lines = traceback.format_exception(type(error), error, error.__traceback__)
    except BaseException:  # noqa: BLE001 - format_exception calls the same __str__
        lines = [*traceback.format_tb(error.__traceback__), type(error).__name__]
    return clean("".join(lines))[-MAX_ERROR_CHARS:]


_SURROGATES = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """The text with lone surrogates replaced: they cannot be sent as UTF-8."""
    return _SURROGATES.sub("\ufffd", text)


def error_of(stored: str) -> JobError:
    """The error that was stored as JSON text."""
    return msgspec.json.decode(stored, type=JobError)


def as_json(error: JobError) -> str:
    """The JSON text that is stored."""
    return msgspec.json.encode(error).decode()


def plain(error: JobError) -> dict[str, Any]:
    """The error as a dictionary, for JSON answers."""
    return {field: value for field, value in msgspec.to_builtins(error).items() if value}
