"""Submitting one job over HTTP, in our words and in the first version's: where speed counts."""

import time
from collections.abc import Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Send

from boltq.domain.errors import InvalidJob, NotFound, StoreUnavailable
from boltq.domain.job import NewJob, Priority
from boltq.domain.scopes import Scope
from boltq.domain.states import TERMINAL, JobState
from boltq.server.backend import Backend
from boltq.server.http.answers import as_json, json_response, send_json
from boltq.server.http.body import read_body
from boltq.server.http.caller import Caller, caller_of
from boltq.server.http.calls import ApiCall
from boltq.server.http.guard import Headers
from boltq.server.http.problems import UNKNOWN_OUTCOME, Problem
from boltq.server.http.query import NoQuery, read_params, read_query
from boltq.server.http.submissions import NO_LONGER_KEPT, SUBMIT_PROBLEMS, SubmitQuery
from boltq.server.jobs import first_version
from boltq.server.jobs.dry_run import DryRunView, accepted, refused
from boltq.server.jobs.forms import FirstJobForm, FormReader, JobForm
from boltq.server.views import jobs as views

# job, id, state, created, warnings -> the answer
Shape = Callable[[NewJob, str, JobState | None, bool, list[str]], msgspec.Struct]


def submissions(backend: Backend) -> list[ApiCall]:
    """The calls of this resource, for the list in app.py."""
    ours = SubmitJob(backend, JobForm, submitted)
    first = SubmitJob(backend, FirstJobForm, first_version.submitted)
    view, first_view = views.SubmittedView, views.FirstSubmittedView
    return [
        ApiCall(
            "POST", "/api/v1/jobs", "submitJob", "submit a job", quick=ours,
            scope=Scope.SUBMIT, query=SubmitQuery, body=JobForm,
            answers={201: view, 200: view}, problems=SUBMIT_PROBLEMS,
        ),
        ApiCall(
            "POST", "/api/v1/jobs/dry-run", "dryRunJob", "what would become of a job; nothing is written", ours.dry_run,
            scope=Scope.SUBMIT, body=JobForm, answers={200: DryRunView}, problems=("too-large",),
        ),
        ApiCall(
            "POST", "/submit", "firstSubmit", "submit a job, in the first version's words", quick=first,
            scope=Scope.SUBMIT, query=SubmitQuery, body=FirstJobForm,
            answers={201: first_view, 200: first_view}, problems=SUBMIT_PROBLEMS, tag="first version",
        ),
    ]  # fmt: skip


class SubmitJob:
    """POST of one job. A bare ASGI endpoint, with nothing between it and the server: this is where speed counts."""

    def __init__(self, backend: Backend, form: type[JobForm], answer: Shape) -> None:
        self._backend = backend
        self._reader = FormReader(form)
        self._answer = answer

    async def __call__(self, caller: Caller, headers: Headers, query: bytes, receive: Receive, send: Send) -> None:
        """Answer one request. Raises Problem, Gone, and what nobody raises on purpose."""
        wish = read_params(query, SubmitQuery) if query else _PLAIN
        body = await read_body(headers, receive)
        if wish.dry_run:
            await send_json(send, 200, as_json(await self._dry_run(caller, body, headers)))
            return
        job, warnings = await self._read(caller, body, headers)
        job.created_by = caller.author
        try:
            submitted = await self._backend.submit(job)
        except StoreUnavailable:
            raise Problem("store-unavailable", UNKNOWN_OUTCOME, id=job.id) from None
        state: JobState | None
        if submitted.created:
            status, state = 201, first_state(job)
        else:
            status, state = 200, await self._state(submitted.id)
        warnings = await warnings_of(self._backend, job, state, warnings)
        answer = self._answer(job, submitted.id, state, submitted.created, warnings)
        await send_json(send, status, as_json(answer), b"/api/v1/jobs/" + submitted.id.encode())

    async def dry_run(self, request: Request) -> Response:
        """Say what would become of a job: its mistakes, or its options after all defaults and what it would find."""
        read_query(request, NoQuery)
        headers = dict(request.scope["headers"])
        body = await read_body(headers, request.receive)
        return json_response(await self._dry_run(caller_of(request), body, headers))

    async def _read(self, caller: Caller, body: bytes, headers: Headers) -> tuple[NewJob, list[str]]:
        """The job that a body asks for, and warnings. Raises InvalidJob and Problem."""
        job, values = self._reader.read(body, headers)
        caller.check(Scope.SUBMIT, job.queue)
        types = self._backend.types
        published = types.get(job.type)
        if published and not published.checkers:
            return job, []
        strict = self._backend.settings.strict_types
        return job, await types.check(job.type, values, strict=strict, at=self._reader.data_name)

    async def _dry_run(self, caller: Caller, body: bytes, headers: Headers) -> DryRunView:
        try:
            job, warnings = await self._read(caller, body, headers)
        except InvalidJob as error:
            return refused(error.errors)
        return await accepted(self._backend, caller, job, warnings)

    async def _state(self, job_id: str) -> JobState | None:
        """Where a job stands that was there already; None when it is gone again, and nobody knows how it ended."""
        try:
            return (await self._backend.read(lambda inspector: inspector.job(job_id))).state
        except NotFound:
            return None


def submitted(
    job: NewJob,
    job_id: str,
    state: JobState | None,
    created: bool,  # noqa: FBT001
    warnings: list[str],
) -> views.SubmittedView:
    """The answer of POST /api/v1/jobs."""
    return views.SubmittedView(
        id=job_id,
        type=job.type,
        queue=job.queue,
        priority=_WORDS[job.priority],
        state=state,
        created=created,
        warnings=warnings,
    )


async def warnings_of(backend: Backend, job: NewJob, state: JobState | None, warnings: list[str]) -> list[str]:
    """The warnings about a job by its state: a job that has ended needs none about who would run it."""
    if state is None:
        return [NO_LONGER_KEPT]
    return [] if state in TERMINAL else [*warnings, *await backend.presence.missing(job.queue)]


def first_state(job: NewJob) -> JobState:
    """Where a job stands that has just been made."""
    waits = job.delay or (job.run_at and job.run_at > time.time() * 1_000)
    return JobState.SCHEDULED if waits else JobState.QUEUED


_PLAIN = SubmitQuery()
_WORDS = [priority.word for priority in Priority]
