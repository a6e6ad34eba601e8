"""The first version's two calls, POST /submit and GET /status?id=, kept for whoever uses them."""

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from boltq.domain import limits
from boltq.domain.errors import NotFound
from boltq.domain.job import NewJob
from boltq.domain.scopes import Scope
from boltq.domain.states import JobState
from boltq.server.backend import Backend
from boltq.server.http.answers import json_response
from boltq.server.http.caller import caller_of
from boltq.server.http.calls import ApiCall
from boltq.server.http.query import read_query
from boltq.server.views import jobs as views
from boltq.server.views.common import Rights
from boltq.server.why import explain

UNKNOWN: Final = "unknown"  # the status of a job whose record is no longer kept


def submitted(
    _job: NewJob,
    job_id: str,
    state: JobState | None,
    created: bool,  # noqa: FBT001
    warnings: list[str],
) -> views.FirstSubmittedView:
    """The answer of POST /submit."""
    return views.FirstSubmittedView(
        job_id=job_id, id=job_id, status=state or UNKNOWN, created=created, warnings=warnings
    )


class StatusQuery(msgspec.Struct):
    """Which job: GET /status?id=…, as the first version had it."""

    id: str


class FirstVersionCalls:
    """GET /status; POST /submit is a SubmitJob with other words."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def calls(self) -> list[ApiCall]:
        """The calls of this resource, for the list in app.py."""
        return [
            ApiCall(
                "GET", "/status", "firstStatus", "a job, in the first version's words", self.status,
                scope=Scope.READ, query=StatusQuery, answers={200: views.FirstJobView}, problems=("not-found",),
                tag="first version",
            ),
        ]  # fmt: skip

    async def status(self, request: Request) -> Response:
        """Show a job; the first version's words beside ours."""
        job_id = read_query(request, StatusQuery).id
        if not limits.ID.fullmatch(job_id):
            raise NotFound(f"{job_id!r:.60} is not a job id")
        job = await self._backend.read(lambda inspector: inspector.job(job_id))
        rights = Rights.of(caller_of(request))
        return json_response(views.first_view(job, rights, await explain(self._backend, job)))
