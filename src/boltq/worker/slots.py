"""The slots of a worker: each takes one job after the other, has it run, and puts its outcome into the outbox."""

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, Final

from boltq.domain.happenings import RunStarted
from boltq.domain.job import ClaimedJob
from boltq.domain.job_error import Category, class_name_of, describe, text_of
from boltq.domain.outcome import Failed, Outcome
from boltq.telemetry.listeners import Listeners
from boltq.worker.buffer import Buffer
from boltq.worker.fetcher import Fetcher
from boltq.worker.run import STUCK_AFTER, Run, failing
from boltq.worker.runner import Runner
from boltq.worker.running import Running

log = logging.getLogger("boltq.worker.worker")  # the name by which these lines are known

YIELD_EVERY_RUNS: Final = 64  # runs that did not wait for anything, after which a slot lets the loop do other things
WATCH_EVERY_SECONDS: Final = 0.25  # looks at the deadlines, while jobs run


class WornOutError(RuntimeError):
    """Every slot is held by a function that does not end; the process must be replaced."""


class Slots:
    """As many as jobs run at once. Belongs to the event loop on which it was made."""

    def __init__(
        self,
        buffer: Buffer,
        running: Running,
        runner: Runner,
        fetchers: Sequence[Fetcher],
        stopping: asyncio.Event,
        listeners: Listeners,
    ) -> None:
        self.done = 0  # runs that ended here
        self._buffer = buffer
        self._running = running
        self._runner = runner
        self._fetchers = fetchers  # by partition
        self._stopping = stopping
        self._listeners = listeners
        self._loop = asyncio.get_running_loop()
        self._watching: asyncio.TimerHandle | None = None
        self._closing = False  # a cancel is for the slots, not for what they run
        self.worn_out: asyncio.Future[None] = self._loop.create_future()  # never has a result

    def loops(self) -> list[Coroutine[Any, Any, None]]:
        """The loops of the slots, one for each."""
        return [self._slot() for _ in range(self._buffer.slots)]

    def close(self) -> None:
        """From now on a cancel ends a slot, whatever its function does with it."""
        self._closing = True
        self._runner.tear_down()

    async def _slot(self) -> None:
        """The loop of one slot: take a job, run it, put its outcome into the outbox, and so on."""
        in_a_row = 0
        while not self._closing:  # a function may have swallowed the cancel that was for us
            try:
                partition, job = await self._buffer.take()
                if thread := await self._run(partition, job):
                    await self._wait_for_stuck(thread)
                in_a_row += 1
                if in_a_row >= YIELD_EVERY_RUNS:
                    in_a_row = 0
                    await asyncio.sleep(0)
            except asyncio.CancelledError:
                if self._closing:
                    raise
                _uncancel()  # a function that ended long ago has left it behind

    async def _run(self, partition: int, job: ClaimedJob) -> "Future[Any] | None":
        """Run one job and tell its outcome, whatever happens; the thread that it still holds."""
        run: Run | None = None
        outcome: Outcome | None = None
        thread: Future[Any] | None = None
        self._buffer.busy += 1
        try:
            run = self._begin(partition, job)
            outcome, thread = await self._runner.outcome(run)
            if run.unsent:
                await self._runner.flush(run)
        except BaseException as error:  # nothing in the life of one job ends the loop for all others
            if self._closing and isinstance(error, asyncio.CancelledError):
                raise
            _uncancel()
            outcome = outcome or self._broken(partition, job, run, error)
        finally:
            if run is not None:
                self._running.remove(run)
            self._buffer.busy -= 1
        if run is not None:
            if outcome is not None:
                self._end(run, outcome)
            elif self._listeners.present:
                self._listeners.announce(run.ended(None))
        return thread

    def _begin(self, partition: int, job: ClaimedJob) -> Run:
        run = self._running.runs[job.id] = self._runner.begin(partition, job, self._fetchers[partition].worker_id)
        if self._watching is None or run.timeout < WATCH_EVERY_SECONDS:
            self._watch_deadlines()
        if self._listeners.present:
            self._listeners.announce(RunStarted(run.facts()))
        return run

    def _broken(self, partition: int, job: ClaimedJob, run: Run | None, error: BaseException) -> Outcome | None:
        """What went wrong outside of the function is the job's outcome; without a run there is none, and it is told."""
        log.error("job %s (%s) cannot be run: %s: %s", job.id, job.type, class_name_of(error), text_of(error))
        if run is not None:
            return Failed(describe(error, Category.SYSTEM))
        self._fetchers[partition].outbox.put(failing(job, error), self._fetchers[partition].worker_id)
        return None

    def _end(self, run: Run, outcome: Outcome) -> None:
        """Put the outcome into the outbox, unless the lease thread has settled the run already."""
        seconds = time.monotonic() - run.started
        self._buffer.took(seconds)
        self.done += 1
        if run.settled:
            return
        run.settled = True
        settling, retry_in = run.settling(outcome, round(seconds * 1_000))
        self._fetchers[run.partition].outbox.put(settling, run.worker)
        if type(outcome) is Failed:
            _log_failure(run, outcome, retry_in)
        if self._listeners.present:
            self._listeners.announce(run.ended(outcome, retry_in))

    def _watch_deadlines(self) -> None:
        """Interrupt what has run too long, hand back what is hoarded, and come again as long as anything runs."""
        if self._watching:
            self._watching.cancel()
            self._watching = None
        if not self._running.is_watched():
            return
        soonest = self._running.interrupt_overdue()
        for run in self._running:
            if run.job.filled and not run.shown:
                run.shown = True
                self._runner.show(run)
        for partition, job in self._buffer.excess():
            self._fetchers[partition].release([job])
        if self._running.is_any_overdue():
            self.look_whether_worn_out()
        pause = min(WATCH_EVERY_SECONDS, max(0.01, soonest))
        self._watching = self._loop.call_later(pause, self._watch_deadlines)

    # Slots that are lost

    async def _wait_for_stuck(self, thread: "Future[Any]") -> None:
        """A thread that nobody can stop holds its slot until it returns. If that was the last one, we are worn out."""
        self._buffer.lost_slots += 1
        try:
            ending = asyncio.wrap_future(thread)
            await asyncio.wait({ending}, timeout=STUCK_AFTER)
            if not ending.done():
                self.look_whether_worn_out()
            await asyncio.wait({ending})
        finally:
            self._buffer.lost_slots -= 1

    def look_whether_worn_out(self) -> None:
        """If no slot is left, fail `worn_out`; a worker that stops anyway does so in its order."""
        lost, slots = self._buffer.lost_slots + self._running.written_off(), self._buffer.slots
        if lost >= slots and not self._stopping.is_set() and not self.worn_out.done():
            text = f"all {slots} slots are held by functions that do not end after their timeout"
            self.worn_out.set_exception(WornOutError(text))


def _log_failure(run: Run, failed: Failed, retry_in: float | None) -> None:
    fate = "dead" if retry_in is None else f"again in {retry_in:.1f} s"
    log.warning(
        "job %s (%s) failed, attempt %d of %d: %s: %s; %s",
        run.job.id, run.job.type, run.job.attempt, run.max_attempts,
        failed.error.class_name, failed.error.message.split("\n")[0][:200], fate,
    )  # fmt: skip


def _uncancel() -> None:
    """A cancel that came here was not for us: our loop goes on."""
    task = asyncio.current_task()
    while task and task.cancelling():
        task.uncancel()
