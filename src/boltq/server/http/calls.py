"""What a call of the API is: its address, who may make it, what it takes and what it answers.

The routes, the rights, the OpenAPI document and the tests that walk every route are all made from these.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Send

from boltq.domain.scopes import Scope
from boltq.server.http.caller import Caller
from boltq.server.http.guard import Headers

Endpoint = Callable[[Request], Awaitable[Response]]


class QuickEndpoint(Protocol):
    """An endpoint that no router stands before: for the calls where microseconds count."""

    async def __call__(self, caller: Caller, headers: Headers, query: bytes, receive: Receive, send: Send) -> None:
        """Answer one request. Checks the caller's rights itself, since its body names the queue."""


class ApiCall(NamedTuple):
    """One call of the API."""

    method: str
    path: str
    id: str  # the operation id: stable; clients name their methods after it
    about: str  # one line, for lists and the documentation
    endpoint: Endpoint | None = None
    quick: QuickEndpoint | None = None  # instead of `endpoint`
    scope: Scope | None = None  # the right that it needs; None: anybody may
    query: type[Any] | None = None  # a msgspec struct, read by query.read_query
    body: type[Any] | None = None  # a msgspec struct, read by body.read_form
    answers: Mapping[int, type[Any] | tuple[type[Any], ...] | None] = {200: None}  # several: any of them; str: text
    problems: tuple[str, ...] = ()  # the kinds of problem that only this call answers; see problems.KINDS
    tag: str = "jobs"
