"""Reads JSON into a struct, or says everything that does not fit, each thing with its JSON pointer."""

import re
from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from itertools import islice
from types import UnionType
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin

import msgspec

from boltq.domain.hints import unknown
from boltq.domain.workflow.bounds import MAX_MISTAKES
from boltq.domain.workflow.mistakes import InvalidWorkflow, Mistake, escaped, raise_if_any

T = TypeVar("T", bound=msgspec.Struct)


def read_leniently(body: bytes, kind: type[T]) -> tuple[T | None, list[Mistake]]:
    """The struct that a JSON text is without what does not fit it, and what that is.

    None where nothing can be told of the rest: a part is missing or of a wrong type on which other parts depend.
    Raises InvalidWorkflow for what is no JSON.
    """
    try:
        return read_struct(body, kind), []
    except InvalidWorkflow as error:
        found = mistakes_in(body, kind)
        if not found:
            raise
        return _without(body, kind, found), list(error.errors)


def read_struct(body: bytes, kind: type[T]) -> T:
    """The struct that a JSON text is. Raises InvalidWorkflow."""
    try:
        form: T = _decoder(kind).decode(body)
        return form
    except RecursionError:
        raise InvalidWorkflow([("", "nested too deeply")]) from None
    except msgspec.ValidationError as error:
        raise_if_any(mistakes_in(body, kind))
        raise InvalidWorkflow([("", plain(error))]) from None
    except ValueError as error:
        raise InvalidWorkflow([("", f"not JSON: {plain(error)}")]) from None


def mistakes_in(body: bytes, kind: Any) -> list[Mistake]:
    """Everything in a JSON text that does not fit a type; nothing when it fits, or is no JSON further on."""
    try:
        return list(islice(_in_value(body, kind, ""), MAX_MISTAKES + 1))
    except RecursionError:
        return [("", "nested too deeply")]
    except msgspec.DecodeError:
        return []


def words_of(kind: Any) -> Iterator[str]:
    """The words that a type allows; none when it is not one of words."""
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        yield from kind
    elif get_origin(kind) is Literal:
        yield from get_args(kind)
    elif get_origin(kind) is not list:
        for part in get_args(kind):
            yield from words_of(part)


def plain(error: Exception) -> str:
    """A decoder's complaint without its place, which a pointer tells."""
    reason = _PLACE.sub("", str(error)).replace("`", "")
    return reason[:1].lower() + reason[1:300]


def _without(body: bytes, kind: type[T], found: list[Mistake]) -> T | None:
    """The struct that is left when the fields with these mistakes are taken out."""
    places = [at.split("/")[1:] for at, _ in found]
    if any(not place or place[-1] in _SAY_MORE or place[-1].isdigit() for place in places):
        return None
    try:
        left: T = _decoder(kind).decode(_cut(body, places))
    except (msgspec.DecodeError, RecursionError):
        return None
    return left


def _cut(piece: bytes, places: list[list[str]]) -> bytes:
    """A JSON text without what is at these places. What is not taken out stays as it was written, to the byte."""
    kept: dict[str, msgspec.Raw] | list[msgspec.Raw] = msgspec.json.decode(
        piece, type=dict[str, msgspec.Raw] | list[msgspec.Raw]
    )
    inner: dict[str, list[list[str]]] = {}
    for first, *rest in places:
        inner.setdefault(first, []).append(rest)
    if isinstance(kept, list):
        pieces = [_cut(raw, inner[str(n)]) if str(n) in inner else raw for n, raw in enumerate(kept)]
        return msgspec.json.encode([msgspec.Raw(one) for one in pieces])
    left: dict[str, msgspec.Raw] = {}
    for key, raw in kept.items():
        within = inner.get(escaped(key), [])
        if [] not in within:
            left[key] = msgspec.Raw(_cut(raw, within)) if within else raw
    return msgspec.json.encode(left)


def _in_value(piece: bytes, kind: Any, at: str) -> Iterator[Mistake]:
    """Goes into lists and objects as far as the type does, and complains of the innermost thing that is wrong."""
    try:
        msgspec.json.decode(piece, type=kind)
    except msgspec.ValidationError as error:
        item, struct = _inside(kind)
        if item is not None and (pieces := _opened(piece, list[msgspec.Raw])) is not None:
            for number, inner in enumerate(pieces):
                yield from _in_value(inner, item, f"{at}/{number}")
        elif struct is not None and (pieces := _opened(piece, dict[str, msgspec.Raw])) is not None:
            yield from _in_object(pieces, struct, at)
        else:
            yield at, _explained(error, kind, struct)


def _explained(error: Exception, kind: Any, struct: type[msgspec.Struct] | None) -> str:
    expected = getattr(struct, "EXPECTED", None)
    choices = ", ".join(words_of(kind))
    if choices:
        return f"{plain(error)}; use {choices}" + (f" or {expected}" if expected else "")
    return plain(error) + (f": {expected}" if expected else "")


def _in_object(pieces: dict[str, msgspec.Raw], kind: type[msgspec.Struct], at: str) -> Iterator[Mistake]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for name, piece in pieces.items():
        if name in fields:
            yield from _in_value(piece, fields[name].type, f"{at}/{name}")
        else:
            absent: dict[str, str] = getattr(kind, "ABSENT", {})
            yield f"{at}/{escaped(name)}", absent.get(name) or unknown(name, list(fields))
    yield from ((f"{at}/{name}", "required") for name, field in fields.items() if field.required and name not in pieces)


def _inside(kind: Any) -> tuple[Any, type[msgspec.Struct] | None]:
    """The type of a list's items, and the struct, that a type holds; None for what it does not."""
    origin = get_origin(kind)
    if origin is Annotated:
        return _inside(get_args(kind)[0])
    if origin is list:
        return get_args(kind)[0], None
    if origin in (Union, UnionType):
        found = [_inside(part) for part in get_args(kind)]
        return next((i for i, _ in found if i is not None), None), next((s for _, s in found if s), None)
    return None, kind if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else None


def _opened(piece: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(piece, type=kind)
    except msgspec.ValidationError:
        return None


@cache
def _decoder(kind: type[msgspec.Struct]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


_SAY_MORE: Final = frozenset({"id", "type", "depends_on", "steps", "on_failure", "finally", "workflow", "map"})
"""Fields without which other fields would seem wrong that are not."""
_PLACE: Final = re.compile(r" - at `\$.*`$", re.DOTALL)
