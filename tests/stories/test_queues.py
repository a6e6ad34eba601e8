"""Several lines of jobs, and who is served when."""

import asyncio

from boltq import BoltQ, JobState


async def test_a_worker_serves_the_queues_that_it_names(boltq_app, worker):
    """Jobs of other queues wait for other workers."""

    @boltq_app.task(queue="mail")
    async def send() -> str:
        return "sent"

    @boltq_app.task
    async def think() -> str:
        return "thought"

    async with worker(queues=["mail"]):
        mail, other = await send.submit(), await think.submit()
        urgent = await think.options(queue="mail").submit()
        assert await mail.result() == "sent"
        assert await urgent.result() == "thought"
        assert (await other.record()).state is JobState.QUEUED


async def test_no_queue_waits_until_another_one_is_empty(boltq_app, worker):
    """The queues of a worker take turns."""
    order = []

    @boltq_app.task
    async def note(queue: str) -> None:
        order.append(queue)
        await asyncio.sleep(0.002)

    jobs = [note.options(queue=queue).job(queue) for queue in ["a"] * 50 + ["b"] * 50]
    jobs = await boltq_app.submit_many(jobs)
    async with worker(queues=["a", "b"], slots=1):
        for job in jobs:
            await job.result()
    assert "b" in order[:30]
    assert "a" in order[-50:]


async def test_a_paused_queue_rests(boltq_app, worker):
    """What runs goes on; what waits, and what is submitted meanwhile, waits for the resume."""

    @boltq_app.task
    async def work(n: int) -> int:
        return n

    @boltq_app.task(queue="other")
    async def elsewhere() -> str:
        return "done"

    broker = (await boltq_app.connections()).broker
    await broker.pause("default")
    before = await work.submit(1)
    async with worker(queues=["default", "other"]):
        meanwhile = await work.submit(2)
        assert await (await elsewhere.submit()).result() == "done"
        assert (await before.record()).state is JobState.QUEUED
        await broker.resume("default")
        assert [await before.result(), await meanwhile.result()] == [1, 2]


async def test_low_priority_is_not_starved(boltq_app, worker):
    """A class that has waited longer than the bound (BOLTQ_PRIORITY_PATIENCE) gets one turn in four."""
    from dataclasses import replace

    app = BoltQ(settings=replace(boltq_app.settings, priority_patience=0.0))
    order = []

    @app.task
    async def note(priority: str) -> None:
        order.append(priority)
        await asyncio.sleep(0.002)

    async with app:
        high = [note.options(priority="high").job("high") for _ in range(60)]
        low = [note.options(priority="low").job("low") for _ in range(10)]
        jobs = await app.submit_many([*low, *high])
        await asyncio.sleep(0.01)  # longer than the patience
        async with worker(app, slots=1):
            for job in jobs:
                await job.result()
    last_low = max(place for place, priority in enumerate(order) if priority == "low")
    assert last_low <= 45, "ten of them, every fourth turn"
    assert order[:10].count("high") >= 5, "high still goes first"
