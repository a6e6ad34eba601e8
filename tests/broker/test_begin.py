"""Only a run that began can be poison: of a suspect its worker tells; a first loss is a doubt, and buries nothing."""

import pytest
from model.world import World
from msgspec.structs import replace

from boltq.broker.knobs import DEFAULT_KNOBS, Knobs
from boltq.domain.errors import LeaseLost


@pytest.fixture
def knobs() -> Knobs:
    return replace(DEFAULT_KNOBS, poison_limit=1)


def lose(world: World, *, begins: bool, times: int = 1) -> None:
    for _ in range(times):
        victim = world.register(0, ["q"], None)
        (job,) = world.claim(0, victim, 1)
        if begins:
            world.begin(world.jobs[job.id])
        world.retire(0, victim, lost=True)


def test_what_never_began_is_never_buried_however_often_its_worker_dies(world: World) -> None:
    world.submit(world.make(0))
    (job,) = world.jobs.values()
    lose(world, begins=False, times=10)
    assert (job.state, job.losses, job.deliveries, len(job.runs)) == ("queued", 1, 10, 1)


def test_what_began_each_time_is_buried_at_the_third_loss(world: World) -> None:
    """The first one counts, for nobody can say that it had not begun."""
    world.submit(world.make(0))
    (job,) = world.jobs.values()
    lose(world, begins=False)
    lose(world, begins=True)
    assert job.state == "queued"
    lose(world, begins=True)
    assert (job.state, job.losses, [run[3] for run in job.runs]) == ("dead", 3, ["lost"] * 3)


def test_losses_before_it_began_in_between_do_not_count(world: World) -> None:
    world.submit(world.make(0))
    (job,) = world.jobs.values()
    lose(world, begins=False, times=3)
    lose(world, begins=True)
    lose(world, begins=False, times=3)
    assert job.state == "queued"
    lose(world, begins=True)
    assert (job.state, job.losses) == ("dead", 3)


async def test_a_first_loss_buries_nothing_even_when_one_is_enough(desk) -> None:
    (job_id,) = await desk.submit()
    await desk.worker("first")
    await desk.claim(worker="first")
    await desk.broker.retire(0, "first", lost=True)
    assert await desk.states(job_id) == ["queued"]
    await desk.worker("second")
    (job,) = await desk.claim(worker="second")
    await desk.broker.begin(0, "second", job)
    await desk.broker.retire(0, "second", lost=True)
    record = await desk.inspector.job(job_id)
    assert (record.state, record.losses) == ("dead", 2)
    assert '"category":"poison"' in record.error


async def test_a_run_that_is_over_must_not_begin(desk) -> None:
    (job_id,) = await desk.submit()
    await desk.worker("a")
    await desk.worker("b")
    (early,) = await desk.claim(worker="a")
    with pytest.raises(LeaseLost):
        await desk.broker.begin(0, "b", early)
    await desk.broker.retire(0, "a", lost=True)
    with pytest.raises(LeaseLost):
        await desk.broker.begin(0, "a", early)
    (late,) = await desk.claim(worker="b")
    with pytest.raises(LeaseLost):
        await desk.broker.begin(0, "b", early)
    await desk.broker.begin(0, "b", late)
    assert (await desk.inspector.job(job_id)).deliveries == 2


async def test_who_leaves_in_good_order_says_what_had_begun(desk) -> None:
    ids = await desk.submit(3)
    await desk.worker("a")
    await desk.claim(3, worker="a")
    await desk.broker.cancel([ids[1]])
    await desk.broker.retire(0, "a", lost=False, began=ids[:2])
    records = [await desk.inspector.job(job_id) for job_id in ids]
    assert [(record.state, record.losses) for record in records] == [("queued", 0), ("cancelled", 0), ("queued", 0)]
    assert [[run.outcome for run in record.runs] for record in records] == [["handed_back"], ["cancelled"], []]


async def test_of_one_that_its_supervisor_killed_all_may_have_begun(desk) -> None:
    ids = await desk.submit(2)
    await desk.worker("a")
    await desk.claim(2, worker="a")
    await desk.broker.retire(0, "a", lost=False)
    records = [await desk.inspector.job(job_id) for job_id in ids]
    assert [(record.losses, [run.outcome for run in record.runs]) for record in records] == [(0, ["handed_back"])] * 2
