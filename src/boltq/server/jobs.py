"""Jobs over HTTP: submit, look at, list, cancel, replay, run now."""


import msgspec
from starlette.requests import Request
from starlette.responses import Response

from boltq.broker.broker import Verdict
from boltq.domain import limits
from boltq.domain.errors import NotFound
from boltq.domain.scopes import Scope
from boltq.domain.states import JobState, actions
from boltq.server import shapes
from boltq.server.answers import json_response
from boltq.server.backend import Backend
from boltq.server.body import read_form
from boltq.server.calls import Call
from boltq.server.problems import Problem
from boltq.server.query import Cursor, Limit, Name, read_query


class JobsQuery(msgspec.Struct, kw_only=True):
    """Which jobs to list."""

    state: JobState | None = None
    queue: Name | None = None
    limit: Limit = 50
    cursor: Cursor | None = None


class CancelForm(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a cancel."""

    reason: str | None = None


class NoForm(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a call that needs none."""


class Jobs:
    """The other calls about jobs."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def calls(self) -> list[Call]:
        """What is served here."""
        return [
            Call(
                "GET", "/api/v1/jobs", "listJobs", "list jobs, without their data", self.page,
                scope=Scope.READ, query=JobsQuery, answers={200: shapes.PageView},
            ),
            Call(
                "GET", "/api/v1/jobs/{id}", "getJob", "a job with its data, result, error, progress and log", self.one,
                scope=Scope.READ, answers={200: shapes.JobView},
            ),
            Call(
                "POST", "/api/v1/jobs/{id}/cancel", "cancelJob", "cancel a job, or ask its worker to stop it",
                self.cancel, scope=Scope.OPERATE, body=CancelForm, problems=("conflict",),
                answers={200: shapes.StandingView, 202: shapes.StandingView},
            ),
            Call(
                "POST", "/api/v1/jobs/{id}/replay", "replayJob", "queue a dead or cancelled job again", self.replay,
                scope=Scope.OPERATE, body=NoForm, answers={200: shapes.StandingView}, problems=("conflict",),
            ),
            Call(
                "POST", "/api/v1/jobs/{id}/run-now", "runJobNow", "queue a scheduled or retrying job before its time",
                self.run_now, scope=Scope.OPERATE, body=NoForm, answers={200: shapes.StandingView},
                problems=("conflict",),
            ),
        ]  # fmt: skip

    async def page(self, request: Request) -> Response:
        """List jobs, without their data."""
        query = read_query(request, JobsQuery)
        state, queue, limit, cursor = query.state, query.queue, query.limit, query.cursor
        page = await self._backend.read(lambda inspector: inspector.page(state, queue, cursor=cursor, limit=limit))
        return json_response(shapes.PageView([shapes.summary(job) for job in page.jobs], page.cursor))

    async def one(self, request: Request) -> Response:
        """Show a job with its data, result, error, progress and log."""
        job_id = _id(request)
        return json_response(shapes.view(await self._backend.read(lambda inspector: inspector.job(job_id))))

    async def cancel(self, request: Request) -> Response:
        """Cancel a job that waits (200), or ask the worker of a running one to stop it (202)."""
        wish = await read_form(request, CancelForm)
        verdict = _done((await self._backend.broker.cancel([_id(request)], wish.reason or "cancelled"))[0], "cancelled")
        running = verdict.word == "running"
        return _standing(verdict, 202 if running else 200, cancel_requested=running)

    async def replay(self, request: Request) -> Response:
        """Queue a dead or cancelled job again, with all its attempts before it."""
        await read_form(request, NoForm)
        return _standing(_done((await self._backend.broker.replay([_id(request)]))[0], "replayed"))

    async def run_now(self, request: Request) -> Response:
        """Queue a scheduled or retrying job before its time."""
        await read_form(request, NoForm)
        return _standing(_done((await self._backend.broker.run_now([_id(request)]))[0], "run now"))


def _id(request: Request) -> str:
    job_id: str = request.path_params["id"]
    if not limits.ID.fullmatch(job_id):
        raise NotFound(f"{job_id!r:.60} is not a job id")
    return job_id


def _done(verdict: Verdict, what: str) -> Verdict:
    """The verdict; raises NotFound, or the Problem that names the job's state."""
    if verdict.word == "CONFLICT":
        state = JobState(verdict.state)
        raise Problem(
            "conflict",
            f"job {verdict.id} is {state} and cannot be {what}",
            id=verdict.id,
            state=state,
            actions=actions(state),
        )
    return verdict.check()


def _standing(verdict: Verdict, status: int = 200, *, cancel_requested: bool = False) -> Response:
    state = JobState(verdict.state)
    return json_response(shapes.StandingView(verdict.id, state, cancel_requested, actions(state)), status)
