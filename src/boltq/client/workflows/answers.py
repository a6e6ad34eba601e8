"""What the API answers about workflows, as typed structs. Fields that are not known are ignored."""

from datetime import datetime
from typing import Any, Final

import msgspec

from boltq.client.answers import Action, Mistake
from boltq.domain.job_error import JobError
from boltq.domain.states import JobState
from boltq.domain.workflow.states import StepState, WorkflowState

_NULL: Final = msgspec.Raw(b"null")


class WorkflowSubmitted(msgspec.Struct, kw_only=True):
    """The answer to a submission. `created` is false when the workflow was there already."""

    id: str
    name: str = ""
    state: WorkflowState = WorkflowState.RUNNING
    created: bool = True
    steps: int = 0
    warnings: list[str] = []  # job types and queues that no live worker takes


class Unserved(msgspec.Struct, kw_only=True):
    """A job type on a queue that no live worker takes now."""

    job_type: str
    queue: str
    reason: str = ""


class WorkflowDryRun(msgspec.Struct, kw_only=True):
    """What would become of a workflow. Nothing was submitted."""

    valid: bool
    errors: list[Mistake] = []
    warnings: list[str] = []
    levels: list[list[str]] = []  # the ids of steps that can run at the same time, level after level
    longest_path: list[str] = []
    job_types: list[str] = []
    unserved: list[Unserved] = []
    steps: int = 0


class WorkflowHead(msgspec.Struct, kw_only=True):
    """What a list and a page of its own both say of a workflow. Times are in UTC."""

    id: str
    name: str
    state: WorkflowState
    ending: str | None = None  # cancelled or timed_out: why it ends, or ended, before its time
    paused: bool = False
    created_at: datetime
    since: datetime  # when it began, or ended
    finished_at: datetime | None = None
    ended: int = 0  # how many steps have ended, in whatever way
    failed: int = 0  # how many have failed
    parent_job: str | None = None  # the job of the step of which it is the sub-workflow
    within: str | None = None  # the workflow of which it is a sub-workflow
    actions: list[Action] = []  # what may be done to it

    @property
    def has_ended(self) -> bool:
        """Whether it is completed, failed or cancelled."""
        return self.state is not WorkflowState.RUNNING


class WorkflowSummary(WorkflowHead, kw_only=True):
    """A workflow as a list shows it."""

    steps: int = 0  # how many it has


class Source(msgspec.Struct, kw_only=True):
    """Where a part of a step's inputs came from."""

    pointer: str  # into the inputs
    reference: str  # such as steps.fetch.result.rows
    step: str | None = None  # the step that it names


class MapCounts(msgspec.Struct, kw_only=True):
    """How far a map's items are."""

    total: int
    begun: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0


class StepAnswer(msgspec.Struct, kw_only=True):
    """What was said to an approval step."""

    decision: str  # approve or reject
    by: str = ""
    data: Any = None
    timed_out: bool = False  # nobody answered in time: its `on_timeout` did


class StepInfo(msgspec.Struct, kw_only=True):
    """A step as it stands. Its inputs and result are decoded when they are asked for."""

    id: str
    group: str = "steps"  # steps, on_failure or finally
    type: str = "job"  # job, wait, approval or workflow
    state: StepState
    why: str | None = None  # why it stands where it stands; None once it completed
    depends_on: list[str] = []
    level: int = 0
    run_if: str = "all_success"
    when: str | None = None
    allow_failure: bool = False
    job_id: str | None = None
    job_type: str | None = None
    job_state: JobState | None = None  # None: the job's record is not kept any more
    queue: str | None = None
    priority: str | None = None
    attempts: int = 0
    deliveries: int = 0
    worker: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    run_ms: int | None = None
    inputs_json: msgspec.Raw = msgspec.field(default=_NULL, name="inputs")
    sources: list[Source] = []  # where each input that has a reference came from
    result_json: msgspec.Raw = msgspec.field(default=_NULL, name="result")
    error: JobError | None = None
    map: MapCounts | None = None
    workflow_id: str | None = None  # of a sub-workflow
    prompt: str | None = None  # of an approval
    due_at: datetime | None = None  # until when it waits
    answer: StepAnswer | None = None
    truncated: bool = False  # inputs and result are left out: the answer would be too large

    @property
    def inputs(self) -> Any:
        """The step's inputs after templating; None before it began, and when the token may not see them."""
        return msgspec.json.decode(self.inputs_json)

    @property
    def result(self) -> Any:
        """The step's result; None while there is none, and when the token may not see it."""
        return msgspec.json.decode(self.result_json)


class ApprovalInfo(msgspec.Struct, kw_only=True):
    """A step that waits for a person."""

    workflow_id: str
    workflow: str = ""  # its name
    paused: bool = False
    step: str
    job_id: str
    prompt: str | None = None
    since: datetime
    due_at: datetime | None = None  # until when it waits
    truncated: bool = False  # the prompt is left out: the answer would be too large


class ItemInfo(msgspec.Struct, kw_only=True):
    """An item of a map as it stands."""

    index: int  # in the list that the map goes over, from 0
    state: StepState
    job_id: str
    job_state: JobState | None = None  # None: the job's record is not kept any more
    attempts: int = 0
    deliveries: int = 0
    worker: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    run_ms: int | None = None
    error: JobError | None = None
    reason: str | None = None  # why it was cancelled
    workflow_id: str | None = None  # of its sub-workflow
    truncated: bool = False  # the error is left out: the answer would be too large


class StepPage(StepInfo, kw_only=True):
    """A step with everything, and a page of the items of its map; `next_cursor` is None at the end."""

    workflow: str = ""
    items: list[ItemInfo] = []
    next_cursor: str | None = None
    hidden: bool = False  # the token may not see inputs, results and errors


class WorkflowInfo(WorkflowHead, kw_only=True):
    """A workflow with everything. Its input, output and form are decoded when they are asked for."""

    steps: list[StepInfo] = []
    generation: int = 1  # one more with each rerun
    latest_generation: int = 1
    deadline: datetime | None = None
    on_failure_policy: str = "fail_fast"
    input_json: msgspec.Raw = msgspec.field(default=_NULL, name="input")
    output_json: msgspec.Raw = msgspec.field(default=_NULL, name="output")
    output_error: str | None = None  # why there is no output: a reference leads nowhere
    form_json: msgspec.Raw = msgspec.field(default=_NULL, name="form")
    levels: list[list[str]] = []
    hidden: bool = False  # the token may not see input, output, inputs, results and errors

    @property
    def input(self) -> Any:
        """The input that the workflow was submitted with."""
        return msgspec.json.decode(self.input_json)

    @property
    def output(self) -> Any:
        """The workflow's output; None until it has completed."""
        return msgspec.json.decode(self.output_json)

    @property
    def form(self) -> Any:
        """The form as it was submitted; None when it was not asked for."""
        return msgspec.json.decode(self.form_json)

    def step(self, step_id: str) -> StepInfo:
        """A step by its id. Raises KeyError."""
        for step in self.steps:
            if step.id == step_id:
                return step
        raise KeyError(step_id)


class StepExplanation(msgspec.Struct, kw_only=True):
    """Why a step stands where it stands."""

    id: str
    state: StepState
    code: str = ""
    text: str = ""
    until: datetime | None = None
    waits_for: list[str] = []  # steps
    job_id: str | None = None
    workflows: list["WorkflowExplanation"] = []  # its sub-workflow; of a map, those of its first items


class WorkflowExplanation(msgspec.Struct, kw_only=True):
    """Why a workflow stands where it stands; the steps that have not ended, failed or were skipped."""

    id: str
    state: WorkflowState
    text: str
    steps: list[StepExplanation] = []


class WorkflowStanding(msgspec.Struct, kw_only=True):
    """Where a workflow stands after something was done to it."""

    id: str
    state: WorkflowState
    ending: str | None = None
    paused: bool = False
    actions: list[Action] = []


class WorkflowRerun(msgspec.Struct, kw_only=True):
    """A workflow that runs again."""

    id: str
    state: WorkflowState
    generation: int
    steps: list[str]  # those that begin anew


class WorkflowSignal(msgspec.Struct, kw_only=True):
    """What became of a person's word."""

    id: str
    step: str
    verdict: str  # taken; kept, for the step does not wait yet; or repeated, for it was said before
