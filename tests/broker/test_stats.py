from boltq.domain.states import JobState


async def test_every_place_is_counted(desk) -> None:
    await desk.worker(types=["x"])
    await desk.submit(4)
    jobs = await desk.claim(4)
    await desk.settle(jobs[:1])
    await desk.settle(jobs[1:2], "dead", text="{}")
    await desk.settle(jobs[2:3], "retrying", 9_000, "{}")
    for priority in (0, 1, 2):
        await desk.submit(priority + 1, priority=priority)
    await desk.submit(2, delay=1_000)
    await desk.broker.pause("default")
    await desk.broker.limit("default", 100)
    (stats,) = await desk.inspector.queues()
    assert (stats.high, stats.normal, stats.low, stats.parked, stats.queued) == (3, 2, 1, 0, 6)
    assert (stats.running, stats.retrying, stats.scheduled, stats.completed, stats.dead) == (1, 1, 2, 1, 1)
    assert stats.paused
    assert stats.limit is not None
    assert stats.limit >= 100
    assert stats.oldest_queued_at == desk.clock.now


async def test_ghosts_do_not_count(desk) -> None:
    ids = await desk.submit(10)
    await desk.broker.cancel(ids[:4])
    counts = await desk.inspector.counts()
    assert (counts[JobState.QUEUED], counts[JobState.CANCELLED]) == (6, 4)


async def test_parked_jobs_are_queued(desk) -> None:
    await desk.submit(3, type="unknown")
    await desk.worker(types=["x"])
    await desk.claim(5)
    (stats,) = await desk.inspector.queues()
    assert (stats.parked, stats.queued) == (3, 3)
