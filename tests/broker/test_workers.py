async def test_who_is_here(desk) -> None:
    await desk.worker("a", types=["x", "y"], queues="q r")
    desk.clock.now += 1_000
    await desk.worker("b")
    first, second = await desk.inspector.workers()
    assert (first.id, first.queues, first.types, first.since) == ("a", ["q", "r"], ["x", "y"], desk.clock.now - 1_000)
    assert (second.id, second.types, second.lease_ends_at) == ("b", None, desk.clock.now + 15_000)
    await desk.broker.retire(0, "a", lost=False)
    assert [worker.id for worker in await desk.inspector.workers()] == ["b"]
