"""Workers come and go; jobs stay."""

import asyncio
import threading

from boltq import BoltQ, JobState, Worker


async def test_several_workers_share_the_work(boltq_app, worker):
    """Each job runs on one of them, once."""
    runs = []

    @boltq_app.task
    async def work(n: int) -> None:
        runs.append(n)
        await asyncio.sleep(0.01)

    jobs = await boltq_app.submit_many([work.job(n) for n in range(60)])
    async with worker(name="ann"), worker(name="bob"):
        for job in jobs:
            await job.result()
    records = [await job.record() for job in jobs]
    assert sorted(runs) == list(range(60))
    assert {record.worker.split(".")[0] for record in records} == {"ann", "bob"}


async def test_a_sleeping_worker_gets_a_job_at_once(boltq_app, worker):
    """It does not poll: the submission itself wakes it, or one that has room."""

    @boltq_app.task
    async def work() -> None: ...

    async with worker(), worker():
        line = await boltq_app.connections()
        for _ in range(20):
            await (await work.submit()).result()
        before = (await line.broker.redis.info("commandstats"))["cmdstat_fcall"]["calls"]
        await asyncio.sleep(1)
        after = (await line.broker.redis.info("commandstats"))["cmdstat_fcall"]["calls"]
        assert after - before < 20


async def test_a_worker_that_stops_lets_its_jobs_finish_and_hands_back_the_rest(boltq_app, worker):
    """What has not begun is done by another, at once, in its old order, and without an attempt counted."""
    first, go_on = asyncio.Event(), asyncio.Event()
    order = []

    @boltq_app.task
    async def work(n: int) -> int:
        order.append(n)
        first.set()
        await go_on.wait()
        return n

    jobs = await boltq_app.submit_many([work.job(n) for n in range(5)])
    async with worker(slots=1) as leaving:
        await first.wait()
        leaving.stop()
        go_on.set()
    assert (await jobs[0].record()).state is JobState.COMPLETED
    assert [(await job.record()).state for job in jobs[1:]] == [JobState.QUEUED] * 4

    async with worker(slots=1):
        assert [await job.result() for job in jobs] == [0, 1, 2, 3, 4]
    assert order == [0, 1, 2, 3, 4]
    assert {(await job.record()).attempts for job in jobs} == {1}


async def test_what_does_not_finish_in_the_grace_time_runs_again_elsewhere(boltq_app, worker):
    """It is interrupted and handed back; that is no attempt of the job's."""
    from dataclasses import replace

    app = BoltQ(settings=replace(boltq_app.settings, grace=0.1))
    begun = asyncio.Event()
    is_last_day = True

    @app.task
    async def long() -> str:
        begun.set()
        if is_last_day:
            await asyncio.sleep(3_600)
        return "done"

    async with app:
        job = await long.submit()
        async with worker(app) as leaving:
            await begun.wait()
            leaving.stop()
        record = await job.record()
        assert (record.state, record.attempts) == (JobState.QUEUED, 0)
        is_last_day = False
        async with worker(app):
            assert await job.result() == "done"


async def test_a_job_of_an_unknown_type_waits_for_a_worker_that_knows_it(boltq_app, worker):
    """During a rolling deploy old workers meet new jobs: they leave them alone, and do not spin."""
    new = await boltq_app.submit("new_feature", {"n": 1})

    @boltq_app.task
    async def old() -> str:
        return "old"

    async with worker():
        assert await (await old.submit()).result() == "old"
        assert (await new.record()).state is JobState.QUEUED

        newer = BoltQ(settings=boltq_app.settings)

        @newer.task
        async def new_feature(n: int) -> str:
            return f"new {n}"

        async with newer, worker(newer):
            assert await new.result() == "new 1"


async def test_workers_can_be_looked_up(boltq_app, worker):
    """Who is here, what it serves and which types it knows; gone when it has left."""

    @boltq_app.task
    def work() -> None: ...

    line = await boltq_app.connections()
    async with worker(name="box-1", slots=7, queues=["a", "b"]):
        [here] = await line.inspector.workers()
        assert here.id.startswith("box-1")
        assert (here.queues, here.types, here.info["slots"]) == (["a", "b"], ["work"], 7)
    assert await line.inspector.workers() == []


async def test_a_worker_fails_loudly_when_it_cannot_begin():
    """A wrong address is an error, not a silence."""
    import pytest

    from boltq import Settings, StoreError

    app = BoltQ(settings=Settings(redis_addr="unix:///nowhere/at/all"))
    with pytest.raises(StoreError):
        await Worker(app).run()
    assert threading.active_count() < 50
