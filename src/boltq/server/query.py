"""Reads the query of a request into a struct; every mistake is collected, and a name that is not known is one."""

import re
from functools import cache
from typing import Annotated, Any, TypeVar, get_origin, get_type_hints

import msgspec
from starlette.requests import Request

from boltq.domain import limits
from boltq.domain.errors import InvalidJob

T = TypeVar("T", bound=msgspec.Struct)

Limit = Annotated[int, msgspec.Meta(ge=1, le=limits.MAX_PAGE, description="how many to a page")]
Cursor = Annotated[str, msgspec.Meta(description="where the page begins: `next_cursor` of the page before")]
Name = Annotated[str, msgspec.Meta(pattern=f"^{limits.NAME.pattern}$", description=limits.NAME_RULE)]


class NoQuery(msgspec.Struct, frozen=True):
    """The query of a call that takes none."""


def read_query(request: Request, kind: type[T]) -> T:
    """The query as a struct. A field that is a list may be given several times, or with commas.

    Raises InvalidJob with a pointer to each parameter that is wrong.
    """
    fields = _fields(kind)
    given: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        given.setdefault(name, []).append(value)
    found: dict[str, Any] = {}
    mistakes: list[tuple[str, str]] = []
    for name, values in given.items():
        try:
            if texts := [value for value in values if value]:
                found[name] = _converted(fields, name, texts)
        except ValueError as error:  # msgspec.ValidationError is one
            mistakes.append((f"/{name:.60}", _plain(str(error))))
    mistakes += [(f"/{name}", "required") for name in _required(kind) if name not in found]
    if mistakes:
        raise InvalidJob(mistakes)
    return kind(**found)


@cache
def _fields(kind: type[msgspec.Struct]) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    return {field.encode_name: hints[field.name] for field in msgspec.structs.fields(kind)}


@cache
def _required(kind: type[msgspec.Struct]) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(kind) if field.required]


def _converted(fields: dict[str, Any], name: str, texts: list[str]) -> Any:
    if name not in fields:
        raise ValueError(f"unknown parameter; known: {', '.join(fields) or 'none'}")
    if _is_list(fields[name]):
        pieces = [piece for text in texts for piece in text.split(",") if piece]
        return msgspec.convert(pieces, fields[name], strict=False)
    if len(texts) > 1:
        raise ValueError("given more than once")
    return msgspec.convert(texts[0], fields[name], strict=False)


def _is_list(hint: Any) -> bool:
    return (get_origin(hint) or hint) is list or (get_origin(hint) is Annotated and _is_list(hint.__origin__))


def _plain(reason: str) -> str:
    """A decoder's complaint without its place, which the pointer tells."""
    reason = re.sub(r" - at `.*`$", "", reason).replace("`", "")
    return reason[:1].lower() + reason[1:]
