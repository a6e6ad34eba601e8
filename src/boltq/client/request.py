"""What a call of the API is before it is sent, and how it is described: once, for every client."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, lru_cache, wraps
from typing import Any, Final, Generic, NamedTuple, ParamSpec, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from boltq.domain.errors import InvalidJob
from boltq.domain.values import json_bytes

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")


class Route(NamedTuple):
    """Where a call goes. `id` is the server's operation id."""

    method: str
    path: str  # with {names}
    id: str
    repeat: bool  # whether it may be sent again when nobody knows what became of it


@dataclass(frozen=True, slots=True)
class Ask(Generic[T]):
    """What a call says: the struct of its answer, the names in its path, its query (Nones are left out), its body."""

    answer: type[T]
    names: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    patience: float = 0.0  # seconds that the server may take on purpose
    mistakes: type[InvalidJob] = InvalidJob  # what is raised when the server finds some in the body


_HALVES: Final = "surrogatepass"  # half of a character is sent as it is, and the API says where it stands


@dataclass(frozen=True)
class Request(Generic[T]):
    """A call, ready to be sent."""

    route: Route
    ask: Ask[T]

    @property
    def target(self) -> str:
        """The path with its names and its query."""
        path = self.route.path.format_map(
            {name: quote(text, safe="", errors=_HALVES) for name, text in self.ask.names.items()}
        )
        pairs = [pair for name, value in self.ask.query.items() for pair in _pairs(name, value)]
        query = urlencode(pairs, errors=_HALVES)
        return f"{path}?{query}" if query else path

    @cached_property
    def content(self) -> bytes | None:
        """The body, as JSON; None for a call that has none. Raises InvalidJob for what JSON cannot hold."""
        body = self.ask.body
        if body is None:
            return None if self.route.method in {"GET", "DELETE"} else b"{}"
        return json_bytes(body)

    @property
    def headers(self) -> dict[str, str]:
        """The headers that a call needs beside those of every request."""
        kind = {"content-type": "application/json"} if self.content is not None else {}
        return {**kind, **self.ask.headers}

    def read(self, content: bytes) -> T:
        """The answer. Raises ValueError when it is none."""
        kind: Any = self.ask.answer
        found: T = _decoder(kind).decode(content or b"null")
        return found

    def answering(self, kind: type[S]) -> "Request[S]":
        """A copy of the call whose answer is read as another struct."""
        ask = self.ask
        return Request(self.route, Ask(kind, ask.names, ask.query, ask.body, ask.headers, ask.patience, ask.mistakes))


CALLS: Final[list[Route]] = []
"""Every call that is described; a test compares it with the server's own list."""


def call(
    method: str, path: str, id: str, *, repeat: bool | None = None
) -> Callable[[Callable[P, Ask[T]]], Callable[P, Request[T]]]:
    """Say where a described call goes. Reading calls may be repeated; of others, say so."""
    route = Route(method, path, id, method == "GET" if repeat is None else repeat)
    CALLS.append(route)

    def mark(describe: Callable[P, Ask[T]]) -> Callable[P, Request[T]]:
        @wraps(describe)
        def request(*args: P.args, **kwargs: P.kwargs) -> Request[T]:
            return Request(route, describe(*args, **kwargs))

        return request

    return mark


def _pairs(name: str, value: Any) -> list[tuple[str, str]]:
    if value is None:
        return []
    if isinstance(value, list | tuple | set | frozenset):
        return [pair for one in value for pair in _pairs(name, one)]
    return [(name, _text(value))]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, datetime) else str(value)


@lru_cache(maxsize=256)
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)
