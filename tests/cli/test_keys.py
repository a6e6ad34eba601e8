"""`boltq keys` makes, lists and revokes keys; the API takes what it made."""

import asyncio

import pytest
from commands import Run
from processes import boltq_command, clean_environment, running

from boltq.broker.api_keys import ApiKeys
from boltq.broker.broker import Broker
from boltq.broker.embedded import EmbeddedStore
from boltq.domain.api_keys import key_id_of


def make(boltq: Run, *words: str) -> str:
    """A key's id."""
    made = boltq("keys", "create", *words)
    assert made.code == 0, made.err
    key_id = key_id_of(made.out.strip().encode())
    assert key_id
    return key_id


def test_a_key_is_made_and_shown_once(boltq: Run) -> None:
    made = boltq("keys", "create", "--name", "web", "--scope", "submit:emails", "--scope", "read", "--expires", "90d")
    assert made.code == 0
    secret = made.out.strip()
    key_id = key_id_of(secret.encode())
    assert key_id
    assert key_id in made.err
    assert secret not in made.err
    [row] = boltq("keys").rows
    assert row[:3] == [key_id, "web", "good"]
    assert row[-1] == "submit:emails read"
    shown = boltq("keys", "list", "--json")
    assert secret not in shown.out
    [key] = shown.json["items"]
    assert (key["id"], key["name"], key["scopes"]) == (key_id, "web", ["submit:emails", "read"])
    assert key["expires_at"] > key["created_at"]
    assert key["last_used_at"] is None


def test_json_has_the_key_beside_what_is_kept_of_it(boltq: Run) -> None:
    made = boltq("keys", "create", "--name", "web", "--scope", "read", "--json").json
    assert key_id_of(made["key"].encode()) == made["id"]
    assert made["expires_at"] is None
    assert made["created_by"].startswith("cli")


def test_keys_are_revoked(boltq: Run) -> None:
    ids = [make(boltq, "--name", name, "--scope", "read") for name in ("a", "b", "c")]
    assert boltq("keys", "revoke", *ids[:2]).code == 0
    assert [row[2] for row in boltq("keys", "list").rows] == ["revoked", "revoked", "good"]
    again = boltq("keys", "revoke", ids[0], "0000000000", "--json")
    assert again.code == 1
    assert again.json["missing"] == ["0000000000"]
    assert [key["id"] for key in again.json["items"]] == ids[:1]


def test_who_made_and_revoked_a_key_is_in_the_journal(boltq: Run, valkey: str, namespace: str) -> None:
    from boltq.broker.journal import Journal

    key_id = make(boltq, "--name", "web", "--scope", "read")
    boltq("keys", "revoke", key_id)

    async def look() -> list[tuple[str, str]]:
        async with Broker(valkey, namespace=namespace) as broker:
            return [(entry.action, entry.target) for entry in (await Journal(broker).page()).entries]

    assert asyncio.run(look()) == [("key.revoke", f"{key_id} web"), ("key.create", f"{key_id} web: read")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--name", "web"], "--scope"),
        (["--scope", "read"], "--name"),
        (["--name", "web", "--scope", "reed"], "'reed' is not a scope"),
        (["--name", "a b", "--scope", "read"], "'a b' is not a name"),
        (["--name", "web", "--scope", "read", "--expires", "soon"], "no duration"),
        (["--name", "web", "--scope", "read", "--expires", "0s"], "/expires_in_seconds"),
    ],
)
def test_a_key_that_cannot_be_is_a_usage_error(boltq: Run, words: list[str], said: str) -> None:
    refused = boltq("keys", "create", *words)
    assert refused.code == 2
    assert said in refused.err
    assert boltq("keys").rows == []


def test_no_keys_is_no_error(boltq: Run) -> None:
    shown = boltq("keys")
    assert shown.code == 0
    assert "boltq keys create" in shown.err


def test_the_first_key_needs_no_store_that_runs(tmp_path) -> None:
    """With the embedded store: it is started for it, and ended after it; what was made is there later."""
    environment = clean_environment()
    with running(boltq_command("keys", "create", "--name", "web", "--scope", "read"), tmp_path, environment) as program:
        assert program.wait() == 0
        key_id = program.wait_for("bq_([0-9a-z]{10})_").group(1)
    with running(boltq_command("keys"), tmp_path, environment) as program:
        assert program.wait() == 3, "looking starts no store"
    store = EmbeddedStore(tmp_path / ".boltq")
    address = store.start()
    try:
        assert asyncio.run(_ids(address)) == [key_id]
    finally:
        store.stop()


async def _ids(address: str) -> list[str]:
    async with Broker(address) as broker:
        return [key.id for key in await ApiKeys(broker).all()]
