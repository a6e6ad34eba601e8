"""Rows that Lua and Python exchange: which fields each has, in which order, by which name.

A row is a list, for that is what the store is fast with. Python reads it as a struct; Lua makes and reads it by these
names too, and is given the places when the library is assembled (see `named_rows.py`). Who adds a field on one side
only gets no library. `field(name=…)`: Lua's word for it, where that is another.
"""

from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec import field

from boltq.broker.settling import Settling
from boltq.domain.api_keys import ApiKey
from boltq.domain.job import ClaimedJob, PastRun
from boltq.domain.states import JobState
from boltq.domain.workflow.phases import Phase
from boltq.domain.workflow.states import StepState, WorkflowState


class NamedRow(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """What crosses the wall as a list. Whatever has no default must be named where Lua makes the row."""


class JobRow(NamedRow):
    """A job as it is stored, as lua/lib/reading.lua reads it: its record's fields by their names there. Times in ms.

    Lua says "" for what is not there. A field that goes into a `JobRecord` as it is has the same name in that.
    """

    id: str
    due_at: int | None = field(name="due")  # not of the record
    state: JobState
    route: str
    created_at: int = field(name="at")
    since: int
    deliveries: int | None = field(name="n")
    attempts: int | None = field(name="tries")
    losses: int | None = field(name="lost")
    worker: str | None
    took: int | None
    error: str | None
    reason: str | None
    cancel: str | None
    progress: str | None
    expires_at: int | None = field(name="expires")
    tags: str | None
    flow: str | None
    spec: str | None  # lists end here: they show no payloads
    data: str | None = None
    result: str | None = None
    created_by: str | None = field(name="by", default=None)
    replay_of: str | None = None
    replays: str | None = None
    unlogged: int | None = None


class NewJobRow(NamedRow):
    """A new job as lua/submit.lua takes it. Times in milliseconds; 0 and "" where there is none."""

    id: str
    route: str
    data: str
    spec: str
    delay: int
    run_at: int
    expires_in: int
    expires_at: int
    key: str
    digest: str
    tags: str | None  # None, here and below: at a list's end that is read faster
    created_by: str | None = field(name="by")


class WholeJobRow(NamedRow):
    """A job with all that belongs to it: see lua/get.lua."""

    job: list[str | int]  # a JobRow
    log: list[str]
    runs: list[PastRun]
    place: list[Any]  # of a step: its workflow, its name, and which item of a map it is, or 0


class QueueRow(NamedRow):
    """Numbers of one queue of one partition: see lua/stats.lua. Times in milliseconds."""

    name: str
    paused: int
    limit: int  # 0: none
    high: int
    normal: int
    low: int
    parked: int
    running: int
    scheduled: int
    retrying: int
    completed: int
    dead: int
    cancelled: int
    completed_total: int  # since the queue began
    dead_total: int
    cancelled_total: int
    oldest_queued_at: int  # 0: none is queued
    paused_by: str
    paused_reason: str
    paused_at: int  # 0: it is not paused
    blocked: int

    @property
    def queued(self) -> int:
        """All that wait in its lists."""
        return self.high + self.normal + self.low + self.parked


class SoughtJob(NamedRow):
    """What a search reads of each job, only among Lua's own files: see lua/lib/search.lua."""

    state: str
    since: str
    route: str
    at: str
    worker: str
    tags: str
    parked: str
    ghost: str
    error: str


class FailureGroupRow(NamedRow):
    """Dead jobs of a queue that failed alike: see lua/failures.lua. Times in milliseconds."""

    key: str
    sample: str  # id of the newest
    error: str  # its error without the traceback
    count: int
    recent: int
    first_at: int
    last_at: int
    types: dict[str, int]


class WorkerRow(NamedRow):
    """A worker as the store knows it: see lua/workers.lua. Times in milliseconds."""

    id: str
    lease_ends_at: int
    info: str
    queues: str
    types: str
    vitals: str
    since: int
    state: str
    holds: int


class WorkflowRow(NamedRow):
    """A workflow as a line of a list: see lua/lib/reading.lua. Times in milliseconds."""

    id: str
    name: str
    state: WorkflowState
    created_at: int
    since: int
    ending: str
    paused: int
    parent_job: str
    generation: int
    steps: int
    ended: int
    failed: int
    within: str


class StepInfoRow(NamedRow):
    """What is stored of a step. New fields stand at the end: a store has rows that were written without them.

    Steps go by their numbers, from 1. `job`: see lua/lib/flow.lua; what is known of an old step anew has none.
    """

    id: str
    group: int
    parents: list[int]
    awaits: list[int]
    dependents: list[int]
    rule: str
    at_least: int
    allow_failure: int
    spared: int
    kind: str
    reads: list[int]
    job: str


class MapCountsRow(NamedRow):
    """How a map stands: its items, and those that have begun and ended."""

    total: int
    begun: int
    completed: int
    failed: int
    cancelled: int


class MapRow(NamedRow):
    """How a map stands, for its own worker and for the steps that read it: see lua/lib/look.lua."""

    total: int
    begun: int
    stopped: int
    bytes: int  # of its results
    bearable: int  # failures
    completed: int
    failed: int
    cancelled: int


class StepEndRow(NamedRow):
    """How a step ended, for those that refer to it: see lua/lib/look.lua."""

    number: int
    state: str
    result: str
    error: str
    map: list[int]  # MapRow


class FailureRow(NamedRow):
    """What a workflow's handlers are told of the step that failed first."""

    step: str
    error: str
    attempts: int


class Look(NamedRow):
    """What a worker has to know of the step of which it has claimed the job: see lua/lib/look.lua.

    It may come by mail from a process of another version, so its fields stay as they are, and so do those in it.
    """

    workflow: str
    text: str  # JSON of a PlannedStep
    input: str
    about: tuple[str, str]  # the workflow's name; how its steps ended, for a handler
    phase: str
    item: int
    wrong: str
    reads: list[StepEndRow]
    failure: list[str | int]  # FailureRow
    later: list[Any]  # what belongs to its phase


class StepRow(NamedRow):
    """A step as it stands: see lua/lib/reading.lua. Such rows are stored of earlier runs, with what a step gave."""

    number: int
    text: str  # JSON of a PlannedStep
    ended: str  # how and when, and how its job ran: see lua/lib/flow.lua
    job_id: str
    job: list[str]  # a StepJobRow; Lua says "" for what is not there
    error: str
    answer: str
    map: list[int]  # MapCountsRow
    truncated: int  # 1: the error or the answer was left out
    inputs: str = ""
    result: str = ""
    data_truncated: int | None = None  # None: it has not run again, and has no data here


class StepJobRow(NamedRow):
    """The job of a step: fields of its record by their names there."""

    state: JobState | None
    route: str | None
    since: int | None
    deliveries: int | None = field(name="n")
    attempts: int | None = field(name="tries")
    worker: str | None
    took: int | None
    losses: int | None = field(name="lost")
    phase: Phase | None
    child: str | None
    prompt: str | None
    due: int | None
    cancel: str | None
    began: int | None
    left: str | None


class StepDataRow(NamedRow):
    """What a step was given and gave: see lua/flow_data.lua."""

    number: int
    inputs: str
    result: str
    truncated: int


class ItemRow(NamedRow):
    """An item of a map as it stands: see lua/flow_items.lua."""

    number: int
    state: StepState
    job_id: str
    job: list[str]  # an ItemJobRow; Lua says "" for what is not there
    error: str
    truncated: int


class ItemJobRow(NamedRow):
    """The job of an item: fields of its record by their names there."""

    state: JobState | None
    phase: Phase | None
    since: int | None
    took: int | None
    began: int | None
    deliveries: int | None = field(name="n")
    attempts: int | None = field(name="tries")
    worker: str | None
    child: str | None
    reason: str | None


class ApprovalRow(NamedRow):
    """A step that waits for a person: see lua/flow_approvals.lua. Times in milliseconds."""

    workflow_id: str
    workflow: str
    paused: int
    step: str
    job_id: str
    prompt: str
    due_at: int
    since: int
    truncated: int


ROWS: Final[tuple[type[msgspec.Struct], ...]] = (
    JobRow,
    NewJobRow,
    Settling,
    ClaimedJob,
    WholeJobRow,
    PastRun,
    ApiKey,
    QueueRow,
    SoughtJob,
    FailureGroupRow,
    WorkerRow,
    WorkflowRow,
    StepInfoRow,
    MapCountsRow,
    MapRow,
    StepEndRow,
    FailureRow,
    Look,
    StepRow,
    StepJobRow,
    StepDataRow,
    ItemRow,
    ItemJobRow,
    ApprovalRow,
)
"""The rows that Lua knows by name."""


R = TypeVar("R", bound=NamedRow)


def of_a_record(values: Sequence[Any], row: type[R]) -> R:
    """Fields of a record, which are texts, as what they mean; "" is None."""
    return msgspec.convert([value or None for value in values], row, strict=False)
