from model.world import World
from msgspec.structs import replace

from boltq.broker.knobs import DEFAULT_KNOBS
from boltq.domain.errors import QueueFull
from boltq.domain.job import NewJob, Submitted


def test_it_counts_what_waits_and_not_what_runs(world: World) -> None:
    world.limit("q", 2 * world.partitions)
    world.submit(world.make(0), world.make(0, delay=1_000), world.make(0))
    assert len(world.jobs) == 2
    worker = world.register(0, ["q"], None)
    world.claim(0, worker, 1)
    world.submit(world.make(0), world.make(0))
    assert len(world.jobs) == 3


def test_nought_is_no_limit(world: World) -> None:
    world.limit("q", 1)
    world.limit("q", 0)
    world.submit(*(world.make(0) for _ in range(5)))
    assert len(world.jobs) == 5


async def test_the_stored_bound_holds_for_queues_without_a_limit_of_their_own(valkey: str, namespace: str) -> None:
    from boltq.broker.broker import Broker

    async with Broker(valkey, namespace=namespace, knobs=replace(DEFAULT_KNOBS, max_depth=2)) as broker:
        answers = await broker.submit([NewJob(type="x") for _ in range(3)])
        assert [type(answer) for answer in answers] == [Submitted, Submitted, QueueFull]
        await broker.limit("default", 0)
        assert isinstance((await broker.submit([NewJob(type="x")]))[0], Submitted)
