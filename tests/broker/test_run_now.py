from model.world import World


def test_only_what_waits_for_its_time(world: World) -> None:
    world.submit(*(world.make(0) for _ in range(3)), world.make(0, delay=90_000))
    retrying, done, queued, scheduled = world.jobs
    worker = world.register(0, ["q"], None)
    world.claim(0, worker, 2)
    world.settle(
        0,
        worker,
        [world.outcome(world.jobs[retrying], "retrying", 90_000), world.outcome(world.jobs[done], "completed")],
    )
    world.run_now(retrying, done, queued, scheduled, f"{9:024d}00")
    states = [world.jobs[job].state for job in (retrying, done, queued, scheduled)]
    assert states == ["queued", "completed", "queued", "queued"]
    assert [job.id for job in world.claim(0, worker, 5)] == [queued, retrying, scheduled]


def test_it_wakes_a_sleeper(world: World) -> None:
    world.submit(world.make(0, delay=90_000))
    (job,) = world.jobs
    worker = world.register(0, ["q"], None)
    assert world.claim(0, worker, 1) == []
    world.run_now(job)
    assert world.jobs[job].holder == worker
