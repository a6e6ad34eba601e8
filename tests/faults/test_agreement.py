"""The store and the worker agree: whatever a line with holes does, and whatever else makes them differ."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import process_tasks
import pytest
from holes import Holes, Link, holes_before
from waiting import eventually

from boltq import BoltQ, JobState, Settings, Worker
from boltq.broker import calls
from boltq.broker.consistency import audit
from boltq.broker.settling import Settling
from boltq.domain.ids import new_id
from boltq.domain.job import JobRecord, NewJob

LEASE = 3.0


@pytest.fixture
async def app(valkey: str, namespace: str, partitions: int) -> AsyncIterator[BoltQ]:
    """An application whose workers have a lease that a test can wait for."""
    settings = Settings(redis_addr=valkey, namespace=namespace, partitions=partitions, grace=10.0, lease=LEASE)
    async with BoltQ(settings=settings) as opened:
        yield opened


@asynccontextmanager
async def working(app: BoltQ, **options: Any) -> AsyncIterator[Worker]:
    one = Worker(app, **options)
    async with asyncio.TaskGroup() as group:
        group.create_task(one.run())
        await one.started.wait()
        try:
            yield one
        finally:
            one.stop()


async def record_of(app: BoltQ, job_id: str) -> JobRecord:
    return await (await app.connections()).inspector.job(job_id)


async def steal(app: BoltQ, worker: Worker, job: NewJob) -> str:
    """A job that the store gives to this worker, which never hears of it: a claim that nobody gave up, unanswered."""
    broker = (await app.connections()).broker
    [fetcher] = [one for one in worker._fetchers if one.partition == 0]
    job.queue, job.id = "other", new_id(0)
    submit, claim = (
        calls.jobs.submit(0, [job]),
        calls.workers.claim(0, fetcher.worker_id, 1, 1),
    )  # its queue is the second
    prefix = broker.layout.prefix(0)
    async with broker.redis.pipeline(transaction=True) as together:  # or else a busy worker may be quicker
        together.hdel(f"{prefix}worker:{fetcher.worker_id}", "idle")  # or it comes by mail
        for call in (submit, claim):
            together.execute_command(*broker.library.call(call.script, prefix, "", call.args))
        *_, reply = await together.execute()
    [stolen] = claim.read(reply).jobs
    assert stolen.id == job.id
    return stolen.id


# Late packets and half-open connections


@pytest.mark.parametrize("word", ["_claim", "_settle"])
async def test_a_claim_that_was_given_up_takes_nothing_when_it_arrives_late(app, valkey, partitions, word):
    """A call goes into a network hole; its worker reconnects, and TCP delivers it after that."""
    if partitions > 1:
        pytest.skip("from the other partitions jobs are claimed ahead")
    runs: Counter[int] = Counter()
    go_on = asyncio.Event()

    async with holes_before(valkey) as holes:
        distant = BoltQ(settings=replace(app.settings, redis_addr=holes.address))

        @distant.task
        async def work(n: int) -> int:
            runs[n] += 1
            await (go_on.wait() if n == 1 else asyncio.sleep(0.3))  # long ones: none is claimed ahead
            return n

        async with distant, working(distant, slots=1):
            if word == "_settle":
                holes.hold_next("_settle")
                await app.submit("work", {"n": 0})
            else:
                await (await app.submit("work", {"n": 0})).result()
                holes.hold_next("_claim")
            [link] = await eventually(holes.held_back)
            link.reset()
            long = await app.submit("work", {"n": 1})
            await eventually(lambda: runs[1] == 1)
            waiting = await app.submit("work", {"n": 2})
            assert link.is_half_open
            assert link.deliver() > 0
            await asyncio.sleep(0.3)
            assert (await waiting.record()).state is JobState.QUEUED
            go_on.set()
            assert [await job.result(10) for job in (long, waiting)] == [1, 2]
            assert runs == {0: 1, 1: 1, 2: 1}
            assert (await waiting.record()).deliveries == 1


async def test_a_letter_never_goes_to_a_connection_that_only_the_server_believes_in(app, valkey, partitions):
    """The mailbox of a half-open connection is one to which nobody writes any more."""
    async with holes_before(valkey) as holes:
        distant = BoltQ(settings=replace(app.settings, redis_addr=holes.address))

        @distant.task
        async def work(n: int) -> int:
            return n

        async with distant, working(distant, slots=2):
            for n in range(4):
                links = await eventually(lambda: all_blocked(holes, partitions))
                for link in links:
                    link.reset()
                await eventually(lambda: all_blocked(holes, partitions))
                job = await app.submit("work", {"n": n})
                assert await job.result(LEASE / 2) == n
                assert (await job.record()).deliveries == 1
                assert all(link.is_half_open for link in links)


def all_blocked(holes: Holes, partitions: int) -> list[Link]:
    """The connections on which a worker waits for mail, once there are as many as partitions."""
    links = holes.with_word("BLPOP")
    return links if len(links) == partitions else []


async def test_a_letter_that_comes_twice_is_taken_in_once(app):
    """As after a failover to a replica that had not heard of its being read."""
    runs: Counter[int] = Counter()
    go_on = asyncio.Event()

    @app.task
    async def work(n: int) -> int:
        runs[n] += 1
        await go_on.wait()
        return n

    async with working(app, slots=4) as worker:
        broker = (await app.connections()).broker
        [fetcher] = worker._fetchers[:1]
        letters: list[bytes] = []
        opening = fetcher._open
        fetcher._open = lambda letter: (letters.append(letter), opening(letter))
        await asyncio.sleep(0.1)
        [answer] = await broker.submit([NewJob(type="work", data='{"n":1}', id=f"{1:024d}00")])
        await eventually(lambda: runs[1] == 1)
        if not letters:
            pytest.fail("the job did not come by mail")
        for letter in letters:
            opening(letter)
        await asyncio.sleep(0.2)
        go_on.set()
        await eventually(lambda: record_state(app, answer.id, JobState.COMPLETED))
        assert runs == {1: 1}


async def record_state(app: BoltQ, job_id: str, state: JobState) -> bool:
    return (await record_of(app, job_id)).state is state


# Whatever else makes them differ


async def keep_busy(app: BoltQ) -> None:
    """A stream of short jobs."""
    while True:
        await app.submit_many([app.job_of("work", {"n": n}) for n in range(20)])
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("kind", ["idle", "busy", "full"])
async def test_a_job_that_never_arrived_goes_back_within_a_lease(app, kind):
    """Its runs say why. With all slots held by long functions it waits; else it runs at once."""
    hold = asyncio.Event()

    @app.task
    async def work(n: int) -> int:
        return n

    @app.task
    async def long() -> None:
        await hold.wait()

    async with working(app, slots=2, queues=["default", "other"]) as worker:
        busy = asyncio.create_task(keep_busy(app)) if kind == "busy" else None
        if kind == "full":
            for _ in range(2):
                await app.submit("long")
            await eventually(lambda: len(worker._running) == 2)
            await asyncio.sleep(0.1)
        begun = time.monotonic()
        stolen = await steal(app, worker, NewJob(type="work", data='{"n":7}'))
        wanted = JobState.QUEUED if kind == "full" else JobState.COMPLETED
        await eventually(lambda: record_state(app, stolen, wanted), LEASE + 1)
        assert time.monotonic() - begun < LEASE + 1
        if busy:
            busy.cancel()
        hold.set()
        await eventually(lambda: record_state(app, stolen, JobState.COMPLETED))
        record = await record_of(app, stolen)
        assert [(run.delivery, run.outcome) for run in record.runs] == [(1, "unknown")]
        assert record.deliveries == 2


async def test_a_cancelled_job_that_never_arrived_ends(app):
    @app.task
    async def work(n: int) -> int:
        return n

    async with working(app, queues=["default", "other"]) as worker:
        stolen = await steal(app, worker, NewJob(type="work", data='{"n":7}'))
        [verdict] = await (await app.connections()).broker.cancel([stolen])
        assert verdict.word == "running"
        await eventually(lambda: record_state(app, stolen, JobState.CANCELLED), LEASE + 1)


@pytest.mark.parametrize("executor", ["async", "process"])
async def test_a_run_that_is_not_the_workers_own_is_let_go_within_a_lease(app, executor):
    """The store gave its job to somebody else: here, back to the queue, which is paused."""
    begun: list[float] = []
    stopped = asyncio.Event()

    @app.task
    async def work() -> None:
        begun.append(time.monotonic())
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            stopped.set()
            raise

    app.task(name="wait", executor="process")(process_tasks.wait.function)
    name, data = ("work", {}) if executor == "async" else ("wait", {"seconds": 60})
    async with working(app, slots=2) as worker:
        broker = (await app.connections()).broker
        job = await app.submit(name, data)
        await eventually(lambda: len(worker._running) == 1)
        [run] = worker._running
        await asyncio.sleep(0.3)
        await broker.pause("default")
        released = Settling(job.id, run.job.delivery, "released", 0)
        assert (await broker.settle(run.partition, run.worker, [released])).refused == []
        await eventually(lambda: not worker._running, LEASE + 1)
        if executor == "async":
            assert stopped.is_set()
        record = await job.record()
        assert (record.state, record.deliveries) == (JobState.QUEUED, 1)


async def test_what_is_wrong_on_both_sides_heals_though_the_counts_agree(app):
    """The store gives the worker a job that it never hears of, and takes one that it runs: as many as before."""
    begun: Counter[int] = Counter()

    @app.task
    async def work(n: int) -> int:
        begun[n] += 1
        await asyncio.sleep(60 if n == 1 else 0)
        return n

    async with working(app, slots=1, queues=["default", "other"]) as worker:
        broker = (await app.connections()).broker
        long = await broker.submit([NewJob(type="work", data='{"n":1}', id=new_id(0))])
        await eventually(lambda: begun[1] == 1)
        [run] = worker._running
        await broker.pause("default")
        await broker.settle(0, run.worker, [Settling(run.job.id, run.job.delivery, "released", 0)])
        stolen = await steal(app, worker, NewJob(type="work", data='{"n":7}'))
        await eventually(lambda: record_state(app, stolen, JobState.COMPLETED), LEASE * 2)
        assert not worker._running
        assert await record_state(app, long[0].id, JobState.QUEUED)
        assert begun == {1: 1, 7: 1}


async def test_a_count_that_is_wrong_is_set_right_and_does_no_harm(app):
    runs: Counter[int] = Counter()

    @app.task
    async def work(n: int) -> int:
        runs[n] += 1
        await asyncio.sleep(0.5)
        return n

    async with working(app) as worker:
        broker = (await app.connections()).broker
        job = await app.submit("work", {"n": 1})
        home = broker.layout.of_id(job.id)
        [fetcher] = [one for one in worker._fetchers if one.partition == home]
        key = f"{broker.layout.prefix(home)}worker:{fetcher.worker_id}"
        for wrong in (5, -3):
            await broker.redis.hincrby(key, "holds", wrong)
            assert await job.result() == 1
            await eventually(lambda: counted(broker, key, 0), LEASE + 1)
        assert runs == {1: 1}
    assert await audit(broker, pauses=()) == []


async def counted(broker: Any, key: str, wanted: int) -> bool:
    return int(await broker.redis.hget(key, "holds")) == wanted
