"""Workflows, their steps and their items as they stand, and pages of them."""

import msgspec

from boltq.broker.contract import (
    StepDataRow,
)
from boltq.domain.states import JobState
from boltq.domain.workflow.form import StepKind
from boltq.domain.workflow.plan import Group, Plan
from boltq.domain.workflow.states import MapStats, StepState, WorkflowState


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


class WorkflowPage(msgspec.Struct, frozen=True):
    """One page of workflows; `cursor` None at the end. It may be empty and not the end."""

    workflows: list[WorkflowLine]
    cursor: str | None


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
