"""Handles of what was submitted: wait for a job or a workflow, look at it, steer it."""

from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from boltq.app.in_sync import in_sync
from boltq.broker.connections import Connections
from boltq.broker.waiting import Waiting
from boltq.broker.workflows.records import ItemRecord, WorkflowRecord
from boltq.domain.errors import JobCancelled, JobFailed, WorkflowCancelled
from boltq.domain.job import JobRecord, NewJob
from boltq.domain.job_error import error_of
from boltq.domain.options import patience
from boltq.domain.parameters import ResultReader
from boltq.domain.states import JobState
from boltq.domain.values import json_bytes
from boltq.domain.workflow.approvals import Answer, AnswerWord, Verdict
from boltq.domain.workflow.failure import failure_of
from boltq.domain.workflow.progress import cause_of
from boltq.domain.workflow.rerun import RerunMode, RerunWord
from boltq.domain.workflow.states import StepState, WorkflowState

R = TypeVar("R")
T = TypeVar("T")


class Application(Protocol):
    """What tasks and handles ask of their application."""

    async def connections(self) -> Connections:
        """What this event loop has of the store."""

    async def connections_within(self, wait: Waiting) -> Connections:
        """As connections, for a caller that waits: through an outage too."""

    async def submit_job(self, job: NewJob, read: ResultReader = ...) -> "Job[Any]":
        """Submit a job; `read` reads its result."""

    def run_sync(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run a coroutine on a loop in a thread, and wait for it."""


class _Handle(Generic[R]):
    """What is submitted, by its id."""

    def __init__(self, app: Application, own_id: str, *, created: bool = True) -> None:
        self.id = own_id
        self.created = created  # false: the id or the idempotency key was there already
        self._app = app

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id})"

    async def result(self, timeout: float | None = None) -> R:
        """How it ended; `timeout` in seconds."""
        raise NotImplementedError

    def result_sync(self, timeout: float | None = None) -> R:
        """`result` from synchronous code."""
        seconds = patience(timeout)
        return self._run_sync(self.result(seconds), seconds)

    def _run_sync(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        return self._app.run_sync(work, timeout)


class Job(_Handle[R]):
    """A submitted job: a handle by which to wait for it, look at it and cancel it."""

    def __init__(
        self, app: Application, job_id: str, *, created: bool = True, read: ResultReader = msgspec.json.decode
    ) -> None:
        super().__init__(app, job_id, created=created)
        self._read = read

    async def result(self, timeout: float | None = None) -> R:
        """What the function returned, by its return hint; of a job that was submitted by name, as JSON holds it.

        Does not poll, and waits through an outage of the store. Raises JobFailed, JobCancelled, WaitTimeout, NotFound;
        StoreUnavailable when there is no timeout and an outage takes longer than a minute; DataError when the result
        is not what the return hint says.
        """
        wait = Waiting(timeout)
        store = await self._app.connections_within(wait)
        result: R = _result_of(await store.watch.end_of(self.id, wait), self._read)
        return result

    async def record(self) -> JobRecord:
        """The job as it stands. Raises NotFound."""
        return await (await self._app.connections()).inspector.job(self.id)

    async def cancel(self, reason: str = "cancelled") -> JobState:
        """Cancel it; a running job is asked to stop, and is "running" until it has. Raises NotFound, Conflict."""
        store = await self._app.connections()
        verdict = (await store.broker.cancel([self.id], reason))[0].check()
        return JobState(verdict.word)

    record_sync = in_sync(record)
    cancel_sync = in_sync(cancel)


class WorkflowRun(_Handle[Any]):
    """A submitted workflow: a handle by which to wait for it, look at it and steer it."""

    async def result(self, timeout: float | None = None) -> Any:
        """Its output, as JSON holds it. Does not poll, and waits through an outage of the store.

        Raises WorkflowFailed, WorkflowCancelled, WaitTimeout, NotFound; StoreUnavailable when there is no timeout and
        an outage takes longer than a minute; DataError when the output refers to what is not there.
        """
        wait = Waiting(timeout)
        store = await self._app.connections_within(wait)
        record = await store.watch.end_of_workflow(self.id, wait)
        _raise_if_failed(record)
        return msgspec.json.decode(await wait.through_outages(lambda: store.workflows.output(record)))

    async def record(self, generation: int = 0) -> WorkflowRecord:
        """The workflow as it stands, with every step; or as an earlier run (1 is the first) ended. Raises NotFound."""
        return await (await self._app.connections()).workflows.get(self.id, generation=generation)

    async def items(
        self, step: str, state: StepState | str | Sequence[StepState | str] = ()
    ) -> AsyncIterator[ItemRecord]:
        """The items of a step's map in their order, or those of some states, page by page as they are needed.

        Raises NotFound; ValueError for what is no state.
        """
        states = [StepState(one) for one in ([state] if isinstance(state, str) else state)]
        flows = (await self._app.connections()).workflows
        record, cursor = await flows.get(self.id), None
        while True:
            page = await flows.items(record, step, states=states, limit=500, cursor=cursor)
            for item in page.items:
                yield item
            if not (cursor := page.cursor):
                return

    async def cancel(self) -> WorkflowState:
        """Cancel what waits and stop what runs; it is "running" until that has ended. Raises NotFound, Conflict."""
        return await (await self._app.connections()).workflows.cancel(self.id)

    async def pause(self) -> WorkflowState:
        """Begin no step any more. Raises NotFound, Conflict."""
        return await (await self._app.connections()).workflows.pause(self.id)

    async def resume(self) -> WorkflowState:
        """Go on after a pause. Raises NotFound, Conflict."""
        return await (await self._app.connections()).workflows.resume(self.id)

    async def signal(self, step: str, decision: AnswerWord, *, data: Any = None, by: str = "") -> Verdict:
        """A person's word for an approval step; it may come before the step waits.

        Raises NotFound, InvalidWorkflow; Conflict when another answer counts, or the step has ended without one.
        """
        answer = Answer(decision=decision, data=msgspec.Raw(json_bytes(data, "/data")), by=by)
        return await (await self._app.connections()).workflows.signal(self.id, step, answer)

    async def rerun(
        self,
        mode: RerunMode | RerunWord = RerunMode.FAILED_ONLY,
        *,
        from_step: str | None = None,
        params: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> tuple[str, ...]:
        """Run it again when it has ended; answers the steps that begin anew, the others keep their results.

        `params`: for each of these steps other params than it had; they may have references, as in the form.
        Raises NotFound, Conflict, InvalidWorkflow.
        """
        given = {step: msgspec.Raw(json_bytes(fields, f"/params/{step}")) for step, fields in (params or {}).items()}
        flows = (await self._app.connections()).workflows
        return await flows.rerun(self.id, RerunMode(mode), from_step=from_step, params=given)

    async def delete(self) -> None:
        """Forget it, with its jobs and sub-workflows, when it has ended. Raises NotFound, Conflict."""
        await (await self._app.connections()).workflows.delete(self.id)

    record_sync = in_sync(record)

    def items_sync(self, step: str, state: StepState | str | Sequence[StepState | str] = ()) -> list[ItemRecord]:
        """`items` from synchronous code, all at once."""

        async def all_of_them() -> list[ItemRecord]:
            return [item async for item in self.items(step, state)]

        return self._run_sync(all_of_them())

    cancel_sync = in_sync(cancel)
    pause_sync = in_sync(pause)
    resume_sync = in_sync(resume)
    signal_sync = in_sync(signal)
    rerun_sync = in_sync(rerun)
    delete_sync = in_sync(delete)


def _result_of(job: JobRecord, read: ResultReader) -> Any:
    if job.state is JobState.COMPLETED:
        return read(job.result or "null")
    if job.state is JobState.CANCELLED:
        raise JobCancelled(f"job {job.id} was cancelled: {job.reason}")
    error = error_of(job.error) if job.error else None
    raise JobFailed(f"job {job.id} is dead: {error.class_name}: {error.message}" if error else job.id, error)


def _raise_if_failed(record: WorkflowRecord) -> None:
    if record.state is WorkflowState.CANCELLED:
        raise WorkflowCancelled(f"workflow {record.id} was cancelled")
    if record.state is WorkflowState.FAILED:
        step = cause_of(record.plan, record.states)
        stored = record.step(step).error if step else None
        raise failure_of(record.id, record.ending, step, error_of(stored) if stored else None)
