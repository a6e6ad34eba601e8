"""Reads JSON into a struct, or says everything that does not fit, each thing with its JSON pointer."""

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import cache
from itertools import islice
from types import UnionType
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

import msgspec

from boltq.domain.hints import unknown
from boltq.domain.workflow.bounds import MAX_MISTAKES
from boltq.domain.workflow.mistakes import InvalidWorkflow, Mistake, escaped, raise_if_any

T = TypeVar("T", bound=msgspec.Struct)


class Misfit(NamedTuple):
    """What does not fit, and what is done with it so that the rest can be understood."""

    at: str
    why: str
    place: str | None = None  # what is taken out or replaced; None: nothing can be read without it
    instead: bytes | None = None  # the JSON that replaces it; None: it is taken out


def read_leniently(body: bytes, kind: type[T]) -> tuple[T | None, list[Mistake]]:
    """The struct that a JSON text is without what does not fit it, and what that is.

    What may not be left out is replaced by what its struct names in `STAND_INS`, or a step's `STAND_IN`. None where
    nothing can be told of the rest. Raises InvalidWorkflow for what is no JSON.
    """
    try:
        return read_struct(body, kind), []
    except InvalidWorkflow as error:
        found = _misfits(body, kind)
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
    return [(found.at, found.why) for found in _misfits(body, kind)]


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


def _misfits(body: bytes, kind: Any) -> list[Misfit]:
    try:
        return list(islice(_in_value(body, kind, ""), MAX_MISTAKES + 1))
    except RecursionError:
        return [Misfit("", "nested too deeply")]
    except msgspec.DecodeError:
        return []


def _without(body: bytes, kind: type[T], found: list[Misfit]) -> T | None:
    """The struct that is left when what does not fit is taken out or replaced."""
    changes = {tuple(one.place.split("/")[1:]): one.instead for one in found if one.place}
    if len(changes) == 0 or any(one.place is None for one in found):
        return None
    try:
        left: T = _decoder(kind).decode(_changed(body, changes))
    except (msgspec.DecodeError, RecursionError):
        return None
    return left


def _changed(piece: bytes, changes: Mapping[tuple[str, ...], bytes | None]) -> bytes:
    """A JSON text with other values at these places, or none. The rest stays as it was written, to the byte."""
    kept: dict[str, msgspec.Raw] | list[msgspec.Raw] = msgspec.json.decode(
        piece, type=dict[str, msgspec.Raw] | list[msgspec.Raw]
    )
    inner: dict[str, dict[tuple[str, ...], bytes | None]] = {}
    for (first, *rest), instead in changes.items():
        inner.setdefault(first, {})[tuple(rest)] = instead
    if isinstance(kept, list):
        pieces = [_replaced(raw, inner.get(str(number))) or b"null" for number, raw in enumerate(kept)]
        return msgspec.json.encode([msgspec.Raw(one) for one in pieces])
    keys = {escaped(key): key for key in kept}
    left = {key: _replaced(raw, inner.get(escaped(key))) for key, raw in kept.items()}
    left |= {keys.get(place, place): there[()] for place, there in inner.items() if () in there}
    return msgspec.json.encode({key: msgspec.Raw(one) for key, one in left.items() if one is not None})


def _replaced(raw: bytes, changes: Mapping[tuple[str, ...], bytes | None] | None) -> bytes | None:
    if not changes:
        return raw
    return changes[()] if () in changes else _changed(raw, changes)


def _in_value(piece: bytes, kind: Any, at: str) -> Iterator[Misfit]:
    """Follows lists and objects as far as the type does, and reports the innermost misfits."""
    try:
        msgspec.json.decode(piece, type=kind)
    except msgspec.ValidationError as error:
        item, struct = _inside(kind)
        if item is not None and (pieces := _opened(piece, list[msgspec.Raw])) is not None:
            for number, inner in enumerate(pieces):
                yield from _in_item(inner, item, f"{at}/{number}")
        elif struct is not None and (pieces := _opened(piece, dict[str, msgspec.Raw])) is not None:
            yield from _in_object(pieces, struct, at)
        else:
            yield Misfit(at, _explained(error, kind, struct))


def _in_item(piece: bytes, kind: Any, at: str) -> Iterator[Misfit]:
    instead: bytes | None = getattr(_inside(kind)[1], "STAND_IN", None)
    for found in _in_value(piece, kind, at):
        yield found if found.place or not instead else found._replace(place=at, instead=instead)


def _explained(error: Exception, kind: Any, struct: type[msgspec.Struct] | None) -> str:
    expected = getattr(struct, "EXPECTED", None)
    choices = ", ".join(words_of(kind))
    if choices:
        return f"{plain(error)}; use {choices}" + (f" or {expected}" if expected else "")
    return plain(error) + (f": {expected}" if expected else "")


def _in_object(pieces: dict[str, msgspec.Raw], kind: type[msgspec.Struct], at: str) -> Iterator[Misfit]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    stand_ins: dict[str, bytes] = getattr(kind, "STAND_INS", {})
    for name, piece in pieces.items():
        here = f"{at}/{escaped(name)}"
        if name not in fields:
            absent: dict[str, str] = getattr(kind, "ABSENT", {})
            yield Misfit(here, absent.get(name) or unknown(name, list(fields)), here)
            continue
        for found in _in_value(piece, fields[name].type, here):
            can_go = name in stand_ins or not fields[name].required
            yield found if found.place or not can_go else found._replace(place=here, instead=stand_ins.get(name))
    for name, field in fields.items():
        if field.required and name not in pieces:
            yield Misfit(f"{at}/{name}", "required", f"{at}/{name}" if name in stand_ins else None, stand_ins.get(name))


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


_PLACE: Final = re.compile(r" - at `\$.*`$", re.DOTALL)
