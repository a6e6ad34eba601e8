"""The first version's two calls, POST /submit and GET /status?id=, kept for whoever uses them."""

from starlette.requests import Request
from starlette.responses import Response

from boltq.domain import limits
from boltq.domain.errors import InvalidJob, NotFound
from boltq.domain.job import NewJob
from boltq.domain.states import JobState
from boltq.server import shapes
from boltq.server.answers import json_response
from boltq.server.backend import Backend
from boltq.server.query import Query


def submitted(_job: NewJob, job_id: str, state: JobState, created: bool) -> shapes.FirstSubmittedView:  # noqa: FBT001
    """The answer of POST /submit."""
    return shapes.FirstSubmittedView(job_id=job_id, id=job_id, status=state, created=created)


class FirstVersion:
    """GET /status; POST /submit is a SubmitJob with other words."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def status(self, request: Request) -> Response:
        """Show a job; the first version's words beside ours."""
        query = Query(request, "id")
        query.check()
        job_id = query.text("id")
        if job_id is None:
            raise InvalidJob([("/id", "required: /status?id=<job id>")])
        if not limits.ID.fullmatch(job_id):
            raise NotFound(f"{job_id!r:.60} is not a job id")
        return json_response(shapes.first_view(await self._backend.read(lambda inspector: inspector.job(job_id))))
