from boltq.broker.inspector import QueuePlace


async def place(desk, job_id: str) -> QueuePlace | None:
    return await desk.inspector.place(await desk.inspector.job(job_id))


async def test_who_came_before_and_higher_classes(desk) -> None:
    low = await desk.submit(3, priority=0)
    normal, high = await desk.submit(4), await desk.submit(2, priority=2)
    assert await place(desk, high[0]) == QueuePlace(0)
    assert await place(desk, normal[3]) == QueuePlace(3 + 2)
    assert await place(desk, low[1]) == QueuePlace(1 + 4 + 2)


async def test_ghosts_are_not_ahead(desk) -> None:
    ids, high = await desk.submit(10), await desk.submit(5, priority=2)
    await desk.broker.cancel([*ids[:4], *high[:2], ids[9]])
    assert await place(desk, ids[6]) == QueuePlace(2 + 3)


async def test_a_long_line_is_a_lower_bound(desk) -> None:
    for _ in range(11):
        await desk.submit(1_000)
    (last,) = await desk.submit()
    assert await place(desk, last) == QueuePlace(10_000, at_least=True)


async def test_a_parked_one(desk) -> None:
    await desk.submit(2, priority=2)
    ids = await desk.submit(3, type="unknown")
    await desk.worker(types=["x"])
    await desk.claim(10)
    assert await place(desk, ids[2]) == QueuePlace(2, parked=True)


async def test_one_that_is_not_queued_has_none(desk) -> None:
    (job_id,) = await desk.submit(delay=1_000)
    assert await place(desk, job_id) is None


async def test_runs_a_second_that_ended_lately(desk) -> None:
    desk.clock.now -= desk.clock.now % 60_000
    await desk.worker()
    assert await desk.inspector.recent_rate("default") == 0
    for verb in ("completed", "retrying", "dead", "completed"):
        await desk.submit(50)
        await desk.settle(await desk.claim(50), verb, 3_600_000, text="{}")
        desk.clock.now += 10_000
    assert await desk.inspector.recent_rate("default") == 5.0
    assert await desk.inspector.recent_rate("default", 0) == 5.0
    assert await desk.inspector.recent_rate("other") == 0
    desk.clock.now += 3_600_000
    assert await desk.inspector.recent_rate("default") == 0
