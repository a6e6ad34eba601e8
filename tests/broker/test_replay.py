from model.world import World


def test_only_dead_and_cancelled_jobs(world: World) -> None:
    world.submit(*(world.make(0) for _ in range(4)), world.make(0, delay=1_000))
    dead, done, running, cancelled, scheduled = world.jobs
    worker = world.register(0, ["q"], None)
    world.claim(0, worker, 3)
    world.settle(0, worker, [world.outcome(world.jobs[dead], "dead"), world.outcome(world.jobs[done], "completed")])
    world.cancel(cancelled)
    world.replay(dead, done, running, cancelled, scheduled, f"{9:024d}00")
    states = [world.jobs[job].state for job in (dead, done, running, cancelled, scheduled)]
    assert states == ["queued", "completed", "running", "queued", "scheduled"]


def test_all_attempts_are_before_it_again_and_no_old_delivery_counts(world: World) -> None:
    world.submit(world.make(0))
    (job,) = world.jobs
    worker = world.register(0, ["q"], None)
    world.claim(0, worker, 1)
    old = world.outcome(world.jobs[job], "completed")
    world.settle(0, worker, [world.outcome(world.jobs[job], "dead")])
    world.replay(job)
    (again,) = world.claim(0, worker, 1)
    assert (again.attempts, again.delivery) == (0, 2)
    world.settle_stale(old)


def test_a_poisoned_job_gets_a_new_life(world: World) -> None:
    world.submit(world.make(0))
    (job,) = world.jobs
    for _ in range(3):
        victim = world.register(0, ["q"], None)
        world.claim(0, victim, 1)
        world.begin(world.jobs[job])
        world.retire(0, victim, lost=True)
    assert world.jobs[job].state == "dead"
    world.replay(job)
    victim = world.register(0, ["q"], None)
    world.claim(0, victim, 1)
    world.retire(0, victim, lost=True)
    assert world.jobs[job].state == "queued"


def test_a_second_click_changes_nothing(world: World) -> None:
    world.submit(world.make(0))
    (job,) = world.jobs
    world.cancel(job)
    world.replay(job)
    world.replay(job)
    assert len(world.claim(0, world.register(0, ["q"], None), 5)) == 1


def test_it_takes_its_old_place_as_long_as_nobody_came_by(world: World) -> None:
    world.submit(*(world.make(0) for _ in range(3)))
    first, second, third = world.jobs
    world.cancel(first)
    world.replay(first)
    worker = world.register(0, ["q"], None)
    assert [job.id for job in world.claim(0, worker, 1)] == [first]
    world.cancel(second)
    assert [job.id for job in world.claim(0, worker, 1)] == [third]  # came by
    world.submit(world.make(0))
    world.replay(second)
    assert [job.id for job in world.claim(0, worker, 2)][1] == second


def test_it_has_no_expiry_any_more(world: World) -> None:
    world.submit(world.make(0, expires_in=1_000))
    (job,) = world.jobs
    world.advance(2_000)
    worker = world.register(0, ["q"], None)
    assert world.claim(0, worker, 1) == []
    assert world.jobs[job].state == "cancelled"
    world.replay(job)
    assert world.jobs[job].state == "running"  # handed to the sleeper


async def test_ten_thousand_cancelled_and_replayed_stand_where_they_stood(desk) -> None:
    ids: list[str] = []
    for _ in range(10):
        ids += await desk.submit(1_000)
    await desk.broker.cancel(ids)
    await desk.broker.replay(ids[::-1])
    await desk.worker()
    claimed: list[str] = []
    while batch := await desk.claim(1_000):
        claimed += [job.id for job in batch]
        await desk.settle(batch)
    assert claimed == ids
