"""Python values as JSON text and back: exact, or refused with the place of what JSON cannot hold.

JSON has no NaN, no Infinity and no half characters (lone surrogates). What is refused is named by its place, never by
its value: messages end up in logs.
"""

import dataclasses
import json
import math
import re
from collections import deque
from collections.abc import Collection, Container, Hashable, Iterable, Iterator, Mapping, Reversible
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any, Final, get_args, get_origin

import msgspec

from boltq.domain.errors import InvalidJob
from boltq.domain.limits import HALF, SURROGATE

TOO_DEEP: Final = "nested too deeply"


def as_json(value: Any, at: str = "") -> str:
    """A value as JSON text. Raises InvalidJob with the place of everything that JSON cannot hold, below `at`."""
    return json_bytes(value, at).decode()


def json_bytes(value: Any, at: str = "") -> bytes:
    """A value as JSON in bytes; raises as `as_json` does."""
    try:
        text = _encode(value)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise InvalidJob(_mistakes(value, at) or [(at, str(error))]) from None
    if b"null" in text and _may_lack_finite(value) and (mistakes := _not_finite(value, at)):
        raise InvalidJob(mistakes)
    return text


def out_of_range(text: str | bytes, at: str = "") -> list[tuple[str, str]]:
    """The places of numbers in JSON that no double can hold, such as 1e999; none for what is no JSON."""
    try:
        return [(place, "number out of range") for place, _ in _mistakes(json.loads(text, parse_int=str), at)]
    except (ValueError, RecursionError):
        return []


def write_foreign(value: Any) -> Any:
    """Encodes types unknown to msgspec: pydantic models, numpy numbers and arrays, paths, subclasses of plain types."""
    dump = getattr(value, "model_dump", None)
    if dump is not None and not isinstance(value, type):
        model: Any = type(value)
        dumped = dump(mode="json", by_alias=_reads_what_it_writes(model))
        if _has_stars(dumped) and next(_secrets(value, ""), None):
            raise TypeError("a secret is not written")
        return dumped
    for plain in (str, int, float):
        if isinstance(value, plain):
            return plain(value)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, deque):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} is not JSON")


def read_foreign(kind: Any, value: Any) -> Any:
    """Decodes JSON to a type that msgspec does not know. Raises ValueError that names places, not values."""
    bare: Any = get_origin(kind) or kind
    if bare is object:
        return value
    if hasattr(bare, "model_validate_json"):
        return _validated(bare, value)
    items = get_args(kind)
    if bare in _LISTS:
        return msgspec.convert(value, list[items] if items else list, dec_hook=read_foreign)  # type: ignore[valid-type]
    if bare is deque:
        return deque(msgspec.convert(value, list[items] if items else list, dec_hook=read_foreign))  # type: ignore[valid-type]
    if bare in _PATHS:
        return bare(msgspec.convert(value, str))
    raise NotImplementedError(f"no way from JSON to {bare.__name__}")


def can_be_read(kind: Any) -> bool:
    """Whether `read_foreign` knows the way from JSON to this class."""
    return kind is object or kind is deque or kind in _LISTS or kind in _PATHS or hasattr(kind, "model_validate_json")


def foreign_schema(kind: Any) -> dict[str, Any]:
    """The JSON Schema of what msgspec does not know."""
    if describe := getattr(kind, "model_json_schema", None):
        schema: dict[str, Any] = describe()
        return schema
    if kind in _LISTS or kind is deque:
        return {"type": "array"}
    if kind in _PATHS:
        return {"type": "string"}
    return {}


_LISTS: Final = {Iterable, Collection, Container, Reversible}
_PATHS: Final = {PurePath, Path}

_encode: Final = msgspec.json.Encoder(enc_hook=write_foreign).encode
_pack: Final = msgspec.msgpack.Encoder(enc_hook=write_foreign).encode

_STARS: Final = b"**********"  # what models of pydantic write instead of a secret
_NOT_FINITE: Final = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")  # a float of MessagePack that is inf or nan
_MOST: Final = 30  # mistakes that are named at once


def _not_finite(value: Any, at: str) -> list[tuple[str, str]]:
    """The places of what JSON cannot hold, also inside of enum members and attrs objects."""
    return _mistakes(value, at) or _mistakes(msgspec.to_builtins(value, enc_hook=write_foreign), at)


def _may_lack_finite(value: Any) -> bool:
    """False: no number in it is inf or nan, both of which msgspec writes as null. Quick, and seldom wrong."""
    try:
        return _NOT_FINITE.search(_pack(value)) is not None
    except (TypeError, ValueError, OverflowError):  # such as integers beyond 64 bits
        return True


def _mistakes(value: Any, at: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    try:
        for mistake in _look(value, at):
            found.append(mistake)
            if len(found) == _MOST:
                break
    except RecursionError:
        found.append((at, TOO_DEEP))
    return found


def _look(value: Any, at: str) -> Iterator[tuple[str, str]]:
    """The places of what cannot be written, the innermost ones."""
    if value is None or value is True or value is False or type(value) is int:
        return
    if isinstance(value, str):
        if SURROGATE.search(value):
            yield at, HALF
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield at, f"is {float(value)}, which JSON does not have"
    elif (inner := _inside(value)) is not None:
        for key, part in inner:
            place = f"{at}/{_escaped(key)}"
            if isinstance(key, str):
                yield from _look(key, place)
            elif not _can_be_name(key):
                yield at, f"has a {type(key).__name__} as a name; the names of JSON are texts"
            yield from _look(part, place)
    else:
        yield from _leaf(value, at)


def _inside(value: Any) -> Iterable[tuple[Any, Any]] | None:
    """The parts of a value; None when it has none."""
    match value:
        case dict():
            return value.items()
        case list() | tuple() | set() | frozenset() | deque():
            return enumerate(value)
        case msgspec.Struct():
            names = [(field.encode_name, getattr(value, field.name)) for field in msgspec.structs.fields(value)]
            return [(name, part) for name, part in names if part is not msgspec.UNSET]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name, None)) for field in dataclasses.fields(value)]
    return None


def _can_be_name(key: Any) -> bool:
    try:
        _encode({key: None})
    except (TypeError, ValueError):
        return False
    return True


def _leaf(value: Any, at: str) -> Iterator[tuple[str, str]]:
    if secrets := list(_secrets(value, at)):
        yield from secrets
        return
    try:
        _encode(value)
    except (ValueError, TypeError, OverflowError) as error:
        reason: str | None = str(error)
    else:
        reason = None
    try:
        dumped = write_foreign(value)
    except Exception:  # noqa: BLE001 - it is a user's object
        if reason is not None:
            yield at, reason
        return
    if type(dumped) is not type(value):
        yield from _look(dumped, at)
    elif reason is not None:
        yield at, reason


def _escaped(key: Any) -> str:
    return SURROGATE.sub("\ufffd", str(key)).replace("~", "~0").replace("/", "~1")


@lru_cache(1_000)
def _reads_what_it_writes(kind: Hashable) -> bool:
    """Whether a model of pydantic has one alias for both ways in its fields; its own names are written otherwise."""
    fields = getattr(kind, "model_fields", {}).values()
    return all(field.serialization_alias in (None, field.validation_alias) for field in fields)


def _has_stars(dumped: Any) -> bool:
    try:
        return _STARS in _encode(dumped)
    except (TypeError, ValueError, RecursionError, OverflowError):
        return False  # writing the model raises, and says so


def _secrets(value: Any, at: str) -> Iterator[tuple[str, str]]:
    """The places of secrets of pydantic."""
    if hasattr(value, "get_secret_value"):
        yield at, "is a secret, of which only stars would be written: give its get_secret_value(), or where it is kept"
    for key, part in _inside(value) or _fields(value):
        yield from _secrets(part, f"{at}/{_escaped(key)}")


def _fields(model: Any) -> list[tuple[str, Any]]:
    return [(name, getattr(model, name, None)) for name in getattr(type(model), "model_fields", ())]


def _validated(model: Any, value: Any) -> Any:
    """What a model of pydantic makes of it, as of JSON text: strict models read times there, and bytes are decoded.

    The names of its fields count beside their aliases, and what it computes itself may stand there. Its own message
    would repeat the data.
    """
    try:
        return model.model_validate_json(msgspec.json.encode(value))
    except ValueError as error:
        list_errors = getattr(error, "errors", None)
        if list_errors is None:
            raise
        told = list_errors(include_url=False, include_context=False, include_input=False)
        reason = "; ".join(f"{_dotted(one['loc'])}{one['msg']}" for one in told)
    computed = getattr(model, "model_computed_fields", {})
    plain = {name: part for name, part in value.items() if name not in computed} if isinstance(value, dict) else value
    try:
        return model.model_validate_json(msgspec.json.encode(plain), by_alias=True, by_name=True)
    except (ValueError, TypeError):  # TypeError: pydantic before 2.11 does not have that
        raise ValueError(reason) from None


def _dotted(place: Iterable[Any]) -> str:
    text = ".".join(map(str, place))
    return f"{text}: " if text else ""
