"""A broker whose store is killed with -9 at chosen scripts, and started again."""

import os
import signal
from collections.abc import Callable
from typing import TypeVar

from flow_lives import audited

from boltq.broker.broker import Broker, repeated
from boltq.broker.call import Call
from boltq.broker.embedded import EmbeddedStore
from boltq.domain.errors import StoreUnavailable

T = TypeVar("T")


class MortalBroker(Broker):
    """Its store dies at some of its calls: before the script runs, or after it, so that the answer is lost."""

    def __init__(self, store: EmbeddedStore, namespace: str, now: Callable[[], int]) -> None:
        super().__init__(store.url, namespace=namespace, now=now)
        self.store, self.calls, self.deaths = store, 0, 0
        self.before: Callable[[int], bool] = lambda _: False  # whether it dies before that call
        self.after: Callable[[int], bool] = lambda _: False

    async def send(self, call: Call[T]) -> T:
        """Run a script, unless the store dies."""
        self.calls += 1
        number = self.calls
        if self.before(number):
            await self._die()
            raise StoreUnavailable("the store died before the script")
        answer = await super().send(call)
        if self.after(number):
            await self._die()
            raise StoreUnavailable("the store died, and the answer is lost")
        return answer

    async def _die(self) -> None:
        os.kill(self.store.pid, signal.SIGKILL)
        assert self.store.ensure_running()
        self.deaths += 1
        assert await repeated(lambda: audited(self)) == []
