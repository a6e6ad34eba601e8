from model.world import World

from boltq.broker import calls


def test_in_good_order_nothing_is_held_against_the_jobs(world: World) -> None:
    world.submit(*(world.make(0) for _ in range(3)))
    worker = world.register(0, ["q"], None)
    held = world.claim(0, worker, 3)
    world.cancel(held[0].id)
    world.retire(0, worker, lost=False)
    assert [world.jobs[job.id].state for job in held] == ["cancelled", "queued", "queued"]


def test_again_is_harmless(world: World) -> None:
    worker = world.register(0, ["q"], None)
    world.retire(0, worker, lost=False)
    world.retire(0, worker, lost=True)
    world.retire(0, "never", lost=True)


def test_its_jobs_go_to_a_sleeper_and_not_to_itself(world: World) -> None:
    world.submit(world.make(0))
    worker, sleeper = world.register(0, ["q"], None), world.register(0, ["q"], None)
    world.claim(0, worker, 1)
    assert world.claim(0, sleeper, 1) == []
    assert world.claim(0, worker, 1) == []
    world.retire(0, worker, lost=False)
    assert world.standing("running")[0].holder == sleeper


async def test_thousands_go_back(desk) -> None:
    ids = [job_id for _ in range(3) for job_id in await desk.submit(1_000)]
    await desk.worker()
    for _ in range(3):
        await desk.claim(1_000)
    assert await desk.broker.retire(0, "w", lost=False) == 3_000
    assert set(await desk.states(*ids)) == {"queued"}


async def test_where_it_was_interrupted_the_reaper_goes_on(desk) -> None:
    ids = [job_id for _ in range(2) for job_id in await desk.submit(1_000)]
    await desk.worker("reaper", queues="other")
    await desk.worker()
    await desk.claim(1_000)
    await desk.claim(1_000)
    desk.clock.now += 3_000
    taken, more = await desk.broker.send(calls.workers.retire(0, "w", lost=False))
    assert taken >= 250
    assert more == 1
    while (reaped := await desk.broker.reap(0, "reaper")).more:
        taken += reaped.taken_back
    assert taken + reaped.taken_back == 2_000
    assert set(await desk.states(*ids)) == {"queued"}
    assert not await desk.broker.redis.exists(desk.key("worker:w"))


def test_jobs_go_back_in_the_order_in_which_they_came(world: World) -> None:
    world.submit(*(world.make(0) for _ in range(9)))
    leaving = world.register(0, ["q"], None)
    before = [job.id for job in world.claim(0, leaving, 9)]
    world.retire(0, leaving, lost=False)
    assert [job.id for job in world.claim(0, world.register(0, ["q"], None), 9)] == before
