"""Progress and log lines on their way to the store: gathered for a moment, and sent before their job's outcome."""

import asyncio
import logging
import time
from typing import Final

from boltq.broker.broker import Broker
from boltq.broker.outage import STILL
from boltq.domain.limits import MAX_LOG_LINES
from boltq.worker.run import Run

log = logging.getLogger(__name__)

GATHER: Final = 0.1  # seconds


class Unsent:
    """What one run has said since the last time."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.fraction: float | str = ""
        self.text = ""
        self.lines: list[str] = []


class Progress:
    """All that runs have said and the store does not know yet. `add` may be called from any thread."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[str, Unsent] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._silent_until = 0.0  # monotonic
        self._sending: asyncio.Task[None] | None = None

    def add(self, run: Run, fraction: float | None, text: str, line: str | None) -> None:
        """Note what a run says."""
        run.unsent += 1
        self._loop.call_soon_threadsafe(self._add, run, fraction, text, line)

    def _add(self, run: Run, fraction: float | None, text: str, line: str | None) -> None:
        unsent = self._waiting.setdefault(run.job.id, Unsent(run))
        if fraction is not None:
            unsent.fraction, unsent.text = fraction, text
        if line is not None:
            unsent.lines = [*unsent.lines[-MAX_LOG_LINES + 1 :], line]
        if self._timer is None:
            self._timer = self._loop.call_later(GATHER, self._begin)

    def _begin(self) -> None:
        self._timer = None
        self._sending = self._loop.create_task(self.send())

    async def flush(self, run: Run) -> None:
        """Send what a run has said: before its outcome, after which the store takes no more of it."""
        if run.unsent:
            await asyncio.sleep(0)  # lets what threads said arrive on the loop
            if self._sending:
                await asyncio.wait({self._sending})  # a cancel of this run is not for that task
            await self.send()

    async def send(self) -> None:
        """Send all that waits. What cannot be sent is dropped, with a warning: it must not hold up outcomes."""
        waiting, self._waiting = self._waiting, {}
        homes: dict[tuple[int, str], list[Unsent]] = {}
        for unsent in waiting.values():
            homes.setdefault((unsent.run.partition, unsent.run.worker), []).append(unsent)
        for (partition, worker), said in homes.items():
            items = [(one.run.job.id, one.run.job.delivery, one.fraction, one.text, one.lines) for one in said]
            try:
                await self._broker.progress(partition, worker, items)
            except Exception as error:  # noqa: BLE001 - whatever it is, no job's outcome depends on it
                self._lose(error)

    def _lose(self, error: Exception) -> None:
        if time.monotonic() >= self._silent_until:
            self._silent_until = time.monotonic() + STILL
            log.warning("progress and log lines of jobs are lost, now and then", extra={"error": str(error)})
