"""A workflow as it is submitted: its JSON as structs. What is not given is None, an empty list, or what stands here."""

from enum import StrEnum
from typing import Annotated, Final, Literal

import msgspec

from boltq.domain.workflow import bounds
from boltq.domain.workflow.reading import read_struct
from boltq.domain.workflow.retries import RetryForm


class StepKind(StrEnum):
    """What a step does."""

    JOB = "job"
    WAIT = "wait"  # for some time, or until a moment
    APPROVAL = "approval"  # for a person's word
    WORKFLOW = "workflow"  # a whole workflow as one step


class FailurePolicy(StrEnum):
    """What a failed step means for the others."""

    FAIL_FAST = "fail_fast"  # no step starts any more, but those that are there for a failure
    CONTINUE = "continue"  # what does not depend on it goes on


RunIfWord = Literal["all_success", "all_done", "one_success", "one_failed", "none_failed"]
OnTimeout = Literal["reject", "approve"]

StepId = Annotated[
    str,
    msgspec.Meta(description=bounds.STEP_ID_RULE, extra_json_schema={"pattern": f"^{bounds.STEP_ID.pattern}$"}),
]
Seconds = Annotated[int | float, msgspec.Meta(description="seconds", extra_json_schema={"exclusiveMinimum": 0})]
Priority = Annotated[
    int | str,
    msgspec.Meta(
        description="high, normal, low (or 2, 1, 0)", extra_json_schema={"enum": ["high", "normal", "low", 2, 1, 0]}
    ),
]
Object = Annotated[msgspec.Raw, msgspec.Meta(description="a JSON object", extra_json_schema={"type": "object"})]
Template = Annotated[
    msgspec.Raw,
    msgspec.Meta(
        description="a JSON object; strings in it may have references, such as {{ steps.fetch.result.rows }}",
        extra_json_schema={"type": "object"},
    ),
]
Expression = Annotated[
    str,
    msgspec.Meta(
        description="an expression, such as steps.fetch.result.rows > 0; when it is false, the step is skipped",
        extra_json_schema={"maxLength": bounds.MAX_EXPRESSION_CHARS},
    ),
]
Tolerance = Annotated[int | str, msgspec.Meta(description='how many items may fail: a number, or a share like "5%"')]

EMPTY: Final = msgspec.Raw(b"{}")
NOTHING: Final = msgspec.Raw(b"null")


class MapForm(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """The step is done once for each item of a list; its params may refer to `item`."""

    over: Annotated[msgspec.Raw, msgspec.Meta(description="a list, or a reference to one")]
    max_concurrency: int | None = None  # items at a time; None: all
    tolerated_failures: Tolerance = 0


class WaitForm(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """How long a step of the type `wait` waits; both may be a reference."""

    seconds: int | float | str | None = None
    until: int | float | str | None = None  # RFC 3339 with a zone, or unix seconds


class ApprovalForm(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """What a person is asked, and what no answer means."""

    prompt: str = ""
    timeout_seconds: Seconds | None = None
    on_timeout: OnTimeout = "reject"


class AtLeastForm(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The rule that so many parents must have succeeded."""

    at_least: int


RunIf = RunIfWord | AtLeastForm


class StepForm(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """One step. `type` may be left out: it is told by `wait`, `approval` or `workflow`, and is `job` otherwise."""

    id: StepId | None = None  # None: step-1, step-2 … in order
    type: StepKind | None = None
    job_type: str | None = None
    params: Template = msgspec.field(default_factory=lambda: EMPTY)
    depends_on: list[str] | None = None  # None: the steps that it refers to
    queue: str | None = None
    priority: Priority | None = None
    retry: RetryForm | None = None
    timeout_seconds: Seconds | None = None  # of one run of the job, or of the sub-workflow
    allow_failure: bool = False
    run_if: RunIf = "all_success"
    when: Expression | None = None
    map: MapForm | None = None
    wait: WaitForm | None = None
    approval: ApprovalForm | None = None
    workflow: "WorkflowForm | None" = None  # the step's params are its input

    @property
    def kind(self) -> StepKind:
        """What the step does."""
        if self.type is not None:
            return self.type
        told = ((StepKind.WAIT, self.wait), (StepKind.APPROVAL, self.approval), (StepKind.WORKFLOW, self.workflow))
        return next((kind for kind, given in told if given is not None), StepKind.JOB)


class WorkflowForm(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """The body of POST /api/v1/workflows. Data is kept as it was written: key order and big numbers survive."""

    name: str
    steps: list[StepForm]
    input: Object = msgspec.field(default_factory=lambda: EMPTY)
    on_failure_policy: FailurePolicy = FailurePolicy.FAIL_FAST
    on_failure: list[StepForm] = []
    finally_: list[StepForm] = msgspec.field(default_factory=list, name="finally")
    output: Annotated[msgspec.Raw, msgspec.Meta(description="JSON with references: what the workflow results in")] = (
        msgspec.field(default_factory=lambda: NOTHING)
    )
    timeout_seconds: Seconds | None = None  # of all its steps; on_failure and finally come after
    priority: Priority | None = None  # of its steps that do not say it themselves
    queue: str | None = None  # the same
    tags: list[str] = []
    idempotency_key: str | None = None
    metadata: Object = msgspec.field(default_factory=lambda: EMPTY)  # for those who draw it; nobody else reads it


def read_form(body: bytes | str) -> WorkflowForm:
    """The form that a JSON text is. Raises InvalidWorkflow with every field of a wrong type or name."""
    return read_struct(body.encode() if isinstance(body, str) else body, WorkflowForm)


def as_json(form: WorkflowForm) -> str:
    """The JSON text of a form. `read_form` reads it back."""
    return msgspec.json.encode(form).decode()
