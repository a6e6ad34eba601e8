"""What workers publish of their job types is known as long as one of them lives."""

from boltq.broker.scripts import MAX_TYPES


async def test_what_live_workers_publish_is_kept_as_long_as_they_live(desk) -> None:
    async def come(name: str, *schemas: tuple[str, str]) -> None:
        await desk.broker.register(0, name, info="{}", queues=["q"], types=None, lease_ms=15_000, schemas=schemas)

    async def versions() -> list[dict[str, str] | None]:
        return list((await desk.inspector.published([])).releases.values())

    old, new = ("x", '{"v":1}'), ("x", '{"v":2}')
    await come("a", old)
    await come("b", old)
    await come("c", new, ("y", "{}"))
    assert await versions() == [dict([old]), dict([new, ("y", "{}")])]
    known = (await desk.inspector.published([])).releases
    assert list((await desk.inspector.published(known)).releases.values()) == [None, None]
    assert [task.about for task in (await desk.inspector.published([])).types] == [{"v": 2}, {}]
    await desk.broker.retire(0, "a", lost=False)
    assert len(await versions()) == 2
    await desk.broker.retire(0, "b", lost=False)
    await desk.broker.retire(0, "b", lost=False)
    assert await versions() == [dict([new, ("y", "{}")])]
    await desk.broker.tell("c", "stopping")
    assert await versions() == []
    await desk.broker.retire(0, "c", lost=True)
    assert await desk.broker.redis.exists(desk.key("releases")) == 0


async def test_no_more_versions_are_kept_than_there_may_be(desk) -> None:
    for number in range(MAX_TYPES // 2 + 5):
        about = {"info": "{}", "queues": ["q"], "types": None, "lease_ms": 15_000}
        await desk.broker.register(0, f"w{number}", **about, schemas=[("x", f'{{"v":{number}}}')])
    assert len((await desk.inspector.published([])).releases) == MAX_TYPES // 2
    for number in range(MAX_TYPES // 2 + 5):
        await desk.broker.retire(0, f"w{number}", lost=False)
    assert await desk.broker.redis.exists(desk.key("releases")) == 0
