"""How one run of a job ended, as a value; and what a task raises to say so itself."""

import msgspec

from boltq.domain.errors import BoltQError
from boltq.domain.job_error import Category, JobError


class Completed(msgspec.Struct, frozen=True, tag=True):
    """The function returned; `result` is JSON text."""

    result: str


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The function raised, ran too long, or could not be called. `retry_after` in seconds overrules the backoff."""

    error: JobError
    retry_after: float | None = None
    retry: bool = True


class Snoozed(msgspec.Struct, frozen=True, tag=True):
    """Not now: run again in `delay` seconds. Does not count as an attempt."""

    delay: float


class Released(msgspec.Struct, frozen=True, tag=True):
    """Handed back unrun, or stopped by a shutdown: it goes to the head of its queue and does not count."""

    began: bool = False


class Cancelled(msgspec.Struct, frozen=True, tag=True):
    """Stopped because somebody asked for it, or because the function raised `Cancel`."""

    reason: str = ""
    began: bool = True


Outcome = Completed | Failed | Snoozed | Released | Cancelled


class TaskSignal(BoltQError):
    """The base of what a task raises to say how its run ends."""


class RetryLater(TaskSignal):
    """Fail this attempt and try again after `delay` seconds (None: by the backoff)."""

    category = Category.TRANSIENT

    def __init__(self, delay: float | None = None, message: str = "") -> None:
        super().__init__(message or "the task asked to be retried")
        self.delay = delay


class RateLimited(RetryLater):
    """The other side said to slow down: try again after `retry_after` seconds."""

    category = Category.RATE_LIMITED

    def __init__(self, message: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(retry_after, message or "rate limited")


class TransientError(TaskSignal):
    """An error that is likely gone next time."""

    category = Category.TRANSIENT


class DataError(TaskSignal):
    """What was submitted cannot be processed: the job goes to the dead letters, unless its policy retries `data`."""

    category = Category.DATA


class Snooze(TaskSignal):
    """Run again in `delay` seconds; does not count as an attempt."""

    def __init__(self, delay: float) -> None:
        super().__init__(f"snoozed for {delay:g} s")
        self.delay = delay


class Cancel(TaskSignal):
    """End the job as cancelled."""
