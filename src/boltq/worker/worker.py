"""Worker: runs an application's tasks. `run` is a list of what it does."""

import asyncio
import contextlib
import logging
import os
import random
import secrets
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import msgspec

from boltq.app import BoltQ
from boltq.broker.broker import SyncBroker
from boltq.broker.calls.workers import Beat
from boltq.broker.history import UNKNOWN_WORKER
from boltq.broker.marks import Mark
from boltq.broker.settling import settling
from boltq.domain.errors import StoreError
from boltq.domain.happenings import RegistrationLost, WorkerStarted, WorkerStopped
from boltq.domain.outcome import Cancelled, Released
from boltq.telemetry.listeners import Listeners
from boltq.worker.buffer import Buffer
from boltq.worker.fetcher import Fetcher
from boltq.worker.leases import Leases
from boltq.worker.leaving import LAST_CHANCE_SECONDS, LEAVING_SECONDS, Leaving, in_any_case
from boltq.worker.registering import Registering
from boltq.worker.run import CANCEL, Run
from boltq.worker.runner import Runner, told_to
from boltq.worker.running import RunKey, Running
from boltq.worker.slots import Slots

log = logging.getLogger(__name__)

KILL_AFTER_SECONDS: Final = 2.0  # beyond the grace time: then a worker whose loop is blocked ends all the same
MOST_SAMPLED: Final = 100  # jobs that a beat asks for
STALE_WISH_MS: Final = 5_000  # a wish that is older than the last one by less than this was overtaken on its way

WORN_OUT: Final = 75  # exit code: start me again
SENT_HOME: Final = 76  # exit code: somebody asked for my end, do not start me again


class Worker:
    """Runs jobs of an application's tasks in `slots` at once.

    `name` is the beginning of its registrations' ids. `end_process` ends it with an exit code, for when a function
    blocks the event loop past its timeout, because nothing else can stop it; None: the process is somebody else's.
    `listeners` are told what happens: see `domain/happenings.py`.
    """

    def __init__(
        self,
        app: BoltQ,
        *,
        queues: Sequence[str] | None = None,
        slots: int | None = None,
        name: str | None = None,
        end_process: Callable[[int], object] | None = None,
        listeners: Listeners | None = None,
    ) -> None:
        settings = app.settings
        self.app = app
        self.queues = list(dict.fromkeys(queues or settings.queue_names))  # one that is named twice is served once
        self.slots = slots or settings.num_workers
        self.name = name or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self.stopping = asyncio.Event()
        self.started = asyncio.Event()
        self.sent_home = False  # somebody asked for our end through the store
        self._settings = settings
        self._grace = settings.grace  # seconds for what runs, when we are told to stop
        self._rejoining: dict[int, asyncio.Task[None]] = {}  # by partition
        self._end_process = end_process
        self._listeners = listeners or Listeners()
        self._running = Running(settings.cleanup)
        self._known_before: dict[int, set[RunKey]] = {}  # at the last beat, by partition
        self._buffer = Buffer(self.slots, self._wake)
        self._fetchers: list[Fetcher] = []
        self._loops: list[asyncio.Task[None]] = []
        self._failures: list[Exception] = []
        self._leases: Leases | None = None
        self._last_resort: threading.Timer | None = None

    @property
    def done(self) -> int:
        """How many runs have ended here."""
        return self._slots.done if self._leases else 0

    async def run(self) -> None:
        """Work until told to stop, then let the running jobs finish.

        Raises StoreError when it cannot begin, and an ExceptionGroup when it fails: of WornOutErrors, or of a bug.
        However it ends, that is bounded: what does not let itself be stopped is left behind.
        """
        try:
            await self._open()
            self._loops = [self._loop.create_task(loop) for loop in self._what_it_does()]
            self.started.set()
            self._listeners.announce(WorkerStarted(self.name, self.queues, self.slots))
            if not await self._fails_before(self.stopping.wait()):
                await self._fails_before(self._drain())
        finally:
            await self._wind_up()
        if self._failures:
            raise ExceptionGroup("the worker failed", self._failures)

    def hurry(self) -> None:
        """Our supervisor is dead: what runs here is back within a lease, as when a worker dies. From any thread."""
        self._grace = min(self._grace, self._settings.lease)

    def stop(self) -> None:
        """Finish what runs, hand back the rest, and end. Call it from the worker's loop."""
        self.stopping.set()
        self._end_within(self._grace + KILL_AFTER_SECONDS)

    async def _fails_before(self, awaited: Coroutine[Any, Any, Any]) -> bool:
        """Whether one of our loops ends before `awaited` does: none of them ever should."""
        waiting = self._loop.create_task(awaited)
        try:
            loops: set[asyncio.Future[None]] = {self._slots.worn_out, *self._loops}
            await asyncio.wait([waiting, *loops], return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        self._failures = [_why(loop) for loop in loops if loop.done()]
        return bool(self._failures)

    def _what_it_does(self) -> list[Coroutine[Any, Any, None]]:
        return [
            *(fetcher.run() for fetcher in self._fetchers),
            *(fetcher.read_mail() for fetcher in self._fetchers),
            *self._slots.loops(),
        ]

    # Coming and going

    async def _open(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._store = await self.app.connections()
        broker = self._store.broker
        patience = max(0.2, self._settings.lease / 10)
        self._fetchers = [
            Fetcher(broker, partition, self._buffer, self, self._listeners, patience=patience)
            for partition in range(broker.layout.partitions)
        ]
        self._runner = Runner(self.app, broker, told_to(broker))
        self._slots = Slots(self._buffer, self._running, self._runner, self._fetchers, self.stopping, self._listeners)
        private = SyncBroker(broker, timeout=max(1.0, self._settings.lease / 3))
        broker.outage.announce_to.append(self._listeners.announce)
        self._leases = Leases(private, self._settings.lease, self, self._loop, broker.outage, self._listeners.announce)
        self._leaving = Leaving(
            broker, self._buffer, self._running, self._slots, self._runner, self._fetchers, self._leases
        )
        self._registering = Registering(self.app, broker, self.name, self.queues, self.slots)
        for fetcher in self._fetchers:
            await self._register(fetcher)
        self._leases.start()

    async def _register(self, fetcher: Fetcher) -> None:
        await self._registering.join(fetcher)
        if self._leases:
            self._leases.hold(fetcher.partition, fetcher.worker_id)

    async def _drain(self) -> None:
        """Claim no more, hand back what has not begun, and let run what runs for the grace time."""
        self._leaving.hand_back()
        await self._leaving.all_ended(self._grace)

    async def _wind_up(self) -> None:
        """Whatever ended our work: come to an end, within bounds."""
        if self._leases is None:  # we have not even begun
            return
        self._end_within(self._settings.cleanup + LEAVING_SECONDS)
        try:
            await in_any_case(self._leaving.wind_up(self._loops, self._settings.cleanup))
        finally:
            self._store.broker.outage.announce_to.remove(self._listeners.announce)
            if self.started.is_set():
                self._listeners.announce(WorkerStopped(self.name, failed=bool(self._failures)))

    def _end_within(self, seconds: float) -> None:
        """End the process in so many seconds, unless this is called again or the process has ended by then."""
        if self._end_process is None:
            return
        if self._last_resort:
            self._last_resort.cancel()
        self._last_resort = threading.Timer(seconds, self._end_at_once, ("it should have ended by itself",))
        self._last_resort.daemon = True
        self._last_resort.start()

    def _end_at_once(self, why: str) -> None:
        """Give back what we hold, and end the process: for when nothing else helps. Called in another thread."""
        log.critical("this process ends: %s", why)
        if self._leases:
            self._leases.give_back(LAST_CHANCE_SECONDS)
        if self._end_process:
            self._end_process(SENT_HOME if self.sent_home else WORN_OUT)

    # What fetchers ask and tell: see FetcherOwner

    def server_ms(self) -> float:
        """The server's clock, as well as we know it."""
        offset = self._leases.clock_offset_ms if self._leases else 0.0
        return time.time() * 1_000 + offset

    def known(self, partition: int) -> set[RunKey]:
        """All jobs that wait, run or are being settled here, by id and delivery."""
        return {
            *self._running.known(partition),
            *((job.id, job.delivery) for home, job in self._buffer.items() if home == partition),
            *self._fetchers[partition].outbox.runs(),
        }

    def count(self, partition: int) -> int:
        """How many jobs `known` would list; quickly."""
        outbox = len(self._fetchers[partition].outbox)
        if len(self._fetchers) == 1:
            return self._running.count_all() + len(self._buffer) + outbox
        return self._running.count(partition) + sum(home == partition for home, _ in self._buffer.items()) + outbox

    def disown(self, partition: int, runs: set[RunKey]) -> None:
        """Drop or stop these runs: they are not ours as the store sees it, and it would refuse their outcomes."""
        waiting = {job.id for home, job in self._buffer.items() if home == partition and (job.id, job.delivery) in runs}
        self._buffer.remove(waiting)
        for run in self._running.disown(partition, runs):
            self._listeners.announce(run.ended(Released(began=run.began)))

    def cancel(self, ids: list[str]) -> None:
        """Stop these jobs, if they are here."""
        for job_id in ids:
            if run := self._running.runs.get(job_id):
                run.ask_to_stop(CANCEL)
        for partition, job in self._buffer.remove(set(ids)):
            fetcher = self._fetchers[partition]
            fetcher.outbox.put(settling(job, Cancelled("cancelled", began=False), 0, None), fetcher.worker_id)

    def lost(self, partition: int, worker_id: str) -> None:
        """The registration is gone, and with it all that we held: drop that, and register anew. May be told twice."""
        fetcher, rejoining = self._fetchers[partition], self._rejoining.get(partition)
        if fetcher.worker_id == worker_id and (rejoining is None or rejoining.done()):
            text = (
                f"worker {worker_id} was not known to the store any more: its lease had run out, or the store lost it"
            )
            self._store.broker.alarm(partition, UNKNOWN_WORKER, text)
            self._listeners.announce(RegistrationLost(partition, worker_id))
            self._rejoining[partition] = self._loop.create_task(self._rejoin(fetcher))

    async def _rejoin(self, fetcher: Fetcher) -> None:
        self._buffer.drain(fetcher.partition)
        self._running.give_up(fetcher.partition)
        while not self.stopping.is_set():
            with contextlib.suppress(StoreError):
                await self._register(fetcher)
                fetcher.read_anew()
                fetcher.wake()
                return
            await asyncio.sleep(1)

    def wished(self, partition: int, wish: str, at: int) -> None:
        """Claim nothing more in this partition, end, or claim again. Comes by mail and at each beat, maybe late."""
        fetcher = self._fetchers[partition]
        if self.stopping.is_set() or 0 < fetcher.wished_at - at < STALE_WISH_MS:
            return
        fetcher.wished_at = at
        if wish == fetcher.wish:
            return
        log.info("worker %s was told to %s", fetcher.worker_id, _WISHES.get(wish, "work again"))
        fetcher.wish, fetcher.claiming = wish, not wish
        if wish == "stopping":
            self._go_home()
        elif wish:
            fetcher.release(job for _, job in self._buffer.drain(partition))
        fetcher.wake()

    def _go_home(self) -> None:
        self.sent_home = True
        self.stop()

    def _wake(self) -> None:
        for fetcher in self._fetchers:
            fetcher.wake()

    # What the lease threads ask and tell: see LeaseOwner

    def running(self) -> list[Run]:
        """The runs that have not ended."""
        return self._running.all()

    def vitals(self, partition: int) -> tuple[str, list[RunKey]]:
        """What a beat tells of us, and some jobs that we had at the last one: are they ours?"""
        known = self.known(partition)
        old = sorted(known & self._known_before.get(partition, set()))
        self._known_before[partition] = known
        vitals = {"running": len(self._running), "waiting": len(self._buffer), "done": self.done, "known": len(known)}
        sample = random.sample(old, MOST_SAMPLED) if len(old) > MOST_SAMPLED else old  # not for secrets
        return msgspec.json.encode(vitals).decode(), sample

    def heard(self, partition: int, worker_id: str, before: Mark, beat: Beat) -> None:
        """Take in what a beat was answered."""
        self.cancel(beat.cancelled)
        self._store.broker.hear(partition, before, beat.mark)
        self.wished(partition, beat.wish, beat.now)
        fetcher = self._fetchers[partition]
        if fetcher.worker_id == worker_id:
            fetcher.compare(beat.holds, beat.mark)
            fetcher.miss(beat.strange)

    def stuck(self, run: Run) -> None:
        """Note a run that the lease thread, which calls this, has settled. If it blocks the loop, end the process."""
        self._running.note_stuck(run)
        if run.task.executor == "async" and not self._does_loop_answer():
            if self._end_process:
                self._end_at_once(f"job {run.job.id} blocks the event loop, and does not end after its timeout")
            return
        with contextlib.suppress(RuntimeError):  # the loop is gone
            self._loop.call_soon_threadsafe(self._slots.look_whether_worn_out)

    def _does_loop_answer(self) -> bool:
        answered = threading.Event()
        self._loop.call_soon_threadsafe(answered.set)
        return answered.wait(1.0)


_WISHES: Final = {"draining": "claim nothing more", "stopping": "stop"}


def _why(ended: "asyncio.Future[None]") -> Exception:
    """Why a loop of ours has ended, which it should not have."""
    error = None if ended.cancelled() else ended.exception()
    return error if isinstance(error, Exception) else RuntimeError(f"a loop of the worker ended: {error!r}")
