"""Workflows on their way to the store and back: plans as the scripts take them, rows as records."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec
from msgspec.structs import asdict, astuple

from boltq.broker.call import pack
from boltq.broker.contract import (
    AskingRow,
    FailureRow,
    ItemJobRow,
    ItemRow,
    Look,
    MapCountsRow,
    MapRow,
    NamedRow,
    StepDataRow,
    StepEndRow,
    StepInfoRow,
    StepJobRow,
    StepRow,
    WorkflowRow,
    of_a_record,
)
from boltq.domain.ids import new_id
from boltq.domain.job import CONTROL_TYPE, NO_SPEC, Spec
from boltq.domain.job_error import error_of
from boltq.domain.states import TERMINAL, JobState
from boltq.domain.workflow.approvals import Answer
from boltq.domain.workflow.decide import Begins, ChildEnded, ClaimedStep, HasAsked, HasWaited, ItemsEnded, StepProgress
from boltq.domain.workflow.form import StepKind
from boltq.domain.workflow.phases import Phase, traits_of
from boltq.domain.workflow.plan import EARLY, Group, Plan, PlannedStep
from boltq.domain.workflow.progress import Ending, Standing, States, spared_steps, standings, waits_for, why_skipped
from boltq.domain.workflow.scope import ReferenceScope, StepEnd
from boltq.domain.workflow.states import MapStats, StepState, WorkflowState

WAITS_FOR_A_PERSON: Final = "it waits for a person's answer"

_GROUPS: Final = {group: number for number, group in enumerate(Group, 1)}


class StepRecord(msgspec.Struct, kw_only=True):
    """A step as it stands. Times in milliseconds."""

    id: str
    group: Group
    kind: StepKind
    state: StepState
    job_id: str
    job_type: str
    job_state: JobState | None = None  # None: the job's record is not kept any more
    attempts: int = 0
    deliveries: int = 0
    worker: str | None = None
    started_at: int | None = None
    ended_at: int | None = None
    why: str | None = None  # why it waits, or was skipped
    error: str | None = None  # JSON text of a JobError; of one that is tried again, that of the last run
    cancel_requested: bool = False  # its worker has been asked to stop it
    losses: int = 0  # runs whose worker was lost
    stats: MapStats | None = None  # of a map
    begun: int | None = None  # items of a map that have begun
    workflow_id: str | None = None  # of a sub-workflow
    prompt: str | None = None  # of an approval that waits
    due_at: int | None = None  # until when a waiting step waits
    answer: str | None = None  # JSON text of an Answer
    truncated: bool = False  # the error or the answer was left out: all steps share 2 MiB


class WorkflowRecord(msgspec.Struct, kw_only=True):
    """A workflow as it stands. Times in milliseconds."""

    id: str
    name: str
    state: WorkflowState
    plan: Plan
    generation: int  # 1; one more with each rerun
    latest: int  # the generation that there is now
    past: dict[str, StepDataRow]  # by step: the data of those that have run again since
    created_at: int
    since: int  # when it began, or ended
    steps: list[StepRecord]
    ending: str | None = None  # "cancelled" or "timed_out": why it ends, or ended, before its time
    paused: bool = False
    deadline: int | None = None
    parent_job: str | None = None  # the job of the step of which it is the sub-workflow
    within: str | None = None  # the workflow of that job, with which it goes; None: it is kept by itself
    form: str | None = None  # JSON text, where it was asked for
    created_by: str | None = None  # who submitted it; of a sub-workflow nobody

    @property
    def states(self) -> dict[str, StepState]:
        """Where the steps stand."""
        return {step.id: step.state for step in self.steps}

    def step(self, step_id: str) -> StepRecord:
        """A step by its id. Raises KeyError."""
        return next(step for step in self.steps if step.id == step_id)


class WorkflowLine(msgspec.Struct, kw_only=True):
    """A line of a list of workflows."""

    id: str
    name: str
    state: WorkflowState
    created_at: int
    since: int
    ending: str | None
    paused: bool
    parent_job: str | None
    within: str | None  # the workflow with which it goes
    generation: int
    steps: int
    ended: int  # steps
    failed: int  # steps


class ItemRecord(msgspec.Struct, kw_only=True):
    """An item of a map as it stands. Times in milliseconds."""

    index: int  # in the map's list, from 0
    state: StepState
    job_id: str
    job_state: JobState | None  # None: the job's record is not kept any more
    attempts: int = 0
    deliveries: int = 0
    worker: str | None = None
    started_at: int | None = None
    ended_at: int | None = None
    error: str | None = None  # JSON text of a JobError; of one that is tried again, that of the last run
    reason: str | None = None  # why it was cancelled
    workflow_id: str | None = None  # of its sub-workflow
    truncated: bool = False  # the error was left out: those of a page share 1 MiB


class ItemPage(msgspec.Struct, frozen=True):
    """One page of a map's items, in their order; `cursor` None at the end. It may be empty and not the end."""

    items: list[ItemRecord]
    cursor: str | None


class ApprovalRecord(msgspec.Struct, kw_only=True):
    """A step that waits for a person. Times in milliseconds."""

    workflow_id: str
    workflow: str  # its name
    paused: bool
    step: str
    job_id: str
    prompt: str | None
    due_at: int | None  # until when it waits; None: for ever, or its time stands still
    since: int
    truncated: bool = False  # the prompt was left out: those of a page share 1 MiB


class ApprovalPage(msgspec.Struct, frozen=True):
    """One page of steps that wait for a person; `cursor` None at the end. It may be empty and not the end."""

    approvals: list[ApprovalRecord]
    cursor: str | None


class StepData(msgspec.Struct, kw_only=True, frozen=True):
    """What a step was given and gave, as JSON texts. None: there is none, or it was left out for its size."""

    inputs: str | None = None
    result: str | None = None
    truncated: bool = False  # something was left out


def wire_plan(plan: Plan, workflow_id: str, partition: int, form: str = "", by: str = "") -> tuple[Any, ...]:
    """A new workflow as flow_submit.lua takes it; its jobs get their ids here. `by`: who submits it."""
    author = ["by", by] if by else []
    return workflow_id, [*wire_fields(plan, form), *author], wire_steps(plan, partition)


def wire_fields(plan: Plan, form: str) -> list[Any]:
    """The workflow's own fields."""
    head = msgspec.structs.replace(plan, steps=())
    fields: list[Any] = ["name", plan.name, "policy", plan.policy.value, "input", plan.input, "form", form]
    fields += ["plan", msgspec.json.encode(head).decode()]
    return [*fields, "timeout", round(plan.timeout_seconds * 1_000)] if plan.timeout_seconds else fields


def wire_steps(plan: Plan, partition: int, chosen: Iterable[str] | None = None) -> list[Any]:
    """The steps, or those that are chosen, as flow_submit.lua takes them; these wait only for each other."""
    numbers = {step.id: number for number, step in enumerate(plan.steps, 1)}
    spared, tags = spared_steps(plan), (" ".join(plan.tags),) if plan.tags else ()
    wanted = numbers.keys() if chosen is None else set(chosen)
    rows: list[Any] = []
    for step in plan.steps:
        if step.id in wanted:
            job = (new_id(partition), *job_of(step), *tags)
            info = _as_text(pack(_info(step, numbers, spared=step.id in spared, job=job[0])))
            waits = len(wanted & {*step.parents, *step.awaits})
            head = (info, _GROUPS[step.group], waits, _beginning(step))
            rows.append((numbers[step.id], head, msgspec.json.encode(step).decode(), job))
    return rows


def wire_again(plan: Plan, partition: int, chosen: Iterable[str], kept: set[str], subs: set[str]) -> list[Any]:
    """The chosen steps as flow_rerun.lua takes them.

    `kept`: maps of which what completed stays. `subs`: steps of which sub-workflows go on where they failed.
    """

    def how(step: PlannedStep) -> int:
        goes_on = step.id in subs and step.kind is StepKind.WORKFLOW
        if step.map is None:
            return 3 if goes_on else 0
        return (4 if goes_on else 2) if step.id in kept else 1

    codes = {number: how(step) for number, step in enumerate(plan.steps, 1)}
    return [(*row, codes[row[0]]) for row in wire_steps(plan, partition, chosen)]


def wire_infos(plan: Plan, chosen: Iterable[str]) -> list[Any]:
    """What is known of steps, without new jobs: [number, info, text]."""
    numbers = {step.id: number for number, step in enumerate(plan.steps, 1)}
    spared = spared_steps(plan)
    return [
        (
            numbers[step.id],
            _as_text(pack(astuple(_info(step, numbers, spared=step.id in spared, job=""))[:-1])),
            msgspec.json.encode(step).decode(),
        )
        for step in map(plan.by_id.__getitem__, chosen)
    ]


def _beginning(step: PlannedStep) -> str:
    """How a step comes to begin: "now" with its workflow, "early" perhaps before all that it waits for has ended."""
    if step.rule in EARLY:
        return "early"
    return "now" if begins_at_once(step) else ""


def begins_at_once(step: PlannedStep) -> bool:
    """Whether it begins with its workflow."""
    return step.group is Group.STEPS and not (step.parents or step.awaits) and step.rule not in EARLY


def _as_text(packed: bytes) -> msgspec.Raw:
    """Bytes as a text of msgpack: the scripts' reader knows no other bytes."""
    return msgspec.Raw(b"\xdb" + len(packed).to_bytes(4, "big") + packed)


def job_of(step: PlannedStep) -> tuple[str, str, str]:
    """Route, data and spec of a step's job."""
    plain = step.kind is StepKind.JOB and step.map is None
    asks = not plain or step.when is not None or step.refers
    spec = spec_of(step, asks=asks) if plain else Spec(step=True)
    return route_of(step, step.job_type if plain else CONTROL_TYPE), step.params, spec_text(spec)


def route_of(step: PlannedStep, job_type: str) -> str:
    """Queue, priority and type in one text."""
    return f"{step.queue} {int(step.priority)} {job_type}"


def spec_of(step: PlannedStep, *, asks: bool) -> Spec:
    """The options of a step's job, or of the jobs of its items."""
    attempts = step.retry.max_attempts if step.retry else None
    retry = step.retry if step.retry and (step.retry.backoff or step.retry.on is not None) else None
    return Spec(max_attempts=attempts, timeout=step.timeout_seconds, retry=retry, step=asks)


def spec_text(spec: Spec) -> str:
    """The spec as it is stored."""
    return "" if spec == NO_SPEC else msgspec.json.encode(spec).decode()


def _info(step: PlannedStep, numbers: dict[str, int], *, spared: bool, job: str) -> StepInfoRow:
    def numbered(ids: Iterable[str]) -> list[int]:
        return [numbers[other] for other in ids]

    return StepInfoRow(
        id=step.id,
        group=_GROUPS[step.group],
        parents=numbered(step.parents),
        awaits=numbered(step.awaits),
        dependents=numbered(step.dependents),
        rule=step.rule.value,
        at_least=step.at_least,
        allow_failure=int(step.allow_failure),
        spared=int(spared),
        kind="map" if step.map else "child" if step.kind is StepKind.WORKFLOW else step.kind.value,
        reads=numbered(step.reads),
        job=job,
    )


# Reading


def claimed_step(look: Look, data: str, child: ChildEnded | None = None) -> ClaimedStep:
    """The step of a claimed job with that data. `child`: the end of the sub-workflow that it has waited for."""
    step = msgspec.json.decode(look.text, type=PlannedStep)
    return ClaimedStep(
        step=step,
        scope=_scope(look, step),
        data=data,
        progress=_progress(look, child),
        text_chars=len(look.text),
        is_item=bool(look.item),
        wrong=error_of(look.wrong) if look.wrong else None,
    )


def _progress(look: Look, child: ChildEnded | None) -> StepProgress:
    if not look.phase:
        return Begins(*look.later)
    match Phase(look.phase):
        case Phase.WAIT:
            return HasWaited()
        case Phase.ASK:
            answer, due, now = look.later
            return HasAsked(msgspec.json.decode(answer, type=Answer) if answer else None, due or None, now)
        case Phase.ITEMS:
            row, results, errors, counts = look.later
            stands = msgspec.convert(row, MapRow)
            return ItemsEnded(
                _stats_of(stands), stands.bytes, _by_number(results), _by_number(errors), dict(_pairs(counts))
            )
        case Phase.CHILD:
            assert child is not None  # noqa: S101 - whoever asks has looked for its end
            return child


def _scope(look: Look, planned: PlannedStep) -> ReferenceScope:
    """The values that the step's references lead to."""
    error = None
    if look.failure:
        failure = msgspec.convert(look.failure, FailureRow)
        plain = msgspec.json.decode(failure.error) if failure.error else {}
        told = {key: plain[key] for key in ("class", "message", "category") if key in plain}
        error = msgspec.json.encode({"step": failure.step, **told, "attempts": failure.attempts}).decode()
    ends = {step_id: step_end(row) for row, step_id in zip(look.reads, planned.reads, strict=True)}
    about = {"id": look.workflow, "name": look.name, "state": look.outcome}
    return ReferenceScope(input=look.input, steps=ends, workflow=about, error=error)


def _by_number(flat: Sequence[str]) -> dict[int, str]:
    return {int(number): text for number, text in _pairs(flat)}


def _pairs(flat: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The fields of a HASH, as Lua answers them: name, value, name, value."""
    return zip(flat[::2], flat[1::2], strict=True)


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
        step.why = _why(record, step, states, meant)
    return record


def summary(row: WorkflowRow) -> WorkflowLine:
    """A line of a list as a record."""
    return msgspec.convert(_named(row), WorkflowLine, strict=False)


def approval_record(row: AskingRow) -> ApprovalRecord:
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
    stats = _stats_of(msgspec.convert(row.map, MapRow)).closed() if row.map else None
    return StepEnd(StepState(row.state), row.result or None, row.error or None, stats)


def _step(step: PlannedStep, row: StepRow) -> StepRecord:
    word, *rest = row.ended.split(" ", 7)
    ended_at = int(rest[1]) if rest else None
    job = _with_its_end(of_a_record(row.job, StepJobRow), rest[_OF_AN_END:])
    counts = msgspec.convert(row.map, MapCountsRow) if row.map else None
    stats = _stats_of(counts) if counts else None
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


def _stats_of(row: MapCountsRow | MapRow) -> MapStats:
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


_MOST_OF_A_PROMPT: Final = 300
_STATES: Final[dict[JobState | None, StepState]] = {
    JobState.SCHEDULED: StepState.WAITING,
    JobState.RETRYING: StepState.WAITING,
    JobState.RUNNING: StepState.RUNNING,
    JobState.QUEUED: StepState.QUEUED,
}


def _why(record: WorkflowRecord, step: StepRecord, states: States, meant: Mapping[str, Standing]) -> str | None:
    match step.state:
        case StepState.PENDING:
            needed = waits_for(record.plan, states, step.id)
            return f"it waits for {', '.join(needed[:10])}" if needed else None
        case StepState.SKIPPED:
            ending = Ending(record.ending) if record.ending else None
            return why_skipped(record.plan, states, step.id, meant, ending)
        case StepState.QUEUED:
            held = record.paused and step.job_state is JobState.BLOCKED
            return (
                "the workflow is paused"
                if held
                else f"it waits for a worker of queue {record.plan.by_id[step.id].queue}"
            )
        case StepState.WAITING:
            return _why_waiting(step, paused=record.paused)
    return None


def _why_waiting(step: StepRecord, *, paused: bool) -> str:
    if step.kind is StepKind.APPROVAL:
        asked = step.prompt or ""  # stands in `prompt` as a whole
        more = "…" if len(asked) > _MOST_OF_A_PROMPT else ""
        return f"{WAITS_FOR_A_PERSON}{f': {asked[:_MOST_OF_A_PROMPT]}{more}' if asked else ''}"
    if step.job_state is JobState.RETRYING:
        return "its job waits for its next attempt"
    still = paused and step.job_state is JobState.BLOCKED
    return "it waits for its time, which stands still: the workflow is paused" if still else "it waits for its time"
