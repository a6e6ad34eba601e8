"""A workflow as it is submitted: its JSON as structs. What is not given is None, an empty list, or what stands here.

Some things may be said in two ways, such as `timeout` and `timeout_seconds`: spellings.py makes one of them. The
descriptions are those of the API and of docs/reference/workflow-form.md.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, ClassVar, Final, Literal

import msgspec

from boltq.domain import limits
from boltq.domain.job_error import Category
from boltq.domain.workflow import bounds
from boltq.domain.workflow.durations import DURATION_PATTERN, DURATION_RULE
from boltq.domain.workflow.reading import read_leniently, read_struct


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


RunIfWord = Literal[
    "all_success",
    "all_done",
    "all_failed",
    "all_skipped",
    "one_success",
    "one_failed",
    "one_done",
    "none_failed",
    "none_failed_min_one_success",
]
OnTimeout = Literal["reject", "approve"]
Pace = Literal["exponential", "fixed"]

# The schemas say what is checked elsewhere, in better words and all mistakes at once.
StepId = Annotated[
    str,
    msgspec.Meta(description=bounds.STEP_ID_RULE, extra_json_schema={"pattern": f"^{bounds.STEP_ID.pattern}$"}),
]
Duration = Annotated[
    int | float | str,
    msgspec.Meta(description=DURATION_RULE, extra_json_schema={"pattern": f"^{DURATION_PATTERN}$"}),
]
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
Pause = Annotated[int | float | str, msgspec.Meta(description=f"{DURATION_RULE}; or a reference to one")]
Moment = Annotated[
    int | float | str, msgspec.Meta(description="RFC 3339 with a zone, or unix seconds; or a reference to one")
]
Prompt = Annotated[
    str,
    msgspec.Meta(
        description="what the person is asked; it may have references",
        extra_json_schema={"maxLength": bounds.MAX_PROMPT_CHARS},
    ),
]
AfterTimeout = Annotated[OnTimeout, msgspec.Meta(description="what no answer in time means")]

EMPTY: Final = msgspec.Raw(b"{}")
NOTHING: Final = msgspec.Raw(b"null")

_NO_TENANTS: Final = "there are no tenants: use tags, or a queue of its own"
_NO_BATCHES: Final = "each item is a job of its own: make the items larger instead"
_NO_VERSIONS: Final = "there are no named workflows: the form is sent whole"


class BackoffForm(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """How long a job waits before it is tried again: `base * factor ^ (attempt - 1)`, at most the cap."""

    EXPECTED: ClassVar[str] = 'an object such as {"base_seconds": 2, "factor": 3}'

    base_seconds: Annotated[Duration, msgspec.Meta(description="the longest wait after the first attempt")] = 1.0
    factor: Annotated[int | float, msgspec.Meta(description="by how much it grows, from 1 to 100")] = 2.0
    cap_seconds: Annotated[
        Duration | None, msgspec.Meta(description="it grows no further; null: 300, or the base if that is more")
    ] = None
    floor_seconds: Annotated[
        Duration | None, msgspec.Meta(description="the shortest wait; null: 0.1, or the base if that is less")
    ] = None
    jitter: Annotated[
        bool, msgspec.Meta(description="a random time from the shortest to the longest wait; false: the longest")
    ] = True


class RetryForm(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """Whether and when a failed job is tried again. What is left out is as the task has it."""

    max_attempts: Annotated[
        int | None, msgspec.Meta(description=f"runs, the first one counts: from 1 to {limits.MAX_ATTEMPTS}")
    ] = None
    backoff: Annotated[
        BackoffForm | Pace | None,
        msgspec.Meta(
            description="exponential doubles the wait each time, fixed keeps it; or an object that says it all"
        ),
    ] = None
    base: Annotated[Duration | None, msgspec.Meta(description="the longest wait after the first attempt; null: 1")] = (
        None
    )
    max: Annotated[
        Duration | None, msgspec.Meta(description="it grows no further; null: 300, or the base if that is more")
    ] = None
    jitter: Annotated[
        bool | None,
        msgspec.Meta(description="a random time up to that wait; null: true for exponential, false for fixed"),
    ] = None
    on: Annotated[
        list[Category] | None, msgspec.Meta(description="the categories of error that are worth another attempt")
    ] = None


class MapForm(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """The step is done once for each item of a list; its params may refer to `item`."""

    ABSENT: ClassVar[Mapping[str, str]] = {"batch_size": _NO_BATCHES}

    over: Annotated[
        msgspec.Raw, msgspec.Meta(description=f"a list of at most {bounds.MAX_MAP_ITEMS} items, or a reference to one")
    ]
    as_: Annotated[
        Literal["item"] | None, msgspec.Meta(description="how params call the item; there is only this name")
    ] = msgspec.field(default=None, name="as")
    max_concurrency: Annotated[
        int | None,
        msgspec.Meta(description=f"items at a time, from 1 to {bounds.MAX_MAP_ITEMS}; null: all"),
    ] = None
    tolerated_failures: Tolerance = 0
    tolerate_failures: Annotated[Tolerance | None, msgspec.Meta(description="the same as tolerated_failures")] = None


class WaitForm(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """How long a step of the type `wait` waits: one of the two."""

    seconds: Pause | None = None
    until: Moment | None = None


class ApprovalForm(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """What a person is asked, and what no answer means."""

    prompt: Prompt = ""
    timeout_seconds: Annotated[
        Duration | None, msgspec.Meta(description="how long the answer may take; null: for ever")
    ] = None
    on_timeout: AfterTimeout = "reject"


class AtLeastForm(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The rule that so many parents must have completed."""

    EXPECTED: ClassVar[str] = '{"at_least": 2}'

    at_least: Annotated[int, msgspec.Meta(description="from 1 to the number of steps that it depends on")]


RunIf = RunIfWord | AtLeastForm


class StepForm(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """One step. `type` may be left out: it is told by `wait`, `approval` or `workflow`, and is `job` otherwise."""

    ABSENT: ClassVar[Mapping[str, str]] = {"tenant": _NO_TENANTS, "version": _NO_VERSIONS, "as": "a field of map"}
    STAND_IN: ClassVar[bytes] = b'{"job_type": "x"}'
    STAND_INS: ClassVar[Mapping[str, bytes]] = {
        "map": b'{"over": []}',
        "workflow": b'{"name": "x", "steps": [{"job_type": "x"}]}',
    }

    id: Annotated[StepId | None, msgspec.Meta(description="null: step-1, step-2 and so on, by its place")] = None
    type: Annotated[
        StepKind | None, msgspec.Meta(description="null: told by wait, approval or workflow; otherwise job")
    ] = None
    job_type: Annotated[str | None, msgspec.Meta(description=f"job: its type. {limits.NAME_RULE}")] = None
    params: Annotated[
        Template, msgspec.Meta(description="job: its data; workflow: its input. Strings may have references")
    ] = msgspec.field(default_factory=lambda: EMPTY)
    depends_on: Annotated[
        list[str] | None,
        msgspec.Meta(description="the steps that must have ended before it; null: those that it refers to"),
    ] = None
    queue: Annotated[str | None, msgspec.Meta(description="job: its queue; null: the workflow's")] = None
    priority: Annotated[Priority | None, msgspec.Meta(description="job: high, normal, low; null: the workflow's")] = (
        None
    )
    retry: Annotated[RetryForm | None, msgspec.Meta(description="job: whether and when it is tried again")] = None
    timeout_seconds: Annotated[Duration | None, msgspec.Meta(description="the same as timeout")] = None
    timeout: Annotated[
        Duration | None,
        msgspec.Meta(
            description="job: how long one run may take, at most 7 days; approval: how long the answer may take;"
            " workflow: how long all of it may take"
        ),
    ] = None
    allow_failure: Annotated[
        bool, msgspec.Meta(description="if it fails, the workflow does not: steps after it run as if it had completed")
    ] = False
    run_if: Annotated[RunIf, msgspec.Meta(description="how the steps that it depends on must have ended")] = (
        "all_success"
    )
    when: Expression | None = None
    map: Annotated[MapForm | None, msgspec.Meta(description="job and workflow: do it once for each item of a list")] = (
        None
    )
    wait: Annotated[WaitForm | None, msgspec.Meta(description="wait: how long")] = None
    for_: Annotated[Pause | None, msgspec.Meta(description="wait: the same as wait.seconds")] = msgspec.field(
        default=None, name="for"
    )
    seconds: Annotated[Pause | None, msgspec.Meta(description="wait: the same as wait.seconds")] = None
    until: Annotated[Moment | None, msgspec.Meta(description="wait: the same as wait.until")] = None
    approval: Annotated[ApprovalForm | None, msgspec.Meta(description="approval: what is asked")] = None
    prompt: Annotated[Prompt | None, msgspec.Meta(description="approval: the same as approval.prompt")] = None
    on_timeout: Annotated[
        AfterTimeout | None, msgspec.Meta(description="approval: the same as approval.on_timeout")
    ] = None
    workflow: Annotated["WorkflowForm | None", msgspec.Meta(description="workflow: its form")] = None
    input: Annotated[Template, msgspec.Meta(description="workflow: the same as params")] = msgspec.field(
        default_factory=lambda: EMPTY
    )

    @property
    def kind(self) -> StepKind:
        """What the step does."""
        if self.type is not None:
            return self.type
        told = ((StepKind.WAIT, self.wait), (StepKind.APPROVAL, self.approval), (StepKind.WORKFLOW, self.workflow))
        return next((kind for kind, given in told if given is not None), StepKind.JOB)


class WorkflowForm(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """The body of POST /api/v1/workflows. Data is kept as it was written: key order and big numbers survive."""

    ABSENT: ClassVar[Mapping[str, str]] = {"tenant": _NO_TENANTS, "version": _NO_VERSIONS, "definition": _NO_VERSIONS}
    EXPECTED: ClassVar[str] = "a workflow's form is expected here, not a name"
    STAND_INS: ClassVar[Mapping[str, bytes]] = {"name": b'"x"', "steps": b'[{"job_type": "x"}]'}

    name: Annotated[str, msgspec.Meta(description=f"for people and for lists: 1 to {limits.MAX_NAME_CHARS} characters")]
    steps: Annotated[
        list[StepForm],
        msgspec.Meta(description=f"1 to {bounds.MAX_STEPS}; handlers and the steps of sub-workflows count"),
    ]
    input: Annotated[Object, msgspec.Meta(description="what steps refer to as input")] = msgspec.field(
        default_factory=lambda: EMPTY
    )
    on_failure_policy: Annotated[
        FailurePolicy,
        msgspec.Meta(
            description="fail_fast: after a failure nothing begins any more; continue: what does not need it goes on"
        ),
    ] = FailurePolicy.FAIL_FAST
    on_failure: Annotated[list[StepForm], msgspec.Meta(description="steps that run when one has failed")] = []
    finally_: Annotated[
        list[StepForm], msgspec.Meta(description="steps that run at the end in any case, also after a cancel")
    ] = msgspec.field(default_factory=list, name="finally")
    output: Annotated[
        msgspec.Raw, msgspec.Meta(description="what the workflow results in: JSON of any kind, with references")
    ] = msgspec.field(default_factory=lambda: NOTHING)
    timeout_seconds: Annotated[Duration | None, msgspec.Meta(description="the same as timeout")] = None
    timeout: Annotated[
        Duration | None,
        msgspec.Meta(description="how long its steps may take together; on_failure and finally come after it"),
    ] = None
    priority: Annotated[
        Priority | None, msgspec.Meta(description="of the steps that do not say it themselves; null: normal")
    ] = None
    queue: Annotated[
        str | None, msgspec.Meta(description="of the steps that do not say it themselves; null: default")
    ] = None
    tags: Annotated[
        list[str],
        msgspec.Meta(description=f"at most {limits.MAX_TAGS} tags of the jobs of its steps, to find them by"),
    ] = []
    idempotency_key: Annotated[
        str | None,
        msgspec.Meta(description=f"what has the same key is submitted once; at most {limits.MAX_KEY_CHARS} characters"),
    ] = None
    metadata: Annotated[Object, msgspec.Meta(description="for those who draw it; nobody else reads it")] = (
        msgspec.field(default_factory=lambda: EMPTY)
    )


def read_form(body: bytes | str) -> WorkflowForm:
    """The form that a JSON text is. Raises InvalidWorkflow with every field of a wrong type or name."""
    return read_struct(body.encode() if isinstance(body, str) else body, WorkflowForm)


def read_form_leniently(body: bytes) -> tuple[WorkflowForm | None, list[tuple[str, str]]]:
    """The form that is left when unknown fields and values of a wrong type are taken out, and those mistakes.

    No form when the rest cannot be understood without them. Raises InvalidWorkflow for what is no JSON.
    """
    return read_leniently(body, WorkflowForm)


def as_json(form: WorkflowForm) -> str:
    """The JSON text of a form. `read_form` reads it back."""
    return msgspec.json.encode(form).decode()
