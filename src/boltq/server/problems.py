"""Every answer that says no, as a problem document (RFC 9457) with a JSON pointer to each bad field."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from boltq.domain import errors

KINDS: Final[Mapping[str, tuple[int, str]]] = {
    "malformed-json": (400, "The body is not valid JSON"),
    "bad-request": (400, "The request cannot be understood"),
    "cross-site": (403, "A web page of another site may not do this"),
    "not-found": (404, "There is nothing here"),
    "method-not-allowed": (405, "This address does not take this method"),
    "conflict": (409, "The state of things does not allow it"),
    "too-large": (413, "The body is too large"),
    "not-json": (415, "The body must be JSON"),
    "wrong-host": (421, "This server does not answer to that name"),
    "invalid": (422, "The request has mistakes"),
    "queue-full": (429, "The queue is full"),
    "head-too-large": (431, "The headers are too large"),
    "internal": (500, "Something is broken in the server"),
    "store-unavailable": (503, "The store does not answer"),
    "store-full": (503, "The store is full"),
    "store-unfit": (503, "The store cannot be used"),
}
"""Each kind of problem: its status and its title. The kind is the end of the document's `type`."""

RETRY_AFTER: Final = {"queue-full": 1, "store-unavailable": 1, "store-full": 5, "store-unfit": 30}
"""Seconds after which it makes sense to try again."""

UNKNOWN_OUTCOME: Final = (
    "the store did not answer in time, so the outcome is unknown: it may have been done."
    " Repeat it with the same Idempotency-Key, and it is done once"
)

Errors = Sequence[tuple[str, str]]  # (JSON pointer, what is wrong)


class Problem(Exception):  # noqa: N818 - the word of RFC 9457
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
        """What is sent."""
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
    """What to answer when this was raised; None for what nobody raises on purpose."""
    match error:
        case Problem():
            return error
        case errors.InvalidJob():
            return invalid(error.errors)
        case errors.NotFound():
            return Problem("not-found", str(error))
        case errors.QueueFull():
            return Problem("queue-full", f"{error}: try again when its workers have caught up")
        case errors.Refused():
            return Problem("conflict", str(error))
        case errors.StoreFull():
            return Problem("store-full", "the store is out of memory; nothing was written")
        case errors.StoreUnavailable():
            return Problem("store-unavailable", UNKNOWN_OUTCOME)
        case errors.StoreError():
            return Problem("store-unfit", "see /ready")
        case HTTPException():
            return _of_starlette(error)
    return None


def invalid(mistakes: Errors) -> Problem:
    """A request with mistakes in it."""
    places = "; ".join(f"{pointer or 'the body'}: {reason}" for pointer, reason in mistakes)
    return Problem("invalid", places, errors=mistakes)


def internal() -> Problem:
    """What is answered when something broke; the log says what."""
    return Problem("internal", "this is a bug in BoltQ or in its installation; the server's log has the details")


async def respond(request: Request, error: Exception) -> Response:
    """Starlette's way to ask for the answer to an exception."""
    problem = problem_of(error)
    if problem is None:
        raise error
    if problem.kind == "not-found" and isinstance(error, HTTPException):
        problem = Problem("not-found", f"there is no {request.url.path:.200}; GET / lists what there is")
    return problem.response()


async def respond_broken(_request: Request, _error: Exception) -> Response:
    """The answer to an exception that nobody raises on purpose; it is logged by whoever calls the application."""
    return internal().response()


def _of_starlette(error: HTTPException) -> Problem:
    kinds = {404: "not-found", 405: "method-not-allowed"}
    detail = f"use {error.headers['Allow']}" if error.headers and "Allow" in error.headers else error.detail
    return Problem(kinds.get(error.status_code, "bad-request"), detail, headers=error.headers)
