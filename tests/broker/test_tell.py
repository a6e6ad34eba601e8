"""Telling a worker to drain, to stop, or to work again."""

import pytest

from boltq.broker.broker import Broker
from boltq.domain.errors import Conflict, NotFound


async def test_a_worker_that_drains_claims_nothing_and_hears_of_it_in_two_ways(desk) -> None:
    await desk.worker()
    await desk.submit(2)
    (job,) = await desk.claim()
    await desk.broker.tell("w", "draining")
    assert await desk.claim() == []
    assert await desk.letters() == [["wish", "draining", desk.clock.now]]
    assert (await desk.broker.extend(0, "w", 15_000)).wish == "draining"
    settlement = await desk.settle([job])
    assert (settlement.refused, settlement.jobs) == ([], [])


async def test_a_sleeper_that_drains_is_handed_nothing(desk) -> None:
    await desk.worker("w")
    await desk.worker("other")
    assert await desk.claim(worker="w") == await desk.claim(worker="other") == []
    await desk.broker.tell("w", "draining")
    await desk.submit(2)
    assert [letter[0] for letter in await desk.letters("other")] == ["jobs"]
    assert [letter[0] for letter in await desk.letters("w")] == ["wish"]
    assert (await desk.broker.claim(0, "w", 1)).jobs == []
    await desk.submit()
    assert [letter[0] for letter in await desk.letters("w")] == [], "a claim in vain is no sleep"


async def test_it_works_again(desk) -> None:
    await desk.worker()
    await desk.submit()
    await desk.broker.tell("w", "draining")
    await desk.broker.tell("w", "")
    assert (await desk.broker.extend(0, "w", 15_000)).wish == ""
    assert len(await desk.claim()) == 1


async def test_what_stops_cannot_be_called_back(desk) -> None:
    await desk.worker()
    await desk.broker.tell("w", "stopping")
    for wish in ("", "draining"):
        with pytest.raises(Conflict, match="stopping"):
            await desk.broker.tell("w", wish)
    await desk.broker.tell("w", "stopping")


async def test_a_wish_outlives_the_registration(desk) -> None:
    await desk.broker.register(0, "w", info="{}", queues=["default"], types=None, lease_ms=15_000, wish="draining")
    await desk.submit()
    assert await desk.claim() == []


async def test_who_is_not_there(desk) -> None:
    with pytest.raises(NotFound, match="no worker w"):
        await desk.broker.tell("w", "draining")


async def test_how_a_worker_stands(desk) -> None:
    async def standing() -> list[str]:
        return [worker.state for worker in await desk.inspector.workers()]

    await desk.worker()
    assert await standing() == ["up"]
    for wish in ("draining", "stopping"):
        await desk.broker.tell("w", wish)
        assert await standing() == [wish]
    desk.clock.now += 15_001
    assert await standing() == ["stale"]


async def test_it_is_told_wherever_it_is_registered(valkey: str, namespace: str) -> None:
    async with Broker(valkey, namespace=namespace, partitions=3) as broker:
        for partition in (0, 2):
            await broker.register(partition, "w", info="{}", queues=["q"], types=None, lease_ms=60_000)
        await broker.tell("w", "draining")
        assert [(await broker.extend(partition, "w", 60_000)).wish for partition in (0, 2)] == ["draining"] * 2
