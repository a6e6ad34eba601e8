"""Every answer that says no, as a problem document (RFC 9457) with a JSON pointer to each bad field."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response

from boltq.domain import errors

KINDS: Final[Mapping[str, tuple[int, str]]] = {
    "malformed-json": (400, "The body is not valid JSON"),
    "bad-request": (400, "The request cannot be understood"),
    "unauthorized": (401, "Say who you are"),
    "forbidden": (403, "You may not do this"),
    "cross-site": (403, "A web page of another site may not do this"),
    "not-found": (404, "There is nothing here"),
    "method-not-allowed": (405, "This address does not take this method"),
    "conflict": (409, "The state of things does not allow it"),
    "count-changed": (409, "The number of jobs has changed"),
    "too-large": (413, "The body is too large"),
    "not-json": (415, "The body must be JSON"),
    "packed": (415, "The body must not be compressed"),
    "wrong-host": (421, "This server does not answer to that name"),
    "invalid": (422, "The request has mistakes"),
    "queue-full": (429, "The queue is full"),
    "too-many-waiters": (429, "Too many requests wait already"),
    "too-many-failures": (429, "Too many logins have failed"),
    "head-too-large": (431, "The headers are too large"),
    "internal": (500, "Something is broken in the server"),
    "unknown-coding": (501, "The server does not know the transfer coding"),
    "too-many-connections": (503, "The server has as many connections as it may have"),
    "too-many-bodies": (503, "The server has no room for the body just now"),
    "store-unavailable": (503, "The store does not answer"),
    "store-full": (503, "The store is full"),
    "store-unfit": (503, "The store cannot be used"),
}
"""Each kind of problem: its status and its title. The kind is the end of the document's `type`."""

RETRY_AFTER: Final = {
    "queue-full": 1,
    "too-many-waiters": 1,
    "too-many-connections": 5,
    "too-many-bodies": 1,
    "store-unavailable": 1,
    "store-full": 5,
    "store-unfit": 30,
}
"""Seconds after which it makes sense to try again."""

UNKNOWN_OUTCOME: Final = (
    "the store did not answer in time, so the outcome is unknown: it may have been done."
    " Repeat it with the same Idempotency-Key, and it is done once"
)

Errors = Sequence[tuple[str, str]]  # (JSON pointer, what is wrong)


def escaped(key: str) -> str:
    """A key as a step of a JSON pointer (RFC 6901)."""
    return key[:100].replace("~", "~0").replace("/", "~1")


class Problem(Exception):
    """An answer that says no. `members` are added to the document."""

    def __init__(
        self,
        kind: str,
        detail: str,
        *,
        errors: Errors = (),
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.errors = errors
        self.headers = dict(headers or {})
        self.members = members
        if kind in RETRY_AFTER:
            self.headers["Retry-After"] = str(RETRY_AFTER[kind])

    @property
    def status(self) -> int:
        """The HTTP status."""
        return KINDS[self.kind][0]

    def document(self) -> dict[str, Any]:
        """The body of the answer."""
        status, title = KINDS[self.kind]
        document = {"type": f"urn:boltq:problem:{self.kind}", "title": title, "status": status, "detail": str(self)}
        if self.errors:
            document["errors"] = [{"pointer": pointer, "detail": reason} for pointer, reason in self.errors]
        return document | self.members

    def response(self) -> Response:
        """The document as an answer."""
        return Response(self.content(), self.status, self.headers, "application/problem+json")

    def content(self) -> bytes:
        """The document as JSON."""
        return msgspec.json.encode(self.document())


def problem_of(error: Exception) -> Problem | None:
    """The problem that an error is; None for an error that nobody raises on purpose."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, errors.StoreFault):  # a bug of ours, whatever the store said
        return None
    return next((make(error) for kind, make in _ANSWERS if isinstance(error, kind)), None)


def invalid(mistakes: Errors) -> Problem:
    """A request with mistakes in it."""
    places = "; ".join(f"{pointer or 'the body'}: {reason}" for pointer, reason in mistakes)
    return Problem("invalid", places, errors=mistakes)


def internal() -> Problem:
    """The answer when the server is at fault; the log says more."""
    return Problem("internal", "this is a bug in BoltQ or in its installation; the server's log has the details")


def _of_starlette(error: HTTPException) -> Problem:
    kinds = {404: "not-found", 405: "method-not-allowed"}
    detail = f"use {error.headers['Allow']}" if error.headers and "Allow" in error.headers else error.detail
    return Problem(kinds.get(error.status_code, "bad-request"), detail, headers=error.headers)


_ANSWERS: Final[Sequence[tuple[type[Exception], Callable[[Any], Problem]]]] = [
    (errors.InvalidJob, lambda error: invalid(error.errors)),
    (errors.NotFound, lambda error: Problem("not-found", str(error))),
    (errors.TooManyQueues, lambda error: Problem("queue-full", str(error))),
    (errors.QueueFull, lambda error: Problem("queue-full", f"{error}: try again when its workers have caught up")),
    (errors.Refused, lambda error: Problem("conflict", str(error))),
    (errors.StoreFull, lambda _: Problem("store-full", "the store is out of memory; nothing was written")),
    (errors.StoreUnavailable, lambda _: Problem("store-unavailable", UNKNOWN_OUTCOME)),
    (errors.StoreError, lambda _: Problem("store-unfit", "see /ready")),
    (HTTPException, _of_starlette),
]
"""Which exception becomes which problem; the first that fits counts. What the store said may name its address, so it
is not repeated to everyone."""
