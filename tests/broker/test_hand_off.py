"""A worker that found nothing sleeps; what comes is claimed for it and put into its mailbox."""

from model.job import LEASE
from model.world import World

from boltq.domain.job import NewJob


def asleep(world: World, *types: str, n: int = 1, queues: str = "q") -> str:
    """A worker that found nothing and has room for n jobs."""
    worker = world.register(0, queues.split(), set(types) or None)
    assert world.claim(0, worker, n) == []
    return worker


def test_a_sleeper_gets_as_much_as_it_has_room_for(world: World) -> None:
    worker = asleep(world, n=2)
    world.submit(*(world.make(0) for _ in range(3)))
    assert len(world.held_by(0, worker)) == 2
    assert len(world.standing("queued")) == 1


def test_several_sleepers_share(world: World) -> None:
    workers = [asleep(world, n=2) for _ in range(3)]
    world.submit(*(world.make(0) for _ in range(5)))
    assert sorted(len(world.held_by(0, worker)) for worker in workers) == [1, 2, 2]


def test_who_does_not_know_the_type_is_passed_over(world: World) -> None:
    for _ in range(5):
        asleep(world, "x")
    expert = asleep(world, "y")
    world.submit(world.make(0, type="y"))
    assert len(world.held_by(0, expert)) == 1


def test_what_was_parked_in_a_paused_queue_goes_to_who_knows_it(world: World) -> None:
    world.submit(world.make(0, type="y"))
    asleep(world, "x")
    world.pause("q")
    expert = asleep(world, "y")
    world.resume("q")
    assert len(world.held_by(0, expert)) == 1


def test_what_was_cancelled_in_a_parked_list_goes_to_who_knows_it(world: World) -> None:
    world.submit(world.make(0, type="y"))
    (job,) = world.jobs
    asleep(world, "x")
    world.cancel(job)
    world.pause("q")
    expert = asleep(world, "y")
    world.paused.discard("q")
    for home in range(world.partitions):  # the ghost is still there: nobody has come by
        world.raw.hdel(world.key(home, "queue:q"), "paused")
    world.replay(job)
    assert len(world.held_by(0, expert)) == 1


def test_who_is_gone_gets_nothing(world: World) -> None:
    gone = asleep(world)
    world.retire(0, gone, lost=True)
    world.submit(world.make(0))
    assert world.standing("queued")


def test_who_is_awake_again_gets_nothing(world: World) -> None:
    worker = asleep(world, queues="q r")
    world.submit(world.make(0, queue="r"))
    world.submit(world.make(0))
    assert len(world.standing("queued")) == 1
    assert len(world.claim(0, worker, 1)) == 1


def test_a_suspect_comes_alone_by_mail_too(world: World) -> None:
    world.submit(world.make(0))
    victim = world.register(0, ["q"], None)
    world.claim(0, victim, 1)
    world.submit(world.make(0), world.make(0))
    world.pause("q")
    worker = asleep(world, n=3)
    world.retire(0, victim, lost=True)
    world.resume("q")
    assert len(world.held_by(0, worker)) == 1


async def test_an_earlier_time_tells_one_sleeper_to_look(desk) -> None:
    await desk.worker("a")
    await desk.worker("b")
    assert await desk.claim(1, "a") == await desk.claim(1, "b") == []
    await desk.submit(delay=5_000)
    await desk.submit(delay=9_000)  # later than what they know of
    await desk.submit(delay=3_000)
    assert len(await desk.letters("a") + await desk.letters("b")) == 2


async def test_among_the_dead_and_the_woken_the_sleeper_is_found(desk) -> None:
    for number in range(20):
        await desk.worker(f"w{number}", queues="a b")
        await desk.claim(1, f"w{number}")
    for number in range(19):  # awake: by a job of the other queue
        await desk.broker.submit([NewJob(type="x", queue="b", id=f"{100 + number:024d}00")])
    (sleeper,) = [n for n in range(20) if not await desk.letters(f"w{n}")]
    await desk.submit(queue="a", delay=1_000)
    assert await desk.letters(f"w{sleeper}") == [["look"]]


async def test_a_mailbox_that_nobody_reads_does_not_grow(desk) -> None:
    await desk.worker()
    await desk.claim()
    for delay in range(500, 0, -1):
        await desk.submit(delay=1_000 * delay)
    assert len(await desk.letters()) <= 101


def test_who_was_late_is_told_though_the_clock_was_set_back_meanwhile(world: World) -> None:
    """By the new clock its lease never ran out; yet it was passed over."""
    worker = asleep(world)
    world.advance(LEASE + 1)
    world.submit(world.make(0))
    assert world.standing("queued")
    world.step_clock(-60_000)
    world.extend(0, worker)
    assert len(world.held_by(0, worker)) == 1
