"""Queues: read by name or by portion, bounded in number, and forgotten when they have been empty for a while."""

import pytest

from boltq.broker.inspector import Inspector
from boltq.domain.errors import TooManyQueues
from boltq.domain.filters import JobFilter
from boltq.domain.job import NewJob, Submitted
from boltq.domain.states import JobState

HOUR = 3_600_000


def here(number: int, **fields: str) -> NewJob:
    """A job of the desk's partition."""
    return NewJob(**{"type": "x", **fields}, id=f"{number:024d}00")


async def names(desk) -> list[str]:
    return [stats.name for stats in await desk.inspector.queues()]


async def sweep(desk) -> int:
    """One whole sweep; how many calls it took."""
    calls = 1
    while (await desk.broker.reap(0, "w")).more:
        calls += 1
    return calls


async def test_queues_are_read_by_name_and_in_portions(desk) -> None:
    await desk.broker.submit([NewJob(type="x", queue=f"q{n:03}") for n in range(250)])
    assert await names(desk) == [f"q{n:03}" for n in range(250)]
    two = await desk.inspector.queues(["q249", "none", "q000"])
    assert [(stats.name, stats.queued) for stats in two] == [("q000", 1), ("q249", 1)]
    page = await desk.inspector.queues_after("q099", 120)
    assert [stats.name for stats in page] == [f"q{n:03}" for n in range(100, 220)]
    assert await desk.inspector.queues_after("q249", 10) == []


async def test_a_listing_of_many_queues_goes_on_where_it_ended(desk) -> None:
    await desk.broker.submit([NewJob(type="x", queue=f"q{n:03}") for n in range(250) for _ in range(2)])
    found, cursor = [], None
    while True:
        page = await desk.inspector.page(JobFilter.of(JobState.QUEUED), cursor=cursor, limit=7)
        found += [job.queue for job in page.jobs]
        cursor = page.cursor
        if cursor is None:
            break
    assert found == [f"q{n:03}" for n in range(250) for _ in range(2)]
    assert await desk.inspector.count(JobFilter.of(JobState.QUEUED)) == ({JobState.QUEUED: 500}, False)


@pytest.mark.parametrize("partitions", [3])
async def test_portions_over_partitions_agree(valkey, namespace, partitions) -> None:
    from boltq.broker.broker import Broker

    async with Broker(valkey, namespace=namespace, partitions=partitions) as broker:
        for n in range(300):
            await broker.submit([NewJob(type="x", queue=f"q{n % 150:03}")])
        found = await Inspector(broker).queues()
        assert [(stats.name, stats.queued) for stats in found] == [(f"q{n:03}", 2) for n in range(150)]
        after = await Inspector(broker).queues_after("q010", 3)
        assert [(stats.name, stats.queued) for stats in after] == [("q011", 2), ("q012", 2), ("q013", 2)]


async def test_an_empty_queue_is_forgotten_after_an_hour(desk) -> None:
    await desk.worker(queues="served")
    desk.clock.now += 3_000
    gone, kept, paused, limited = [(await desk.submit(queue=q))[0] for q in ("gone", "kept", "paused", "limited")]
    await desk.broker.pause("paused")
    await desk.broker.limit("limited", 5)
    await desk.broker.delete([gone, paused, limited])
    await sweep(desk)
    assert await names(desk) == ["gone", "kept", "limited", "paused", "served"]
    desk.clock.now += HOUR - 1
    await desk.broker.extend(0, "w", 15_000, 1)
    await sweep(desk)
    assert "gone" in await names(desk)
    desk.clock.now += 1
    await desk.broker.extend(0, "w", 15_000, 1)
    await sweep(desk)
    assert await names(desk) == ["kept", "limited", "paused", "served"]
    assert await desk.states(kept) == ["queued"]
    assert not await desk.broker.redis.exists(desk.key("queue:gone"))


async def test_a_queue_that_was_used_meanwhile_stays_for_another_hour(desk) -> None:
    await desk.worker(queues="other")
    desk.clock.now += 3_000
    for _ in range(3):
        (job,) = await desk.submit(queue="busy")
        await desk.broker.cancel([job])
        await desk.broker.delete([job])
        await sweep(desk)
        desk.clock.now += HOUR
        await desk.broker.extend(0, "w", 15_000, 1)
    (job,) = await desk.submit(queue="busy")
    await desk.broker.cancel([job])
    await desk.broker.delete([job])
    await sweep(desk)
    assert "busy" in await names(desk)


async def test_a_queue_whose_last_worker_has_gone_is_forgotten(desk) -> None:
    await desk.worker(queues="old")
    await desk.broker.retire(0, "w", lost=False)
    await desk.worker(queues="new")
    desk.clock.now += 3_000
    await sweep(desk)
    desk.clock.now += HOUR
    await desk.broker.extend(0, "w", 15_000, 1)
    await sweep(desk)
    assert await names(desk) == ["new"]


async def test_a_sweep_looks_at_each_queue_and_at_few_a_call(desk) -> None:
    await desk.broker.submit([here(n, queue=f"q{n:03}") for n in range(300)])
    await desk.worker("lost", queues=" ".join(f"q{n:03}" for n in range(300)))
    assert len(await desk.claim(300, "lost")) == 300
    desk.clock.now += 20_000
    await desk.worker(queues="other")
    desk.clock.now += 3_000
    assert 6 <= await sweep(desk) <= 10
    assert (await desk.inspector.counts())[JobState.QUEUED] == 300


async def test_one_queue_too_many_is_refused_and_nothing_else(desk) -> None:
    for partition in range(desk.broker.layout.partitions):
        await desk.broker.redis.hset(f"{desk.broker.layout.prefix(partition)}partition", "max_queues", 3)
    answers = await desk.broker.submit([here(n, queue=q) for n, q in enumerate("abacdbe")])
    assert [type(answer) for answer in answers] == [Submitted] * 4 + [TooManyQueues, Submitted, TooManyQueues]
    assert "BOLTQ_MAX_QUEUES" in str(answers[4])
    assert await names(desk) == ["a", "b", "c"]
    with pytest.raises(TooManyQueues):
        await desk.broker.pause("d")
    with pytest.raises(TooManyQueues):
        await desk.broker.limit("d", 1)
    assert not await desk.broker.redis.exists(desk.key("queue:d"))
    await desk.broker.pause("a")


async def test_thousands_of_parked_types_are_counted_listed_and_taken(desk) -> None:
    jobs = [here(n, type=f"strange-{n}") for n in range(3_000)]
    await desk.broker.submit(jobs)
    await desk.worker(types=["known"])
    for _ in range(10):
        await desk.claim(1_000)
    (stats,) = await desk.inspector.queues()
    assert (stats.parked, stats.queued) == (3_000, 3_000)
    found, cursor = [], None
    while True:
        page = await desk.inspector.page(JobFilter.of(JobState.QUEUED), cursor=cursor, limit=200)
        found += [job.id for job in page.jobs]
        cursor = page.cursor
        if cursor is None:
            break
    assert sorted(found) == sorted(job.id for job in jobs)
    await desk.broker.cancel([job.id for job in jobs[:2_000]])
    assert (await desk.inspector.queues())[0].parked == 1_000
    await desk.worker("one", types=["known", "strange-2500"])
    assert [job.id for job in await desk.claim(10, "one")] == [jobs[2_500].id]
    await desk.worker("all")
    taken = []
    for _ in range(20):
        taken += [job.id for job in await desk.claim(1_000, "all")]
    assert sorted(taken) == sorted(job.id for job in jobs[2_000:] if job is not jobs[2_500])
    assert (await desk.inspector.queues())[0].parked == 0


async def test_a_limit_counts_parked_jobs(desk) -> None:
    await desk.submit(3, type="unknown")
    await desk.worker(types=["x"])
    await desk.claim(5)
    await desk.broker.limit("default", 4)
    answers = await desk.broker.submit([NewJob(type="unknown"), NewJob(type="unknown")])
    assert isinstance(answers[0], Submitted)
    assert not isinstance(answers[1], Submitted)
