"""For the tests of programs that use BoltQ: their jobs run in the test itself, at once, and time can be turned on.

    async def test_an_order_is_confirmed():
        async with boltq.testing.inline(app) as inline:
            await place_order(42)  # the program's own code, which submits jobs
            await inline.run_all()
            assert outbox == ["order 42 is confirmed"]
            await inline.advance(3 * 86_400)  # and what it does three days later

Nothing is mocked: jobs go through the same code and a real store; only the worker is one that works when it is told to,
and the store is given the time by the test. The store is an embedded Valkey in a temporary directory, which a test
process starts once; every block has a namespace of its own there, which is deleted in the end.
"""

import asyncio
import atexit
import itertools
import os
import shutil
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from boltq.app import BoltQ
from boltq.app.access import ByLoop
from boltq.broker.broker import Broker
from boltq.broker.connections import Connections
from boltq.broker.embedded import EmbeddedStore
from boltq.broker.knobs import knobs_of
from boltq.broker.store import Store
from boltq.broker.workflows.records import WorkflowRecord
from boltq.domain.job import CONTROL_TYPE, ClaimedJob, JobRecord
from boltq.domain.outcome import Outcome
from boltq.domain.states import JobState
from boltq.domain.workflow.states import WorkflowState
from boltq.portal import is_in_loop
from boltq.settings import Settings
from boltq.worker.run import TIMEOUT, Run
from boltq.worker.runner import Runner

P = ParamSpec("P")
T = TypeVar("T")

_LEASE_MS = 1_000 * 366 * 86_400_000  # nobody may lose a lease because a test turns the clock


class Clock:
    """The time of an inline block: stands still until the test turns it on."""

    def __init__(self) -> None:
        self.ms = time.time_ns() // 1_000_000

    def __call__(self) -> int:
        """Now, in milliseconds since 1970."""
        return self.ms


class Inline:
    """Runs an application's jobs when the test says so."""

    def __init__(self, app: BoltQ, store: Connections, clock: Clock) -> None:
        self._app = app
        self._store = store
        self._clock = clock
        self._runner = Runner(app, store.broker)
        self._workers = itertools.count(1)
        self._next_due = 0  # when something waits for its time, or a workflow has none left; 0: nothing does
        self._turn = asyncio.Lock()

    @property
    def now(self) -> float:
        """The time of this block, in unix seconds."""
        return self._clock.ms / 1_000

    async def run_all(self) -> int:
        """Run every job that can run now, also those that are submitted meanwhile; answers how many runs that were.

        What a worker does for a step of a workflow without running a function counts as a run, too.

        A job that waits for its time, its backoff included, is left to `advance`; one whose type the application does
        not know stays queued. A job that fails fails as in a worker: `inline.jobs("dead")` has it.
        """
        async with self._turn:
            return await self._run_all()

    async def advance(self, seconds: float) -> int:
        """Turn the clock on, and run what becomes due on the way, each at its time; answers how many runs that were.

        A backoff is always as long as it can be: no chance in tests.
        """
        async with self._turn:
            until = self._clock.ms + round(seconds * 1_000)
            runs = await self._run_all()
            while self._next_due and self._next_due <= until:
                self._clock.ms = max(self._clock.ms, self._next_due)
                runs += await self._run_all()
            self._clock.ms = until
            return runs

    async def jobs(self, state: JobState | str | None = None, queue: str | None = None) -> list[JobRecord]:
        """The jobs as they stand (of one state, of one queue), in the order in which they were submitted."""
        wanted, cursor, ids = None if state is None else JobState(state), None, []
        while True:
            page = await self._store.inspector.page(wanted, queue, cursor=cursor)
            ids += [job.id for job in page.jobs]
            cursor = page.cursor
            if cursor is None:
                break
        found = await self._store.inspector.jobs(sorted(ids))
        return [job for job in found if job is not None]

    async def workflows(self, state: WorkflowState | str | None = None) -> list[WorkflowRecord]:
        """The workflows as they stand (of one state), in the order in which they were submitted; sub-workflows too."""
        wanted, cursor, ids = [] if state is None else [WorkflowState(state)], None, []
        while True:
            page = await self._store.workflows.list(states=wanted, cursor=cursor)
            ids += [workflow.id for workflow in page.workflows]
            cursor = page.cursor
            if cursor is None:
                break
        return [await self._store.workflows.get(workflow_id) for workflow_id in sorted(ids)]

    async def _run_all(self) -> int:
        runs, self._next_due = 0, 0
        for partition in range(self._store.broker.layout.partitions):
            runs += await self._run_partition(partition)
        if runs:  # what ran may have submitted to partitions and queues that had their turn
            runs += await self._run_all()
        return runs

    async def _run_partition(self, partition: int) -> int:
        runs, broker = 0, self._store.broker
        worker = await self._begin(partition, await self._queues())
        try:
            while True:
                claim = await broker.claim(partition, worker, 1)
                for job in claim.jobs:
                    await self._run(partition, worker, job)
                    runs += 1
                is_due = 0 < claim.next_due <= self._clock.ms
                if not (claim.jobs or claim.more or is_due):
                    self._next_due = min(filter(None, (self._next_due, claim.next_due)), default=0)
                    return runs
        finally:
            await broker.retire(partition, worker, lost=False)

    async def _begin(self, partition: int, queues: list[str]) -> str:
        """Under a new name each time; a worker that stayed would be handed jobs while it does not work."""
        worker = f"inline-{os.getpid()}-{next(self._workers)}"
        types = sorted([*self._app.tasks, CONTROL_TYPE])
        await self._store.broker.register(
            partition, worker, info="{}", queues=queues, types=types, lease_ms=_LEASE_MS, schemas=()
        )
        return worker

    async def _run(self, partition: int, worker: str, job: ClaimedJob) -> None:
        run = self._runner.begin(partition, job, worker)
        run.chance = 1.0
        outcome = await self._in_a_task(self._outcome(run))
        if outcome is not None:
            settled, _ = run.settling(outcome, run.took_ms())
            await self._store.broker.settle(partition, worker, [settled])

    async def _in_a_task(self, running: Coroutine[Any, Any, Outcome | None]) -> Outcome | None:
        """A run is interrupted by cancelling its task; when the test itself is cancelled, so is the run."""
        task = asyncio.create_task(running)
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            self._runner.tear_down()
            task.cancel()
            await asyncio.wait({task})
            raise
        return task.result()

    async def _outcome(self, run: Run) -> Outcome | None:
        """None: a step of a workflow, which does something else than to run."""
        alarm = asyncio.get_running_loop().call_later(run.timeout, run.ask_to_stop, TIMEOUT)
        try:
            outcome, _ = await self._runner.outcome(run)
            await self._runner.flush(run)
            return outcome
        finally:
            alarm.cancel()

    async def _queues(self) -> list[str]:
        named = {stats.name for stats in await self._store.inspector.queues()}
        return sorted(named) or ["default"]

    async def _close(self) -> None:
        await asyncio.to_thread(self._runner.close)


def _from_sync(
    method: Callable[Concatenate[Inline, P], Coroutine[Any, Any, T]],
) -> "Callable[Concatenate[SyncInline, P], T]":
    """The method of a SyncInline that waits for one of its Inline."""

    @wraps(method)
    def call(self: "SyncInline", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._app.run_sync(method(self._inline, *args, **kwargs))

    call.__qualname__ = f"SyncInline.{method.__name__}"
    call.__doc__ = f"See `Inline.{method.__name__}`."
    return call


class SyncInline:
    """An `Inline` for tests that know nothing of asyncio."""

    def __init__(self, app: BoltQ, inline: Inline) -> None:
        self._app = app
        self._inline = inline

    @property
    def now(self) -> float:
        """The time of this block, in unix seconds."""
        return self._inline.now

    run_all = _from_sync(Inline.run_all)
    advance = _from_sync(Inline.advance)
    jobs = _from_sync(Inline.jobs)
    workflows = _from_sync(Inline.workflows)


@asynccontextmanager
async def inline(app: BoltQ, *, address: str | None = None) -> AsyncIterator[Inline]:
    """For this block, the application has an empty store of its own, and its jobs run when the test says so.

    `address`: a server to use instead of the embedded one. After the block the application is as it was before.
    """
    clock = Clock()
    if address is None:
        address = await asyncio.to_thread(_shared_store)
    store = _TestStore(app.settings, address, f"test-{os.getpid()}-{next(_NUMBERS)}", clock)
    with app.access.replaced_by(store) as by_loop:
        try:
            connections = await app.connections()
            running = Inline(app, connections, clock)
            try:
                yield running
            finally:
                await running._close()  # noqa: SLF001 - one half of `inline`
                await _delete_all(connections.broker)
        finally:
            await _close_all(by_loop)


@contextmanager
def inline_sync(app: BoltQ, *, address: str | None = None) -> Iterator[SyncInline]:
    """`inline` for synchronous tests."""
    if is_in_loop():
        raise RuntimeError("inline_sync() would block the event loop that runs here: use `async with inline(app)`")
    block = inline(app, address=address)
    running = app.run_sync(block.__aenter__())
    try:
        yield SyncInline(app, running)
    finally:
        app.run_sync(block.__aexit__(None, None, None))


_NUMBERS = itertools.count(1)
_LOCK = threading.Lock()
_STORES: dict[int, EmbeddedStore] = {}  # by the process: a forked child has to start its own


class _TestStore(Store):
    """A namespace of its own, in which the test has the clock."""

    def __init__(self, settings: Settings, address: str, namespace: str, clock: Clock) -> None:
        super().__init__(replace(settings, redis_addr=address, namespace=namespace))
        self._clock = clock

    def broker(self) -> Broker:
        """A broker by the test's clock."""
        known = self.settings
        return Broker(
            self.address,
            namespace=known.namespace,
            partitions=known.partitions,
            knobs=knobs_of(known),
            now=self._clock,
        )


async def _close_all(by_loop: ByLoop) -> None:
    """Each in its own loop."""
    for loop, opening in list(by_loop.items()):
        if not opening.done() or opening.cancelled() or opening.exception():
            continue
        if loop.is_closed():
            opening.result().let_go()
            continue
        closing = opening.result().close()
        if loop is asyncio.get_running_loop():
            await closing
        else:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(closing, loop))


async def _delete_all(broker: Broker) -> None:
    for partition in range(broker.layout.partitions):
        keys = [key async for key in broker.redis.scan_iter(match=f"{broker.layout.prefix(partition)}*", count=1_000)]
        for start in range(0, len(keys), 1_000):
            await broker.redis.unlink(*keys[start : start + 1_000])


def _shared_store() -> str:
    """The address of this process's embedded store, which is started once and gone with the process."""
    with _LOCK:
        own = os.getpid()
        if own not in _STORES:
            folder = Path(tempfile.mkdtemp(prefix="boltq-testing-"))
            store = EmbeddedStore(folder / "store")
            store.start()
            _STORES[own] = store
            atexit.register(_end, own, store, folder)
        return _STORES[own].url


def _end(owner: int, store: EmbeddedStore, folder: Path) -> None:
    if owner == os.getpid():
        store.stop()
        shutil.rmtree(folder, ignore_errors=True)
