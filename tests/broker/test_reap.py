from model.job import LEASE
from model.world import World


def live_on(world: World, *workers: str) -> None:
    for _ in range(4):
        world.advance(LEASE // 3)
        for worker in workers:
            world.extend(0, worker)


def test_a_job_that_loses_worker_after_worker_is_buried(world: World) -> None:
    world.submit(world.make(0))
    (job,) = world.jobs
    reaper = world.register(0, ["r"], None)
    for state in ("queued", "queued", "dead"):
        victim = world.register(0, ["q"], None)
        assert len(world.claim(0, victim, 1)) == 1
        world.begin(world.jobs[job])
        live_on(world, reaper)
        world.reap(0, reaper)
        assert world.jobs[job].state == state


def test_a_settled_failure_forgives_the_losses_before_it(world: World) -> None:
    world.submit(world.make(0))
    (job,) = world.jobs
    for _ in range(2):
        victim = world.register(0, ["q"], None)
        world.claim(0, victim, 1)
        world.retire(0, victim, lost=True)
    worker = world.register(0, ["q"], None)
    world.claim(0, worker, 1)
    world.settle(0, worker, [world.outcome(world.jobs[job], "retrying", 1)])
    world.advance(1)
    world.claim(0, worker, 1)
    world.retire(0, worker, lost=True)
    assert world.jobs[job].state == "queued"


def test_what_somebody_asked_to_cancel_is_cancelled(world: World) -> None:
    world.submit(world.make(0))
    (job,) = world.jobs
    reaper, victim = world.register(0, ["r"], None), world.register(0, ["q"], None)
    world.claim(0, victim, 1)
    world.cancel(job)
    live_on(world, reaper)
    world.reap(0, reaper)
    assert world.jobs[job].state == "cancelled"


def test_one_that_has_just_come_takes_nothing_back(world: World) -> None:
    world.submit(world.make(0))
    victim = world.register(0, ["q"], None)
    world.claim(0, victim, 1)
    other = world.register(0, ["r"], None)
    live_on(world, other)
    world.reap(0, world.register(0, ["r"], None))
    assert world.standing("running")
    world.advance(2_000)
    world.reap(0, other)
    assert world.standing("queued")


def test_what_is_taken_back_goes_to_a_sleeper(world: World) -> None:
    world.submit(world.make(0))
    sleeper, victim = world.register(0, ["q"], None), world.register(0, ["q"], None)
    world.claim(0, victim, 1)
    assert world.claim(0, sleeper, 1) == []
    live_on(world, sleeper)
    world.reap(0, sleeper)
    assert world.standing("running")[0].holder == sleeper


async def test_thousands_are_taken_back_in_a_few_calls(desk) -> None:
    ids: list[str] = []
    for _ in range(5):
        ids += await desk.submit(1_000)
    await desk.worker("reaper", queues="other")
    await desk.worker()
    for _ in range(5):
        await desk.claim(1_000)
    for _ in range(4):
        desk.clock.now += 5_000
        await desk.broker.extend(0, "reaper", 15_000, 5_000)
    taken, calls = 0, 0
    while True:
        reaped = await desk.broker.reap(0, "reaper")
        taken, calls = taken + reaped.taken_back, calls + 1
        if not reaped.more:
            break
    assert taken == 5_000
    assert calls <= 5_000 // 250 + 1
    assert set(await desk.states(*ids)) == {"queued"}


async def test_after_a_restart_of_the_server_everyone_gets_a_full_lease(desk) -> None:
    (job,) = await desk.submit()
    await desk.worker("reaper", queues="other")
    await desk.worker()
    await desk.claim()
    desk.clock.now += 2_500
    await desk.broker.extend(0, "reaper", 15_000, 2_500)
    await desk.broker.reap(0, "reaper")
    await desk.broker.redis.hset(desk.key("partition"), "run_id", "another")  # as if it were another run of the server
    taken = []
    for _ in range(7):
        desk.clock.now += 4_900
        await desk.broker.extend(0, "reaper", 15_000, 4_900)
        taken.append((await desk.broker.reap(0, "reaper")).taken_back)
    assert taken == [0, 0, 0, 0, 1, 0, 0]  # without the grace, it would have been the third
    assert await desk.states(job) == ["queued"]
