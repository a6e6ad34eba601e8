from boltq.broker.api_keys import ApiKeys


async def test_one_key_or_all_of_them_the_oldest_first(desk) -> None:
    keys = ApiKeys(desk.broker)
    assert await keys.all() == []
    assert await keys.get("0000000000") is None
    made = []
    for name in ("c", "a", "b"):
        made.append((await keys.create(name, ["read"], created_by="x"))[0])
        desk.clock.now += 1
    assert await keys.all() == made
    assert await keys.get(made[1].id) == made[1]


async def test_they_are_one_set_however_many_partitions_there_are(desk) -> None:
    from boltq.broker.broker import Broker

    key, _ = await ApiKeys(desk.broker).create("web", ["read"], created_by="x")
    async with Broker(desk.broker.address, namespace=desk.broker.layout.namespace) as other:
        assert await ApiKeys(other).all() == [key]
