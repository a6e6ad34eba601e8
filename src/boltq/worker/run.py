"""One run of one job in this worker: how it begins, how it is interrupted, and how its outcome is told."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from boltq.app import Task
from boltq.broker.settling import Settling, settling
from boltq.domain.context import JobContext
from boltq.domain.happenings import RunEnded, RunFacts
from boltq.domain.job import ClaimedJob
from boltq.domain.job_error import Category, JobError, class_name_of, clean, describe, text_of
from boltq.domain.outcome import Failed, Outcome
from boltq.worker.parents import ParentsOf, ParentsReader

Say = Callable[["Run", float | None, str, str | None], None]

# Why a run is being stopped.
TIMEOUT, CANCEL, SHUTDOWN, LOST = "timeout", "cancel", "shutdown", "lost"

STUCK_AFTER: Final = 1.0  # seconds beyond all that it was granted, after which a run is settled without its end


class Run:
    """One run of one job: who runs it, until when it may, and why it was stopped if it was."""

    # What most runs never change stands here: each attribute that is set costs every job.
    worker = ""  # the registration that claimed it
    began = False  # its function was called, or is going to be at once
    is_step = False  # of a workflow, and its worker asks first what it does
    stop: Callable[[str], object] | None = None  # interrupts the function, where that can be done
    slot: asyncio.Task[Any] | None = None  # in which it runs, while that is a coroutine's
    stop_reason = ""
    shown = False  # the store was told what a step's data is
    settled = False  # its outcome is decided; what the function still says is dropped
    chance: float | None = None  # which length a backoff has of those it may have, from 0 to 1; None: any
    headers: dict[str, str] | None = None  # that came with its job
    unsent = 0  # how many pieces of progress and log lines are not sent yet
    _context: JobContext | None = None
    _facts: RunFacts | None = None
    _asked_at = 0.0  # when its coroutine was interrupted last; 0: never

    def __init__(
        self,
        partition: int,
        job: ClaimedJob,
        task: "Task[..., Any]",
        timeout: float,
        max_attempts: int,
        say: Say,
        parents_of: ParentsOf,
        cleanup: float = 0.0,
    ) -> None:
        self.partition = partition
        self.job = job
        self.task = task
        self.timeout = timeout
        self.max_attempts = max_attempts
        self.retry = task.retry
        self.started = started = time.monotonic()
        self.deadline = deadline = started + timeout
        self.stuck_at = deadline + STUCK_AFTER  # when the lease thread settles it, if nobody else has
        self._say = say
        self._parents_of = parents_of
        self._cleanup = cleanup

    def context(self) -> JobContext:
        """What the function may see of its job."""
        if self._context is None:
            job = self.job
            self._context = JobContext(
                job.id, self.task.name, job.queue, job.attempt, self.max_attempts, self.say, self.parents()
            )
            self._context.cancel_requested = bool(self.stop_reason)
        return self._context

    def parents(self) -> ParentsReader:
        """The results of the steps that its job depends on, to be read."""
        return self._parents_of(self.job.id)

    def ask_to_stop(self, reason: str) -> None:
        """Interrupt the function if that can be done; else it may look at its context.

        May be asked often: a coroutine is interrupted once, and again only when its time for cleaning up is over.
        """
        self.stop_reason = self.stop_reason or reason
        if self._context:
            self._context.cancel_requested = True
        if self.slot is None:
            if self.stop:
                self.stop(reason)
            return
        now = time.monotonic()
        if not self._asked_at or now >= self._asked_at + self._cleanup:
            self._asked_at = now
            self.slot.cancel()
        if reason == TIMEOUT and self.stuck_at <= self.deadline + STUCK_AFTER:
            self.stuck_at = self._asked_at + self._cleanup + STUCK_AFTER

    def took_ms(self) -> int:
        """Milliseconds since it started."""
        return round((time.monotonic() - self.started) * 1_000)

    def settling(self, outcome: Outcome, took: int) -> tuple[Settling, float | None]:
        """An outcome in the store's terms, and in how many seconds a failed job runs again (None: never). `took` in ms.

        Whatever goes wrong in that, in a retry policy or in an outcome that cannot be written, is this job's end.
        """
        retry_in = None
        try:
            if type(outcome) is Failed:
                retry_in = self.retry.delay(outcome, self.job.attempt, self.max_attempts, self.chance)
            return settling(self.job, outcome, took, retry_in), retry_in
        except BaseException as error:  # noqa: BLE001 - a policy may be the user's, and raise anything
            return settling(self.job, _untold(outcome, error), took, None), None

    def facts(self) -> RunFacts:
        """Which run it is, for listeners."""
        if self._facts is None:
            job, waited = self.job, self.job.waited / 1_000
            self._facts = RunFacts(
                job.id, job.delivery, self.task.name, job.queue, self.partition, self.worker,
                job.attempt, self.max_attempts, waited, self.is_step, self.headers,
            )  # fmt: skip
        return self._facts

    def ended(self, outcome: Outcome | None, retry_in: float | None = None) -> RunEnded:
        """Its end, for listeners."""
        return RunEnded(self.facts(), outcome, time.monotonic() - self.started, retry_in)

    def say(self, fraction: float | None, text: str, line: str | None) -> None:
        """Progress, or a line for the job's log."""
        self._say(self, fraction, text, line)


MayBegin = Callable[[Run], Awaitable[bool]]
"""Whether a run may begin: awaited before the function of a suspect is called."""


async def anything_goes(_run: Run) -> bool:
    """Where nobody counts the losses of workers."""
    return True


def failing(job: ClaimedJob, error: BaseException) -> Settling:
    """The end of a job that could not even begin."""
    return settling(job, Failed(describe(error, Category.SYSTEM), retry=False), 0, None)


def _untold(outcome: Outcome, broken: BaseException) -> Failed:
    """What stands for an outcome that could not be told, and for the retry policy that could not be asked."""
    why = f"{class_name_of(broken)}: {text_of(broken)}"
    if not isinstance(outcome, Failed):
        return Failed(JobError("OutcomeUnreadable", why, Category.SYSTEM, fingerprint="outcome"), retry=False)
    error = outcome.error
    message = clean(f"its retry policy raised {why}; the job itself failed with {error.class_name}: {error.message}")
    told = JobError("RetryPolicyFailed", message, error.category, "retry-policy", clean(error.traceback))
    return Failed(told, retry=False)
