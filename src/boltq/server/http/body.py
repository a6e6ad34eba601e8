"""Reads a request's body: bounded while it comes, and refused with a place and a reason when it is not good JSON."""

import json
import re
from collections.abc import Iterator
from functools import cache
from itertools import accumulate, islice
from typing import Any, Final, TypeVar

import msgspec
from starlette.requests import Request
from starlette.types import Receive

from boltq.domain import limits
from boltq.domain.errors import InvalidJob
from boltq.domain.limits import SURROGATE
from boltq.domain.workflow.reading import mistakes_in
from boltq.server.http.guard import Headers
from boltq.server.http.problems import Problem, escaped, invalid

T = TypeVar("T")

MAX_BYTES: Final = limits.MAX_DATA_BYTES + (64 << 10)  # the data, and all that is around it
MAX_SMALL_BYTES: Final = 64 << 10  # where no data is expected

MAX_REASON: Final = 300  # characters of a decoder's complaint, which repeats what was sent
BOM: Final = b"\xef\xbb\xbf"


class Gone(Exception):
    """The client has left."""


async def read_body(headers: Headers, receive: Receive, most: int = MAX_BYTES) -> bytes:
    """The whole body. Raises Problem when it is too large, Gone when the client left.

    It is counted as it comes: Content-Length is only believed when it says too much.
    """
    stated = headers.get(b"content-length", b"0")
    if len(stated) > 6 and _more_than(stated, most):  # noqa: PLR2004 - a shorter number is small enough
        raise _too_large(most)
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        pieces, size = [body], len(body)
        while message.get("more_body") and size <= most:
            message = await receive()
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
        body = b"".join(pieces)
    if len(body) > most:
        raise _too_large(most)
    if message["type"] == "http.disconnect":
        raise Gone
    return body


def check_readable(body: bytes) -> None:
    """Raise Problem when brackets are nested deeper than MAX_DEPTH, InvalidJob or Problem when it is not UTF-8.

    No decoder may see the body before that: some look at the text only where they make values of it.
    """
    if body.count(b"{") + body.count(b"[") > limits.MAX_DEPTH and _depth(body) > limits.MAX_DEPTH:
        raise Problem("invalid", f"nested deeper than {limits.MAX_DEPTH}", errors=[("", "nested too deeply")])
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise malformed(error, body) from None


def decode_small(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """A small body that may be left out; its mistakes are raised as a Problem."""
    check_readable(body)
    try:
        form = decoder.decode(body or b"{}")
    except msgspec.ValidationError as error:
        raise invalid(mistakes_in(body, decoder.type) or [pointed(error)]) from None
    except ValueError as error:
        raise malformed(error, body) from None
    if (at := repeated_key(body)) is not None:
        raise invalid([(at, "given more than once")])
    return form


async def read_form(request: Request, kind: type[T], most: int = MAX_SMALL_BYTES) -> T:
    """The body as a struct; nothing at all counts as an empty object. Raises Problem with a pointer to the mistake."""
    body = await read_body(dict(request.scope["headers"]), request.receive, most)
    hashable: Any = kind
    form: T = decode_small(body.removeprefix(BOM), _decoder(hashable))
    return form


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def malformed(error: ValueError, body: bytes) -> Problem | InvalidJob:
    """The error about a body that is no JSON; it names the field, or the place where reading stopped."""
    if not body.strip():
        return Problem("malformed-json", "the body is empty: send a JSON object")
    if places := _no_text(body):
        return InvalidJob([(at, HALF if _is_utf8(body) else NO_TEXT) for at in places])
    found = re.search(r"\(byte (\d+)\)", str(error))
    at = error.start if isinstance(error, UnicodeDecodeError) else int(found.group(1)) if found else len(body)
    line, column = body.count(b"\n", 0, at) + 1, at - body.rfind(b"\n", 0, at)
    reason = re.sub(r"^JSON is malformed: | \(byte \d+\)$", "", str(error))
    reason = "the body ends too early" if reason == "Input data was truncated" else reason
    reason = "the body is not UTF-8" if isinstance(error, UnicodeDecodeError) else reason
    return Problem("malformed-json", f"{reason}, at line {line}, column {column}", line=line, column=column)


def pointed(error: Exception) -> tuple[str, str]:
    """A decoder's complaint as a JSON pointer and a reason."""
    reason, _, path = str(error).partition(" - at `$")
    at = "".join(f"/{step}" for step in re.findall(r"[^.\[\]`]+", path.replace("...", "")))
    named = _NAMED.search(reason)
    if named:
        return f"{at}/{escaped(named[2])}", "required" if named[1] == "missing required" else "unknown field"
    return at, _plain(reason)


def repeated_key(body: bytes) -> str | None:
    """The place of a key that stands twice in one object of good JSON: decoders silently take the last one."""
    names = _KEY.findall(body)
    return None if len(set(names)) == len(names) and b"\\" not in body else _place_of_repeat(body)


def repeated_in(text: bytes, values: Any) -> str | None:
    """As repeated_key, quicker, for decoded JSON: without repeats, its text has a colon for each key."""
    keys = _count_keys(values)
    if text.count(b":") == keys or _outside(text).count(b":") == keys:
        return None
    return _place_of_repeat(text)


NO_TEXT: Final = (
    "not UTF-8: send the body in that encoding (PowerShell 5: -Body ([Text.Encoding]::UTF8.GetBytes($json)))"
)
HALF: Final = "has half of a character (a lone surrogate, such as \\ud800), which UTF-8 cannot hold"
_MOST_PLACES: Final = 30
_NAMED: Final = re.compile(r"(unknown|missing required) field `(.*)`", re.DOTALL)
_KEY: Final = re.compile(rb'"([^"]*)"\s*:')
_BRACKETS: Final = b"[]{}"
_OTHERS: Final = bytes(set(range(256)) - set(_BRACKETS))
_STEPS: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


def _depth(body: bytes) -> int:
    """How deep the brackets outside of strings are nested."""
    brackets = _outside(body).translate(None, _OTHERS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0)


def _outside(body: bytes) -> bytes:
    """JSON text without its strings."""
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(unescaped.split(b'"')[::2])


def _count_keys(value: Any) -> int:
    """How many keys there are, at every depth."""
    if type(value) is dict:
        count, inner = len(value), value.values()
    else:
        count, inner = 0, value
    for item in inner:
        if type(item) is dict or type(item) is list:
            count += _count_keys(item)
    return count


def _place_of_repeat(body: bytes) -> str | None:
    pairs = json.loads(body, object_pairs_hook=_Pairs, parse_int=str, parse_float=str)
    return next(_repeats(pairs, ""), None)


class _Pairs(list[tuple[str, Any]]):
    """An object as it was written."""


def _repeats(value: Any, at: str) -> Iterator[str]:
    """The places of all of them, below the place of the value."""
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for name, item in value:
            place = f"{at}/{escaped(name)}"
            if name in seen:
                yield place
            seen.add(name)
            yield from _repeats(item, place)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _repeats(item, f"{at}/{number}")


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _no_text(body: bytes) -> list[str]:
    """The places of keys and texts that nobody can read, in what is good JSON otherwise; none where it is not."""
    try:
        text = body.decode("utf-8", "surrogateescape")
        pairs = json.loads(text, object_pairs_hook=_Pairs, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return []
    return list(islice(_unreadable(pairs, ""), _MOST_PLACES))


def _unreadable(value: Any, at: str) -> Iterator[str]:
    """The places of what has half of a character, or a byte that is none (which stands as such a half)."""
    if isinstance(value, str) and SURROGATE.search(value):
        yield at
    elif isinstance(value, _Pairs):
        for name, item in value:
            place = f"{at}/{escaped(name.encode('utf-8', 'replace').decode())}"
            if SURROGATE.search(name):
                yield place
            else:
                yield from _unreadable(item, place)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _unreadable(item, f"{at}/{number}")


def _more_than(digits: bytes, most: int) -> bool:
    """Whether a number of any length is larger."""
    digits = digits.lstrip(b"0")
    return len(digits) > len(str(most)) or int(digits or b"0") > most


def _plain(reason: str) -> str:
    return (reason[:1].lower() + reason[1:MAX_REASON]).replace("`", "")


def _too_large(most: int) -> Problem:
    return Problem("too-large", f"the body may have {most} bytes at most")
