from functools import partial

from boltq.broker import calls


async def test_more_types_than_one_call_answers(desk) -> None:
    names = [f"type-{i}" for i in range(900)]
    schemas = [(name, f'{{"n":"{name}"}}') for name in names]
    about = {"info": "{}", "queues": ["default"], "types": names, "lease_ms": 15_000}
    await desk.broker.register(0, "w", schemas=schemas, **about)
    tasks = await desk.inspector.tasks()
    assert [task.name for task in tasks] == sorted(names)
    assert all(task.about == {"n": task.name} for task in tasks)
    assert await _most_answered(desk) <= 600


async def _most_answered(desk) -> int:
    """Rows of the largest portion."""
    portions = desk.broker.walk(partial(calls.workers.types, 0))
    return max([len(portion.found) async for portion in portions])
