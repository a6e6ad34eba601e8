"""Claimed jobs that wait for a slot, and how many of them are worth having.

About 20 ms of work is kept, measured by how long jobs take, so that fast jobs come in hundreds and slow ones are not
hoarded. It starts small and at most doubles with each claim.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from boltq.domain.job import ClaimedJob

WORK_AHEAD: Final = 0.02  # seconds
MOST: Final = 500  # more makes a batch no cheaper: its arguments leave the server's caches
_WEIGHT: Final = 0.02  # of the newest run in the mean

BufferedJob = tuple[int, ClaimedJob]  # its partition, and what was claimed


class Buffer:
    """Jobs between the fetchers and the slots."""

    def __init__(self, slots: int, on_low: Callable[[], object]) -> None:
        self._items: deque[BufferedJob] = deque()
        self._takers: deque[asyncio.Future[None]] = deque()
        self.slots = slots
        self.busy = 0  # slots with a job
        self.lost_slots = 0  # slots whose thread could not be stopped
        self._mean = 1.0  # seconds a job; slow until proven otherwise
        self._seen = 0
        self._most = slots
        self._on_low = on_low  # there may be room again

    def __len__(self) -> int:
        return len(self._items)

    def add(self, items: list[BufferedJob]) -> None:
        """Put jobs at the end, and wake as many slots."""
        self._items.extend(items)
        self._most = min(MOST + self.slots, self._most + len(items))
        self._wake(len(items))

    def _wake(self, takers: int) -> None:
        while takers and self._takers:
            taker = self._takers.popleft()
            if not taker.done():
                taker.set_result(None)
                takers -= 1

    async def take(self) -> BufferedJob:
        """The next job; waits for one."""
        while not self._items:
            self._on_low()
            taker: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._takers.append(taker)
            try:
                await taker
            except asyncio.CancelledError:
                if not taker.cancelled():  # it had been woken for a job: now it is another's turn
                    self._wake(1)
                raise
        item = self._items.popleft()
        if len(self._items) * 2 <= self._most:
            self._on_low()
        return item

    def took(self, seconds: float) -> None:
        """A run has ended after so many seconds."""
        self._seen += 1
        weight = max(_WEIGHT, 1 / self._seen)
        self._mean += (seconds - self._mean) * (weight if seconds < self._mean * 10 else max(weight, 0.5))

    def ahead(self) -> int:
        """How many waiting jobs are worth having, besides those that run."""
        return min(MOST, int(self.slots * WORK_AHEAD / max(self._mean, 1e-6)))

    def room(self) -> int:
        """How many jobs to claim now; 0 when it is not worth a call yet."""
        free = self.slots - self.lost_slots - self.busy
        wanted = min(free + self.ahead(), self._most)
        missing = wanted - len(self._items)
        return missing if missing * 2 >= wanted and missing > 0 else 0

    def excess(self) -> list[BufferedJob]:
        """Take out what is hoarded since jobs became slow: far more than is worth having."""
        keep = self.ahead() * 4 + self.slots
        return self._drop(len(self._items) - keep) if len(self._items) > keep else []

    def drain(self, partition: int | None = None) -> list[BufferedJob]:
        """Take out all that has not begun (of one partition)."""
        items = list(self._items)
        self._items.clear()
        if partition is None:
            return items
        self._items.extend(item for item in items if item[0] != partition)
        return [item for item in items if item[0] == partition]

    def items(self) -> list[BufferedJob]:
        """What waits."""
        return list(self._items)

    def remove(self, ids: set[str]) -> list[BufferedJob]:
        """Take out these jobs."""
        removed = [item for item in self._items if item[1].id in ids]
        if removed:
            self._items = deque(item for item in self._items if item[1].id not in ids)
        return removed

    def _drop(self, n: int) -> list[BufferedJob]:
        dropped = [self._items.pop() for _ in range(n)]
        dropped.reverse()
        self._most = max(self.slots, len(self._items))
        return dropped
