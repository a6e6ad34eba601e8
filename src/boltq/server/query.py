"""Reads the query of a GET; every mistake is collected, and a name that is not known is one."""

from starlette.requests import Request

from boltq.domain import limits
from boltq.domain.errors import InvalidJob
from boltq.domain.states import JobState

DEFAULT_PAGE = 50


class Query:
    """The query parameters of a request, of which only `names` may be given."""

    def __init__(self, request: Request, *names: str) -> None:
        self._values = request.query_params
        given = [name for name, _ in self._values.multi_items()]
        self._mistakes = [
            (f"/{name:.60}", f"unknown parameter; known: {', '.join(names) or 'none'}")
            for name in dict.fromkeys(given)
            if name not in names
        ]
        self._mistakes += [(f"/{name}", "given more than once") for name in names if given.count(name) > 1]

    def check(self) -> None:
        """Raise InvalidJob when something was wrong."""
        if self._mistakes:
            raise InvalidJob(self._mistakes)

    def text(self, name: str) -> str | None:
        """A parameter as it was given; None when it is missing or empty."""
        return self._values.get(name) or None

    def state(self) -> JobState | None:
        """`state`."""
        text = self.text("state")
        if text is None or text in set(JobState):
            return JobState(text) if text else None
        self._mistakes.append(("/state", f"no state; use {', '.join(JobState)}"))
        return None

    def queue(self) -> str | None:
        """`queue`."""
        name = self.text("queue")
        if name and (bad := limits.bad_name(name)):
            self._mistakes.append(("/queue", bad))
        return name

    def limit(self) -> int:
        """`limit`: how many to a page."""
        text = self.text("limit") or str(DEFAULT_PAGE)
        digits = text.isascii() and text.isdigit() and len(text) < 10  # noqa: PLR2004 - more is too many anyway
        if digits and 1 <= int(text) <= limits.MAX_PAGE:
            return int(text)
        self._mistakes.append(("/limit", f"a number from 1 to {limits.MAX_PAGE}"))
        return DEFAULT_PAGE
