"""What the API says of itself, of its store, and of who did what."""

import re

from boltq.server.system.system import redacted
from boltq.settings import Settings


def test_what_a_client_has_to_know(http, api_namespace, partitions):
    meta = http.get("/api/v1/meta").json()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", meta["server_time"])
    assert meta["caller"] == {"name": "local", "scopes": ["admin"]}
    assert (meta["namespace"], meta["partitions"]) == (api_namespace, partitions)
    assert meta["priorities"] == ["high", "normal", "low"]
    assert meta["limits"]["data_bytes"] == 1 << 20
    assert meta["retention"]["completed_seconds"] == 86_400
    assert meta["features"]["workflows"] is True


def test_the_store_and_the_settings(http):
    system = http.get("/api/v1/system").json()
    store = system["store"]
    assert store["flavour"] in {"valkey", "redis"}
    assert (store["role"], store["eviction_policy"]) == ("master", "noeviction")
    assert store["used_memory_bytes"] > 0
    assert store["rtt_ms"] > 0
    assert system["uptime_seconds"] >= 0
    assert system["settings"]["max_attempts"] == 3


def test_secrets_are_not_shown():
    settings = Settings(
        redis_addr="rediss://user:hunter2@store:6379/0?password=hunter3",
        token="hunter4" * 8,
        smtp_url="smtp://me:hunter5@mail",
    )
    shown = redacted(settings)
    assert "hunter" not in str(shown)
    assert shown["redis_addr"] == "rediss://store:6379/0"
    assert shown["token"] == "(set)"
    assert redacted(Settings())["token"] == ""


def test_the_checks_of_the_doctor(http):
    checks = http.get("/api/v1/system/checks").json()
    by_name = {check["name"]: check for check in checks["items"]}
    assert {"server", "eviction", "persistence", "memory", "latency", "clock", "workers"} <= set(by_name)
    assert "audit" not in by_name
    assert checks["ok"] == all(check["status"] != "failed" for check in checks["items"])
    assert by_name["eviction"] == {"name": "eviction", "status": "ok", "text": "noeviction", "hint": None}


def test_who_did_what(http):
    http.post("/api/v1/queues/noted/pause", json={"reason": "why not"}, headers={"X-Request-Id": "r-1"})
    http.post("/api/v1/queues/noted/resume")
    entries = http.get("/api/v1/audit", params={"limit": 2}).json()["items"]
    assert [entry["action"] for entry in entries] == ["queue.resume", "queue.pause"]
    assert entries[1] | {"id": "", "at": ""} == {
        "id": "", "at": "", "by": "local", "action": "queue.pause", "target": "noted", "reason": "why not",
        "request_id": "r-1", "result": "ok",
    }  # fmt: skip


def test_the_audit_log_comes_in_pages_and_by_action(http):
    for _ in range(3):
        http.patch("/api/v1/queues/paged", json={"max_depth": 5})
    query = {"action": "queue.limit", "by": "local", "limit": 2}
    first = http.get("/api/v1/audit", params=query).json()
    second = http.get("/api/v1/audit", params=query | {"before": first["next_cursor"]}).json()
    ids = [entry["id"] for page in (first, second) for entry in page["items"]]
    assert len(ids) == len(set(ids)) == 3
    assert http.get("/api/v1/audit", params={"by": "nobody"}).json()["items"] == []
    assert http.get("/api/v1/audit", params={"before": "x"}).status_code == 422
