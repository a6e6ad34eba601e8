from collections.abc import Callable

import pytest
from model.world import World

from boltq.broker.settling import Settling


def held(world: World, count: int = 1) -> tuple[str, list[str]]:
    """A worker that holds so many jobs."""
    world.submit(*(world.make(0) for _ in range(count)))
    worker = world.register(0, ["q"], None)
    return worker, [job.id for job in world.claim(0, worker, count)]


@pytest.mark.parametrize(
    ("verb", "state"),
    [
        ("completed", "completed"), ("retrying", "retrying"), ("dead", "dead"), ("snoozed", "scheduled"),
        ("released", "queued"), ("cancelled", "cancelled"),
    ],
)  # fmt: skip
def test_every_verb(world: World, verb: str, state: str) -> None:
    worker, (job,) = held(world)
    world.settle(0, worker, [world.outcome(world.jobs[job], verb, 500)])
    assert world.jobs[job].state == state


@pytest.mark.parametrize("verb", ["retrying", "snoozed", "released"])
def test_what_would_run_again_does_not_once_it_was_cancelled(world: World, verb: str) -> None:
    worker, (job,) = held(world)
    world.cancel(job)
    world.settle(0, worker, [world.outcome(world.jobs[job], verb, 500)])
    assert world.jobs[job].state == "cancelled"


@pytest.mark.parametrize("verb", ["completed", "dead"])
def test_what_has_ended_by_itself_is_not_cancelled_after_all(world: World, verb: str) -> None:
    worker, (job,) = held(world)
    world.cancel(job)
    world.settle(0, worker, [world.outcome(world.jobs[job], verb)])
    assert world.jobs[job].state == verb


@pytest.mark.parametrize("verb", ["completed", "retrying", "dead", "snoozed", "released", "cancelled"])
def test_a_late_worker_changes_nothing(world: World, verb: str) -> None:
    late, (job,) = held(world)
    old = world.outcome(world.jobs[job], verb, 500)
    world.retire(0, late, lost=True)
    world.settle_stale(old, late)
    world.claim(0, world.register(0, ["q"], None), 1)
    world.settle_stale(old, late)


def test_an_answer_that_was_lost_is_repeated_without_harm(world: World) -> None:
    worker, (job,) = held(world)
    outcome = world.outcome(world.jobs[job], "completed")
    world.settle(0, worker, [outcome])
    world.settle_stale(outcome, worker)


def test_bad_items_do_not_harm_their_neighbours(world: World) -> None:
    worker, jobs = held(world, 3)
    outcomes = [world.outcome(world.jobs[job], "completed") for job in jobs]
    stale = Settling(jobs[1], 7, "completed", 1, 0, "1")
    world.settle(0, worker, [outcomes[0], stale, Settling(f"{0:024d}00", 1, "dead", 1), outcomes[2]])
    assert [world.jobs[job].state for job in jobs] == ["completed", "running", "completed"]


def test_what_is_released_keeps_its_order_at_the_head(world: World) -> None:
    worker, jobs = held(world, 3)
    world.submit(world.make(0))
    world.settle(0, worker, [world.outcome(world.jobs[job], "released") for job in jobs])
    assert [job.id for job in world.claim(0, worker, 3)] == jobs


def test_settling_claims_in_the_same_call(world: World) -> None:
    worker, (job,) = held(world)
    world.submit(world.make(0))
    assert len(world.settle(0, worker, [world.outcome(world.jobs[job], "completed")], 2)) == 1


def test_a_retry_comes_when_it_is_due(world: World) -> None:
    worker, (job,) = held(world)
    world.settle(0, worker, [world.outcome(world.jobs[job], "retrying", 700)])
    world.advance(699)
    assert world.claim(0, worker, 1) == []
    world.advance(1)
    (again,) = world.claim(0, worker, 1)
    assert (again.id, again.delivery, again.attempts) == (job, 2, 1)


async def test_a_thousand_in_one_call(desk) -> None:
    ids = await desk.submit(1_000)
    await desk.worker()
    reply = await desk.settle(await desk.claim(1_000), "released")
    assert reply.refused == []
    assert await desk.ids(1_000) == ids


async def test_results_and_errors_are_kept_as_they_are(desk) -> None:
    done, failed = await desk.submit(2)
    await desk.worker()
    first, second = await desk.claim(2)
    await desk.settle([first], text='{"a":[],"n":9007199254740993}')
    await desk.settle([second], "dead", text='{"class":"E","message":"m","category":"data"}')
    one, two = await desk.inspector.jobs([done, failed])
    assert one
    assert two
    assert one.result == '{"a":[],"n":9007199254740993}'
    assert two.error == '{"class":"E","message":"m","category":"data"}'
    assert (one.attempts, one.worker, one.finished_at) == (1, "w", desk.clock.now)


@pytest.fixture
def wake(world: World) -> Callable[[], str]:
    return lambda: world.register(0, ["q"], None)


def test_released_work_wakes_a_sleeper(world: World, wake: Callable[[], str]) -> None:
    worker, (job,) = held(world)
    sleeper = wake()
    assert world.claim(0, sleeper, 1) == []
    world.settle(0, worker, [world.outcome(world.jobs[job], "released")])
    assert world.jobs[job].holder == sleeper
