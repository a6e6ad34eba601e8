"""Submitting one job over HTTP, in our words and in the first version's: where speed counts."""

import time
from collections.abc import Callable

import msgspec
from starlette.types import Receive, Send

from boltq.domain.errors import NotFound, StoreUnavailable
from boltq.domain.job import NewJob, Priority
from boltq.domain.scopes import Scope
from boltq.domain.states import JobState
from boltq.server import first_version, shapes
from boltq.server.answers import as_json, send_json
from boltq.server.backend import Backend
from boltq.server.body import read_body
from boltq.server.caller import Caller
from boltq.server.calls import Call
from boltq.server.guard import Headers
from boltq.server.problems import UNKNOWN_OUTCOME, Problem

Answer = Callable[[NewJob, str, JobState, bool], msgspec.Struct]  # job, id, state, created

PROBLEMS = ("too-large", "conflict", "queue-full", "store-full")


def submissions(backend: Backend) -> list[Call]:
    """What is served here."""
    ours = SubmitJob(backend, shapes.JobForm, submitted)
    first = SubmitJob(backend, shapes.FirstJobForm, first_version.submitted)
    view, first_view = shapes.SubmittedView, shapes.FirstSubmittedView
    return [
        Call(
            "POST", "/api/v1/jobs", "submitJob", "submit a job", quick=ours, scope=Scope.SUBMIT,
            body=shapes.JobForm, answers={201: view, 200: view}, problems=PROBLEMS,
        ),
        Call(
            "POST", "/submit", "firstSubmit", "submit a job, in the first version's words", quick=first,
            scope=Scope.SUBMIT, body=shapes.FirstJobForm, answers={201: first_view, 200: first_view},
            problems=PROBLEMS, tag="first version",
        ),
    ]  # fmt: skip


class SubmitJob:
    """POST of one job. A bare ASGI endpoint, with nothing between it and the server: this is where speed counts."""

    def __init__(self, backend: Backend, form: type[shapes.JobForm], answer: Answer) -> None:
        self._backend = backend
        self._read = shapes.FormReader(form).read
        self._answer = answer

    async def __call__(self, caller: Caller, headers: Headers, query: bytes, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Answer one request. Raises Problem, Gone, and what nobody raises on purpose."""
        job = self._read(await read_body(headers, receive), headers)
        caller.check(Scope.SUBMIT, job.queue)
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


_WORDS = [priority.word for priority in Priority]


def _first_state(job: NewJob) -> JobState:
    waits = job.delay or (job.run_at and job.run_at > time.time() * 1_000)
    return JobState.SCHEDULED if waits else JobState.QUEUED
