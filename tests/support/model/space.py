"""What all models stand on: a namespace of their own with its clock and its audit, and how lives in it are drawn."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, TypeVar

import redis
from hypothesis.stateful import RuleBasedStateMachine
from model.job import START, must
from night import by_day

from boltq.broker.broker import Broker
from boltq.broker.consistency import audit
from boltq.broker.knobs import Knobs
from boltq.broker.scripts import Rewrite

T = TypeVar("T")


class Space:
    """A namespace on a server that is flushed, its broker, and the clock that its scripts see."""

    name: ClassVar[str]
    knobs: ClassVar[Knobs]
    audit_every = 1  # comparison; auditing takes most of the time

    def __init__(self, url: str, partitions: int, rewrite: Rewrite | None, *, flush: bool = True) -> None:
        self.runner = asyncio.Runner()
        self.raw = redis.Redis.from_url(url)
        if flush:
            self.raw.flushall()
        self.partitions = partitions
        self.now = START  # the server's clock
        self._compared = 0
        self.broker = self.run(self._open(url, rewrite))

    async def _open(self, url: str, rewrite: Rewrite | None) -> Broker:
        broker = Broker(
            url,
            namespace=self.name,
            partitions=self.partitions,
            knobs=self.knobs,
            now=lambda: self.now,
            rewrite=rewrite,
        )
        await broker.open()
        return broker

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(call)

    def close(self) -> None:
        self.run(self.broker.close())
        self.runner.close()
        self.raw.close()

    def key(self, partition: int, name: str) -> str:
        return f"{{{self.name}:{partition}}}:{name}"

    def audit_now_and_then(self) -> None:
        """At every so many comparisons."""
        self._compared += 1
        if self._compared % self.audit_every == 0:
            self.audit()

    def audit(self) -> None:
        """Nothing in the store contradicts itself."""
        findings = self.run(audit(self.broker, pauses=()))
        must(not findings, "\n".join(map(str, findings)))


class Lives(RuleBasedStateMachine):
    """Draws what happens next in a world. Subclasses say in which, and on which server."""

    url = ""
    partitions = 1
    rewrite: Callable[[str, str], str] | None = None
    reached: ClassVar[Counter[str]]
    world: Any

    def __init__(self) -> None:
        super().__init__()
        self.world = self.make_world()
        self.world.audit_every = by_day(4, 1)
        self.failed = False

    def make_world(self) -> Any:
        """A new one, for one life."""
        raise NotImplementedError

    def teardown(self) -> None:
        try:
            if not self.failed:
                self.world.quiesce()
                self.world.audit()
        finally:
            self.world.close()

    def _step(self, name: str, *args: Any, **kwargs: Any) -> Any:
        self.reached["steps"] += 1
        try:
            return getattr(self.world, name)(*args, **kwargs)
        except BaseException:
            self.failed = True
            raise
