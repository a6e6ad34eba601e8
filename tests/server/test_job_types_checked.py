"""Data that do not fit what a worker has published are refused before they are stored."""

import json

import httpx
import pytest
from waiting import eventually

from boltq.server import backend

SCHEMA = {
    "type": "object",
    "properties": {
        "to": {"type": "string", "maxLength": 5},
        "rows": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}}},
    },
    "required": ["to"],
    "additionalProperties": False,
}


async def publish(http, desk, schemas: dict) -> str:
    """A worker that knows these types comes, and the API has heard of it; its name."""
    types = {name: json.dumps({"schema": schema, "max_attempts": 9}) for name, schema in schemas.items()}
    worker = f"publisher-{next(iter(schemas))}"
    about = {"info": "{}", "queues": ["typed"], "types": list(schemas), "lease_ms": 600_000}
    await desk.register(0, worker, **about, schemas=list(types.items()))
    for name in schemas:
        dry = {"type": name, "queue": "typed"}
        await eventually(lambda dry=dry: not http.post("/api/v1/jobs?dry_run=true", json=dry).json()["warnings"])
    return worker


def submit(http, job_type, data, path="/api/v1/jobs", name="data"):
    return http.post(path, json={"type": job_type, "queue": "typed", name: data})


def mistakes(answer) -> dict:
    assert answer.status_code == 422, answer.text
    return {error["pointer"]: error["detail"] for error in answer.json()["errors"]}


async def test_data_are_checked_against_the_published_schema(http, desk):
    await publish(http, desk, {"mail": SCHEMA})
    answer = submit(http, "mail", {"to": "ann"})
    assert (answer.status_code, answer.json()["warnings"]) == (201, [])
    assert mistakes(submit(http, "mail", {})) == {"/data/to": "required"}
    assert mistakes(submit(http, "mail", {"to": "ann", "cc/~": 1})) == {
        "/data/cc~1~0": "not a parameter of this job type"
    }
    found = mistakes(submit(http, "mail", {"to": 7, "rows": [{"n": 1}, {"n": "x"}]}))
    assert list(found) == ["/data/to", "/data/rows/1/n"]
    assert "integer" in found["/data/rows/1/n"]
    assert list(mistakes(submit(http, "mail", {}, "/submit", "payload"))) == ["/payload/to"]
    items = http.post("/api/v1/jobs/batch", json={"jobs": [{"type": "mail"}, {"type": "mail", "data": {"to": "x"}}]})
    assert [item.get("errors") for item in items.json()["items"]] == [
        [{"pointer": "/jobs/0/data/to", "detail": "required"}],
        None,
    ]


async def test_a_waiting_job_cannot_be_made_unfit(http, desk):
    await publish(http, desk, {"note": SCHEMA})
    job = submit(http, "note", {"to": "ann"}).json()["id"]
    assert list(mistakes(http.patch(f"/api/v1/jobs/{job}", json={"data": {}}))) == ["/data/to"]
    assert http.patch(f"/api/v1/jobs/{job}", json={"data": {"to": "bob"}}).status_code == 200
    http.post(f"/api/v1/jobs/{job}/cancel")
    assert list(mistakes(http.post(f"/api/v1/jobs/{job}/replay", json={"data": {"to": 1}}))) == ["/data/to"]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "additionalProperties": True},
        {"$ref": "http://127.0.0.1:1/never-fetched"},
        {"type": "no such type"},
        {"properties": {"a": {"pattern": "("}}},
    ],
    ids=["trivial", "elsewhere", "broken", "bad pattern"],
)
async def test_a_schema_that_says_nothing_or_cannot_be_used_checks_nothing(http, desk, schema, request):
    name = f"free-{request.node.callspec.id.replace(' ', '-')}"
    await publish(http, desk, {name: schema})
    answer = submit(http, name, {"anything": [1]})
    assert (answer.status_code, answer.json().get("warnings")) == (201, [])


async def test_a_hard_pattern_does_not_hold_up_the_server(http, desk):
    await publish(http, desk, {"greedy": {"properties": {"a": {"pattern": "^(a+)+$"}}}})
    assert submit(http, "greedy", {"a": "a" * 50_000 + "!"}).status_code == 422
    assert http.get("/health").status_code == 200


async def test_a_schema_that_changes_is_seen_soon(http, desk, monkeypatch):
    monkeypatch.setattr(backend, "LOOK_AGAIN_SECONDS", 0.05)
    worker = await publish(http, desk, {"moody": {"type": "object", "required": ["a"]}})
    assert submit(http, "moody", {"b": 1}).status_code == 422
    await desk.retire(0, worker, lost=False)
    await publish(http, desk, {"moody": {"type": "object", "required": ["b"]}})
    await eventually(lambda: submit(http, "moody", {"b": 1}).status_code == 201, seconds=20)
    assert submit(http, "moody", {"a": 1}).status_code == 422


def test_a_type_that_nobody_published_is_named_in_a_warning(http):
    (warning,) = submit(http, "unheard-of", {}).json()["warnings"]
    assert "unheard-of" in warning


async def test_strict_mode_refuses_a_type_that_nobody_published(valkey, serving, desk, api_namespace, monkeypatch):
    with (
        serving(valkey, namespace=api_namespace, strict_types=True) as url,
        httpx.Client(base_url=url, timeout=20) as http,
    ):
        assert list(mistakes(submit(http, "newcomer", {}))) == ["/type"]
        assert list(mistakes(submit(http, "newcomer", {}, "/submit", "payload"))) == ["/type"]
        monkeypatch.setattr(backend, "LOOK_AGAIN_SECONDS", 1_000.0)  # it asks by itself when a type is new
        await publish(http, desk, {"newcomer": {"type": "object"}})
        await eventually(lambda: submit(http, "newcomer", {}).status_code == 201)
