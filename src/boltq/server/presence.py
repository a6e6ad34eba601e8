"""Which queues live workers serve, at hand for every submission: its answer says when nobody is there to run the job.

The usual reason is an API and a worker that were started in two folders without REDIS_ADDR, each with a store of its
own; the job would wait for ever, and nobody would say why.
"""

import asyncio
from collections.abc import Collection
from typing import Final

from boltq.broker.inspector import Inspector
from boltq.server.one_reading import OneReading

FRESH_SECONDS: Final = 0.25  # nobody is told that no worker is there by what was seen longer ago than that


class Presence:
    """The queues that are served. `refresh` is called every few seconds, so that nobody has to wait for it."""

    def __init__(self, inspector: Inspector) -> None:
        self._inspector = inspector
        self._served: Collection[str] = frozenset()
        self._read_at = -FRESH_SECONDS
        self._reading = OneReading(self.refresh)

    async def missing(self, queue: str) -> list[str]:
        """What to say when no live worker serves a queue; it is looked at again before that is said."""
        if queue in self._served:
            return []
        if asyncio.get_running_loop().time() - self._read_at >= FRESH_SECONDS and not await self._reading.end():
            return []  # nobody knows
        return [] if queue in self._served else [f"{nobody_serves(queue)}: the job waits for one"]

    async def refresh(self) -> None:
        """Read who is there. Raises StoreError."""
        workers = await self._inspector.workers()
        self._served = frozenset(queue for worker in workers if worker.state == "up" for queue in worker.queues)
        self._read_at = asyncio.get_running_loop().time()


def nobody_serves(queue: str) -> str:
    """In words."""
    return f"no live worker serves queue {queue} in this store"
