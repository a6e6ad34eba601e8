from machine import World


def test_nothing_is_claimed_and_what_runs_goes_on(world: World) -> None:
    world.submit(world.make(0), world.make(0), world.make(0, queue="r"))
    worker = world.register(0, ["q", "r"], None)
    (job,) = world.claim(0, worker, 1)
    world.pause("q")
    assert [one.queue for one in world.claim(0, worker, 5)] == ["r"]
    world.settle(0, worker, [world.outcome(world.jobs[job.id], "completed")])


def test_again_is_harmless(world: World) -> None:
    world.pause("q")
    world.pause("q")


def test_a_sleeper_is_not_handed_what_is_paused(world: World) -> None:
    worker = world.register(0, ["q"], None)
    assert world.claim(0, worker, 1) == []
    world.pause("q")
    world.submit(world.make(0))
    assert world.standing("queued")
