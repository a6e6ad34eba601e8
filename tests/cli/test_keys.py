"""`boltq keys` makes, lists and revokes keys; the API takes what it made."""

import asyncio
from pathlib import Path

import pytest
from apis import running_api
from commands import Run
from processes import boltq_command, clean_environment, running

from boltq.broker.api_keys import ApiKeys
from boltq.broker.audit_log import AuditLog
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


def test_a_key_is_made_and_shown_once(anywhere: Run) -> None:
    made = anywhere(
        "keys", "create", "--name", "web", "--scope", "submit:emails", "--scope", "read", "--expires", "90d"
    )
    assert made.code == 0
    secret = made.out.strip()
    key_id = key_id_of(secret.encode())
    assert key_id
    assert key_id in made.err
    assert secret not in made.err
    [row] = anywhere("keys").rows
    assert row[:3] == [key_id, "web", "good"]
    assert row[-1] == "submit:emails read"
    shown = anywhere("keys", "list", "--json")
    assert secret not in shown.out
    [key] = shown.json["items"]
    assert (key["id"], key["name"], key["scopes"]) == (key_id, "web", ["submit:emails", "read"])
    assert key["expires_at"] > key["created_at"]
    assert key["last_used_at"] is None


def test_json_has_the_key_beside_what_is_kept_of_it(anywhere: Run) -> None:
    made = anywhere("keys", "create", "--name", "web", "--scope", "read", "--json").json
    assert key_id_of(made["key"].encode()) == made["id"]
    assert made["expires_at"] is None
    assert made["created_by"].split(":")[0] in {"cli", "local"}  # the latter over HTTP, where nobody has to log in


def test_keys_are_revoked(anywhere: Run) -> None:
    ids = [make(anywhere, "--name", name, "--scope", "read") for name in ("a", "b", "c")]
    assert anywhere("keys", "revoke", *ids[:2]).code == 0
    assert [row[2] for row in anywhere("keys", "list").rows] == ["revoked", "revoked", "good"]
    again = anywhere("keys", "revoke", ids[0], "0000000000", "--json")
    assert again.code == 1
    assert again.json["missing"] == ["0000000000"]
    assert [key["id"] for key in again.json["items"]] == ids[:1]


def test_who_made_and_revoked_a_key_is_in_the_audit_log(boltq: Run, valkey: str, namespace: str) -> None:
    key_id = make(boltq, "--name", "web", "--scope", "read")
    boltq("keys", "revoke", key_id)

    async def look() -> list[tuple[str, str, str]]:
        async with Broker(valkey, namespace=namespace) as broker:
            entries = (await AuditLog(broker).page()).entries
            return [(entry.by.split(":")[0], entry.action, entry.target) for entry in entries]

    revoked, created = ("cli", "key.revoke", f"{key_id} web"), ("cli", "key.create", f"{key_id} web: read")
    assert asyncio.run(look()) == [revoked, created]


def test_a_key_made_elsewhere_works_there_and_only_its_owner_makes_keys(
    boltq: Run, valkey: str, namespace: str, tmp_path: Path
) -> None:
    with running_api(valkey, namespace=namespace, auth="on", data_dir=str(tmp_path / "data")) as url:
        owner = ("--url", url, "--token", (tmp_path / "data" / "token").read_text().strip())
        made = boltq("keys", "create", "--name", "web", "--scope", "submit", *owner, "--json").json
        assert made["created_by"] == "token"
        assert boltq("submit", "echo", "--url", url, "--token", made["key"]).code == 0
        refused = boltq("keys", "--url", url, "--token", made["key"])
        assert (refused.code, refused.out) == (1, "")
        assert "admin" in refused.err
        assert boltq("keys", "--url", url, "--token", "").code == 1
        assert boltq("keys", *owner, "revoke", made["id"]).code == 0
        assert [row[2] for row in boltq("keys", *owner).rows] == ["revoked"]


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
def test_a_key_that_cannot_be_is_a_usage_error(anywhere: Run, words: list[str], said: str) -> None:
    refused = anywhere("keys", "create", *words)
    assert refused.code == 2
    assert said in refused.err
    assert anywhere("keys").rows == []


def test_no_keys_is_no_error(anywhere: Run) -> None:
    shown = anywhere("keys")
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
