import asyncio

import pytest

from boltq.broker import scripts
from boltq.broker.broker import Broker
from boltq.broker.events import Watch, follow, last_cursor
from boltq.domain.errors import NotFound, WaitTimeout
from boltq.domain.job import NewJob
from boltq.domain.states import JobState


async def test_every_move_is_told_in_order(desk) -> None:
    await desk.worker()
    ids = await desk.submit(2)
    await desk.settle(await desk.claim(2))
    moves = []
    async for moved in follow(desk.broker, 0, "0-0"):
        moves.append((moved.before, moved.to, sorted(moved.ids)))
        if moved.to == "completed":
            break
    assert moves == [("new", "queued", ids), ("queued", "running", ids), ("running", "completed", ids)]


async def test_a_call_that_changed_nothing_tells_nothing(desk) -> None:
    await desk.submit()
    before = await last_cursor(desk.broker, 0)
    await desk.worker()
    await desk.broker.cancel([f"{77:024d}00"])
    await desk.broker.reap(0, "w")
    assert await last_cursor(desk.broker, 0) == before


class TestBytes:
    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(scripts.NUMBERS, "MAX_EVENT_BYTES", 3_000_000)

    async def test_the_stream_is_bounded_by_bytes(self, small: None, desk) -> None:
        await desk.worker()
        sizes = []
        for _ in range(70):
            await desk.submit(1_000)
            await desk.settle(await desk.claim(1_000))
            sizes.append(await desk.broker.redis.memory_usage(desk.key("events"), samples=0))
        assert max(sizes) < 4_500_000
        stream = await desk.broker.redis.xinfo_stream(desk.key("events"))
        assert stream["length"] < stream["entries-added"] * 2 / 3


async def test_the_stream_is_bounded_by_number(desk) -> None:
    await desk.worker()
    (job,) = await desk.submit()
    await desk.claim()
    pipeline = desk.broker.redis.pipeline(transaction=False)
    from boltq.broker import calls

    for _ in range(scripts.MAX_EVENTS + 1_000):
        call = calls.workers.progress(0, "w", [(job, 1, 0.5, "", [])])
        pipeline.execute_command(*desk.broker.library.call("progress", desk.broker.layout.prefix(0), "", call.args))
    await pipeline.execute()
    assert await desk.broker.redis.xlen(desk.key("events")) <= scripts.MAX_EVENTS + 200


async def test_the_end_of_a_job_is_waited_for(broker: Broker) -> None:
    watch = Watch(broker)
    (answer,) = await broker.submit([NewJob(type="x")])
    waiting = asyncio.create_task(watch.end_of(answer.id, 10))
    await asyncio.sleep(0.05)
    await broker.cancel([answer.id])
    assert (await waiting).state is JobState.CANCELLED
    assert (await watch.end_of(answer.id, 1)).state is JobState.CANCELLED
    with pytest.raises(NotFound):
        await watch.end_of(f"{5:024d}00", 1)
    (answer,) = await broker.submit([NewJob(type="x")])
    with pytest.raises(WaitTimeout):
        await watch.end_of(answer.id, 0.05)
    await watch.close()


async def test_a_wait_ends_in_time_whatever_it_was_doing(broker: Broker) -> None:
    """Its cancel may meet a reply that has just come, and be swallowed by redis-py."""
    (answer,) = await broker.submit([NewJob(type="echo")])
    watch = Watch(broker)
    for micros in range(0, 1_000, 5):
        async with asyncio.timeout(30):
            with pytest.raises(WaitTimeout):
                await watch.end_of(answer.id, micros / 1e6)
    await watch.close()


async def test_a_wait_that_is_cancelled_ends_whatever_it_was_doing(broker: Broker) -> None:
    (answer,) = await broker.submit([NewJob(type="echo")])
    watch = Watch(broker)
    await asyncio.wait({asyncio.create_task(watch.end_of(answer.id, 0.1))})
    for micros in range(0, 1_500, 3):
        waiting = asyncio.create_task(watch.end_of(answer.id))
        await asyncio.sleep(micros / 1e6)
        waiting.cancel()
        done, _ = await asyncio.wait({waiting}, timeout=10)
        waiting.cancel()  # so that a failure is seen, and does not hang
        await asyncio.wait({waiting})
        assert done, f"it went on, cancelled after {micros} microseconds"
        assert waiting.cancelled()
    await watch.close()
