"""Why a workflow stands where it stands, and the same of its steps: those that have not ended, or not well."""

import contextlib
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from boltq.broker.inspector import Inspector, QueueStats
from boltq.broker.workflows.records import StepRecord, WorkflowRecord
from boltq.domain.errors import NotFound
from boltq.domain.job import CONTROL_TYPE, NO_SPEC, JobRecord, Spec
from boltq.domain.job_error import error_of
from boltq.domain.states import JobState
from boltq.domain.workflow.form import StepKind
from boltq.domain.workflow.plan import PlannedStep
from boltq.domain.workflow.progress import cause_of, first_failure, waits_for
from boltq.domain.workflow.states import ENDED, StepState, WorkflowState
from boltq.server.backend import Backend
from boltq.server.http.moments import rfc3339
from boltq.server.views.common import Rights, WhyView
from boltq.server.why import Surroundings, explain, explain_queued
from boltq.server.workflows.views import why_text

MAX_PLACES: Final = 20  # steps of which the place in their queue is looked up
MAX_INNER: Final = 20  # sub-workflows that are explained, on all levels
MAX_ITEMS: Final = 3  # items of a map of sub-workflows that are
_TELLING: Final = tuple(state for state in StepState if state not in (StepState.COMPLETED, StepState.PENDING))


class StepWhyView(msgspec.Struct, kw_only=True):
    """Why a step stands where it stands."""

    id: str
    state: StepState
    code: str
    text: str
    until: Annotated[str | None, msgspec.Meta(description="when that ends by itself, where this is known")]
    waits_for: Annotated[list[str], msgspec.Meta(description="steps")]
    job_id: str
    workflows: Annotated[
        list["WorkflowWhyView"],
        msgspec.Meta(description="its sub-workflow; of a map, those of the first items that run or did not complete"),
    ] = []


class WorkflowWhyView(msgspec.Struct, kw_only=True):
    """Why a workflow stands where it stands."""

    id: str
    state: WorkflowState
    text: str
    steps: Annotated[list[StepWhyView], msgspec.Meta(description="those that have not ended, or not well")]


async def explain_workflow(
    backend: Backend, record: WorkflowRecord, rights: Rights, *, only: str | None = None
) -> WorkflowWhyView:
    """Why it stands where it stands; with `only`, of its steps only this one."""
    still = any(step.state not in ENDED for step in record.steps if only in (None, step.id))
    queues = await _queues(backend) if still else {}
    workers = await backend.read(Inspector.workers) if queues else []
    around = {name: Surroundings(stats, workers) for name, stats in queues.items()}
    return await _Reader(backend, around, rights).whole(record, only)


async def _queues(backend: Backend) -> Mapping[str, QueueStats]:
    return {stats.name: stats for stats in await backend.read(Inspector.queues)}


class _Reader:
    """Explains a workflow, and those inside of it: a bounded number."""

    def __init__(self, backend: Backend, around: Mapping[str, Surroundings], rights: Rights) -> None:
        self._backend = backend
        self._around = around
        self._rights = rights
        self._places = MAX_PLACES
        self._inner = MAX_INNER

    async def whole(self, record: WorkflowRecord, only: str | None = None) -> WorkflowWhyView:
        """Of a workflow, and of its steps that have not ended, or not well."""
        asked = [step for step in record.steps if step.state is not StepState.COMPLETED]
        steps = [await self._view(record, step) for step in asked if only in (None, step.id)]
        return WorkflowWhyView(id=record.id, state=record.state, text=_whole(record, asked), steps=steps)

    async def _view(self, record: WorkflowRecord, step: StepRecord) -> StepWhyView:
        inner = await self._inside(record, step)
        why = await self._why(record, step)
        pending = step.state is StepState.PENDING
        return StepWhyView(
            id=step.id,
            state=step.state,
            code=why.code,
            text="; ".join([why.text, *_first_reason(inner)]),
            until=why.until,
            waits_for=waits_for(record.plan, record.states, step.id) if pending else [],
            job_id=step.job_id,
            workflows=inner,
        )

    async def _inside(self, record: WorkflowRecord, step: StepRecord) -> list[WorkflowWhyView]:
        """Why a step waits that has begun something: a map, a sub-workflow, a wait, an approval."""
        if step.kind is not StepKind.WORKFLOW or step.state in (StepState.PENDING, StepState.SKIPPED):
            return []
        return [await self.whole(inner) for inner in await self._workflows_of(record, step)]

    async def _workflows_of(self, record: WorkflowRecord, step: StepRecord) -> list[WorkflowRecord]:
        ids = [step.workflow_id]
        if record.plan.by_id[step.id].map:
            page = await self._backend.ask(lambda flows: flows.items(record, step.id, states=_TELLING, limit=MAX_ITEMS))
            ids = [item.workflow_id for item in page.items]
        found: list[WorkflowRecord] = []
        for own in filter(None, ids):
            if self._inner:
                self._inner -= 1
                with contextlib.suppress(NotFound):  # it has been forgotten meanwhile
                    found.append(await self._record_of(own))
        return found

    async def _record_of(self, workflow_id: str) -> WorkflowRecord:
        return await self._backend.ask(lambda flows: flows.get(workflow_id))

    async def _why(self, record: WorkflowRecord, step: StepRecord) -> WhyView:
        match step.state:
            case StepState.PENDING:
                return WhyView(code="pending", text=step.why or "its turn has not come")
            case StepState.SKIPPED:
                return WhyView(code="skipped", text=step.why or "it was not needed")
            case StepState.FAILED:
                return WhyView(code="failed", text=self._failure(step))
            case StepState.CANCELLED:
                return WhyView(code="cancelled", text=_cancelled(record))
        return await self._open(record, step)

    async def _open(self, record: WorkflowRecord, step: StepRecord) -> WhyView:
        """Of one that has begun, or may."""
        planned = record.plan.by_id[step.id]
        if step.state is StepState.QUEUED and step.job_state is JobState.BLOCKED:
            return WhyView(code="paused", text=step.why or "the workflow is paused")
        if planned.map and step.stats and step.job_state is JobState.BLOCKED:
            return self._items(record, step, planned)
        if step.workflow_id and step.job_state is JobState.BLOCKED:
            return WhyView(code="workflow", text=f"its workflow {step.workflow_id} runs")
        if step.state is StepState.WAITING and step.job_state is not JobState.RETRYING:
            return _waiting(step, planned, self._rights)
        job = _job_of(record, step, planned)
        if job.state is JobState.QUEUED:
            return await self._queued(job)
        why = await explain(self._backend, job)
        return why or WhyView(code=str(step.state), text=f"its job is {job.state}")

    async def _queued(self, job: JobRecord) -> WhyView:
        around = self._around.get(job.queue) or Surroundings(QueueStats(name=job.queue), ())
        if obstacles := around.obstacles(job.type):
            return obstacles[0]
        if not self._places:
            return WhyView(code="queued", text="it waits for a free slot of a worker")
        self._places -= 1
        place = await self._backend.read(lambda inspector: inspector.place(job))
        return explain_queued(job, msgspec.structs.replace(around, place=place))

    def _items(self, record: WorkflowRecord, step: StepRecord, planned: PlannedStep) -> WhyView:
        """Of a map whose items run."""
        assert step.stats is not None  # noqa: S101 - for the type checker
        text = f"{step.stats.ended} of its {step.stats.total} items have ended, {step.begun} have begun"
        around = self._around.get(planned.queue)
        obstacles = around.obstacles(planned.job_type or CONTROL_TYPE) if around else []
        if obstacles and (step.begun or 0) > step.stats.ended:
            return WhyView(code=obstacles[0].code, text=f"{text}; {obstacles[0].text}")
        return WhyView(code="items", text=f"{text}; the workflow is paused" if record.paused else text)

    def _failure(self, step: StepRecord) -> str:
        if not step.error:
            return "it failed"
        error = error_of(step.error)
        runs = f"attempt {step.attempts} failed" if step.attempts else "it failed"
        said = f": {error.class_name}: {error.message}" if self._rights.payload else ""
        return f"{runs} with category {error.category}{said}"


def _first_reason(inner: list[WorkflowWhyView]) -> list[str]:
    """What holds up, or has ended, the first of these workflows, in words; nothing where there are none."""
    for found in inner:
        steps = [step for step in found.steps if step.state not in (StepState.PENDING, StepState.SKIPPED)]
        ranked = sorted(steps, key=lambda step: _RANKS.get(step.state, 1))
        if ranked:
            return [f"step {ranked[0].id} of {found.id}: {ranked[0].text}"]
    return []


_RANKS: Final = {StepState.FAILED: 0, StepState.CANCELLED: 2}


def _job_of(record: WorkflowRecord, step: StepRecord, planned: PlannedStep) -> JobRecord:
    """The part of a step's job that an explanation needs."""
    plain = planned.kind is StepKind.JOB and planned.map is None
    attempts = planned.retry.max_attempts if planned.retry else None
    return JobRecord(
        id=step.job_id,
        state=step.job_state or JobState.QUEUED,
        type=step.job_type if plain else CONTROL_TYPE,
        queue=planned.queue,
        priority=planned.priority,
        data="",
        spec=Spec(max_attempts=attempts) if attempts else NO_SPEC,
        created_at=record.created_at,
        since=step.started_at or record.since,
        attempts=step.attempts,
        deliveries=step.deliveries,
        losses=step.losses,
        due_at=step.due_at,
        worker=step.worker,
        started_at=step.started_at,
        error=step.error,
        cancel_requested=step.cancel_requested,
    )


def _waiting(step: StepRecord, planned: PlannedStep, rights: Rights) -> WhyView:
    until = rfc3339(step.due_at)
    text = why_text(step, rights) or "it waits"
    if planned.kind is StepKind.APPROVAL:
        return WhyView(code="approval", text=text, until=until)
    return WhyView(code="waiting", text=f"it waits for its time, {until}" if until else text, until=until)


def _cancelled(record: WorkflowRecord) -> str:
    if record.ending:
        return "the workflow was cancelled" if record.ending == "cancelled" else "the workflow's time was up"
    bad = first_failure(record.plan, record.states)
    return f"it was cancelled after the step {bad} had failed" if bad else "it was cancelled"


def _whole(record: WorkflowRecord, asked: list[StepRecord]) -> str:
    """One sentence about all of it."""
    still = [step for step in asked if step.state not in ENDED]
    match record.state:
        case WorkflowState.COMPLETED:
            return f"all that it needed of its {len(record.steps)} steps has completed"
        case WorkflowState.CANCELLED:
            return "it was cancelled"
        case WorkflowState.FAILED:
            return _failed(record)
    text = f"{len(record.steps) - len(still)} of its {len(record.steps)} steps have ended{_counts(still)}"
    if record.ending:
        return f"it is being ended ({record.ending}): {text}"
    return f"it is paused: {text}" if record.paused else text


def _failed(record: WorkflowRecord) -> str:
    if record.ending == "timed_out":
        return "its time was up before its steps had ended"
    bad = cause_of(record.plan, record.states)
    return f"its step {bad} failed" if bad else "a step of it was cancelled"


def _counts(still: list[StepRecord]) -> str:
    counts = {state: sum(step.state is state for step in still) for state in StepState}
    return "".join(f", {number} {state}" for state, number in counts.items() if number)
