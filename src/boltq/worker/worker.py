"""Worker: runs an application's tasks. `run` is a list of what it does."""

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from importlib import metadata
from typing import Any, Final

import msgspec

from boltq.app import BoltQ, Line, Task
from boltq.broker import calls
from boltq.broker.broker import SyncBroker, repeated
from boltq.broker.flows import CONTROL_TYPE
from boltq.domain.errors import Conflict, StoreError
from boltq.domain.job import ClaimedJob
from boltq.domain.outcome import Cancelled, Failed, Outcome
from boltq.worker.buffer import Buffer
from boltq.worker.executor import Executor
from boltq.worker.fetcher import Fetcher, FetcherOwner
from boltq.worker.leases import STUCK_AFTER, Leases
from boltq.worker.parents import reading
from boltq.worker.processes import ProcessPool
from boltq.worker.run import CANCEL, LOST, SHUTDOWN, TIMEOUT, Beginnings, Run
from boltq.worker.steps import Steps, control_task
from boltq.worker.tellings import Tellings

log = logging.getLogger(__name__)

_BREATH: Final = 64  # runs that did not wait for anything, after which a slot lets the loop do other things
_LAST_WORDS: Final = 5.0  # seconds for the last outcomes to reach the store at shutdown
_WATCH: Final = 0.25  # seconds between looks at the deadlines, while jobs run
_STRAGGLE: Final = 2.0  # seconds beyond those and the grace time, after which a worker that was sent home is killed
_STALE: Final = 5_000  # ms: a wish that is older than the last one by less than this was overtaken on its way

WORN_OUT: Final = 75  # exit code: start me again
SENT_HOME: Final = 76  # exit code: somebody asked for my end, do not start me again


class WornOutError(RuntimeError):
    """Every slot is held by a function that does not end; the process must be replaced."""


class Worker(FetcherOwner):
    """Runs jobs of an application's tasks in `slots` at once.

    `name` is the beginning of its registrations' ids. `exit_when_wedged`: end the process when a function blocks the
    event loop past its timeout, because nothing else can stop it.
    """

    def __init__(
        self,
        app: BoltQ,
        *,
        queues: Sequence[str] | None = None,
        slots: int | None = None,
        name: str | None = None,
        exit_when_wedged: bool = False,
    ) -> None:
        settings = app.settings
        self.app = app
        self.queues = list(queues or settings.queue_names)
        self.slots = slots or settings.num_workers
        self.name = name or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self.stopping = asyncio.Event()
        self.started = asyncio.Event()
        self.done = 0  # runs that ended here
        self.sent_home = False  # somebody asked for our end through the store
        self._settings = settings
        self._rejoining: dict[int, asyncio.Task[None]] = {}  # by partition
        self._exit_when_wedged = exit_when_wedged
        self._runs: dict[str, Run] = {}
        self._stuck: set[Run] = set()  # settled by the lease thread, and still not at their end
        self._tasks: dict[str, Task[..., Any]] = {}  # by a job's route
        self._watching: asyncio.TimerHandle | None = None
        self._buffer = Buffer(self.slots, self._wake)
        self._fetchers: list[Fetcher] = []

    async def run(self) -> None:
        """Work until told to stop, then let the running jobs finish. Raises StoreError when it cannot begin."""
        await self._open()
        try:
            async with asyncio.TaskGroup() as group:
                loops = [group.create_task(self._guarded(loop)) for loop in self._loops()]
                try:
                    self.started.set()
                    await self.stopping.wait()
                    await self._drain()
                finally:
                    self._executor.closing = True
                for fetcher in self._fetchers:
                    fetcher.close()
                await _end(loops)
        finally:
            await self._leave()

    def stop(self) -> None:
        """Finish what runs, hand back the rest, and end. Call it from the worker's loop."""
        self.stopping.set()

    async def _guarded(self, loop: Coroutine[Any, Any, None]) -> None:
        """A loop that fails ends the worker; from then on, a cancel is not a function's own."""
        try:
            await loop
        except BaseException:
            self._executor.closing = True
            raise

    def _loops(self) -> list[Coroutine[Any, Any, None]]:
        return [
            *(fetcher.run() for fetcher in self._fetchers),
            *(fetcher.read_mail() for fetcher in self._fetchers),
            *(self._slot() for _ in range(self.slots)),
        ]

    # Coming and going

    async def _open(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._line: Line = await self.app.line()
        broker = self._line.broker
        self._tellings = Tellings(broker)
        self._beginnings = Beginnings(self._settings, self._tellings.add, reading(broker))
        self._steps = Steps(broker)
        self._processes = ProcessPool()
        self._executor = Executor(self._processes)
        self._leases = Leases(
            SyncBroker(broker, timeout=max(1.0, self._settings.lease / 3)),
            self._settings.lease,
            runs=lambda: list(self._runs.values()),
            vitals=self._vitals,
            on_cancel=lambda ids: self._soon(self.cancel, ids),
            on_lost=lambda partition, worker_id: self._soon(self.lost, partition, worker_id),
            on_wish=lambda partition, wish, at: self._soon(self.wished, partition, wish, at),
            on_stuck=self._on_stuck,
        )
        self._fetchers = [Fetcher(broker, p, self._buffer, self) for p in range(broker.layout.partitions)]
        for fetcher in self._fetchers:
            await self._register(fetcher)
        self._leases.start()

    async def _register(self, fetcher: Fetcher) -> None:
        """Under a new id each time: what an older registration held is not ours any more."""
        info = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "slots": self.slots,
            "name": self.name,
            "version": metadata.version("boltq"),
        }
        what = {
            "info": msgspec.json.encode(info).decode(),
            "queues": self.queues,
            "types": sorted([*self.app.tasks, CONTROL_TYPE]),
            "lease_ms": round(self._settings.lease * 1_000),
            "schemas": [(name, msgspec.json.encode(task.about()).decode()) for name, task in self.app.tasks.items()],
            "wish": fetcher.wish,
        }
        while True:
            fetcher.registrations += 1
            worker_id = f"{self.name}.{fetcher.registrations}"
            try:
                await repeated(lambda: self._line.broker.register(fetcher.partition, worker_id, **what))  # noqa: B023
            except Conflict:  # by ourselves, if the answer was lost; or by a namesake, who may be dead
                continue
            break
        fetcher.worker_id = worker_id
        self._leases.hold(fetcher.partition, worker_id)

    async def _drain(self) -> None:
        """Claim no more, hand back what has not begun, let run what runs, and stop it after the grace time."""
        for fetcher in self._fetchers:
            fetcher.claiming = False
            fetcher.release(job for _, job in self._buffer.drain(fetcher.partition))
        if await self._all_ended(self._settings.grace):
            return
        for run in list(self._runs.values()):
            run.ask_to_stop(SHUTDOWN)
        await self._all_ended(_LAST_WORDS)

    async def _all_ended(self, seconds: float) -> bool:
        until = self._loop.time() + seconds
        while self._runs and self._loop.time() < until:  # noqa: ASYNC110 - an event would cost each run something
            await asyncio.sleep(0.02)
        return not self._runs

    async def _leave(self) -> None:
        """Send the last outcomes; what is still ours then goes back; only now do the leases end."""
        try:
            async with asyncio.timeout(_LAST_WORDS):
                for fetcher in self._fetchers:
                    await fetcher.flush()
                    await self._line.broker.retire(fetcher.partition, fetcher.worker_id, lost=False)
        except (StoreError, TimeoutError) as error:
            log.warning("left without saying so: the leases will run out by themselves", extra={"error": str(error)})
        await asyncio.to_thread(self._leases.stop)
        self._executor.close()
        await asyncio.to_thread(self._processes.close)

    # Slots

    async def _slot(self) -> None:
        """One after the other: take a job, run it, put its outcome into the outbox."""
        buffer, breath = self._buffer, 0
        while True:
            partition, job = await buffer.take()
            buffer.busy += 1
            run = self._begin(partition, job)
            try:
                if run.is_step:
                    outcome, thread = await self._executor.run_step(run, self._steps)
                else:
                    outcome, thread = await self._executor.run(run)
                if run.tellings:
                    await self._tellings.settle_down(run)
            finally:
                if self._runs.get(job.id) is run:  # else: settled by the lease thread, and claimed again since
                    del self._runs[job.id]
                self._stuck.discard(run)
                buffer.busy -= 1
            if outcome is not None:
                self._end(run, outcome)
            if thread:
                await self._wait_for_stuck(thread)
            breath += 1
            if breath >= _BREATH:
                breath = 0
                await asyncio.sleep(0)

    def _begin(self, partition: int, job: ClaimedJob) -> Run:
        task = self._tasks.get(job.route)
        if task is None:
            task = self._tasks[job.route] = self.app.tasks.get(job.type) or control_task(self.app)
        run = self._runs[job.id] = self._beginnings.run_of(partition, job, task)
        if self._watching is None or run.timeout < _WATCH:
            self._watch_deadlines()
        return run

    def _end(self, run: Run, outcome: Outcome) -> None:
        """Put the outcome into the outbox, unless the lease thread has settled the run already."""
        seconds = time.monotonic() - run.started
        self._buffer.took(seconds)
        self.done += 1
        if run.settled:
            return
        run.settled = True
        retry_in = None
        if type(outcome) is Failed:
            retry_in = run.retry.delay(outcome, run.job.attempt, run.max_attempts)
            self._log_failure(run, outcome, retry_in)
        settling = calls.settling(run.job, outcome, round(seconds * 1_000), retry_in)
        self._fetchers[run.partition].outbox.put(settling)

    def _log_failure(self, run: Run, failed: Failed, retry_in: float | None) -> None:
        fate = "dead" if retry_in is None else f"again in {retry_in:.1f} s"
        log.warning(
            "job %s (%s) failed, attempt %d of %d: %s: %s; %s",
            run.job.id, run.job.type, run.job.attempt, run.max_attempts,
            failed.error.class_name, failed.error.message.split("\n")[0][:200], fate,
        )  # fmt: skip

    async def _wait_for_stuck(self, thread: Any) -> None:
        """A thread that nobody can stop holds its slot until it returns. If that was the last one, we are worn out."""
        self._buffer.lost_slots += 1
        ending = asyncio.wrap_future(thread)
        await asyncio.wait({ending}, timeout=STUCK_AFTER)
        if not ending.done() and self._is_worn_out() and not self.stopping.is_set():
            raise WornOutError(f"all {self.slots} slots are held by functions that do not end after their timeout")
        await ending
        self._buffer.lost_slots -= 1

    def _is_worn_out(self) -> bool:
        return self._buffer.lost_slots + len(self._stuck) >= self.slots

    # Watching over what runs

    def _watch_deadlines(self) -> None:
        """Interrupt what has run too long, and come again as long as anything runs."""
        if self._watching:
            self._watching.cancel()
            self._watching = None
        if not self._runs:
            return
        now = time.monotonic()
        soonest = _WATCH
        for run in list(self._runs.values()):
            if now >= run.deadline:
                run.ask_to_stop(TIMEOUT)
            else:
                soonest = min(soonest, run.deadline - now)
            if run.job.filled and not run.shown:
                run.shown = True
                self._steps.show(run)
        for partition, job in self._buffer.excess():
            self._fetchers[partition].release([job])
        self._watching = self._loop.call_later(max(0.01, soonest), self._watch_deadlines)

    def _on_stuck(self, run: Run) -> None:
        """A run was settled by the lease thread, which calls this. If it holds up all others, only an end helps."""
        self._stuck.add(run)
        if self._runs.get(run.job.id) is not run:  # it has ended just now
            self._stuck.discard(run)
        if not self._exit_when_wedged:
            return
        blocks = run.task.executor == "async" and not self._ask_loop()
        if blocks or (self._is_worn_out() and not self.stopping.is_set()):
            what = "the event loop" if blocks else "the last slot"
            log.critical("job %s holds %s and does not end: this process ends", run.job.id, what)
            self._leases.give_back()
            os._exit(WORN_OUT)

    def _ask_loop(self) -> bool:
        answered = threading.Event()
        self._loop.call_soon_threadsafe(answered.set)
        return answered.wait(1.0)

    # What fetchers ask

    def server_ms(self) -> float:
        """The server's clock, as well as we know it."""
        return time.time() * 1_000 + self._leases.clock_offset_ms

    def known(self, partition: int) -> set[tuple[str, int]]:
        """All jobs that wait, run or are being settled here, by id and delivery."""
        return {
            *((run.job.id, run.job.delivery) for run in self._runs.values() if run.partition == partition),
            *((job.id, job.delivery) for home, job in self._buffer.items() if home == partition),
            *self._fetchers[partition].outbox.runs(),
        }

    def cancel(self, ids: list[str]) -> None:
        """Stop these, if they are here."""
        wanted = set(ids)
        for job_id in ids:
            if run := self._runs.get(job_id):
                run.ask_to_stop(CANCEL)
        for partition, job in self._buffer.remove(wanted):
            settling = calls.settling(job, Cancelled("cancelled"), 0, None)
            self._fetchers[partition].outbox.put(settling)

    def lost(self, partition: int, worker_id: str) -> None:
        """The registration is gone, and with it all that we held: drop that, and register anew. May be told twice."""
        fetcher, rejoining = self._fetchers[partition], self._rejoining.get(partition)
        if fetcher.worker_id == worker_id and (rejoining is None or rejoining.done()):
            self._rejoining[partition] = self._loop.create_task(self._rejoin(fetcher))

    def wished(self, partition: int, wish: str, at: int) -> None:
        """Claim nothing more in this partition, end, or claim again. Comes by mail and at each beat, maybe late."""
        fetcher = self._fetchers[partition]
        if self.stopping.is_set() or 0 < fetcher.wished_at - at < _STALE:
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
        if self._exit_when_wedged:  # nobody waits for our end, as one who sends a signal does
            last = threading.Timer(self._settings.grace + _LAST_WORDS + _STRAGGLE, os._exit, (SENT_HOME,))
            last.daemon = True
            last.start()

    async def _rejoin(self, fetcher: Fetcher) -> None:
        self._buffer.drain(fetcher.partition)
        for run in list(self._runs.values()):
            if run.partition == fetcher.partition:
                run.ask_to_stop(LOST)
        while not self.stopping.is_set():
            with contextlib.suppress(StoreError):
                await self._register(fetcher)
                fetcher.read_anew()
                fetcher.wake()
                return
            await asyncio.sleep(1)

    def _vitals(self) -> str:
        vitals = {"running": len(self._runs), "waiting": len(self._buffer), "done": self.done}
        return msgspec.json.encode(vitals).decode()

    def _wake(self) -> None:
        for fetcher in self._fetchers:
            fetcher.wake()

    def _soon(self, action: Callable[..., object], *args: Any) -> None:
        """From another thread; the loop may be gone already."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(action, *args)


_WISHES: Final = {"draining": "claim nothing more", "stopping": "stop"}


async def _end(loops: Sequence["asyncio.Task[None]"]) -> None:
    """Cancel them until they have ended: redis-py may swallow a cancel, and so may a function."""
    running = set(loops)
    while running:
        for loop in running:
            loop.cancel()
        _, running = await asyncio.wait(running, timeout=0.1)
