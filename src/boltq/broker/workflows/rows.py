"""What the scripts answer about workflows, as records."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec
from msgspec.structs import asdict

from boltq.broker.contract import (
    ApprovalRow,
    ItemJobRow,
    ItemRow,
    MapCountsRow,
    MapRow,
    NamedRow,
    StepDataRow,
    StepEndRow,
    StepJobRow,
    StepRow,
    WorkflowRow,
    of_a_record,
)
from boltq.broker.workflows.records import (
    ApprovalRecord,
    ItemRecord,
    StepData,
    StepRecord,
    WorkflowLine,
    WorkflowRecord,
)
from boltq.broker.workflows.why import why_of
from boltq.domain.states import TERMINAL, JobState
from boltq.domain.workflow.form import StepKind
from boltq.domain.workflow.phases import Phase, traits_of
from boltq.domain.workflow.plan import Plan, PlannedStep
from boltq.domain.workflow.progress import standings
from boltq.domain.workflow.scope import StepEnd
from boltq.domain.workflow.states import MapStats, StepState, WorkflowState


def workflow_record(workflow_id: str, head: Sequence[Any], rows: Sequence[Any], latest: int) -> WorkflowRecord:
    """What flow_get.lua answered, as a record."""
    fields = dict(zip(head[::2], head[1::2], strict=True))
    ordered = sorted(rows, key=attrgetter("number"))
    steps = tuple(msgspec.json.decode(row.text, type=PlannedStep) for row in ordered)
    plan = msgspec.structs.replace(msgspec.json.decode(fields["plan"], type=Plan), steps=steps)
    found = [_step(step, row) for step, row in zip(steps, ordered, strict=True)]
    record = WorkflowRecord(
        id=workflow_id,
        name=fields["name"],
        state=WorkflowState(fields["state"]),
        plan=plan,
        generation=int(fields["gen"]),
        latest=latest,
        past={step.id: past for step, row in zip(steps, ordered, strict=True) if (past := _past_data(row))},
        created_at=int(fields["at"]),
        since=int(fields["since"]),
        steps=found,
        ending=fields.get("ending"),
        paused="paused" in fields,
        deadline=int(fields["deadline"]) if "deadline" in fields else None,
        parent_job=fields.get("parent"),
        within=fields.get("within"),
        form=fields.get("form") or None,  # sub-workflows have none of their own
        created_by=fields.get("by"),
    )
    states = record.states
    meant = standings(plan, states) if StepState.SKIPPED in states.values() else {}
    for step in found:
        step.why = why_of(record, step, states, meant)
    return record


def summary(row: WorkflowRow) -> WorkflowLine:
    """A line of a list as a record."""
    return msgspec.convert(_named(row), WorkflowLine, strict=False)


def approval_record(row: ApprovalRow) -> ApprovalRecord:
    """A step that waits for a person, as a record."""
    return msgspec.convert(_named(row) | {"due_at": row.due_at or None}, ApprovalRecord, strict=False)


def item_record(row: ItemRow) -> ItemRecord:
    """An item of a map as a record."""
    job = of_a_record(row.job, ItemJobRow)
    return ItemRecord(
        index=row.number - 1,
        state=row.state,
        job_id=row.job_id,
        job_state=job.state,
        attempts=job.attempts or 0,
        deliveries=job.deliveries or 0,
        worker=job.worker,
        started_at=_began(job) if job.began is None else job.began,
        ended_at=job.since if job.state in TERMINAL else None,
        error=row.error or None,
        reason=job.reason,
        workflow_id=job.child,
        truncated=bool(row.truncated),
    )


def _named(row: NamedRow) -> dict[str, Any]:
    """What is there, by name: Lua says "" for what is not."""
    return {name: None if value == "" else value for name, value in asdict(row).items()}


def _past_data(row: StepRow) -> StepDataRow | None:
    if row.data_truncated is None:
        return None
    return StepDataRow(row.number, row.inputs, row.result, row.data_truncated)


def step_data(record: WorkflowRecord, step: StepRecord, row: StepDataRow) -> StepData:
    """What a step was given and gave. Inputs of which the references are not filled in yet are none."""
    inputs = row.inputs
    planned = record.plan.by_id[step.id]
    if step.job_state is None and (not planned.refers or planned.map):  # its job is gone, and had what the plan says
        inputs = inputs or planned.params
    has_inputs = planned.kind in (StepKind.JOB, StepKind.WORKFLOW) and step.deliveries and step.state not in _UNBEGUN
    filled = not planned.refers or planned.map is not None or inputs != planned.params
    return StepData(
        inputs=inputs if inputs and has_inputs and filled else None,
        result=row.result or None,
        truncated=bool(row.truncated),
    )


_UNBEGUN: Final = (StepState.PENDING, StepState.SKIPPED)


def step_end(row: StepEndRow) -> StepEnd:
    """How a step ended, for those that refer to it."""
    stats = stats_of(msgspec.convert(row.map, MapRow)).closed() if row.map else None
    return StepEnd(StepState(row.state), row.result or None, row.error or None, stats)


def _step(step: PlannedStep, row: StepRow) -> StepRecord:
    word, *rest = row.ended.split(" ", 7)
    ended_at = int(rest[1]) if rest else None
    job = _with_its_end(of_a_record(row.job, StepJobRow), rest[_OF_AN_END:])
    counts = msgspec.convert(row.map, MapCountsRow) if row.map else None
    stats = stats_of(counts) if counts else None
    return StepRecord(
        id=step.id,
        group=step.group,
        kind=step.kind,
        state=_state(word, job),
        job_id=row.job_id,
        job_type=step.job_type,
        job_state=job.state,
        attempts=job.attempts or 0,
        deliveries=job.deliveries or 0,
        worker=job.worker,
        started_at=_began(job) if job.began is None else job.began,
        ended_at=ended_at,
        error=row.error or None,
        cancel_requested=bool(job.cancel) and job.state is JobState.RUNNING,
        losses=job.losses or 0,
        stats=stats.closed() if stats and ended_at is not None else stats,
        begun=counts.begun if counts else None,
        workflow_id=job.child,
        prompt=job.prompt if job.phase is Phase.ASK and not ended_at else None,
        due_at=None if job.left else job.due or None,
        answer=row.answer or None,
        truncated=bool(row.truncated),
    )


_OF_AN_END: Final = 2  # standing, when: what comes after that says how its job ran


def _with_its_end(job: StepJobRow, ran: Sequence[str]) -> StepJobRow:
    """As the end of the step says how its job ran: the job may be gone."""
    if not ran:
        return job
    attempts, deliveries, began, child, worker = ("" if text in {"0", "-"} else text for text in ran)
    return msgspec.structs.replace(
        job,
        attempts=int(attempts or 0),
        deliveries=int(deliveries or 0),
        began=int(began) if began else None,
        child=child or None,
        worker=worker or None,
    )


def _began(job: StepJobRow | ItemJobRow) -> int | None:
    if job.state is JobState.RUNNING or job.since is None or job.took is None:
        return job.since if job.state is JobState.RUNNING else None
    return job.since - job.took if job.state in (JobState.COMPLETED, JobState.DEAD) else None


def stats_of(row: MapCountsRow | MapRow) -> MapStats:
    """How many of a map's items have ended, and how."""
    return MapStats(row.total, row.completed, row.failed, row.cancelled)


def _state(word: str, job: StepJobRow) -> StepState:
    if word != "started":
        return StepState(word) if word else StepState.PENDING
    waits = traits_of(job.phase)
    if waits.for_jobs:
        return StepState.RUNNING
    if job.state is JobState.BLOCKED:
        return StepState.WAITING if waits.for_others or job.left else StepState.QUEUED
    return _STATES.get(job.state, StepState.QUEUED)


_STATES: Final[dict[JobState | None, StepState]] = {
    JobState.SCHEDULED: StepState.WAITING,
    JobState.RETRYING: StepState.WAITING,
    JobState.RUNNING: StepState.RUNNING,
    JobState.QUEUED: StepState.QUEUED,
}
