import pytest

from boltq.broker.api_keys import ApiKeys
from boltq.domain.errors import NotFound


async def test_a_use_is_noted_once_a_minute(desk) -> None:
    keys = ApiKeys(desk.broker)
    key, _ = await keys.create("web", ["read"], created_by="x")
    first = desk.clock.now
    assert (await keys.note_use(key.id)).last_used_at == first
    desk.clock.now += 59_999
    assert (await keys.note_use(key.id)).last_used_at == first
    desk.clock.now += 1
    assert (await keys.note_use(key.id)).last_used_at == first + 60_000
    assert await keys.get(key.id) == (await keys.all())[0]


async def test_a_revoked_key_stays_revoked_since_the_first_time(desk) -> None:
    keys = ApiKeys(desk.broker)
    key, _ = await keys.create("web", ["read"], created_by="x")
    assert not key.ended(desk.clock.now)
    first = await keys.revoke(key.id)
    assert first.revoked_at == desk.clock.now
    assert first.ended(desk.clock.now)
    desk.clock.now += 5
    assert await keys.revoke(key.id) == first


async def test_a_key_that_is_not_there(desk) -> None:
    for mark in (ApiKeys(desk.broker).note_use, ApiKeys(desk.broker).revoke):
        with pytest.raises(NotFound, match="no API key 0000000000"):
            await mark("0000000000")


async def test_revoking_is_allowed_when_memory_is_short(desk) -> None:
    keys = ApiKeys(desk.broker)
    key, _ = await keys.create("web", ["read"], created_by="x")
    await desk.broker.redis.config_set("maxmemory", 1)
    try:
        assert (await keys.revoke(key.id)).revoked_at
    finally:
        await desk.broker.redis.config_set("maxmemory", 0)
