import pytest
from model.world import World

from boltq.domain.errors import InvalidJob


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


async def test_who_paused_it_why_and_when(desk) -> None:
    await desk.broker.pause("default", "Jörg", "the database is down")
    (stats,) = await desk.inspector.queues()
    shown = (stats.paused, stats.paused_by, stats.paused_reason, stats.paused_at)
    assert shown == (True, "Jörg", "the database is down", desk.clock.now)
    await desk.broker.resume("default")
    (stats,) = await desk.inspector.queues()
    assert (stats.paused, stats.paused_by, stats.paused_reason, stats.paused_at) == (False, None, None, None)


@pytest.mark.parametrize(("by", "reason"), [("a" * 101, ""), ("", "r" * 501), ("a\nb", "")])
async def test_what_nobody_could_read_is_refused(desk, by: str, reason: str) -> None:
    with pytest.raises(InvalidJob):
        await desk.broker.pause("default", by, reason)
