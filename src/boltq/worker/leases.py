"""Keeps the worker's leases alive, from threads with connections of their own: a blocked event loop keeps its jobs.

Each partition has its own thread, so that one that hangs does not cost the others' leases. It also takes back what
other workers lost, and settles runs that are long past their timeout and could not be stopped by the loop, because they
block it or hold a thread. Nothing but `stop` ends it.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from boltq.broker.broker import SyncBroker
from boltq.broker.calls import workers as calls
from boltq.broker.calls.workers import Beat
from boltq.broker.marks import Mark
from boltq.broker.outage import Outage
from boltq.domain.errors import BoltQError, UnknownWorker
from boltq.domain.happenings import Announce, JobsTakenBack, to_nobody
from boltq.worker.outcomes import timed_out
from boltq.worker.run import TIMEOUT, Run

log = logging.getLogger(__name__)

_REAP_DELAY: Final = 0.05  # seconds after another worker's lease has run out
_FIRST_PAUSE: Final = 0.05  # seconds until the next try when the store does not answer; doubles each time
_LONGEST_PAUSE: Final = 1.0


class Registration:
    """One partition: our registration there, and when it was last extended."""

    def __init__(self, partition: int, worker_id: str) -> None:
        self.partition = partition
        self.worker_id = worker_id
        self.beat_at = 0.0  # monotonic
        self.reap_at = 0.0  # monotonic; 0: nothing to reap
        self.lost = False
        self.pause = 0.0  # seconds until the next try, while the store does not answer


class Leases:
    """The lease threads of one worker."""

    def __init__(
        self,
        broker: SyncBroker,
        lease: float,
        owner: "LeaseOwner",
        loop: asyncio.AbstractEventLoop,
        outage: Outage,
        announce: Announce = to_nobody,
    ) -> None:
        self._broker = broker
        self._lease_ms = round(lease * 1_000)
        self._every = lease / 3
        self._owner = owner
        self._loop = loop
        self._outage = outage
        self._announce = announce
        self._registrations: dict[int, Registration] = {}
        self._stopping = False
        self.leaving = False  # we give up our registrations: that one is gone is no news then
        self._woken: dict[int, threading.Event] = {}
        self._threads: list[threading.Thread] = []
        self.clock_offset_ms = 0.0  # server's clock minus ours

    def hold(self, partition: int, worker_id: str) -> None:
        """Keep this registration alive from now on, instead of an earlier one in that partition."""
        self._registrations[partition] = Registration(partition, worker_id)
        self._woken.setdefault(partition, threading.Event()).set()

    def start(self) -> None:
        """Begin to beat, in every partition that has a registration."""
        for partition in self._registrations:
            thread = threading.Thread(
                target=self._keep, args=(partition,), name=f"boltq-lease-{partition}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Stop beating; the registrations are left as they are. Waits for calls that are on their way."""
        self._stopping = True
        for woken in self._woken.values():
            woken.set()
        for thread in self._threads:
            thread.join()
        self._broker.close()

    def give_back(self, seconds: float) -> None:
        """Hand back at once all that we hold, without blame: called when the process must end. Waits so long for it."""
        held = list(self._registrations.values())
        threads = [threading.Thread(target=self._give_back, args=(one,), daemon=True) for one in held]
        for thread in threads:
            thread.start()
        until = time.monotonic() + seconds
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _give_back(self, registration: Registration) -> None:
        began = [run.job.id for run in self._owner.running() if run.began]
        try:
            call = calls.retire(registration.partition, registration.worker_id, lost=False, began=began)
            while self._broker.send(call)[1]:
                pass
        except BoltQError as error:
            log.warning("cannot hand back", extra={"error": str(error)})

    def _keep(self, partition: int) -> None:
        woken = self._woken[partition]
        while not self._stopping:
            woken.clear()
            registration = self._registrations[partition]
            try:
                self._tend(registration)
            except Exception:  # a bug, maybe in what we call: the lease goes on
                log.exception("while keeping the lease of %s", registration.worker_id)
                registration.pause = _LONGEST_PAUSE
            woken.wait(registration.pause or self._pause(registration, time.monotonic()))

    def _tend(self, registration: Registration) -> None:
        try:
            if not registration.lost:
                self._beat_and_reap(registration)
            self._settle_stuck(registration)
        except UnknownWorker:
            registration.lost = True
            if self.leaving:
                return
            log.error(  # noqa: TRY400 - the trace says nothing
                "lease lost: what this worker held was given to others", extra={"worker": registration.worker_id}
            )
            self._soon(self._owner.lost, registration.partition, registration.worker_id)
        except BoltQError as error:
            self._outage.down(self._who(registration), error)
            registration.pause = min(_LONGEST_PAUSE, self._every, registration.pause * 2 or _FIRST_PAUSE)
        else:
            self._outage.up(self._who(registration))
            registration.pause = 0.0

    def _who(self, registration: Registration) -> str:
        return f"lease of partition {registration.partition}"

    def _beat_and_reap(self, registration: Registration) -> None:
        if time.monotonic() - registration.beat_at >= self._every:
            self._beat(registration)
        if registration.reap_at and time.monotonic() >= registration.reap_at:
            self._reap(registration)

    def _beat(self, registration: Registration) -> None:
        sent = time.monotonic()
        elapsed = round((sent - registration.beat_at) * 1_000) if registration.beat_at else 0
        vitals, sample = self._owner.vitals(registration.partition)
        call = calls.extend(registration.partition, registration.worker_id, self._lease_ms, elapsed, vitals, sample)
        before = self._broker.history.mark(registration.partition)
        beat = self._broker.send(call)
        registration.beat_at = sent
        self.clock_offset_ms = beat.now - time.time() * 1_000
        self._soon(self._owner.heard, registration.partition, registration.worker_id, before, beat)
        self._plan_reap(registration, beat)

    def _plan_reap(self, registration: Registration, beat: Beat) -> None:
        if beat.sweep_due:
            registration.reap_at = time.monotonic()
        elif beat.first_end:
            registration.reap_at = time.monotonic() + max(0.0, (beat.first_end - beat.now) / 1_000) + _REAP_DELAY

    def _reap(self, registration: Registration) -> None:
        reaped = self._broker.send(calls.reap(registration.partition, registration.worker_id))
        if reaped.taken_back:
            self._announce(JobsTakenBack(registration.partition, reaped.taken_back))
            log.warning("took back jobs of lost workers", extra={"jobs": reaped.taken_back})
        if reaped.more:
            registration.reap_at = time.monotonic()
        elif reaped.again:
            pause = reaped.again - (time.time() * 1_000 + self.clock_offset_ms)
            registration.reap_at = time.monotonic() + max(0.05, pause / 1_000)
        else:
            registration.reap_at = 0.0

    def _settle_stuck(self, registration: Registration) -> None:
        now = time.monotonic()
        for run in self._owner.running():
            if run.partition == registration.partition and not run.settled and now > run.stuck_at:
                self._settle(run)

    def _settle(self, run: Run) -> None:
        run.stop_reason = run.stop_reason or TIMEOUT
        outcome = timed_out(run)
        settling, retry_in = run.settling(outcome, run.took_ms())
        self._broker.send(calls.settle(run.partition, run.worker, [settling]))
        run.settled = True
        self._announce(run.ended(outcome, retry_in))
        log.error(
            "a job does not stop after its timeout: it was settled, and its slot is written off until it returns",
            extra={"job_id": run.job.id, "job_type": run.job.type},
        )
        self._owner.stuck(run)

    def _pause(self, registration: Registration, now: float) -> float:
        """Seconds until there is something to do."""
        due = [] if registration.lost else [registration.beat_at + self._every]
        if registration.reap_at and not registration.lost:
            due.append(registration.reap_at)
        due += [
            run.stuck_at for run in self._owner.running() if run.partition == registration.partition and not run.settled
        ]
        soonest = min(due, default=now + self._every) - now
        return min(self._every, max(0.02, soonest))

    def _soon(self, action: Callable[..., object], *args: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop may be gone already
            self._loop.call_soon_threadsafe(action, *args)


class LeaseOwner(Protocol):
    """What the lease threads ask of their worker, and tell it."""

    def running(self) -> list[Run]:
        """The runs that have not ended. Called in a lease thread."""

    def vitals(self, partition: int) -> tuple[str, list[tuple[str, int]]]:
        """What a beat tells of the worker, and jobs to ask for, by id and delivery. Called in a lease thread."""

    def stuck(self, run: Run) -> None:
        """This run does not end, and was settled. Called in a lease thread."""

    def heard(self, partition: int, worker_id: str, before: Mark, beat: Beat) -> None:
        """What a beat was answered; `before`: where the history stood when it was sent. Called on the loop."""

    def lost(self, partition: int, worker_id: str) -> None:
        """The registration is gone, and with it all that the worker held. Called on the loop."""
