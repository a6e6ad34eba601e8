async def test_what_happened_lately(desk) -> None:
    desk.clock.now -= desk.clock.now % 60_000
    await desk.worker()
    await desk.submit(6)
    desk.clock.now += 3
    jobs = await desk.claim(6)
    await desk.settle(jobs[:2])
    await desk.settle(jobs[2:3], "dead", text="{}")
    await desk.settle(jobs[3:4], "retrying", 9, "{}")
    await desk.settle(jobs[4:5], "cancelled")
    desk.clock.now += 60_000
    await desk.submit(1, queue="other")
    first, second = await desk.inspector.series(seconds=60, buckets=5)
    counts = first.counts
    assert (counts["submitted"], counts["completed"], counts["dead"], counts["failed"]) == (6, 2, 1, 2)
    assert counts["cancelled"] == 1
    assert counts["wait:2"] == 6  # three milliseconds: less than four
    assert counts["run:1"] == 2
    assert second.counts == {"submitted": 1}
    one_by_one = await desk.inspector.queue_series(["default", "other", "none"], seconds=60, buckets=5)
    assert one_by_one["other"] == [second]
    assert one_by_one["default"][0].counts == {"submitted": 6, "completed": 2, "dead": 1, "failed": 2, "cancelled": 1}
    assert one_by_one["none"] == []


async def test_every_way_to_be_cancelled_counts(desk) -> None:
    await desk.worker()
    await desk.broker.cancel(await desk.submit())
    await desk.submit(expires_in=1)
    desk.clock.now += 1
    assert await desk.claim() == []
    (running,) = await desk.submit()
    await desk.broker.cancel([running])
    await desk.broker.retire(0, "w", lost=True)
    buckets = await desk.inspector.series(seconds=60, buckets=2)
    assert sum(bucket.counts["cancelled"] for bucket in buckets) == 3


async def test_every_bucket_ends_by_itself(desk) -> None:
    await desk.submit()
    keys = [key async for key in desk.broker.redis.scan_iter(match=f"{desk.broker.layout.prefix(0)}series:*")]
    assert len(keys) == 4
    for key in keys:
        assert 0 < await desk.broker.redis.ttl(key) <= 90_000
