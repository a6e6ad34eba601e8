"""Runs bulk operations in this process: those that it was asked for, and those whose own process has died."""

import asyncio
import logging
from typing import Final

from boltq.broker.broker import Broker
from boltq.broker.operations import Operations, OperationState
from boltq.domain.errors import BoltQError

log = logging.getLogger(__name__)

MAX_AT_ONCE: Final = 20


class OperationRunner:
    """The bulk operations that this process carries out. What another process runs is left to it."""

    def __init__(self, broker: Broker) -> None:
        self.operations = Operations(broker)
        self._outage = broker.outage
        self._running: dict[str, asyncio.Task[None]] = {}

    def begin(self, op_id: str) -> None:
        """Carry it out from now on; when there is much to do already, at some later look."""
        if op_id not in self._running and len(self._running) < MAX_AT_ONCE:
            task = self._running[op_id] = asyncio.create_task(self._run(op_id))
            task.add_done_callback(lambda _: self._running.pop(op_id, None))

    async def look(self) -> None:
        """Begin what should run; one that another process runs is given up at once."""
        try:
            for operation in await self.operations.list(OperationState.RUNNING):
                self.begin(operation.id)
            self._outage.up("bulk operations")
        except BoltQError as error:
            self._outage.down("bulk operations", error)
        except Exception:
            log.exception("cannot look for bulk operations")

    async def close(self) -> None:
        """Stop where they are; whoever looks next goes on."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, op_id: str) -> None:
        try:
            await self.operations.run(op_id)
        except BoltQError as error:
            log.warning("bulk operation %s waits for the next look: %s", op_id, error)
        except Exception:
            log.exception("bulk operation %s", op_id)
