"""Type hints of functions: read one by one, and checked for types that cannot be made from JSON."""

import inspect
import sys
import types
import typing
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from functools import partial
from typing import Annotated, Any, Final, Union

import msgspec

from boltq.domain.values import can_be_read

UNREADABLE: Final = object()
"""Stands for a hint that cannot be read."""


def signature_of(function: Callable[..., Any], task: str) -> inspect.Signature:
    """The parameters of a callable, with their hints unread. Raises TypeError for a callable that has no signature."""
    try:
        if sys.version_info >= (3, 14):
            import annotationlib  # noqa: PLC0415 - new in 3.14

            return inspect.signature(function, annotation_format=annotationlib.Format.FORWARDREF)
        return inspect.signature(function)
    except ValueError:
        raise TypeError(f"task {task}: {_shown(function)} does not say which parameters it has") from None


def read_hint(function: Callable[..., Any], hint: Any) -> Any:
    """A hint with every name in it resolved, where it is written as text too. Raises Exception as its text does."""
    if hint is inspect.Parameter.empty:
        return Any
    home = types.SimpleNamespace(__annotations__={"hint": hint})
    return with_bounds(typing.get_type_hints(home, globals_of(function), include_extras=True)["hint"])


def with_bounds(hint: Any) -> Any:
    """The hint with its bounds in msgspec's words too: those of pydantic's `Field` and of `annotated_types`."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        notes = parts[1:]
        told = [(bound, _told_by(note, bound)) for note in _single(notes) for bound in _BOUNDS]
        bounds = {bound: value for bound, value in told if value is not None}
        more = (msgspec.Meta(**bounds),) if bounds else ()
        return Annotated[(with_bounds(parts[0]), *notes, *more)] if more or _changes(parts[0]) else hint
    if origin is typing.Literal or not any(map(_changes, parts)):
        return hint
    inner = tuple(map(with_bounds, parts))
    return Union[inner] if origin in (Union, types.UnionType) else origin[inner]  # noqa: UP007 - there are many


def _changes(hint: Any) -> bool:
    return with_bounds(hint) is not hint


def _single(notes: Iterable[Any]) -> Iterator[Any]:
    """Notes one by one: a `Field` has some, and so have groups such as `Len`."""
    for note in notes:
        inner = note if hasattr(note, "__is_annotated_types_grouped_metadata__") else getattr(note, "metadata", None)
        if isinstance(inner, Iterable):
            yield from _single(inner)
        elif not isinstance(note, msgspec.Meta):
            yield note


def _told_by(note: Any, bound: str) -> Any:
    value = getattr(note, bound, None)
    return None if callable(value) else getattr(value, "pattern", value)


_BOUNDS: Final = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern")


def globals_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The names that the hints of a callable may use."""
    inner: Any = function
    while True:
        if isinstance(inner, partial):
            inner = inner.func
        elif hasattr(inner, "__wrapped__"):
            inner = inner.__wrapped__
        elif inspect.ismethod(inner):
            inner = inner.__func__
        else:
            break
    if not hasattr(inner, "__globals__"):  # a class, or an object that can be called
        kind, method = (inner, "__init__") if isinstance(inner, type) else (type(inner), "__call__")
        inner = getattr(kind, method, None)
    found: dict[str, Any] = getattr(inner, "__globals__", {})
    return found


def result_hint(function: Callable[..., Any], hint: Any) -> Any:
    """The type of a function's result; UNREADABLE when its hint cannot be used."""
    if hint is inspect.Signature.empty:
        return UNREADABLE
    try:
        found = read_hint(function, hint)
    except Exception:  # noqa: BLE001 - whatever the text of a hint may raise; nothing depends on it
        return UNREADABLE
    if typing.get_origin(found) in (Coroutine, Awaitable):  # of a plain function that returns one
        return typing.get_args(found)[-1]
    return found


def misfit(hint: Any) -> str | None:
    """Why values of this type cannot be made from JSON; None when they can."""
    try:
        root = msgspec.inspect.type_info(hint)
    except Exception as error:  # noqa: BLE001 - hints of fields are read here, and may raise anything
        return _in_short(error)
    return next((f"there is no way from JSON to {_name_of(kind)}" for kind in _foreign(root, set())), None)


def _foreign(node: Any, seen: set[int]) -> Iterator[Any]:
    """The classes in a type that cannot be read."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, msgspec.inspect.CustomType):
        if not can_be_read(node.cls):
            yield node.cls
    elif isinstance(node, tuple | list):
        for part in node:
            yield from _foreign(part, seen)
    elif isinstance(node, msgspec.inspect.Type | msgspec.inspect.Field):
        for name in node.__struct_fields__:
            if name not in ("default", "default_factory", "cls"):
                yield from _foreign(getattr(node, name), seen)


def _in_short(error: Exception) -> str:
    """A complaint of msgspec without its list of all types."""
    text = str(error).split(" (`str`, `Enum`", 1)[0].split(" - type `", 1)[0]
    return text.replace("`", "") or type(error).__name__


def _name_of(kind: Any) -> str:
    return f"{kind.__module__}.{kind.__qualname__}" if isinstance(kind, type) else str(kind)


def _shown(function: Any) -> str:
    return str(getattr(function, "__qualname__", None) or type(function).__name__)
