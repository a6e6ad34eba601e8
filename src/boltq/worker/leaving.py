"""How a worker leaves, within bounds: what has not begun goes back, what runs is interrupted, all outcomes are sent."""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from boltq.broker.broker import Broker
from boltq.worker.buffer import Buffer
from boltq.worker.fetcher import Fetcher
from boltq.worker.leases import Leases
from boltq.worker.run import SHUTDOWN
from boltq.worker.runner import Runner
from boltq.worker.running import Running
from boltq.worker.slots import Slots

log = logging.getLogger("boltq.worker.worker")  # the name by which these lines are known

LAST_FLUSH_SECONDS: Final = 5.0  # for the last outcomes to reach the store at shutdown
LAST_CHANCE_SECONDS: Final = 1.0  # for a function that has had its time for cleaning up
LEAVING_SECONDS: Final = 2 * LAST_CHANCE_SECONDS + 3 * LAST_FLUSH_SECONDS  # for all of it, when functions have ended


class Leaving:
    """The end of one worker."""

    def __init__(
        self,
        broker: Broker,
        buffer: Buffer,
        running: Running,
        slots: Slots,
        runner: Runner,
        fetchers: Sequence[Fetcher],
        leases: Leases,
    ) -> None:
        self._broker = broker
        self._buffer = buffer
        self._running = running
        self._slots = slots
        self._runner = runner
        self._fetchers = fetchers
        self._leases = leases

    def hand_back(self) -> None:
        """Claim no more, and hand back what has not begun."""
        for fetcher in self._fetchers:
            fetcher.claiming = False
            fetcher.release(job for _, job in self._buffer.drain(fetcher.partition))

    async def all_ended(self, seconds: float) -> None:
        """Wait until nothing runs any more, or for so many seconds."""
        until = time.monotonic() + seconds
        # An event instead would cost each run something.
        while time.monotonic() < until and any(not run.settled for run in self._running):  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    async def wind_up(self, loops: Sequence["asyncio.Task[None]"], cleanup: float) -> None:
        """Interrupt what runs, let it clean up, end our loops, tell the last outcomes."""
        self.hand_back()
        self._running.interrupt_all(SHUTDOWN)
        await self.all_ended(cleanup)
        self._slots.close()
        for fetcher in self._fetchers:
            fetcher.close()
        await self._end_turns()
        await self._end_loops(loops)
        await self._leave()

    async def _end_turns(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_CHANCE_SECONDS):
                await asyncio.gather(*(fetcher.idle() for fetcher in self._fetchers))

    async def _end_loops(self, loops: Sequence["asyncio.Task[None]"]) -> None:
        """Cancel the loops until they have ended: redis-py may swallow a cancel, and so may a function."""
        running, until = set(loops), time.monotonic() + LAST_CHANCE_SECONDS
        while running and time.monotonic() < until:
            for loop in running:
                loop.cancel()
            _, running = await asyncio.wait(running, timeout=0.1)
        if running:
            log.error("%d functions do not let themselves be cancelled: they are left behind", len(running))

    async def _leave(self) -> None:
        """Send the last outcomes, hand back what is still ours, and only then let the leases end."""
        self._leases.leaving = True
        await asyncio.gather(*(self._leave_partition(fetcher) for fetcher in self._fetchers if fetcher.worker_id))
        await _aside(self._leases.stop, LAST_FLUSH_SECONDS)
        await _aside(self._runner.close, LAST_FLUSH_SECONDS)

    async def _leave_partition(self, fetcher: Fetcher) -> None:
        try:
            async with asyncio.timeout(LAST_FLUSH_SECONDS):
                await fetcher.flush()
                began = [run.job.id for run in self._running if run.began]
                await self._broker.retire(fetcher.partition, fetcher.worker_id, lost=False, began=began)
        except Exception as error:  # noqa: BLE001 - whatever it is, the others leave all the same
            log.warning("left without saying so: the lease will run out by itself", extra={"error": str(error)})


async def in_any_case(work: Coroutine[Any, Any, None]) -> None:
    """Await this work to its end, although we are cancelled meanwhile, maybe more than once."""
    working, cancel = asyncio.get_running_loop().create_task(work), None
    while not working.done():
        try:
            await asyncio.wait({working})
        except asyncio.CancelledError as error:
            cancel = error
    working.result()
    if cancel:
        raise cancel


async def _aside(action: Callable[[], object], seconds: float) -> None:
    """Call this in a thread of its own, and wait for a while: functions may hold all threads of the loop's own pool."""
    thread = threading.Thread(target=action, name="boltq-end", daemon=True)
    thread.start()
    until = time.monotonic() + seconds
    while thread.is_alive() and time.monotonic() < until:  # noqa: ASYNC110 - it is another thread
        await asyncio.sleep(0.01)
