"""The job: as it is submitted, as a worker gets it, and as it is shown."""

import hashlib
from collections.abc import Iterator
from enum import IntEnum
from typing import Any, Final

import msgspec

from boltq.domain import limits
from boltq.domain.errors import InvalidJob
from boltq.domain.retry import StepRetry
from boltq.domain.states import JobState

CONTROL_TYPE: Final = "boltq.step"
"""The job type of control steps, which run no function: a wait, an approval, the start of a map or sub-workflow."""


class Priority(IntEnum):
    """The three classes of a queue; their names and their numbers are both accepted."""

    LOW = 0
    NORMAL = 1
    HIGH = 2

    @property
    def word(self) -> str:
        """The name as it is written in JSON."""
        return self.name.lower()

    @classmethod
    def parse(cls, value: object) -> "Priority":
        """From "high", "normal", "low", 2, 1 or 0; ValueError otherwise."""
        if isinstance(value, str) and value.upper() in cls.__members__:
            return cls[value.upper()]
        if isinstance(value, int) and not isinstance(value, bool) and value in (0, 1, 2):
            return cls(value)
        raise ValueError(f"{value!r:.40} is no priority: use high, normal, low (or 2, 1, 0)")


class Spec(msgspec.Struct, frozen=True, omit_defaults=True):
    """The options of a job that only its worker reads. Stored as JSON text; the empty spec is not stored."""

    max_attempts: int | None = None
    timeout: float | None = None  # seconds
    headers: dict[str, str] | None = None  # trace context and the like
    title: str | None = None  # what people read in lists
    retry: StepRetry | None = None  # how a step of a workflow is tried again
    step: bool = False  # the worker decides first what this step of a workflow does


NO_SPEC = Spec()


class NewJob(msgspec.Struct, kw_only=True):
    """A new job, as it is submitted. `data` is JSON text of an object. Times in milliseconds.

    Give `delay` or `run_at`, not both; `expires_in` or `expires_at` is its "not after".
    """

    type: str
    data: str = "{}"
    queue: str = "default"
    priority: int = Priority.NORMAL
    delay: int = 0
    run_at: int = 0
    expires_in: int = 0
    expires_at: int = 0
    idempotency_key: str = ""
    tags: list[str] = []
    created_by: str = ""  # who submitted it
    spec: Spec = NO_SPEC
    id: str = ""  # made by the broker when empty

    def check(self, *, data_is_json: bool = False) -> None:
        """Raise InvalidJob with every field that is wrong. `data_is_json`: nobody has to look whether the data is."""
        errors = [(pointer, reason) for pointer, reason in self._mistakes(data_is_json) if reason]
        if errors:
            raise InvalidJob(errors)

    def _mistakes(self, data_is_json: bool) -> Iterator[tuple[str, str | None]]:  # noqa: FBT001 - one call site
        """What is wrong, field by field. Of what is as it usually is, only the names and the data are looked at."""
        yield "/type", limits.bad_name(self.type)
        if self.queue != "default":
            yield "/queue", limits.bad_name(self.queue)
        yield "/data", bad_data(self.data, is_json=data_is_json)
        if self.priority not in _PRIORITIES:
            yield "/priority", "use 2, 1 or 0"
        if self.tags:
            yield "/tags", bad_tags(self.tags)
        if self.idempotency_key or self.created_by or self.id:
            yield "/idempotency_key", _bad_key(self.idempotency_key)
            yield "/created_by", limits.bad_text(self.created_by, limits.MAX_NAME_CHARS)
            yield "/id", _bad_id(self.id)
        if self.delay or self.run_at or self.expires_in or self.expires_at:
            yield from self._bad_times()
        if self.spec is not NO_SPEC:
            yield "/max_attempts", _bad_attempts(self.spec.max_attempts)
            yield "/timeout_seconds", _bad_timeout(self.spec.timeout)
            yield "/headers", _bad_headers(self.spec.headers)
            yield "/title", _bad_title(self.spec.title)

    def _bad_times(self) -> Iterator[tuple[str, str | None]]:
        yield "/delay_seconds", bad_time(self.delay)
        yield "/run_at", bad_time(self.run_at, absolute=True)
        yield "/expires_in_seconds", bad_time(self.expires_in)
        yield "/expires_at", bad_time(self.expires_at, absolute=True)
        if self.delay and self.run_at:
            yield "/run_at", "give delay_seconds or run_at, not both"
        if self.expires_in and self.expires_at:
            yield "/expires_at", "give expires_in_seconds or expires_at, not both"

    def digest(self) -> str:
        """What makes two submissions with one idempotency key the same. A repeat has a trace of its own."""
        body = [
            self.type, self.queue, int(self.priority), self.data, self.delay, self.run_at, self.expires_in,
            self.expires_at, self.spec.max_attempts, self.spec.timeout, *([self.tags] if self.tags else []),
            *([self.spec.title] if self.spec.title else []),
        ]  # fmt: skip
        return hashlib.sha256(msgspec.json.encode(body)).hexdigest()[:32]


class Submitted(msgspec.Struct, frozen=True):
    """The store's answer to one submission. `created` is false when the job was there already."""

    id: str
    created: bool = True


class ClaimedJob(msgspec.Struct, array_like=True):
    """A job as its worker gets it. `delivery` is the fence; `attempts` counts the runs before this one."""

    id: str
    route: str  # queue, priority and type in one text: see lua/lib/words.lua
    data: str
    spec: str
    delivery: int
    attempts: int
    waited: int  # milliseconds in the queue
    look: Any = None  # a step of a workflow: the row of lua/lib/look.lua, where the claim has brought it
    filled: bool = False  # the worker has filled in the references in `data`, and has not told the store yet
    suspect: bool = False  # the job has lost a worker: the store is told before the function is called

    @property
    def queue(self) -> str:
        """The name of its queue."""
        return self.route.split(" ", 1)[0]

    @property
    def type(self) -> str:
        """The job type."""
        return self.route.rsplit(" ", 1)[1]

    @property
    def attempt(self) -> int:
        """The number of this attempt; 1 is the first."""
        return self.attempts + 1


RUN_ENDS: Final[dict[str, str]] = {
    "failed": "the function raised, ran past its timeout, or could not be called: the error says which",
    "snoozed": "the function raised `Snooze`",
    "cancelled": "somebody asked for it, or the function raised `Cancel`; also when its worker was lost meanwhile",
    "handed_back": "its worker was shut down, its supervisor died, or the process had to end because of another job",
    "lost": "its worker was killed, or cut off for longer than a lease, or its registration was gone;"
    " of a job's first loss nobody can say whether its function had been called",
    "unknown": "its worker did not know of it: the answer to the claim was lost, or the store lost the end of the run"
    " (a power cut, a failover)",
}
"""How a run can end without completing its job, and why."""


class PastRun(msgspec.Struct, frozen=True, array_like=True):
    """A run that began and did not complete its job. Times in milliseconds."""

    attempt: int  # its number; a run that was snoozed or lost did not use it up
    delivery: int
    worker: str
    started_at: int
    ended_at: int
    outcome: str  # one of RUN_ENDS; the error's category says why it failed
    error: str = ""  # JSON text of a JobError


class StepPlace(msgspec.Struct, frozen=True):
    """The step of a workflow that a job is, and which item of a map."""

    workflow_id: str
    step: str
    item: int | None = None  # from 1


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it is stored. Times in milliseconds since 1970, by the server's clock."""

    id: str
    state: JobState
    type: str
    queue: str
    priority: Priority
    data: str  # JSON text
    spec: Spec
    created_at: int
    since: int  # when it entered its state
    attempts: int  # runs that counted
    deliveries: int
    losses: int = 0  # runs whose worker was lost
    due_at: int | None = None  # scheduled and retrying: when it becomes queued
    expires_at: int | None = None
    worker: str | None = None  # the worker that runs the job, or ran it last
    started_at: int | None = None
    finished_at: int | None = None
    result: str | None = None  # JSON text
    error: str | None = None  # JSON text of a JobError
    cancel_requested: bool = False
    reason: str | None = None  # why it was cancelled
    progress: float | None = None
    progress_text: str | None = None
    log: list[str] = []
    unlogged: int = 0  # older log lines, which are not kept any more
    tags: list[str] = []
    created_by: str | None = None
    replay_of: str | None = None  # the job that this one was made from
    replays: list[str] = []  # the newest jobs that were made from this one, the newest last
    runs: list[PastRun] = []  # the newest runs that did not complete it, the newest last
    workflow_id: str | None = None  # the workflow whose step the job is
    step: StepPlace | None = None  # of a workflow; lists leave it out


class CheckedJob(NewJob, kw_only=True):
    """A new job that `Options.new_job` has checked: it is not checked again."""


def bad_tags(tags: object) -> str | None:
    """Why these tags are refused; None when they are fine."""
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        return "must be a list of texts"
    if len(tags) > limits.MAX_TAGS:
        return f"at most {limits.MAX_TAGS} tags"
    if len(set(tags)) < len(tags):
        return "the same tag twice"
    return next((bad for tag in tags if (bad := limits.bad_name(tag))), None)


def bad_data(data: object, *, is_json: bool = False) -> str | None:
    """Why this payload is refused; None when it is fine. `is_json`: nobody has to look whether it is."""
    if not isinstance(data, str):
        return "must be JSON text"
    try:
        if len(data) > limits.MAX_DATA_BYTES or len(data.encode()) > limits.MAX_DATA_BYTES:
            return f"larger than {limits.MAX_DATA_BYTES} bytes"
        if data[:1] != "{" and data.lstrip()[:1] != "{":
            return "must be a JSON object"
        if not is_json:
            msgspec.json.decode(data)
    except UnicodeEncodeError:
        return limits.HALF
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return f"is not JSON: {error}"
    return None


_PRIORITIES = frozenset((0, 1, 2))


def _bad_key(key: object) -> str | None:
    if not isinstance(key, str):
        return "must be a text"
    ok = len(key) <= limits.MAX_KEY_CHARS and key.isascii() and (key.isprintable() or not key)
    return None if ok else f"at most {limits.MAX_KEY_CHARS} printable ASCII characters"


def _bad_id(job_id: object) -> str | None:
    if not isinstance(job_id, str) or (job_id and not limits.ID.fullmatch(job_id)):
        return "not a job id (a ULID)"
    return None


def bad_time(value: object, *, absolute: bool = False) -> str | None:
    """Why a delay, or with `absolute` a time, in milliseconds is refused; None when it is fine."""
    if isinstance(value, bool) or not isinstance(value, int):
        return "must be a whole number of milliseconds"
    if value < 0:
        return "must not be negative"
    longest = limits.MAX_DELAY_SECONDS * 1_000
    if absolute:
        return None if value <= 1 << 47 else "too far away"
    return None if value <= longest else f"at most {limits.MAX_DELAY_SECONDS} seconds"


def _bad_attempts(value: object) -> str | None:
    if value is None or (isinstance(value, int) and value is not True and 1 <= value <= limits.MAX_ATTEMPTS):
        return None
    return f"a whole number from 1 to {limits.MAX_ATTEMPTS}"


def _bad_timeout(value: object) -> str | None:
    if value is None or (isinstance(value, int | float) and value is not True and 0 < value <= 7 * 86_400):
        return None
    return "more than 0 and at most 604800 seconds"


def _bad_title(title: object) -> str | None:
    return None if title is None else limits.bad_text(title, limits.MAX_TITLE_CHARS)


def _bad_headers(headers: object) -> str | None:
    if headers is None:
        return None
    if not isinstance(headers, dict) or not all(isinstance(text, str) for pair in headers.items() for text in pair):
        return "must be an object of texts"
    try:
        "".join(text for pair in headers.items() for text in pair).encode()
    except UnicodeEncodeError:
        return limits.HALF
    return None
