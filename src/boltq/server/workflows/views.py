"""Workflows as they go out: a line of a list, a whole workflow with its steps, and where one stands after an action."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from boltq.broker.workflows.records import (
    ApprovalRecord,
    ItemPage,
    ItemRecord,
    StepData,
    StepRecord,
    WorkflowLine,
    WorkflowRecord,
)
from boltq.broker.workflows.why import WAITS_FOR_A_PERSON
from boltq.domain.job_error import JobError
from boltq.domain.states import JobState
from boltq.domain.workflow.approvals import Answer, AnswerWord
from boltq.domain.workflow.form import FailurePolicy, StepKind
from boltq.domain.workflow.plan import Group, PlannedStep, Rule, describe
from boltq.domain.workflow.states import ENDED, StepState, WorkflowState
from boltq.domain.workflow.uses import Use, uses_in, value_of
from boltq.server.http.moments import rfc3339
from boltq.server.views.common import NO_RIGHT, ActionView, Rights, raw_or_none

EndingText = Annotated[
    Literal["cancelled", "timed_out"] | None, msgspec.Meta(description="why it ends, or ended, before its time")
]


class WorkflowSubmittedView(msgspec.Struct, kw_only=True):
    """The answer to a workflow."""

    id: str
    name: str
    state: Annotated[
        WorkflowState | None, msgspec.Meta(description="null: it was there already, and is no longer kept")
    ]
    created: Annotated[bool, msgspec.Meta(description="false: the workflow was there already")]
    steps: Annotated[int, msgspec.Meta(description="those of sub-workflows included")]
    warnings: list[str] = []


class WorkflowHeadView(msgspec.Struct, kw_only=True):
    """What lists and the view of one workflow say."""

    id: str
    name: str
    state: WorkflowState
    ending: EndingText
    paused: bool
    created_at: str
    since: Annotated[str, msgspec.Meta(description="when it began, or ended")]
    finished_at: str | None
    ended: Annotated[int, msgspec.Meta(description="steps that have ended")]
    failed: Annotated[int, msgspec.Meta(description="steps that have failed")]
    parent_job: Annotated[str | None, msgspec.Meta(description="the job of the step of which it is the sub-workflow")]
    within: Annotated[str | None, msgspec.Meta(description="the workflow of which it is a sub-workflow")]
    actions: list[ActionView]


class WorkflowSummaryView(WorkflowHeadView, kw_only=True):
    """A workflow as a list shows it."""

    steps: int


class WorkflowsView(msgspec.Struct):
    """One page of workflows; `next_cursor` is null at the end. A page may be empty and not the last."""

    items: list[WorkflowSummaryView]
    next_cursor: str | None


class SourceView(msgspec.Struct, kw_only=True):
    """Where a piece of a step's inputs comes from."""

    pointer: Annotated[str, msgspec.Meta(description="JSON pointer (RFC 6901) into the inputs")]
    reference: str
    step: Annotated[str | None, msgspec.Meta(description="the step that it names; null: it is of something else")]


class MapView(msgspec.Struct, kw_only=True):
    """The items of a map: how many there are, and how many have begun and ended."""

    total: int
    begun: int
    completed: int
    failed: int
    cancelled: int


class AnswerView(msgspec.Struct, kw_only=True):
    """What a person decided, or nobody in time."""

    decision: AnswerWord
    data: Annotated[msgspec.Raw | None, msgspec.Meta(description="JSON; null without the scope payload")]
    by: str
    timed_out: bool


class StepView(msgspec.Struct, kw_only=True):
    """A step with everything."""

    id: str
    group: Group
    type: StepKind
    state: StepState
    why: Annotated[
        str | None,
        msgspec.Meta(description="why it stands where it stands, as explain says; null once it completed"),
    ]
    depends_on: list[str]
    level: Annotated[int, msgspec.Meta(description="steps on the longest way to it, in its group")]
    run_if: Annotated[str, msgspec.Meta(description="a rule; `at_least` with its number, such as `at_least 2`")]
    when: str | None
    allow_failure: bool
    job_id: str
    job_type: Annotated[str | None, msgspec.Meta(description="null: a worker of BoltQ itself does the step")]
    job_state: Annotated[JobState | None, msgspec.Meta(description="null: the job's record is not kept any more")]
    queue: str
    priority: str
    attempts: int
    deliveries: int
    worker: str | None
    started_at: str | None
    ended_at: str | None
    run_ms: int | None
    inputs: Annotated[
        msgspec.Raw | None,
        msgspec.Meta(description="its params with all references filled in; null before it began. JSON"),
    ]
    sources: list[SourceView]
    result: Annotated[msgspec.Raw | None, msgspec.Meta(description="JSON")]
    error: Annotated[JobError | None, msgspec.Meta(description="while it is tried again, of the last run")]
    map: MapView | None
    workflow_id: Annotated[str | None, msgspec.Meta(description="of its sub-workflow")]
    prompt: Annotated[str | None, msgspec.Meta(description="what a person is asked, while the step waits")]
    due_at: Annotated[str | None, msgspec.Meta(description="until when it waits")]
    answer: AnswerView | None
    truncated: Annotated[
        bool,
        msgspec.Meta(
            description="something was left out: all steps share 4 MiB for data, and 2 MiB for errors and answers"
        ),
    ]


class ApprovalView(msgspec.Struct, kw_only=True):
    """A step that waits for a person."""

    workflow_id: str
    workflow: Annotated[str, msgspec.Meta(description="its name")]
    paused: bool
    step: str
    job_id: str
    prompt: Annotated[str | None, msgspec.Meta(description="what the person is asked; null without the scope payload")]
    since: str
    due_at: Annotated[
        str | None,
        msgspec.Meta(description="until when it waits; null: for ever, or its workflow is paused"),
    ]
    truncated: Annotated[bool, msgspec.Meta(description="the prompt was left out: those of a page share 1 MiB")]


class ApprovalsView(msgspec.Struct):
    """One page of steps that wait for a person. A page may be empty and not the last."""

    items: list[ApprovalView]
    next_cursor: str | None


class ItemView(msgspec.Struct, kw_only=True):
    """An item of a map. Its job has the rest: what it was given, its result, its log."""

    index: Annotated[int, msgspec.Meta(description="in the list that the map goes over, from 0")]
    state: Annotated[StepState, msgspec.Meta(description="pending: it has not begun")]
    job_id: str
    job_state: Annotated[JobState | None, msgspec.Meta(description="null: the job's record is not kept any more")]
    attempts: int
    deliveries: int
    worker: str | None
    started_at: str | None
    ended_at: str | None
    run_ms: int | None
    error: Annotated[JobError | None, msgspec.Meta(description="while it is tried again, of the last run")]
    reason: Annotated[str | None, msgspec.Meta(description="why it was cancelled")]
    workflow_id: Annotated[str | None, msgspec.Meta(description="of its sub-workflow")]
    truncated: Annotated[bool, msgspec.Meta(description="the error was left out: those of a page share 1 MiB")]


class StepPageView(StepView, kw_only=True):
    """A step with everything, and a page of the items of its map. A page may be empty and not the last."""

    workflow: Annotated[str, msgspec.Meta(description="of which it is a step")]
    items: Annotated[list[ItemView], msgspec.Meta(description="in their order; none of a step without a map")]
    next_cursor: str | None
    hidden: Annotated[bool, msgspec.Meta(description="true: what was submitted and said needs the scope payload")]


class WorkflowView(WorkflowHeadView, kw_only=True):
    """A workflow with all its steps."""

    generation: Annotated[int, msgspec.Meta(description="1; one more with each rerun")]
    latest_generation: int
    deadline: Annotated[str | None, msgspec.Meta(description="when its time is up")]
    on_failure_policy: FailurePolicy
    input: Annotated[msgspec.Raw | None, msgspec.Meta(description="a JSON object")]
    output: Annotated[msgspec.Raw | None, msgspec.Meta(description="JSON, once it has completed")]
    output_error: Annotated[str | None, msgspec.Meta(description="why it has no output though it has completed")]
    form: Annotated[
        msgspec.Raw | None, msgspec.Meta(description="as it was submitted, where it was asked for. A JSON object")
    ]
    levels: Annotated[
        list[list[str]], msgspec.Meta(description="its steps, handlers aside, by the longest way to them")
    ]
    steps: Annotated[list[StepView], msgspec.Meta(description="in an order in which they can run")]
    hidden: Annotated[bool, msgspec.Meta(description="true: what was submitted and said needs the scope payload")]


class WorkflowStandingView(msgspec.Struct, kw_only=True):
    """Where a workflow stands after something was done to it."""

    id: str
    state: WorkflowState
    ending: EndingText
    paused: bool
    actions: list[ActionView]


class RerunView(msgspec.Struct, kw_only=True):
    """A workflow that runs again."""

    id: str
    state: WorkflowState
    generation: int
    steps: Annotated[list[str], msgspec.Meta(description="those that begin anew")]


class SignalledView(msgspec.Struct, kw_only=True):
    """What became of an answer."""

    id: str
    step: str
    verdict: Annotated[
        Literal["taken", "kept", "repeated"],
        msgspec.Meta(description="kept: the step does not wait yet, and will find it"),
    ]


def summary_view(found: WorkflowLine, rights: Rights) -> WorkflowSummaryView:
    """A workflow for a list."""
    return WorkflowSummaryView(**_head(found, rights), ended=found.ended, failed=found.failed, steps=found.steps)


def standing_view(found: WorkflowLine, rights: Rights) -> WorkflowStandingView:
    """Where a workflow stands."""
    return WorkflowStandingView(
        id=found.id,
        state=found.state,
        ending=_ending(found),
        paused=found.paused,
        actions=workflow_actions(found, rights),
    )


def workflow_view(
    record: WorkflowRecord,
    data: Mapping[str, StepData],
    whys: Mapping[str, str],
    output: tuple[str | None, str | None],
    rights: Rights,
) -> WorkflowView:
    """A workflow with everything that one may see. `data` of the steps may be empty for who may see none.

    `whys`: why its steps stand where they do. `output`: it, or why there is none.
    """
    seen = rights.payload
    return WorkflowView(
        **_head(record, rights),
        ended=sum(step.state in ENDED for step in record.steps),
        failed=sum(step.state is StepState.FAILED for step in record.steps),
        generation=record.generation,
        latest_generation=record.latest,
        deadline=rfc3339(record.deadline),
        on_failure_policy=record.plan.policy,
        input=raw_or_none(record.plan.input) if seen else None,
        output=raw_or_none(output[0]) if seen else None,
        output_error=output[1] if seen else None,
        form=raw_or_none(record.form) if seen else None,
        levels=describe(record.plan).levels,
        steps=[
            _step(record, step, data.get(step.id) or StepData(), whys.get(step.id), rights) for step in record.steps
        ],
        hidden=not seen,
    )


def step_page_view(
    record: WorkflowRecord, step: StepRecord, data: StepData, why: str | None, page: ItemPage, rights: Rights
) -> StepPageView:
    """A step with a page of its items."""
    shown = _step(record, step, data, why, rights)
    return StepPageView(
        **{name: getattr(shown, name) for name in StepView.__struct_fields__},
        workflow=record.id,
        items=[_item(item, rights) for item in page.items],
        next_cursor=page.cursor,
        hidden=not rights.payload,
    )


def _item(item: ItemRecord, rights: Rights) -> ItemView:
    return ItemView(
        **_job_of(item, rights),
        index=item.index,
        reason=item.reason,
        truncated=item.truncated,
    )


def _job_of(found: StepRecord | ItemRecord, rights: Rights) -> dict[str, Any]:
    """What a step and an item of a map say of the job that does it."""
    began, ended = found.started_at, found.ended_at
    return {
        "state": found.state,
        "job_id": found.job_id,
        "job_state": found.job_state,
        "attempts": found.attempts,
        "deliveries": found.deliveries,
        "worker": found.worker,
        "started_at": rfc3339(began),
        "ended_at": rfc3339(ended),
        "run_ms": None if began is None or ended is None else max(0, ended - began),
        "error": raw_or_none(found.error) if rights.payload else None,
        "workflow_id": found.workflow_id,
    }


def approval_view(found: ApprovalRecord, rights: Rights) -> ApprovalView:
    """A step that waits for a person."""
    return ApprovalView(
        workflow_id=found.workflow_id,
        workflow=found.workflow,
        paused=found.paused,
        step=found.step,
        job_id=found.job_id,
        prompt=found.prompt if rights.payload else None,
        since=rfc3339(found.since) or "",
        due_at=rfc3339(found.due_at),
        truncated=found.truncated,
    )


def workflow_actions(found: WorkflowLine | WorkflowRecord, rights: Rights) -> list[ActionView]:
    """What may be done to a workflow, and why the rest may not."""
    running = found.state is WorkflowState.RUNNING
    over = None if running else f"a {found.state} workflow has ended"
    ends = f"it is being ended already ({found.ending})" if found.ending else None
    reasons = {
        "cancel": over or ends,
        "pause": over or ("it is paused already" if found.paused else None),
        "resume": over or (None if found.paused else "it is not paused"),
        "rerun": "it has not ended" if running else None,
        "delete": _why_not_deleted(found),
    }
    right = None if rights.operate else NO_RIGHT
    if isinstance(found, WorkflowRecord) and found.generation != found.latest:
        reasons = dict.fromkeys(reasons, "it has run again since")
    return [
        ActionView(name=name, allowed=not (reason or right), reason=reason or right) for name, reason in reasons.items()
    ]


def _why_not_deleted(found: WorkflowLine | WorkflowRecord) -> str | None:
    if found.state is WorkflowState.RUNNING:
        return "it has not ended: cancel it first"
    return f"it is part of workflow {found.within}: delete that" if found.within else None


def _head(found: WorkflowLine | WorkflowRecord, rights: Rights) -> dict[str, Any]:
    ended = found.state is not WorkflowState.RUNNING
    return {
        "id": found.id,
        "name": found.name,
        "state": found.state,
        "ending": _ending(found),
        "paused": found.paused,
        "created_at": rfc3339(found.created_at),
        "since": rfc3339(found.since),
        "finished_at": rfc3339(found.since) if ended else None,
        "parent_job": found.parent_job,
        "within": found.within,
        "actions": workflow_actions(found, rights),
    }


def _ending(found: WorkflowLine | WorkflowRecord) -> Any:
    return found.ending


def _step(record: WorkflowRecord, step: StepRecord, data: StepData, why: str | None, rights: Rights) -> StepView:
    planned, seen = record.plan.by_id[step.id], rights.payload
    return StepView(
        **_job_of(step, rights),
        id=step.id,
        group=step.group,
        type=step.kind,
        why=why or why_text(step, rights),
        depends_on=list(planned.parents),
        level=planned.level,
        run_if=f"{planned.rule} {planned.at_least}" if planned.rule is Rule.AT_LEAST else planned.rule.value,
        when=planned.when,
        allow_failure=planned.allow_failure,
        job_type=step.job_type or None,
        queue=planned.queue,
        priority=planned.priority.word,
        inputs=raw_or_none(data.inputs) if seen else None,
        sources=_sources(planned),
        result=raw_or_none(data.result) if seen else None,
        map=_map(step),
        prompt=step.prompt if seen else None,
        due_at=rfc3339(step.due_at),
        answer=_answer(step, rights),
        truncated=data.truncated or step.truncated,
    )


def why_text(step: StepRecord, rights: Rights) -> str | None:
    """Why a step waits or was skipped; what a person is asked is for those only who may see what is in jobs."""
    if step.prompt and not rights.payload:
        return WAITS_FOR_A_PERSON
    return step.why


def _sources(planned: PlannedStep) -> list[SourceView]:
    uses = uses_in(value_of(msgspec.Raw(planned.params.encode())), "", "params") if planned.refers else ()
    return [
        SourceView(pointer=use.at, reference=use.reference.text, step=use.reference.step)
        for use in uses
        if isinstance(use, Use)
    ]


def _map(step: StepRecord) -> MapView | None:
    stats = step.stats
    if stats is None:
        return None
    return MapView(
        total=stats.total,
        begun=step.begun or 0,
        completed=stats.completed,
        failed=stats.failed,
        cancelled=stats.cancelled,
    )


def _answer(step: StepRecord, rights: Rights) -> AnswerView | None:
    if step.answer is None:
        return None
    found = msgspec.json.decode(step.answer, type=Answer)
    return AnswerView(
        decision=found.decision,
        data=found.data if rights.payload else None,
        by=found.by,
        timed_out=found.timed_out,
    )
