"""An error of a run as plain data: its class, message, category, fingerprint and traceback."""

import hashlib
import traceback
from enum import StrEnum
from types import TracebackType
from typing import Any, Final

import msgspec

from boltq.domain.limits import MAX_CLASS_CHARS, MAX_ERROR_CHARS, MAX_MESSAGE_CHARS, SURROGATE


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


def describe(error: BaseException, category: Category) -> JobError:
    """An exception as plain data, even when its own methods raise."""
    name = class_name_of(error)
    return JobError(
        class_name=name,
        message=text_of(error),
        category=category,
        fingerprint=fingerprint(name, error.__traceback__),
        traceback=_traceback_of(error),
    )


def class_name_of(error: BaseException) -> str:
    """The name of the exception's class, as text that can be stored. A metaclass of the user's is not called."""
    return clean(_NAME_OF(type(error)))[:MAX_CLASS_CHARS]


def fingerprint(class_name: str, trace: TracebackType | None) -> str:
    """The fingerprint: the same text for errors of one class raised at one place, so that dead jobs can be grouped."""
    place = ""
    for frame, _line in traceback.walk_tb(trace):
        module = frame.f_globals.get("__name__", "")
        place = f"{module if isinstance(module, str) else ''}.{frame.f_code.co_name}"
    return hashlib.sha1(f"{class_name}@{place}".encode(errors="replace"), usedforsecurity=False).hexdigest()[:12]


def text_of(error: BaseException) -> str:
    """The exception's message, as text that can be stored, even when its own `str` raises."""
    try:
        return clean(str(error))[:MAX_MESSAGE_CHARS]
    except BaseException as broken:  # noqa: BLE001 - a user's __str__ may raise anything
        return f"(its str() raised {class_name_of(broken)})"


def _traceback_of(error: BaseException) -> str:
    try:
        lines = traceback.format_exception(error, limit=_MOST_FRAMES)
    except BaseException:  # noqa: BLE001 - format_exception calls the same __str__
        lines = [*_frames_of(error.__traceback__), class_name_of(error)]
    return clean("".join(lines))[-MAX_ERROR_CHARS:]


def _frames_of(trace: TracebackType | None) -> list[str]:
    """The place where the error was raised, without its message."""
    try:
        return traceback.format_tb(trace, limit=_MOST_FRAMES)
    except BaseException:  # noqa: BLE001 - it reads the lines by a loader that may be the user's
        return []


_MOST_FRAMES: Final = -200  # the innermost ones: a recursion has thousands


_NAME_OF: Final = type.__dict__["__name__"].__get__  # the name itself, whatever a metaclass makes of it


def clean(text: str) -> str:
    """The text with lone surrogates replaced: they cannot be sent as UTF-8."""
    return SURROGATE.sub("\ufffd", str.__str__(text))  # a plain str, whatever a subclass of str does


def error_of(stored: str) -> JobError:
    """The error that was stored as JSON text."""
    return msgspec.json.decode(stored, type=JobError)


def as_json(error: JobError) -> str:
    """The JSON text that is stored."""
    return msgspec.json.encode(error).decode()


def plain(error: JobError) -> dict[str, Any]:
    """The error as a dictionary, for JSON answers."""
    return {field: value for field, value in msgspec.to_builtins(error).items() if value}
