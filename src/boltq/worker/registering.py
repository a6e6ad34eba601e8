"""Registers a worker in a partition: what it is, what it serves, which tasks it knows."""

import os
import socket
from collections.abc import Sequence
from functools import partial
from importlib import metadata

import msgspec

from boltq.app import BoltQ
from boltq.broker.broker import Broker, repeated
from boltq.domain.errors import Conflict
from boltq.domain.job import CONTROL_TYPE
from boltq.worker.fetcher import Fetcher


class Registering:
    """Registers one worker, under a new id each time: what an older registration held is not its own any more."""

    def __init__(self, app: BoltQ, broker: Broker, name: str, queues: Sequence[str], slots: int) -> None:
        self._app = app
        self._broker = broker
        self._name = name
        self._queues = queues
        self._slots = slots

    async def join(self, fetcher: Fetcher) -> None:
        """Register in a fetcher's partition, and have it work under that. Raises StoreError."""
        register = partial(
            self._broker.register,
            fetcher.partition,
            info=self._info(),
            queues=self._queues,
            types=sorted([*self._app.tasks, CONTROL_TYPE]),
            lease_ms=round(self._app.settings.lease * 1_000),
            schemas=[(name, msgspec.json.encode(task.about()).decode()) for name, task in self._app.tasks.items()],
            wish=fetcher.wish,
        )
        while True:
            fetcher.registrations += 1
            worker_id = f"{self._name}.{fetcher.registrations}"
            try:
                await repeated(partial(register, worker_id))
            except Conflict:  # by ourselves, if the answer was lost; or by a namesake, who may be dead
                continue
            break
        fetcher.join(worker_id)

    def _info(self) -> str:
        info = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "slots": self._slots,
            "name": self._name,
            "version": metadata.version("boltq"),
        }
        return msgspec.json.encode(info).decode()
