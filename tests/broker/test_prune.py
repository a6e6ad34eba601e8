"""History has an end: by number and by age."""

import pytest
from msgspec.structs import replace

from boltq.broker.knobs import DEFAULT_KNOBS, Knobs
from boltq.broker.settling import Settling


@pytest.fixture
def knobs() -> Knobs:
    return replace(DEFAULT_KNOBS, keep_completed=100, keep_completed_ms=10_000, keep_dead=50, keep_dead_ms=20_000)


async def run(desk, count: int, verb: str) -> list[str]:
    ids = await desk.submit(count)
    jobs = await desk.claim(count)
    assert [job.id for job in jobs] == ids
    outcomes = [Settling(job.id, job.delivery, verb, 1, 0, "{}") for job in jobs]
    await desk.broker.settle(0, "w", outcomes[::-1])
    return ids


@pytest.mark.parametrize(("verb", "keep"), [("completed", 100), ("cancelled", 100), ("dead", 50)])
async def test_exactly_so_many_are_kept_and_the_oldest_go(desk, verb: str, keep: int) -> None:
    await desk.worker()
    ids = []
    for _ in range(5):
        ids += await run(desk, 60, verb)
        desk.clock.now += 1
    (stats,) = await desk.inspector.queues()
    assert getattr(stats, verb) == keep
    assert getattr(stats, f"{verb}_total") == 300
    kept = {job.id for job in await desk.inspector.jobs(ids) if job}
    assert len(kept) == keep
    assert {*ids[-(keep // 60 * 60) :]} <= kept if keep >= 60 else kept <= {*ids[-60:]}


async def test_a_thousand_at_once_are_cut_at_once(desk) -> None:
    await desk.worker()
    await run(desk, 1_000, "completed")
    assert (await desk.inspector.queues())[0].completed == 100


@pytest.mark.parametrize(("verb", "age"), [("completed", 10_000), ("cancelled", 10_000), ("dead", 20_000)])
async def test_what_is_older_goes_with_the_next_sweep(desk, verb: str, age: int) -> None:
    await desk.worker()
    ids = await run(desk, 10, verb)
    desk.clock.now += age
    await desk.broker.extend(0, "w", 60_000, age)
    await desk.broker.reap(0, "w")
    assert set(await desk.states(*ids)) == {verb}
    desk.clock.now += 1
    await desk.broker.reap(0, "w")
    assert set(await desk.states(*ids)) == {"gone"}


async def test_log_lines_go_with_their_job(desk) -> None:
    await desk.worker()
    (job_id,) = await desk.submit()
    (job,) = await desk.claim()
    await desk.broker.progress(0, "w", [(job_id, 1, "", "", ["a line"])])
    await desk.settle([job])
    await run(desk, 100, "completed")
    assert await desk.states(job_id) == ["gone"]
    assert not await desk.broker.redis.exists(desk.key(f"log:{job_id}"))


async def test_a_cancelled_job_may_be_pruned_before_its_ghost(desk) -> None:
    ids = await desk.submit(300)
    await desk.broker.cancel(ids)
    assert (await desk.inspector.queues())[0].cancelled == 100
    await desk.worker()
    assert await desk.claim(10) == []
    assert await desk.broker.redis.llen(desk.key("queue:default:ready:1")) == 0
