"""What somebody wants changed: of a job that waits, or of one that is replayed."""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from boltq.domain import limits
from boltq.domain.errors import InvalidJob
from boltq.domain.job import NO_SPEC, JobRecord, NewJob, Spec
from boltq.server.audit_log import Reason
from boltq.server.http.mistakes import Mistakes
from boltq.server.http.moments import MomentText, read_moment, read_span
from boltq.server.jobs.forms import (
    Attempts,
    Data,
    Delay,
    Expiry,
    PriorityWord,
    TagsList,
    Timeout,
    WordText,
    read_data,
    read_priority,
)


class EditForm(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of PATCH: what is left out stays as it is."""

    data: Data | UnsetType = UNSET
    priority: PriorityWord | UnsetType = UNSET
    run_at: MomentText | UnsetType = UNSET
    delay_seconds: Delay | UnsetType = UNSET
    tags: TagsList | UnsetType = UNSET
    reason: Reason | None = None


class ReplayForm(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a replay. Without an edit the same job is queued again; with one, a new job is made from it."""

    data: Data | UnsetType = UNSET
    queue: WordText | UnsetType = UNSET
    priority: PriorityWord | UnsetType = UNSET
    run_at: MomentText | UnsetType = UNSET
    delay_seconds: Delay | UnsetType = UNSET
    expires_in_seconds: Expiry | UnsetType = UNSET
    max_attempts: Attempts | UnsetType = UNSET
    timeout_seconds: Timeout | UnsetType = UNSET
    tags: TagsList | UnsetType = UNSET
    as_new: bool = False
    reason: Reason | None = None

    @property
    def makes_new(self) -> bool:
        """Whether a new job is asked for."""
        return self.as_new or any(value is not UNSET for value in msgspec.structs.astuple(self)[:-2])


class JobEdit(msgspec.Struct):
    """What is to change of a waiting job; None stays. `run_at` in ms."""

    data: str | None = None
    values: dict[str, Any] | None = None  # of the data
    priority: int | None = None
    run_at: int | None = None
    tags: list[str] | None = None


def read_edit(form: EditForm, now: int) -> JobEdit:
    """The change that a form asks for; `now` in ms. Raises InvalidJob."""
    mistakes: Mistakes = []
    wanted = JobEdit()
    if form.data is not UNSET:
        wanted.data, wanted.values = read_data(form.data, mistakes)
    if form.priority is not UNSET:
        wanted.priority = read_priority(form.priority, mistakes)
    if form.tags is not UNSET:
        wanted.tags = form.tags
    if form.run_at is not UNSET:
        wanted.run_at = read_moment(form.run_at, "/run_at", mistakes)
    if form.delay_seconds is not UNSET:
        wanted.run_at = now + _delay(form.delay_seconds, mistakes)
        if form.run_at is not UNSET:
            mistakes.append(("/run_at", "give delay_seconds or run_at, not both"))
    if mistakes:
        raise InvalidJob(mistakes)
    return wanted


def read_replay(form: ReplayForm, job: JobRecord) -> tuple[NewJob, dict[str, Any] | None]:
    """The new job that a replay makes of an old one, and its data as values if they are new. Raises InvalidJob."""
    mistakes: Mistakes = []
    data, values = (job.data, None) if form.data is UNSET else read_data(form.data, mistakes)
    new = NewJob(
        type=job.type,
        data=data,
        queue=job.queue if form.queue is UNSET else form.queue,
        priority=job.priority if form.priority is UNSET else read_priority(form.priority, mistakes),
        delay=0 if form.delay_seconds is UNSET else read_span(form.delay_seconds, "/delay_seconds", mistakes),
        run_at=0 if form.run_at is UNSET else read_moment(form.run_at, "/run_at", mistakes),
        expires_in=_expiry(form.expires_in_seconds, mistakes),
        tags=job.tags if form.tags is UNSET else form.tags,
        spec=_spec(form, job.spec),
    )
    try:
        new.check(data_is_json=True)
    except InvalidJob as error:
        mistakes += error.errors
    if mistakes:
        raise InvalidJob(mistakes)
    return new, values


def _delay(seconds: float, mistakes: Mistakes) -> int:
    if not 0 <= seconds <= limits.MAX_DELAY_SECONDS:
        mistakes.append(("/delay_seconds", f"from 0 to {limits.MAX_DELAY_SECONDS} seconds"))
    return read_span(seconds, "/delay_seconds", mistakes)


def _expiry(seconds: float | UnsetType, mistakes: Mistakes) -> int:
    return 0 if seconds is UNSET else read_span(seconds, "/expires_in_seconds", mistakes, least=1)


def _spec(form: ReplayForm, old: Spec) -> Spec:
    """As the old one, and of no workflow."""
    attempts = old.max_attempts if form.max_attempts is UNSET else form.max_attempts
    timeout = old.timeout if form.timeout_seconds is UNSET else form.timeout_seconds
    spec = msgspec.structs.replace(old, max_attempts=attempts, timeout=timeout, retry=None, step=False)
    return NO_SPEC if spec == NO_SPEC else spec
