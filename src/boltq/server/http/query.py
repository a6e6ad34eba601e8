"""Reads the query of a request into a struct; every mistake is collected, and a name that is not known is one."""

from functools import cache, reduce
from operator import or_
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request

from boltq.domain import limits
from boltq.domain.errors import InvalidJob
from boltq.domain.hints import unknown
from boltq.domain.workflow.reading import plain, words_of
from boltq.server.http.problems import escaped

T = TypeVar("T", bound=msgspec.Struct)

Limit = Annotated[int, msgspec.Meta(ge=1, le=limits.MAX_PAGE, description="how many to a page")]
Cursor = Annotated[str, msgspec.Meta(description="where the page begins: `next_cursor` of the page before")]
Name = Annotated[str, msgspec.Meta(pattern=f"^{limits.NAME.pattern}$", description=limits.NAME_RULE)]
WorkflowId = Annotated[str, msgspec.Meta(extra_json_schema={"pattern": f"^{limits.ID.pattern}$"})]


class NoQuery(msgspec.Struct, frozen=True):
    """The query of a call that takes none."""


def read_query(request: Request, kind: type[T]) -> T:
    """The query as a struct. A field that is a list may be given several times, or with commas.

    Raises InvalidJob with a pointer to each parameter that is wrong.
    """
    return read_params(request.scope["query_string"], kind)


def read_params(query: bytes, kind: type[T]) -> T:
    """As read_query, for a caller that has no Request object."""
    fields = _fields(kind)
    given: dict[str, list[str]] = {}
    found: dict[str, Any] = {}
    mistakes: list[tuple[str, str]] = []
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True, errors="surrogateescape"):
        if _is_text(name) and _is_text(value):
            given.setdefault(name, []).append(value)
        else:
            mistakes.append((f"/{escaped(_shown(name))}", "not UTF-8: percent-encode its bytes in that encoding"))
    for name, values in given.items():
        try:
            hint = _known(fields, name)
            if texts := [value for value in values if value]:
                found[name] = _converted(hint, texts)
        except ValueError as error:  # msgspec.ValidationError is one
            mistakes.append((f"/{escaped(name)}", _reason(error, fields.get(name))))
    named = {at for at, _ in mistakes}
    mistakes += [(at, "required") for name in _required(kind) if name not in found and (at := f"/{name}") not in named]
    if mistakes:
        raise InvalidJob(mistakes)
    return kind(**found)


def _is_text(text: str) -> bool:
    """Whether all bytes of it were UTF-8."""
    return text.isascii() or _shown(text) == text


def _shown(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


@cache
def _fields(kind: type[msgspec.Struct]) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    return {field.encode_name: _never_null(hints[field.name]) for field in msgspec.structs.fields(kind)}


def _never_null(hint: Any) -> Any:
    """Without None: a parameter is left out, and the text `null` is a text like any other."""
    if get_origin(hint) is Annotated:
        return Annotated[(_never_null(hint.__origin__), *hint.__metadata__)]
    if get_origin(hint) in {Union, UnionType}:
        return reduce(or_, (one for one in get_args(hint) if one is not NoneType))
    return hint


@cache
def _required(kind: type[msgspec.Struct]) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(kind) if field.required]


def _known(fields: dict[str, Any], name: str) -> Any:
    if name not in fields:
        raise ValueError(unknown(name, fields, "parameter"))
    return fields[name]


def _converted(hint: Any, texts: list[str]) -> Any:
    if _is_list(hint):
        pieces = [piece for text in texts for piece in text.split(",") if piece]
        return msgspec.convert(pieces, hint, strict=False)
    if len(texts) > 1:
        raise ValueError("given more than once")
    return msgspec.convert(texts[0], hint, strict=False)


def _is_list(hint: Any) -> bool:
    return (get_origin(hint) or hint) is list or (get_origin(hint) is Annotated and _is_list(hint.__origin__))


def _reason(error: Exception, hint: Any) -> str:
    """Why a value is refused, with the words that are allowed where there are some."""
    words = ", ".join(words_of(_one(hint)))
    return plain(error) + (f"; use {words}" if words else "")


def _one(hint: Any) -> Any:
    """The type of one value, where there may be several."""
    if get_origin(hint) is Annotated:
        return _one(hint.__origin__)
    return get_args(hint)[0] if get_origin(hint) is list else hint
