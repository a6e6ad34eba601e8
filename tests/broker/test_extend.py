"""Leases: who beats keeps what it holds, and a time in which nobody could beat costs nobody anything."""

from collections.abc import Callable

import pytest
from model.job import LEASE
from model.world import World


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


def after(world: World, awake: dict[str, Callable[[float], bool]], seconds: float = 90) -> float | None:
    """Lets workers live that are awake at some seconds only. When the running job was taken back; None: never."""
    (job,) = world.standing("running")
    beaten = dict.fromkeys(awake, -100.0)
    for tick in range(round(seconds * 2)):
        now = tick / 2
        for worker, is_awake in awake.items():
            if not is_awake(now):
                continue
            if now - beaten[worker] >= LEASE / 3_000:
                if (0, worker) not in world.workers:
                    return None  # it was believed dead
                world.extend(0, worker)
                beaten[worker] = now
            world.reap(0, worker)
            if job.state != "running":
                return now
        world.advance(500)
    return None


def begin(world: World, count: int) -> list[str]:
    """So many workers that have beaten for a while, and one that holds a job and dies just now."""
    world.submit(world.make(0))
    workers = [world.register(0, ["r"], None) for _ in range(count)]
    dead = world.register(0, ["q"], None)
    world.claim(0, dead, 1)
    for _ in range(2):
        for worker in (*workers, dead):
            world.extend(0, worker)
        world.advance(LEASE // 3)
    for worker in (*workers, dead):
        world.extend(0, worker)
    return workers


def flaps(stopped: float, runs: float, shift: float = 0) -> Callable[[float], bool]:
    return lambda now: (now + shift) % (stopped + runs) >= stopped


@pytest.mark.parametrize("rhythm", [(11, 1), (14, 1), (11, 6), (10.5, 0.5)])
@pytest.mark.parametrize("beside", ["one", "two at once", "two in turn"])
def test_neighbours_that_are_held_up_again_and_again_do_not_keep_the_dead_alive(world: World, rhythm, beside) -> None:
    first, second, healthy = begin(world, 3)
    awake = {first: flaps(*rhythm), healthy: lambda _: True}
    if beside != "one":
        awake[second] = flaps(*rhythm, shift=0 if beside == "two at once" else rhythm[0] / 2)
    assert LEASE / 1_000 <= after(world, awake) <= LEASE / 1_000 + 2


def test_two_that_are_held_up_in_turn_are_enough_to_know_who_is_dead(world: World) -> None:
    first, second = begin(world, 2)
    awake = {first: flaps(6, 6), second: flaps(6, 6, shift=6)}
    assert LEASE / 1_000 <= after(world, awake) <= LEASE / 1_000 + 2


def test_one_that_is_alone_and_held_up_keeps_the_dead_alive_for_a_while_only(world: World) -> None:
    (alone,) = begin(world, 1)
    back = after(world, {alone: flaps(11, 1)})
    assert back is not None
    assert back <= 3 * 12


def test_after_a_gap_for_all_nobody_who_lives_is_believed_dead(world: World) -> None:
    """Also when one that has just come beats first, and the others come back late and one after the other."""
    first, second = begin(world, 2)
    (job,) = world.standing("running")
    world.advance(60_000)  # all were stopped, or the store was away
    new = world.register(0, ["r"], None)
    world.extend(0, new)
    world.advance(900)
    world.extend(0, first)
    world.reap(0, first)
    world.advance(4_000)
    world.extend(0, new)
    world.reap(0, new)
    world.extend(0, second)
    world.extend(0, job.holder)
    assert job.state == "running"


def test_a_store_that_comes_and_goes_costs_nobody_a_lease(world: World) -> None:
    first, second = begin(world, 2)
    (job,) = world.standing("running")
    for turn in range(4):
        world.advance(20_000)
        world.extend(0, first)  # in the moment in which it is there only one gets through, and that looks for the dead
        world.reap(0, first)
        if turn % 2:
            world.extend(0, job.holder)
    assert (job.state, (0, second) in world.workers) == ("running", False)


def test_a_new_worker_does_not_lengthen_the_lease_of_the_one_it_replaces(world: World) -> None:
    begin(world, 0)
    (job,) = world.standing("running")
    world.advance(3_000)
    new = world.register(0, ["q"], None)
    for _ in range(3):
        world.extend(0, new)
        world.advance(4_100)
    assert job.state == "running"
    world.reap(0, new)
    assert job.state == "queued"


def test_a_packet_that_was_late_is_no_jump_of_the_clock(world: World) -> None:
    """Its sender counted the time until it was sent; a third one beat all the while."""
    late, healthy = begin(world, 2)
    (job,) = world.standing("running")
    for step in range(31):
        world.advance(500)
        if step % 10 == 9:
            world.extend(0, healthy)
        if step % 14 == 13:
            world.workers[0, late].beat_mono = world.mono - 5_000
            world.extend(0, late)
    world.reap(0, healthy)
    assert job.state == "queued"
