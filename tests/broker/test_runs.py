"""What became of runs that did not complete their job is kept with it."""

import pytest
from model.world import World
from msgspec.structs import replace

from boltq.broker.knobs import DEFAULT_KNOBS, Knobs
from boltq.domain import limits
from boltq.domain.job import PastRun


@pytest.fixture
def knobs() -> Knobs:
    return replace(DEFAULT_KNOBS, keep_completed=2)


async def test_each_run_says_who_when_and_why(desk) -> None:
    await desk.worker()
    (job_id,) = await desk.submit()
    began = desk.clock.now
    (job,) = await desk.claim()
    desk.clock.now += 70
    await desk.settle([job], "retrying", 30, '{"class":"E"}')
    desk.clock.now += 30
    (job,) = await desk.claim()
    await desk.settle([job], "snoozed", 10)
    desk.clock.now += 10
    (job,) = await desk.claim()
    await desk.settle([job], "dead", text='{"class":"F"}')
    assert (await desk.inspector.job(job_id)).runs == [
        PastRun(1, 1, "w", began, began + 70, "failed", '{"class":"E"}'),
        PastRun(2, 2, "w", began + 100, began + 100, "snoozed"),
        PastRun(2, 3, "w", began + 110, began + 110, "failed", '{"class":"F"}'),
    ]


def test_lost_workers_and_cancellations(world: World) -> None:
    world.submit(*(world.make(0) for _ in range(4)))
    first, second, third, fourth = world.jobs
    victim = world.register(0, ["q"], None)
    world.claim(0, victim, 4)
    world.cancel(second)
    world.settle(0, victim, [world.outcome(world.jobs[third], "cancelled")])
    world.settle(0, victim, [world.outcome(world.jobs[fourth], "released")])
    world.retire(0, victim, lost=True)
    outcomes = [[run[3] for run in world.jobs[job].runs] for job in (first, second, third, fourth)]
    assert outcomes == [["lost"], ["cancelled"], ["cancelled"], []]


async def test_the_newest_are_kept(desk) -> None:
    await desk.worker()
    (job_id,) = await desk.submit()
    for _ in range(limits.MAX_RUNS + 3):
        await desk.settle(await desk.claim(), "retrying", 0, "{}")
    runs = (await desk.inspector.job(job_id)).runs
    assert [run.attempt for run in runs] == list(range(4, limits.MAX_RUNS + 4))


async def test_a_job_that_completes_at_once_has_none_and_costs_none(desk) -> None:
    await desk.worker()
    (job_id,) = await desk.submit()
    await desk.settle(await desk.claim())
    assert (await desk.inspector.job(job_id)).runs == []
    assert await desk.broker.redis.keys(desk.key("runs:*")) == []


async def test_they_go_with_their_job(desk) -> None:
    await desk.worker()
    ids = await desk.submit(3)
    await desk.settle(await desk.claim(3), "retrying", 0, "{}")
    await desk.settle(await desk.claim(3))
    assert sorted(await desk.states(*ids)) == ["completed", "completed", "gone"]
    assert len(await desk.broker.redis.keys(desk.key("runs:*"))) == 2
