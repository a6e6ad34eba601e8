"""What the API answers, as typed structs. Fields that are not known are ignored: a newer server may say more."""

from datetime import datetime
from typing import Any, Final, Generic, TypeVar

import msgspec

from boltq.domain.job_error import JobError
from boltq.domain.states import TERMINAL, JobState

T = TypeVar("T")

_NULL: Final = msgspec.Raw(b"null")


class SubmittedJob(msgspec.Struct, kw_only=True):
    """The answer to a submission. `created` is false when the job was there already; `warnings`: why it may wait."""

    id: str
    created: bool = True
    warnings: list[str] = []


class Mistake(msgspec.Struct):
    """One mistake of a request: where it is, and what is wrong."""

    pointer: str = ""
    detail: str = ""


class BatchItem(msgspec.Struct, kw_only=True):
    """What became of one job of a batch: its id, or the kind of problem."""

    index: int
    id: str = ""
    created: bool = True
    code: str = ""
    errors: list[Mistake] = []


class Batch(msgspec.Struct, kw_only=True):
    """The answer to a batch, in its order."""

    items: list[BatchItem]


class Scan(msgspec.Struct, kw_only=True):
    """How many jobs were looked at for a page."""

    examined: int = 0


class Page(msgspec.Struct, Generic[T], kw_only=True):
    """A page of a list; `next_cursor` is None at the end."""

    items: list[T]
    next_cursor: str | None = None
    scan: Scan | None = None


class Action(msgspec.Struct, kw_only=True):
    """Something that may be done to a job, or why it may not."""

    name: str
    allowed: bool
    reason: str | None = None


class JobAfter(msgspec.Struct, kw_only=True):
    """Where a job stands after something was done to it."""

    id: str
    state: JobState
    cancel_requested: bool = False


class Placement(msgspec.Struct, kw_only=True):
    """What a job would find in its queue."""

    workers_for_type: int = 0
    notes: list[str] = []


class DryRun(msgspec.Struct, kw_only=True):
    """What would become of a submission. `placement` is None without the right to read."""

    valid: bool
    errors: list[Mistake] = []
    warnings: list[str] = []
    placement: Placement | None = None


class JobSummary(msgspec.Struct, kw_only=True):
    """A job as a list shows it: without what may be large. Times are in UTC."""

    id: str
    type: str
    queue: str
    priority: str
    state: JobState
    since: datetime  # when it entered its state
    created_at: datetime
    run_at: datetime | None = None
    expires_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempt: int = 0  # the number of the run that runs, or of the last one
    attempts: int = 0  # runs that counted
    max_attempts: int | None = None
    timeout_seconds: float | None = None
    deliveries: int = 0
    losses: int = 0  # runs whose worker was lost
    worker: str | None = None
    progress: float | None = None
    progress_text: str | None = None
    cancel_requested: bool = False
    reason: str | None = None  # why it was cancelled
    error: JobError | None = None
    title: str | None = None
    tags: list[str] = []
    actions: list[Action] = []  # what may be done to it

    @property
    def ended(self) -> bool:
        """Whether it is completed, dead or cancelled."""
        return self.state in TERMINAL


class RunInfo(msgspec.Struct, kw_only=True):
    """A past run that did not complete its job."""

    attempt: int
    delivery: int
    worker: str
    started_at: datetime
    ended_at: datetime
    outcome: str  # failed, snoozed, lost or cancelled
    error: JobError | None = None


class Why(msgspec.Struct, kw_only=True):
    """Why a job stands where it stands."""

    code: str
    text: str
    until: datetime | None = None


class JobInfo(JobSummary, kw_only=True):
    """A job with everything. Its data and result are decoded when they are asked for."""

    data_json: msgspec.Raw = msgspec.field(default=_NULL, name="data")
    result_json: msgspec.Raw = msgspec.field(default=_NULL, name="result")
    log: list[str] | None = None  # None when the token may not see it
    created_by: str | None = None
    replay_of: str | None = None  # the job that this one was made from
    replays: list[str] = []  # jobs that were made from this one
    runs: list[RunInfo] = []  # past runs that did not complete it, the newest last
    why: Why | None = None  # why it stands where it stands

    @property
    def data(self) -> Any:
        """The data of the submission; None when the token may not see it."""
        return msgspec.json.decode(self.data_json)

    @property
    def result(self) -> Any:
        """What the function returned; None while there is nothing."""
        return msgspec.json.decode(self.result_json)


class LogLine(msgspec.Struct, kw_only=True):
    """A line of a job's log."""

    n: int
    text: str


class Log(msgspec.Struct, kw_only=True):
    """A piece of a job's log; `next_after` is None at the end of what there is now."""

    items: list[LogLine]
    next_after: int | None = None


class Counts(msgspec.Struct, kw_only=True):
    """How many jobs stand where; `approximate`: there are at least so many."""

    by_state: dict[JobState, int]
    approximate: bool = False


class FailureGroup(msgspec.Struct, kw_only=True, rename={"class_name": "class"}):
    """Dead jobs with something in common; what is said of the error is the newest one's."""

    key: str  # the fingerprint, type or queue that they share
    fingerprint: str
    class_name: str
    message: str | None = None  # None when the token may not see it
    category: str
    types: dict[str, int] = {}
    queues: dict[str, int] = {}
    count: int
    count_1h: int = 0
    first_at: datetime
    last_at: datetime
    sample_job_id: str


class Groups(msgspec.Struct, kw_only=True):
    """The groups, most first. Of very many dead jobs they are a portion: `next_cursor` is None when they are of all."""

    items: list[FailureGroup]
    total_jobs: int
    next_cursor: str | None = None
    examined: int = 0


# Queues


class Depth(msgspec.Struct, kw_only=True):
    """How many jobs stand in each state."""

    blocked: int = 0
    scheduled: int = 0
    queued: int = 0
    running: int = 0
    retrying: int = 0
    completed: int = 0
    dead: int = 0
    cancelled: int = 0


class Paused(msgspec.Struct, kw_only=True):
    """Who paused a queue, why, and when."""

    by: str | None = None
    reason: str | None = None
    at: datetime | None = None


class QueueInfo(msgspec.Struct, kw_only=True):
    """A queue."""

    name: str
    state: str  # running, paused or no_workers
    paused: Paused | None = None
    depth: Depth
    oldest_ms: int | None = None  # how long its oldest queued job has waited
    in_per_s: float = 0.0
    out_per_s: float = 0.0
    workers: int = 0
    slots: int = 0
    limit: int | None = None  # how many jobs may wait


class QueueStanding(msgspec.Struct, kw_only=True):
    """Whether a queue is paused."""

    queue: str
    paused: bool


# Many jobs at once


class ItemError(msgspec.Struct, kw_only=True):
    """A job on which a bulk operation failed."""

    id: str
    code: str
    message: str = ""


class OperationInfo(msgspec.Struct, kw_only=True):
    """A bulk operation. `done` is `ok`, `failed` and `skipped` together."""

    id: str
    action: str
    state: str  # running, canary (waits for `continue_operation`), done, stopped or failed
    total: int
    partial: bool = False  # of a purge: there were more jobs than one operation takes
    done: int = 0
    ok: int = 0
    failed: int = 0
    skipped: int = 0  # they had moved since they were chosen, and were left alone
    errors: list[ItemError] = []
    eta_ms: int | None = None
    by: str = ""
    reason: str = ""
    started_at: datetime
    finished_at: datetime | None = None


class Sample(msgspec.Struct, kw_only=True):
    """One of the jobs; `before` and `after` are its data where a patch would change them."""

    id: str
    type: str
    queue: str
    state: JobState
    before: Any = None
    after: Any = None
    errors: list[Mistake] = []


class BulkPreview(msgspec.Struct, kw_only=True):
    """What a bulk operation would do."""

    count: int
    by_state: dict[str, int] = {}
    by_type: dict[str, int] = {}
    by_type_complete: bool = True
    sample: list[Sample] = []
    warnings: list[str] = []


# Workers and job types


class WorkerInfo(msgspec.Struct, kw_only=True):
    """A worker."""

    id: str
    state: str  # up, draining, stopping or stale
    since: datetime
    lease_ends_at: datetime
    queues: list[str]
    types: list[str] | None = None  # None: any
    host: str | None = None
    pid: int | None = None
    version: str | None = None
    slots: int | None = None
    running: int | None = None
    waiting: int | None = None
    held: int | None = None  # as the store sees it: waiting, running, or on their way
    done: int | None = None


class JobType(msgspec.Struct, kw_only=True):
    """A job type that workers have published."""

    name: str
    description: str = ""
    queue: str = "default"
    schema: dict[str, Any] = {}  # the JSON Schema of the data
    workers: int = 0


# Keys


class WhoAmI(msgspec.Struct, kw_only=True):
    """Who makes these calls."""

    name: str
    scopes: list[str]
    key_id: str | None = None
    expires_at: datetime | None = None


class KeyInfo(msgspec.Struct, kw_only=True):
    """An API key, without its secret."""

    id: str
    name: str
    scopes: list[str]
    created_by: str
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


class NewKey(KeyInfo, kw_only=True):
    """A key just made; `key` is told once. No text of this has it."""

    key: str

    def __repr__(self) -> str:
        return f"NewKey({self.id}, {self.name})"


# The system


class Ready(msgspec.Struct, kw_only=True):
    """Whether the API and its store can work."""

    status: str
    warnings: list[Any] = []


class Meta(msgspec.Struct, kw_only=True):
    """What a client has to know of an API."""

    version: str
    namespace: str
    partitions: int
    limits: dict[str, int] = {}
    features: dict[str, bool] = {}


class System(msgspec.Struct, kw_only=True):
    """An API's process, its store and its settings."""

    version: str
    python: str
    uptime_seconds: int
    store: dict[str, Any]
    settings: dict[str, Any]


class CheckInfo(msgspec.Struct, kw_only=True):
    """What was looked at, how it is (ok, warning or failed), and what to do about it."""

    name: str
    status: str
    text: str
    hint: str | None = None


class Checks(msgspec.Struct, kw_only=True):
    """What the doctor says."""

    ok: bool
    items: list[CheckInfo]


class AuditEntry(msgspec.Struct, kw_only=True):
    """One thing that somebody did."""

    id: str
    at: datetime
    by: str
    action: str
    target: str
    reason: str = ""
    result: str = ""
