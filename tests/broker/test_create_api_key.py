"""API keys in the store: what is kept of one, and what never is."""

import pytest

from boltq.broker.api_keys import ApiKeys
from boltq.domain.api_keys import KEEP_ENDED_MS, MAX_KEYS, key_id_of
from boltq.domain.errors import Conflict, InvalidJob


async def test_a_key_is_kept_without_its_secret(desk) -> None:
    keys = ApiKeys(desk.broker)
    key, secret = await keys.create("web", ["submit:emails", "read", "read"], expires_in=60, created_by="ada")
    assert (key.id, key.name, key.created_by) == (secret.id, "web", "ada")
    assert key.scopes == ("submit:emails", "read")
    assert (key.created_at, key.expires_at) == (desk.clock.now, desk.clock.now + 60_000)
    assert (key.last_used_at, key.revoked_at) == (0, 0)
    assert key_id_of(secret.text.encode()) == key.id
    assert key.digest == secret.digest
    stored = b"".join(await desk.broker.redis.hvals(desk.key("api_keys")))
    assert key.digest.encode() in stored
    assert secret.text.rpartition("_")[2].encode() not in stored


async def test_a_key_that_cannot_be_is_refused_field_by_field(desk) -> None:
    with pytest.raises(InvalidJob) as refused:
        await ApiKeys(desk.broker).create("local", ["reed", "read:emails", "submit:a b"], expires_in=0, created_by="x")
    assert [pointer for pointer, _ in refused.value.errors] == [
        "/name", "/scopes/0", "/scopes/1", "/scopes/2", "/expires_in_seconds",
    ]  # fmt: skip
    with pytest.raises(InvalidJob, match="/scopes"):
        await ApiKeys(desk.broker).create("web", [], created_by="x")
    assert await ApiKeys(desk.broker).all() == []


async def test_there_is_a_bound_and_what_ended_long_ago_makes_room(desk, monkeypatch) -> None:
    monkeypatch.setattr("boltq.broker.calls.api_keys.MAX_KEYS", 3)
    assert MAX_KEYS == 1_000
    keys = ApiKeys(desk.broker)
    revoked, _ = await keys.create("revoked", ["read"], created_by="x")
    await keys.create("expired", ["read"], expires_in=1, created_by="x")
    lives, _ = await keys.create("lives", ["read"], created_by="x")
    await keys.revoke(revoked.id)
    with pytest.raises(Conflict, match="3 API keys"):
        await keys.create("more", ["read"], created_by="x")
    desk.clock.now += KEEP_ENDED_MS + 2_000
    more, _ = await keys.create("more", ["read"], created_by="x")
    assert [key.id for key in await keys.all()] == [lives.id, more.id]


async def test_a_full_server_takes_no_new_keys(desk) -> None:
    """It must not grow: what ends a key is allowed all the same (see test_mark_api_key)."""
    text = desk.broker.library.text
    assert "allow-oom" not in text[text.index("_create_api_key'") :].split("callback")[0]
