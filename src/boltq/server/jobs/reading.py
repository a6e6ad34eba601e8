"""Looking at jobs over HTTP: lists, counts, one job, its log; and waiting for a job's end."""

from typing import Annotated, ClassVar, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from boltq.broker.search import JobPage
from boltq.domain import limits
from boltq.domain.errors import InvalidJob, NotFound
from boltq.domain.filters import MAX_CHOICES, JobFilter
from boltq.domain.job import JobRecord
from boltq.domain.job_error import Category
from boltq.domain.scopes import Scope
from boltq.domain.states import JobState
from boltq.server.backend import Backend
from boltq.server.http.answers import json_response
from boltq.server.http.caller import caller_of
from boltq.server.http.calls import ApiCall
from boltq.server.http.mistakes import Mistakes
from boltq.server.http.moments import Since, read_since
from boltq.server.http.query import Cursor, Limit, Name, NoQuery, WorkflowId, read_query
from boltq.server.http.waiters import Wait
from boltq.server.views import jobs as views
from boltq.server.views.common import Rights
from boltq.server.why import explain

AnyNames = Annotated[list[Name], msgspec.Meta(max_length=MAX_CHOICES, description="any of these")]
AllTags = Annotated[list[Name], msgspec.Meta(max_length=MAX_CHOICES, description="all of these")]


class CountsQuery(msgspec.Struct, kw_only=True):
    """Which jobs: every parameter that is given must fit."""

    type: AnyNames = []
    queue: AnyNames = []
    tag: AllTags = []
    created_after: Since | None = None
    created_before: Since | None = None
    fingerprint: Annotated[str, msgspec.Meta(max_length=100, description="of the last error")] | None = None
    category: Annotated[Category, msgspec.Meta(description="of the last error")] | None = None
    worker: Annotated[str, msgspec.Meta(max_length=200, description="who runs it, or ran it last")] | None = None


class JobsQuery(CountsQuery, kw_only=True):
    """Which jobs to list."""

    state: Annotated[list[JobState], msgspec.Meta(max_length=len(JobState), description="any of these")] = []
    workflow: (
        Annotated[WorkflowId, msgspec.Meta(description="of this workflow's steps and items, in their order")] | None
    ) = None
    limit: Limit = 50
    cursor: Cursor | None = None


class JobQuery(msgspec.Struct):
    """How to look at a job."""

    wait: Wait = 0


class LogQuery(msgspec.Struct):
    """Which lines of a log."""

    after: Annotated[int, msgspec.Meta(ge=0, le=1 << 53, description="the number of the last line that is known")] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=limits.MAX_LOG_LINES)] = 200
    APART: ClassVar = ("format",)  # the description has a call of its own for that, since it answers something else

    format: Annotated[Literal["json", "text"], msgspec.Meta(description="text: all lines, as a file")] = "json"


class JobCalls:
    """The calls that only look at jobs."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def calls(self) -> list[ApiCall]:
        """The calls of this resource, for the list in app.py."""
        return [
            ApiCall(
                "GET", "/api/v1/jobs", "listJobs", "list jobs, without their data", self.page,
                scope=Scope.READ, query=JobsQuery, answers={200: views.PageView}, problems=("not-found",),
            ),
            ApiCall(
                "GET", "/api/v1/jobs/counts", "countJobs", "how many jobs fit a filter, by state", self.counts,
                scope=Scope.READ, query=CountsQuery, answers={200: views.CountsView},
            ),
            ApiCall(
                "GET", "/api/v1/jobs/{id}", "getJob", "a job with everything; with wait, once it has ended", self.one,
                scope=Scope.READ, query=JobQuery, answers={200: views.JobView}, problems=("too-many-waiters",),
            ),
            ApiCall(
                "GET", "/api/v1/jobs/{id}/logs", "getJobLog", "the lines that a job has written", self.log,
                scope=Scope.PAYLOAD, query=LogQuery, answers={200: views.LogView},
            ),
            ApiCall(
                "GET", "/api/v1/jobs/{id}/logs/file", "getJobLogFile", "the same lines, all of them as a file",
                self.log_file, scope=Scope.PAYLOAD, answers={200: str},
            ),
        ]  # fmt: skip

    async def page(self, request: Request) -> Response:
        """List jobs, without their data.

        Without a state, what runs and waits comes first, then the history. A page looks at 1,000 jobs at most, so it
        may have fewer items than it could, or none, and not be the last one.
        """
        query = read_query(request, JobsQuery)
        wanted = filter_of(query, query.state)
        rights = Rights.of(caller_of(request))
        if query.workflow is not None:
            page = await self._of_workflow(query.workflow, wanted, query)
        else:
            page = await self._backend.read(
                lambda inspector: inspector.page(wanted, cursor=query.cursor, limit=query.limit)
            )
        items = [views.summary(job, rights) for job in page.jobs]
        return json_response(views.PageView(items, page.cursor, views.ScanView(page.examined, page.complete)))

    async def _of_workflow(self, workflow_id: str, wanted: JobFilter, query: JobsQuery) -> JobPage:
        if not limits.ID.fullmatch(workflow_id):
            raise InvalidJob([("/workflow", "not the id of a workflow")])
        return await self._backend.ask(
            lambda flows: flows.jobs(workflow_id, wanted, limit=query.limit, cursor=query.cursor)
        )

    async def counts(self, request: Request) -> Response:
        """Count the jobs that fit a filter, by state."""
        wanted = filter_of(read_query(request, CountsQuery))
        by_state, approximate = await self._backend.read(lambda inspector: inspector.count(wanted))
        return json_response(views.CountsView(by_state, approximate))

    async def one(self, request: Request) -> Response:
        """Show a job with its data, result, error, progress, log and past runs.

        With `wait`, the answer comes when the job has ended, or after so many seconds as it stands then.
        """
        job_id, query = id_of(request), read_query(request, JobQuery)
        if query.wait:
            _ = self._backend.broker  # raises while the store has never answered
            await self._backend.waiters.wait(request, lambda: self._backend.watch.end_of(job_id, query.wait))
        job = await self._backend.read(lambda inspector: inspector.job(job_id))
        rights = Rights.of(caller_of(request))
        return json_response(views.view(job, rights, await explain(self._backend, job)))

    async def log(self, request: Request) -> Response:
        """Show the lines that a job has written, from a line on.

        The newest 1,000 lines are kept; each keeps its number.
        """
        caller_of(request).check(Scope.READ)
        job_id, query = id_of(request), read_query(request, LogQuery)
        job = await self._backend.read(lambda inspector: inspector.job(job_id))
        if query.format == "text":
            return _file_of(job)
        lines = enumerate(job.log, job.unlogged + 1)
        numbered = [views.LogLine(n, text) for n, text in lines if n > query.after]
        items = numbered[: query.limit]
        return json_response(views.LogView(items, items[-1].n if len(items) < len(numbered) else None))

    async def log_file(self, request: Request) -> Response:
        """Give all lines that are kept, as a file."""
        caller_of(request).check(Scope.READ)
        read_query(request, NoQuery)
        job_id = id_of(request)
        return _file_of(await self._backend.read(lambda inspector: inspector.job(job_id)))


def id_of(request: Request) -> str:
    """The job that the address names. Raises NotFound for what is no id."""
    job_id: str = request.path_params["id"]
    if not limits.ID.fullmatch(job_id):
        raise NotFound(f"{job_id!r:.60} is not a job id")
    return job_id


def filter_of(query: CountsQuery, states: list[JobState] | None = None) -> JobFilter:
    """The filter that a query states. Raises InvalidJob."""
    mistakes: Mistakes = []
    wanted = JobFilter(
        states=tuple(states or ()),
        types=tuple(query.type),
        queues=tuple(query.queue),
        tags=tuple(query.tag),
        created_after=read_since(query.created_after, "/created_after", mistakes),
        created_before=read_since(query.created_before, "/created_before", mistakes),
        fingerprint=query.fingerprint,
        category=query.category,
        worker=query.worker,
    )
    if mistakes:
        raise InvalidJob(mistakes)
    wanted.check()
    return wanted


def _file_of(job: JobRecord) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{job.id}.log"'}
    return Response("".join(f"{line}\n" for line in job.log), headers=headers, media_type="text/plain")
