"""Jobs over HTTP: submit, look at, list, cancel, replay, run now."""

import time
from collections.abc import Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Send

from boltq.broker.broker import Verdict
from boltq.domain import limits
from boltq.domain.errors import NotFound, StoreUnavailable
from boltq.domain.job import NewJob, Priority
from boltq.domain.states import JobState, actions
from boltq.server import shapes
from boltq.server.answers import as_json, json_response, send_json
from boltq.server.backend import Backend
from boltq.server.body import decode_small, read_body, small_body
from boltq.server.guard import Headers
from boltq.server.problems import UNKNOWN_OUTCOME, Problem
from boltq.server.query import Query

Answer = Callable[[NewJob, str, JobState, bool], msgspec.Struct]  # job, id, state, created


class SubmitJob:
    """POST of one job. A bare ASGI endpoint, with nothing between it and the server: this is where speed counts."""

    def __init__(self, backend: Backend, form: type[shapes.JobForm], answer: Answer) -> None:
        self._backend = backend
        self._read = shapes.FormReader(form).read
        self._answer = answer

    async def __call__(self, headers: Headers, receive: Receive, send: Send) -> None:
        """Answer one request. Raises Problem, Gone, and what nobody raises on purpose."""
        job = self._read(await read_body(headers, receive), headers)
        try:
            submitted = await self._backend.submit(job)
        except StoreUnavailable:
            raise Problem("store-unavailable", UNKNOWN_OUTCOME, id=job.id) from None
        if submitted.created:
            status, state = 201, _first_state(job)
        else:
            status, state = 200, await self._state(submitted.id)
        answer = self._answer(job, submitted.id, state, submitted.created)
        await send_json(send, status, as_json(answer), b"/api/v1/jobs/" + submitted.id.encode())

    async def _state(self, job_id: str) -> JobState:
        """Where a job stands that was there already; one that is gone again has been completed."""
        try:
            return (await self._backend.read(lambda inspector: inspector.job(job_id))).state
        except NotFound:
            return JobState.COMPLETED


def submitted(job: NewJob, job_id: str, state: JobState, created: bool) -> shapes.SubmittedView:  # noqa: FBT001
    """The answer of POST /api/v1/jobs."""
    return shapes.SubmittedView(
        id=job_id, type=job.type, queue=job.queue, priority=_WORDS[job.priority], state=state, created=created
    )


class Jobs:
    """The other calls about jobs."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def page(self, request: Request) -> Response:
        """List jobs, without their data: `state`, `queue`, `limit` (50, at most 200), `cursor`."""
        query = Query(request, "state", "queue", "limit", "cursor")
        state, queue, limit = query.state(), query.queue(), query.limit()
        query.check()
        cursor = query.text("cursor")
        page = await self._backend.read(lambda inspector: inspector.page(state, queue, cursor=cursor, limit=limit))
        return json_response(shapes.PageView([shapes.summary(job) for job in page.jobs], page.cursor))

    async def one(self, request: Request) -> Response:
        """Show a job with its data, result, error, progress and log."""
        job_id = _id(request)
        return json_response(shapes.view(await self._backend.read(lambda inspector: inspector.job(job_id))))

    async def cancel(self, request: Request) -> Response:
        """Cancel a job that waits (200), or ask the worker of a running one to stop it (202)."""
        wish = decode_small(await small_body(request), _WISH)
        verdict = _done((await self._backend.broker.cancel([_id(request)], wish.reason or "cancelled"))[0], "cancelled")
        running = verdict.word == "running"
        return _standing(verdict, 202 if running else 200, cancel_requested=running)

    async def replay(self, request: Request) -> Response:
        """Queue a dead or cancelled job again, with all its attempts before it."""
        decode_small(await small_body(request), _NOTHING)
        return _standing(_done((await self._backend.broker.replay([_id(request)]))[0], "replayed"))

    async def run_now(self, request: Request) -> Response:
        """Queue a scheduled or retrying job before its time."""
        decode_small(await small_body(request), _NOTHING)
        return _standing(_done((await self._backend.broker.run_now([_id(request)]))[0], "run now"))


class _Wish(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a cancel."""

    reason: str | None = None


class _Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """The body of what needs none."""


_WISH = msgspec.json.Decoder(_Wish)
_NOTHING = msgspec.json.Decoder(_Nothing)
_WORDS = [priority.word for priority in Priority]


def _first_state(job: NewJob) -> JobState:
    waits = job.delay or (job.run_at and job.run_at > time.time() * 1_000)
    return JobState.SCHEDULED if waits else JobState.QUEUED


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
    content = {"id": verdict.id, "state": state, "cancel_requested": cancel_requested, "actions": actions(state)}
    return json_response(content, status)
