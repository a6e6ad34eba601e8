"""At the memory limit, nothing new is taken in, and everything that finishes or frees work goes on."""

from collections.abc import Iterator

import pytest
from servers import running_server

from boltq.broker.broker import Broker
from boltq.broker.consistency import audit
from boltq.broker.embedded import server_binary
from boltq.broker.inspector import Inspector
from boltq.broker.settling import Settling
from boltq.domain.errors import StoreFull
from boltq.domain.job import NewJob
from boltq.domain.states import JobState


@pytest.fixture
def small() -> Iterator[str]:
    """A server of which the test may set the limit."""
    with running_server(server_binary()) as url:
        yield url


async def test_the_queue_drains_and_recovers(small: str) -> None:
    now = [1_800_000_000_000]
    async with Broker(small, now=lambda: now[0]) as broker:
        await broker.submit([NewJob(type="x", id=f"{n:024d}00") for n in range(10)])
        for worker in ("a", "b"):
            await broker.register(0, worker, info="", queues=["default"], types=None, lease_ms=15_000)
        jobs = (await broker.claim(0, "a", 4)).jobs
        await broker.claim(0, "b", 1)
        await broker.redis.config_set("maxmemory", 1)
        before = await broker.redis.execute_command("DEBUG", "DIGEST")
        with pytest.raises(StoreFull):
            await broker.submit([NewJob(type="x")])
        assert await broker.redis.execute_command("DEBUG", "DIGEST") == before

        verbs = ["completed", "retrying", "dead", "snoozed"]
        outcomes = [Settling(job.id, job.delivery, verb, 1, 1, "{}") for job, verb in zip(jobs, verbs, strict=True)]
        settlement = await broker.settle(0, "a", outcomes, 1)
        assert settlement.refused == []
        assert len(settlement.jobs) == 1
        for _ in range(4):
            now[0] += 5_000
            await broker.extend(0, "a", 15_000, 5_000)
        assert (await broker.reap(0, "a")).taken_back == 1
        assert (await broker.cancel([f"{9:024d}00"]))[0].word == "cancelled"
        await broker.pause("default")
        await broker.resume("default")
        await broker.retire(0, "a", lost=False)
        counts = await Inspector(broker).counts()
        assert (counts[JobState.COMPLETED], counts[JobState.DEAD], counts[JobState.CANCELLED]) == (1, 1, 1)
        assert await audit(broker, pauses=()) == []

        await broker.redis.config_set("maxmemory", 0)
        await broker.submit([NewJob(type="x")])
