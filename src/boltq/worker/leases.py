"""Keeps the worker's leases alive, from a thread with a connection of its own: a blocked event loop keeps its jobs.

The same thread takes back what other workers lost, and settles runs that are long past their timeout and could not be
stopped by the loop, because they block it or hold a thread.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from boltq.broker import calls
from boltq.broker.broker import SyncBroker
from boltq.broker.calls import Beat
from boltq.domain.errors import BoltQError, UnknownWorker
from boltq.worker.executor import timed_out
from boltq.worker.run import TIMEOUT, Run

log = logging.getLogger(__name__)

STUCK_AFTER: Final = 1.0  # seconds past its timeout that a run may take to stop
_REAP_DELAY: Final = 0.05  # seconds after another worker's lease has run out


class Line:
    """One partition: our registration there, and when it was last extended."""

    def __init__(self, partition: int, worker_id: str) -> None:
        self.partition = partition
        self.worker_id = worker_id
        self.beat_at = 0.0  # monotonic
        self.reap_at = 0.0  # monotonic; 0: nothing to reap
        self.lost = False


class Leases:
    """The lease thread of one worker."""

    def __init__(
        self,
        broker: SyncBroker,
        lease: float,
        *,
        runs: Callable[[], list[Run]],
        vitals: Callable[[], str],
        on_cancel: Callable[[list[str]], None],
        on_lost: Callable[[int, str], None],
        on_wish: Callable[[int, str, int], None],
        on_stuck: Callable[[Run], None],
    ) -> None:
        self._broker = broker
        self._lease_ms = round(lease * 1_000)
        self._every = lease / 3
        self._runs, self._vitals = runs, vitals
        self._on_cancel, self._on_lost, self._on_stuck, self._on_wish = on_cancel, on_lost, on_stuck, on_wish
        self._lines: dict[int, Line] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="boltq-leases", daemon=True)
        self.clock_offset_ms = 0.0  # server's clock minus ours

    def hold(self, partition: int, worker_id: str) -> None:
        """Keep this registration alive from now on."""
        self._lines[partition] = Line(partition, worker_id)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def stop(self) -> None:
        """Stop beating; the registrations are left as they are."""
        self._stopping.set()
        self._thread.join()
        self._broker.close()

    def give_back(self) -> None:
        """Hand back at once all that we hold, without blame: called when the process must end."""
        for line in list(self._lines.values()):
            try:
                while self._broker.send(calls.retire(line.partition, line.worker_id, lost=False))[1]:
                    pass
            except BoltQError as error:
                log.warning("cannot hand back", extra={"error": str(error)})

    def _run(self) -> None:
        while not self._stopping.is_set():
            now = time.monotonic()
            for line in list(self._lines.values()):
                if not line.lost:
                    self._tend(line, now)
            self._settle_stuck(now)
            self._stopping.wait(self._pause(time.monotonic()))

    def _tend(self, line: Line, now: float) -> None:
        try:
            if now - line.beat_at >= self._every:
                self._beat(line)
            if line.reap_at and time.monotonic() >= line.reap_at:
                self._reap(line)
        except UnknownWorker:
            line.lost = True
            log.error(  # noqa: TRY400 - the trace says nothing
                "lease lost: what this worker held was given to others", extra={"worker": line.worker_id}
            )
            self._on_lost(line.partition, line.worker_id)
        except BoltQError as error:
            log.warning("no beat", extra={"worker": line.worker_id, "error": str(error)})

    def _beat(self, line: Line) -> None:
        sent = time.monotonic()
        elapsed = round((sent - line.beat_at) * 1_000) if line.beat_at else 0
        call = calls.extend(line.partition, line.worker_id, self._lease_ms, elapsed, self._vitals())
        beat = self._broker.send(call)
        line.beat_at = sent
        self.clock_offset_ms = beat.now - time.time() * 1_000
        if beat.cancelled:
            self._on_cancel(beat.cancelled)
        self._on_wish(line.partition, beat.wish, beat.now)
        self._plan_reap(line, beat)

    def _plan_reap(self, line: Line, beat: Beat) -> None:
        if beat.sweep_due:
            line.reap_at = time.monotonic()
        elif beat.first_end:
            line.reap_at = time.monotonic() + max(0.0, (beat.first_end - beat.now) / 1_000) + _REAP_DELAY

    def _reap(self, line: Line) -> None:
        reaped = self._broker.send(calls.reap(line.partition, line.worker_id))
        if reaped.taken_back:
            log.warning("took back jobs of lost workers", extra={"jobs": reaped.taken_back})
        if reaped.more:
            line.reap_at = time.monotonic()
        elif reaped.again:
            pause = reaped.again - (time.time() * 1_000 + self.clock_offset_ms)
            line.reap_at = time.monotonic() + max(0.05, pause / 1_000)
        else:
            line.reap_at = 0.0

    def _settle_stuck(self, now: float) -> None:
        for run in self._runs():
            if not run.settled and now > run.deadline + STUCK_AFTER:
                self._settle(run)

    def _settle(self, run: Run) -> None:
        line = self._lines.get(run.partition)
        if line is None:
            return
        run.stop_reason = run.stop_reason or TIMEOUT
        failed = timed_out(run)
        retry_in = run.retry.delay(failed, run.job.attempt, run.max_attempts)
        settling = calls.settling(run.job, failed, run.took_ms(), retry_in)
        try:
            self._broker.send(calls.settle(run.partition, line.worker_id, [settling]))
        except BoltQError as error:
            log.warning("cannot settle a stuck job yet", extra={"job_id": run.job.id, "error": str(error)})
            return
        run.settled = True
        log.error(
            "a job does not stop after its timeout: it was settled, and its slot is written off until it returns",
            extra={"job_id": run.job.id, "job_type": run.job.type},
        )
        self._on_stuck(run)

    def _pause(self, now: float) -> float:
        """Seconds until there is something to do."""
        due = [line.beat_at + self._every for line in self._lines.values()]
        due += [line.reap_at for line in self._lines.values() if line.reap_at]
        due += [run.deadline + STUCK_AFTER for run in self._runs() if not run.settled]
        soonest = min(due, default=now + self._every) - now
        return min(self._every, max(0.02, soonest))
