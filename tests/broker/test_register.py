import pytest
from model.world import World

from boltq.domain.errors import Conflict


def test_a_name_is_taken_once(world: World) -> None:
    worker = world.register(0, ["q"], None)
    world.register_again(0, worker)


def test_after_it_was_forgotten_the_name_is_free(world: World) -> None:
    worker = world.register(0, ["q"], None)
    world.retire(0, worker, lost=False)
    world.registrations -= 1
    assert world.register(0, ["q"], None) == worker


async def test_a_refusal_writes_nothing(desk) -> None:
    await desk.worker()
    before = await desk.digest()
    with pytest.raises(Conflict):
        await desk.worker(queues="other")
    assert await desk.digest() == before


async def test_what_it_tells_is_shown(desk) -> None:
    what = {"info": '{"host":"h"}', "queues": ["a", "b"], "types": ["x", "y"], "lease_ms": 15_000}
    await desk.broker.register(0, "w", **what, schemas=[("x", '{"doc":"d"}')])
    (worker,) = await desk.inspector.workers()
    assert (worker.queues, worker.types, worker.info) == (["a", "b"], ["x", "y"], {"host": "h"})
    assert worker.lease_ends_at == desk.clock.now + 15_000
    assert {queue.name for queue in await desk.inspector.queues()} == {"a", "b"}
    (task,) = await desk.inspector.tasks()
    assert (task.name, task.about) == ("x", {"doc": "d"})
