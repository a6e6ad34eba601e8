"""Leases: who beats keeps what it holds, and a time in which nobody could beat costs nobody anything."""

from machine import LEASE, World


def test_an_unknown_worker_is_told_so(world: World) -> None:
    world.extend(0, "w0")  # the model checks the refusal


def test_who_beats_is_not_reaped_and_who_does_not_is(world: World) -> None:
    world.submit(world.make(0), world.make(0))
    living, dead = (world.register(0, ["q"], None) for _ in range(2))
    (kept,) = world.claim(0, living, 1)
    (lost,) = world.claim(0, dead, 1)
    for _ in range(4):
        world.advance(LEASE // 3)
        world.extend(0, living)
    world.reap(0, living)
    assert (world.jobs[kept.id].state, world.jobs[lost.id].state) == ("running", "queued")


def test_after_a_gap_everyone_gets_a_full_lease(world: World) -> None:
    world.submit(world.make(0))
    first, second = (world.register(0, ["q"], None) for _ in range(2))
    (job,) = world.claim(0, second, 1)
    for worker in (first, second):
        world.advance(5_000)
        world.extend(0, worker)
    world.advance(10 * LEASE)  # the server was away, or all machines slept
    world.extend(0, first)
    world.reap(0, first)
    assert world.jobs[job.id].state == "running"
    for _ in range(4):
        world.advance(LEASE // 3)
        world.extend(0, first)
    world.reap(0, first)
    assert world.jobs[job.id].state == "queued"


def test_a_clock_that_jumps_ahead_costs_nobody_anything(world: World) -> None:
    world.submit(world.make(0))
    first, second = (world.register(0, ["q"], None) for _ in range(2))
    (job,) = world.claim(0, second, 1)
    world.advance(5_000)
    world.extend(0, first)
    world.extend(0, second)
    world.step_clock(3_600_000)
    world.advance(5_000)
    world.extend(0, first)
    world.reap(0, first)
    assert world.jobs[job.id].state == "running"


def test_a_clock_that_jumps_between_the_beat_and_the_reap(world: World) -> None:
    world.submit(world.make(0))
    first, second = (world.register(0, ["q"], None) for _ in range(2))
    (job,) = world.claim(0, second, 1)
    world.advance(5_000)
    world.extend(0, first)
    world.extend(0, second)
    world.step_clock(3_600_000)
    world.reap(0, first)
    assert world.jobs[job.id].state == "running"


def test_a_clock_that_is_set_back_does_not_keep_the_dead_alive(world: World) -> None:
    world.submit(world.make(0), world.make(0))
    living, dead = (world.register(0, ["q"], None) for _ in range(2))
    (lost,) = world.claim(0, dead, 1)
    world.step_clock(-3_600_000)
    world.claim(0, living, 1)  # the first to see the new time need not be a beat
    for _ in range(5):
        world.advance(LEASE // 3)
        world.extend(0, living)
    world.reap(0, living)
    assert world.jobs[lost.id].state == "queued"


def test_a_clock_that_goes_back_a_little_stands_still(world: World) -> None:
    worker = world.register(0, ["q"], None)
    before = world.seen[0]
    world.step_clock(-9_000)
    world.extend(0, worker)
    assert world.seen[0] == before


def test_a_sleeper_that_was_late_is_told_to_look(world: World) -> None:
    late, other = (world.register(0, ["q"], None) for _ in range(2))
    assert world.claim(0, late, 1) == []
    for _ in range(4):
        world.advance(LEASE // 3)
        world.extend(0, other)
    world.submit(world.make(0))  # nobody is handed this: the sleeper's lease is over
    assert len(world.standing("queued")) == 1
    world.extend(0, late)
    assert world.standing("running")[0].holder == late


async def test_the_answer_names_the_end_of_the_first_other_lease(desk) -> None:
    await desk.worker("a")
    desk.clock.now += 1_000
    await desk.worker("b")
    assert (await desk.broker.extend(0, "a", 15_000, 1_000)).first_end == desk.clock.now + 15_000
    assert (await desk.broker.extend(0, "b", 15_000, 1)).first_end == desk.clock.now + 15_000


async def test_vitals_are_shown(desk) -> None:
    await desk.worker()
    await desk.broker.extend(0, "w", 15_000, 0, '{"busy":3}')
    (worker,) = await desk.inspector.workers()
    assert worker.vitals == {"busy": 3}
