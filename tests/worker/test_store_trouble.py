"""The store is in trouble: what a worker says of it, and what it keeps."""

import asyncio
import logging
import os
import signal

import msgspec
import pytest
from proxy import proxy_before
from waiting import eventually

from boltq import BoltQ, Settings
from boltq.broker.embedded import EmbeddedStore
from boltq.broker.outage import STEADY, STILL, Outage
from boltq.domain.ids import PARTITION_CODES


async def test_a_partition_that_hangs_does_not_cost_the_others_their_leases(valkey, namespace, tmp_path, worker):
    """Of one worker with two partitions; the calls of one of them get no answers for three leases."""
    settings = Settings(redis_addr=valkey, namespace=namespace, partitions=2, lease=1.0)
    runs = []
    async with BoltQ(settings=settings) as near, proxy_before(valkey, tmp_path) as proxy:
        far = BoltQ(settings=Settings(redis_addr=proxy.address, namespace=namespace, partitions=2, lease=1.0))

        @near.task
        async def other() -> None: ...

        @far.task
        async def slow(n: int) -> int:
            runs.append(n)
            await asyncio.sleep(4.0)
            return n

        jobs = await near.submit_many([near.job_of("slow", {"n": 1})])
        while (near_partition := (await near.connections()).broker.layout.of_id(jobs[0].id)) != 0:
            jobs = await near.submit_many([near.job_of("slow", {"n": 1})])
        assert near_partition == 0
        async with far, worker(near, name="near"), worker(far, name="far", slots=8) as one:
            await eventually(lambda: runs)
            proxy.withhold_answers(f"{{{namespace}:1}}:", 10_000)
            assert await jobs[0].result(30) == 1
            record = await jobs[0].record()
            proxy.withhold_answers("", 0)
            assert (record.deliveries, record.losses) == (1, 0)
            assert one._fetchers[0].registrations == 1


async def test_a_letter_that_comes_twice_is_taken_in_once(boltq_app, worker):
    """Read, and then found again when the worker asks what it holds."""
    runs, go_on = [], asyncio.Event()

    @boltq_app.task
    async def slow(n: int) -> int:
        runs.append(n)
        await go_on.wait()
        return n

    async with worker(slots=1) as one:
        first = await slow.submit(1)
        await eventually(lambda: runs == [1])
        second = await slow.submit(2)
        fetcher = one._fetchers[PARTITION_CODES.index(second.id[-2:])]
        claim = await fetcher.broker.claim(fetcher.partition, fetcher.worker_id, 1)
        [row] = [job for job in claim.jobs if job.id == second.id] or [None]
        if row is None:  # it was claimed ahead already, so it waits here
            [row] = [job for _, job in one._buffer.items()]
        letter = msgspec.msgpack.encode(["jobs", [row], 0])
        for _ in range(3):
            fetcher._open(letter)
        assert len(one._buffer) == 1
        go_on.set()
        assert [await first.result(20), await second.result(20)] == [1, 2]
        fetcher._open(letter)  # and once more when it has just been run
        await asyncio.sleep(0.2)
    assert runs == [1, 2]


async def test_one_job_whose_keys_are_broken_does_not_hold_up_the_others(boltq_app, worker, caplog):
    """Somebody has written over its record: the store answers each settle with it by an error that never passes."""
    broken, go_on = [], asyncio.Event()

    @boltq_app.task
    async def slow(n: int) -> int:
        await go_on.wait()
        return n

    async with worker(slots=4) as one:
        jobs = await boltq_app.submit_many([slow.job(n) for n in range(4)])
        await eventually(lambda: len(one._running) == 4)
        broker = (await boltq_app.connections()).broker
        key = f"{broker.layout.prefix(broker.layout.of_id(jobs[1].id))}job:{jobs[1].id}"
        await broker.redis.delete(key)
        await broker.redis.set(key, "mine")
        go_on.set()
        assert [await jobs[n].result(20) for n in (0, 2, 3)] == [0, 2, 3]
        assert await (await slow.submit(9)).result(20) == 9
        await broker.redis.delete(key)
        broken = [line for line in lines(caplog) if jobs[1].id in line]
    assert len(broken) >= 1


# What is said in the log


def lines(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def test_an_outage_is_said_when_it_begins_and_when_it_ends(tmp_path, worker, caplog):
    """Not for each try, each loop and each lease: three seconds, two partitions, four slots."""
    with EmbeddedStore(tmp_path / "data") as store:
        settings = Settings(redis_addr=store.url, lease=0.6, partitions=2)
        async with BoltQ(settings=settings) as app:

            @app.task
            async def work(n: int) -> int:
                return n

            async with worker(app):
                assert await (await work.submit(1)).result(20) == 1
                caplog.clear()
                os.kill(store.pid, signal.SIGKILL)
                await asyncio.sleep(3.0)
                during = lines(caplog)
                store.ensure_running()
                await eventually(lambda: any("the store is back" in line for line in lines(caplog)))
                after = lines(caplog)
                assert await again(work, 2) == 2
    assert during == ["the store cannot be used; going on when it can"]
    assert [line.split(",")[0] for line in after if "store" in line] == [
        "the store cannot be used; going on when it can",
        "the store is back",
    ]


async def again(task, n):
    """Submit and wait; the worker may have to register anew first."""
    return await (await task.submit(n)).result(20)


@pytest.fixture
def clock(monkeypatch):
    """A clock for the log's own rate: an hour in a moment."""
    now = [1_000.0]
    monkeypatch.setattr("boltq.broker.outage.time.monotonic", lambda: now[0])
    return now


def test_a_long_outage_is_said_once_a_minute(clock, caplog):
    outage = Outage()
    for _ in range(3_600 * 20):
        for who in ("claims", "mail", "lease"):
            outage.down(who, OSError("gone"))
        clock[0] += 0.05
    outage.up("claims")
    outage.up("mail")
    assert 59 <= len(caplog.records) <= 61, "not back before all are"
    outage.up("lease")
    outage.up("lease")
    said = [record.getMessage() for record in caplog.records]
    assert said[0] == "the store cannot be used; going on when it can"
    assert said[1] == f"the store is still away, for {STILL:.0f} s"
    assert said[-1] == "the store is back, after 3600.0 s"


def test_a_store_that_comes_and_goes_is_said_at_a_bounded_rate(clock, caplog):
    outage = Outage()
    for _ in range(600 * 20):  # ten minutes
        outage.down("claims", OSError("gone"))
        outage.up("claims")
        clock[0] += 0.05
    assert len(caplog.records) <= 2 * 600 / STEADY + 2


def test_the_next_outage_is_said_too(clock, caplog):
    outage = Outage()
    for _ in range(2):
        outage.down("claims", OSError("gone"))
        outage.up("claims")
        clock[0] += STEADY + 1
    assert len(caplog.records) == 4
