"""One run of one job in this worker, and the table of all that are running."""

import time
from collections.abc import Callable
from typing import Any

import msgspec

from boltq.app import Task
from boltq.domain.context import JobContext
from boltq.domain.job import NO_SPEC, ClaimedJob, Spec
from boltq.settings import Settings
from boltq.worker.parents import Asked, ParentsOf

Tell = Callable[["Run", float | None, str, str | None], None]

# Why a run is being stopped.
TIMEOUT, CANCEL, SHUTDOWN, LOST = "timeout", "cancel", "shutdown", "lost"


class Run:
    """One run of one job: who runs it, until when it may, and why it was stopped if it was."""

    __slots__ = ("_context", "_parents_of", "_tell", "deadline", "is_step", "job", "max_attempts", "partition", "retry",
                 "settled", "shown", "started", "stop", "stop_reason", "task", "tellings", "timeout")  # fmt: skip

    def __init__(
        self,
        partition: int,
        job: ClaimedJob,
        task: "Task[..., Any]",
        timeout: float,
        max_attempts: int,
        tell: Tell,
        parents_of: ParentsOf,
    ) -> None:
        self.partition = partition
        self.job = job
        self.task = task
        self.timeout = timeout
        self.max_attempts = max_attempts
        self.retry = task.retry
        self.is_step = False  # of a workflow, and its worker asks first what it does
        self.started = time.monotonic()
        self.deadline = self.started + timeout
        self.stop: Callable[[], object] | None = None  # interrupts the function, where that can be done
        self.stop_reason = ""
        self.shown = False  # the store was told what a step's data is
        self.settled = False  # its outcome is decided; what the function still says is dropped
        self.tellings = 0  # progress and log lines that are not sent yet
        self._tell = tell
        self._parents_of = parents_of
        self._context: JobContext | None = None

    def context(self) -> JobContext:
        """What the function may see of its job."""
        if self._context is None:
            job = self.job
            self._context = JobContext(
                job.id, self.task.name, job.queue, job.attempt, self.max_attempts, self._say, self.parents()
            )
            self._context.cancel_requested = bool(self.stop_reason)
        return self._context

    def parents(self) -> Asked:
        """The results of the steps that its job depends on, to be read."""
        return self._parents_of(self.job.id)

    def ask_to_stop(self, reason: str) -> None:
        """Interrupt the function if that can be done; else it may look at its context."""
        self.stop_reason = self.stop_reason or reason
        if self._context:
            self._context.cancel_requested = True
        if self.stop:
            self.stop()

    def took_ms(self) -> int:
        """Milliseconds since it started."""
        return round((time.monotonic() - self.started) * 1_000)

    def _say(self, fraction: float | None, text: str, line: str | None) -> None:
        self._tell(self, fraction, text, line)


class Specs:
    """Reads the options of claimed jobs; most jobs have none, and few texts differ."""

    def __init__(self) -> None:
        self._known: dict[str, Spec] = {"": NO_SPEC}
        self._decode = msgspec.json.Decoder(Spec).decode

    def read(self, text: str) -> Spec:
        """The spec of that text."""
        spec = self._known.get(text)
        if spec is None:
            if len(self._known) > 1_000:  # noqa: PLR2004 - a bound, not a measure
                self._known = {"": NO_SPEC}
            spec = self._known[text] = self._decode(text)
        return spec


class Beginnings:
    """Makes runs of claimed jobs, each by its own options, its task's and the settings."""

    def __init__(self, settings: Settings, tell: Tell, parents_of: ParentsOf) -> None:
        self._settings = settings
        self._tell = tell
        self._parents_of = parents_of
        self._specs = Specs()

    def run_of(self, partition: int, job: ClaimedJob, task: "Task[..., Any]") -> Run:
        """The run; its time begins now."""
        spec = self._specs.read(job.spec)
        timeout = spec.timeout or task.timeout_seconds or self._settings.job_timeout
        max_attempts = spec.max_attempts or task.retry.max_attempts or self._settings.max_attempts
        run = Run(partition, job, task, timeout, max_attempts, self._tell, self._parents_of)
        run.is_step = spec.step
        run.retry = spec.retry.over(task.retry) if spec.retry else task.retry
        return run
