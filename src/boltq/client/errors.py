"""What the API's refusals become: the exceptions of the in-process surface, and four that only HTTP has."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from boltq.client.answers import Mistake
from boltq.domain.errors import (
    BoltQError,
    Conflict,
    InvalidJob,
    NotFound,
    QueueFull,
    Refused,
    StoreFull,
    StoreUnavailable,
    StoreUnfit,
)

MAX_SHOWN: Final = 500  # characters of what a stranger wrote


class Unauthorized(Refused):
    """There is no token, or the server does not know it."""


class Forbidden(Refused):
    """The token does not have this right."""


class ServerUnavailable(StoreUnavailable):
    """The API is not reachable or did not answer: the call may or may not have been carried out."""


class BadAnswer(BoltQError):
    """The server's answer is none of BoltQ's API, or says that something is broken there."""


class Problem(Exception):
    """The problem document (RFC 9457) behind an error: its `__cause__`."""

    def __init__(self, status: int, document: "Document", members: Mapping[str, Any]) -> None:
        self.status = status
        self.kind = document.type.removeprefix("urn:boltq:problem:")
        self.detail = (document.detail or document.title)[:MAX_SHOWN]
        self.errors = [(mistake.pointer, mistake.detail) for mistake in document.errors]
        self.members = members  # all of the document
        super().__init__(f"{status} {self.kind}: {self.detail}")


class Document(msgspec.Struct):
    """A problem document as it comes."""

    type: str = ""
    title: str = ""
    detail: str = ""
    errors: list[Mistake] = []


_KINDS: Final[Mapping[str, type[BoltQError]]] = {
    "unauthorized": Unauthorized,
    "too-many-failures": Unauthorized,
    "forbidden": Forbidden,
    "cross-site": Forbidden,
    "not-found": NotFound,
    "conflict": Conflict,
    "count-changed": Conflict,
    "queue-full": QueueFull,
    "too-many-waiters": ServerUnavailable,
    "too-many-connections": ServerUnavailable,
    "store-unavailable": StoreUnavailable,
    "store-full": StoreFull,
    "store-unfit": StoreUnfit,
}
_MISTAKES: Final = {
    "invalid", "malformed-json", "bad-request", "too-large", "not-json", "head-too-large",
}  # fmt: skip
_GATEWAYS: Final = {502: "bad gateway", 503: "not available", 504: "no answer in time"}


def error_of(status: int, content: bytes, mistakes: type[InvalidJob] = InvalidJob) -> BoltQError:
    """What to raise for an answer that says no; `mistakes` where it is about what was sent."""
    problem = problem_of(status, content)
    if problem is None:
        return _of_stranger(status)
    error = of_kind(problem.kind, problem.detail, problem.errors, mistakes)
    error.__cause__ = problem
    return error


def problem_of(status: int, content: bytes) -> Problem | None:
    """The problem document of an answer; None when it has none of ours."""
    try:
        document = msgspec.json.decode(content, type=Document)
        members = msgspec.json.decode(content, type=dict[str, Any])
    except (ValueError, RecursionError):
        return None
    return Problem(status, document, members) if document.type.startswith("urn:boltq:problem:") else None


def of_kind(
    kind: str, detail: str, errors: Sequence[tuple[str, str]], mistakes: type[InvalidJob] = InvalidJob
) -> BoltQError:
    """The exception of a kind of problem."""
    if kind in _MISTAKES:
        return mistakes(errors or [("", detail)])
    found = _KINDS.get(kind)
    return found(detail) if found else BadAnswer(f"the server answers {kind}: {detail}")


def _of_stranger(status: int) -> BoltQError:
    if status in _GATEWAYS:
        return ServerUnavailable(f"no answer from the API: {status}, {_GATEWAYS[status]}")
    if status == 401:  # noqa: PLR2004 - of a proxy that wants a login
        return Unauthorized("the server wants a login")
    if 300 <= status < 400:  # noqa: PLR2004 - the class of redirects
        return BadAnswer(f"the server answers with a redirect ({status}), which is not followed: is the URL right?")
    return BadAnswer(f"the server answers {status}, and not as BoltQ's API does: is the URL right?")
