"""What the tests of the scripts share: a clock of their own, a checked world, short ways to say things."""

import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from model.world import World

from boltq.broker.broker import Broker
from boltq.broker.inspector import Inspector
from boltq.broker.knobs import DEFAULT_KNOBS, Knobs
from boltq.broker.settling import Settling
from boltq.domain.job import ClaimedJob, NewJob, Submitted

START = 1_800_000_000_000


class Clock:
    """The time, as the scripts of a test see it."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


class Desk:
    """A broker with a clock of its own, and short words for what tests do with one partition."""

    def __init__(self, broker: Broker, clock: Clock) -> None:
        self.broker, self.clock = broker, clock
        self.inspector = Inspector(broker)
        self._numbers = itertools.count(1)

    async def submit(self, count: int = 1, **fields: Any) -> list[str]:
        """Store new jobs of type x in partition 0; their ids."""
        ids = [f"{next(self._numbers):024d}00" for _ in range(count)]
        answers = await self.broker.submit([NewJob(**{"type": "x", **fields}, id=i) for i in ids])
        assert answers == [Submitted(job_id) for job_id in ids]
        return ids

    async def worker(self, name: str = "w", *, types: list[str] | None = None, queues: str = "default") -> str:
        await self.broker.register(0, name, info="{}", queues=queues.split(), types=types, lease_ms=15_000)
        return name

    async def claim(self, n: int = 1, worker: str = "w") -> list[ClaimedJob]:
        return (await self.broker.claim(0, worker, n)).jobs

    async def ids(self, n: int = 1, worker: str = "w") -> list[str]:
        return [job.id for job in await self.claim(n, worker)]

    async def settle(
        self, jobs: list[ClaimedJob], verb: str = "completed", number: int = 0, text: str = "1", worker: str = "w"
    ) -> Any:
        outcomes = [Settling(job.id, job.delivery, verb, 1, number, text) for job in jobs]
        return await self.broker.settle(0, worker, outcomes)

    async def states(self, *ids: str) -> list[str]:
        return [job.state.value if job else "gone" for job in await self.inspector.jobs(ids)]

    def key(self, name: str) -> str:
        return self.broker.layout.prefix(0) + name

    async def letters(self, worker: str = "w") -> list[Any]:
        import msgspec

        found = []
        while (letter := await self.broker.redis.lpop(self.key(f"mail:{worker}"))) is not None:
            found.append(msgspec.msgpack.decode(letter))
        return found

    async def digest(self) -> bytes:
        return await self.broker.redis.execute_command("DEBUG", "DIGEST")


@pytest.fixture
def clock() -> Clock:
    """The time that `desk` works by."""
    return Clock()


@pytest.fixture
def knobs() -> Knobs:
    """The bounds of `desk`; a test module may have its own."""
    return DEFAULT_KNOBS


@pytest.fixture
async def desk(valkey: str, namespace: str, partitions: int, clock: Clock, knobs: Knobs) -> AsyncIterator[Desk]:
    """An open broker in virtual time; at the end, nothing may be wrong in its namespace."""
    from boltq.broker.consistency import audit

    async with Broker(valkey, namespace=namespace, partitions=partitions, knobs=knobs, now=clock) as broker:
        yield Desk(broker, clock)
        assert await audit(broker, pauses=()) == []


@pytest.fixture
def world(valkey: str, partitions: int) -> Iterator[World]:
    """A broker beside a model of it: each step is checked."""
    made = World(valkey, partitions=partitions)
    yield made
    made.close()
