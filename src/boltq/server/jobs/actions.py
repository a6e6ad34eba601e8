"""Doing something to a job over HTTP: cancel, replay, retry, run now, change, delete."""

from starlette.requests import Request
from starlette.responses import Response

from boltq.broker.verdicts import JobVerdict
from boltq.domain.errors import NotFound
from boltq.domain.job import JobRecord
from boltq.domain.scopes import Scope
from boltq.domain.states import JobState
from boltq.server.audit_log import ReasonForm, note, read_reason, reason_of
from boltq.server.backend import Backend
from boltq.server.http.answers import json_response
from boltq.server.http.body import MAX_BYTES, read_form
from boltq.server.http.caller import caller_of
from boltq.server.http.calls import ApiCall
from boltq.server.http.problems import Problem
from boltq.server.http.query import NoQuery, read_query
from boltq.server.jobs.edits import EditForm, ReplayForm, read_edit, read_replay
from boltq.server.jobs.reading import id_of
from boltq.server.views import jobs as views
from boltq.server.views.common import Rights

STANDS = {200: views.StandingView}


class JobActionCalls:
    """The calls that change one job. Each is noted in the audit log."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def calls(self) -> list[ApiCall]:
        """The calls of this resource, for the list in app.py."""
        operate, conflict = Scope.OPERATE, ("conflict",)
        return [
            ApiCall(
                "PATCH", "/api/v1/jobs/{id}", "editJob", "change data, priority, time or tags of a job that waits",
                self.edit, scope=operate, body=EditForm, answers=STANDS, problems=conflict,
            ),
            ApiCall(
                "DELETE", "/api/v1/jobs/{id}", "deleteJob", "delete a job that does not run, for ever", self.delete,
                scope=operate, answers={204: None}, problems=conflict,
            ),
            ApiCall(
                "POST", "/api/v1/jobs/{id}/cancel", "cancelJob", "cancel a job, or ask its worker to stop it",
                self.cancel, scope=operate, body=ReasonForm, problems=conflict,
                answers={200: views.StandingView, 202: views.StandingView},
            ),
            ApiCall(
                "POST", "/api/v1/jobs/{id}/replay", "replayJob", "queue an ended job again, or make a new one from it",
                self.replay, scope=operate, body=ReplayForm,
                answers={200: views.StandingView, 201: views.StandingView},
                problems=("conflict", "queue-full", "store-full"),
            ),
            ApiCall(
                "POST", "/api/v1/jobs/{id}/retry", "retryJob", "queue a dead, cancelled or retrying job now",
                self.retry, scope=operate, body=ReasonForm, answers=STANDS, problems=conflict,
            ),
            ApiCall(
                "POST", "/api/v1/jobs/{id}/run-now", "runJobNow", "queue a scheduled or retrying job before its time",
                self.run_now, scope=operate, body=ReasonForm, answers=STANDS, problems=conflict,
            ),
        ]  # fmt: skip

    async def edit(self, request: Request) -> Response:
        """Change what a scheduled, queued or retrying job carries; what is left out stays.

        With another priority it goes to the end of that line. A `run_at` that is over, or a delay of 0, is now. Who
        gives it other data has submitted it from then on (`created_by`): it runs with nobody else's rights.
        """
        job_id, form = id_of(request), await read_form(request, EditForm, MAX_BYTES)
        reason = reason_of(request, form.reason)
        now = await self._backend.read(lambda inspector: inspector.now_ms())
        wanted = read_edit(form, now)
        if wanted.values is not None:
            job = await self._job(job_id)
            await self._backend.types.check(job.type, wanted.values, strict=False)
        verdict = await self._backend.broker.edit(
            job_id,
            data=wanted.data,
            priority=wanted.priority,
            run_at=wanted.run_at,
            tags=wanted.tags,
            by=caller_of(request).author,
        )
        _check(verdict, "edited")
        await note(self._backend, request, "job.edit", job_id, reason)
        return _standing(request, verdict)

    async def delete(self, request: Request) -> Response:
        """Delete a job with its log and its past runs, in whatever state it is but running."""
        read_query(request, NoQuery)
        job_id, reason = id_of(request), reason_of(request, None)
        _check((await self._backend.broker.delete([job_id]))[0], "deleted: cancel it first")
        await note(self._backend, request, "job.delete", job_id, reason)
        return Response(status_code=204)

    async def cancel(self, request: Request) -> Response:
        """Cancel a job that waits (200), or ask the worker of a running one to stop it (202)."""
        job_id, reason = id_of(request), await read_reason(request)
        verdict = _check((await self._backend.broker.cancel([job_id], reason or "cancelled"))[0], "cancelled")
        await note(self._backend, request, "job.cancel", job_id, reason)
        running = verdict.word == "running"
        return _standing(request, verdict, 202 if running else 200, cancel_requested=running)

    async def replay(self, request: Request) -> Response:
        """Queue a dead or cancelled job again, with all its attempts before it (200).

        With any edit, or `as_new`, a new job is made from one that has ended (201); each of them knows the other.
        """
        job_id, form = id_of(request), await read_form(request, ReplayForm, MAX_BYTES)
        reason = reason_of(request, form.reason)
        if form.makes_new:
            return await self._replay_as(request, await self._job(job_id), form, reason)
        verdict = _check((await self._backend.broker.replay([job_id]))[0], "replayed")
        await note(self._backend, request, "job.replay", job_id, reason)
        return _standing(request, verdict)

    async def _replay_as(self, request: Request, job: JobRecord, form: ReplayForm, reason: str) -> Response:
        new, values = read_replay(form, job)
        if values is not None:
            await self._backend.types.check(job.type, values, strict=False)
        caller = caller_of(request)
        caller.check(Scope.SUBMIT, new.queue)
        new.created_by = caller.author
        self._backend.check_room()
        verdict = _check(await self._backend.broker.replay_as(job.id, new), "replayed")
        await note(self._backend, request, "job.replay", job.id, reason)
        answer = _standing(request, verdict, 201)
        answer.headers["Location"] = f"/api/v1/jobs/{verdict.id}"
        return answer

    async def retry(self, request: Request) -> Response:
        """Queue a dead or cancelled job again with all its attempts before it, or a retrying one before its time."""
        job_id, reason = id_of(request), await read_reason(request)
        verdict = (await self._backend.broker.replay([job_id]))[0]
        if verdict.word == "CONFLICT" and verdict.state == JobState.RETRYING:
            verdict = (await self._backend.broker.run_now([job_id]))[0]
        _check(verdict, "retried")
        await note(self._backend, request, "job.retry", job_id, reason)
        return _standing(request, verdict)

    async def run_now(self, request: Request) -> Response:
        """Queue a scheduled or retrying job before its time."""
        job_id, reason = id_of(request), await read_reason(request)
        verdict = _check((await self._backend.broker.run_now([job_id]))[0], "run now")
        await note(self._backend, request, "job.run_now", job_id, reason)
        return _standing(request, verdict)

    async def _job(self, job_id: str) -> JobRecord:
        return await self._backend.read(lambda inspector: inspector.job(job_id))


def _check(verdict: JobVerdict, what: str) -> JobVerdict:
    """The verdict; raises NotFound, or the Problem that names the job's state, and its workflow where that is why."""
    if verdict.word == "NOT_FOUND":
        raise NotFound(f"no job {verdict.id}: the id is wrong, or the job is older than the history that is kept")
    if verdict.word == "CONFLICT":
        state = JobState(verdict.state)
        raise Problem(
            "conflict",
            verdict.advice or f"job {verdict.id} is {state} and cannot be {what}",
            id=verdict.id,
            state=state,
            actions=views.actions_of(state, verdict.workflow),
        )
    return verdict.check()


def _standing(request: Request, verdict: JobVerdict, status: int = 200, *, cancel_requested: bool = False) -> Response:
    state = JobState(verdict.state)
    actions = views.action_views(state, Rights.of(caller_of(request)).operate)
    return json_response(views.StandingView(verdict.id, state, cancel_requested, actions), status)
