"""What would become of a submission is told without making it."""

import json

import httpx
import pytest
from waiting import eventually

from boltq.broker.broker import Broker


def ask(http, body, path="/api/v1/jobs?dry_run=true"):
    content = body if isinstance(body, bytes) else json.dumps(body)
    return http.post(path, content=content, headers={"Content-Type": "application/json"})


def told(http, body) -> dict:
    answer = ask(http, body)
    assert answer.status_code == 200, answer.text
    assert "location" not in answer.headers
    return answer.json()


def test_nothing_is_written(http):
    found = told(http, {"type": "echo", "queue": "dry", "idempotency_key": "dry-1"})
    assert found["valid"] is True
    assert http.get("/api/v1/jobs?queue=dry").json()["items"] == []
    assert ask(http, {"type": "echo", "queue": "dry", "idempotency_key": "dry-1"}, "/api/v1/jobs").status_code == 201


def test_the_options_after_all_defaults(http):
    found = told(http, {"type": "echo", "data": {"é": 1}})["resolved"]
    assert found == {
        "type": "echo",
        "queue": "default",
        "priority": "normal",
        "run_at": None,
        "expires_at": None,
        "max_attempts": 3,
        "timeout_seconds": 300.0,
        "idempotency_key": None,
        "tags": [],
        "title": None,
        "data_bytes": len('{"\\u00e9": 1}'),
    }
    body = {"type": "echo", "priority": 2, "run_at": "2040-01-31T09:30:00Z", "max_attempts": 9, "timeout_seconds": 1}
    found = told(http, body | {"expires_in_seconds": 60})["resolved"]
    assert (found["priority"], found["run_at"], found["max_attempts"]) == ("high", "2040-01-31T09:30:00.000Z", 9)
    assert found["expires_at"]


async def test_what_a_worker_published_comes_before_the_settings(http, desk):
    about = json.dumps({"schema": {"type": "object", "required": ["n"]}, "max_attempts": 8, "timeout_seconds": 7})
    info = {"info": "{}", "queues": ["dry-typed"], "types": ["typed"], "lease_ms": 600_000}
    await desk.register(0, "dry-typed", **info, schemas=[("typed", about)])
    await eventually(lambda: not told(http, {"type": "typed"})["warnings"])
    found = told(http, {"type": "typed", "queue": "dry-typed", "data": {"n": 1}})
    assert (found["resolved"]["max_attempts"], found["resolved"]["timeout_seconds"]) == (8, 7)
    assert found["warnings"] == []
    assert found["placement"]["workers_for_type"] == 1
    assert found["placement"]["starts_in_seconds"] == 0
    found = told(http, {"type": "typed", "data": {}})
    assert (found["valid"], found["errors"]) == (False, [{"pointer": "/data/n", "detail": "required"}])


def test_mistakes_are_told_and_not_refused(http):
    found = told(http, {"type": "no way", "priority": "urgent", "nope": 1})
    assert (found["valid"], found["resolved"], found["placement"]) == (False, None, None)
    assert {error["pointer"] for error in found["errors"]} == {"/type", "/priority", "/nope"}


def test_what_is_no_json_is_refused(http):
    assert ask(http, b"{").status_code == 400
    assert ask(http, b'{"type":"echo"}' + b" " * 2_000_000).status_code == 413


async def test_what_the_job_would_find(http, desk):
    for priority in ("high", "normal", "low"):
        for _ in range(2):
            http.post("/api/v1/jobs", json={"type": "echo", "queue": "dry-line", "priority": priority})
    await desk.pause("dry-line", "ann", "lunch")
    found = told(http, {"type": "echo", "queue": "dry-line"})["placement"]
    assert (found["queue"], found["paused"], found["ahead"], found["workers_for_type"]) == ("dry-line", True, 4, 0)
    assert found["starts_in_seconds"] is None
    assert found["notes"] == [
        "queue dry-line is paused by ann: lunch",
        "no live worker serves queue dry-line in this store",
    ]
    assert told(http, {"type": "echo", "queue": "dry-line", "priority": 0})["placement"]["ahead"] == 6
    assert told(http, {"type": "echo", "queue": "dry-line", "priority": 2})["placement"]["ahead"] == 2


@pytest.mark.parametrize("limit_of", ["settings", "queue"])
async def test_a_full_queue_is_named(valkey, serving, namespace, limit_of):
    bound = {"max_queue_depth": 1} if limit_of == "settings" else {}
    with serving(valkey, namespace=namespace, **bound) as url, httpx.Client(base_url=url) as http:
        assert ask(http, {"type": "echo"}, "/api/v1/jobs").status_code == 201
        if limit_of == "queue":
            async with Broker(valkey, namespace=namespace) as desk:
                await desk.limit("default", 1)
        found = told(http, {"type": "echo"})
    assert found["placement"]["notes"][-1] == "queue default is full: 1 jobs wait, and at most 1 may"


@pytest.mark.parametrize(
    ("query", "status"),
    [("dry_run=false", 201), ("dry_run=", 201), ("dry_run=maybe", 422), ("dryrun=true", 422), ("%ff=1", 422)],
)
def test_the_query(http, query, status):
    assert ask(http, {"type": "echo"}, f"/api/v1/jobs?{query}").status_code == status


def test_in_the_first_versions_words(http):
    answer = ask(http, {"type": "echo", "payload": {}}, "/submit?dry_run=1")
    assert (answer.status_code, answer.json()["valid"]) == (200, True)


def test_rights(keyed):
    with keyed("submit:mine") as http:
        assert told(http, {"type": "echo", "queue": "mine"})["placement"] is None
        assert ask(http, {"type": "echo", "queue": "yours"}).status_code == 403


# Calls of their own, which answer the same


@pytest.mark.parametrize("fields", [{"type": "echo"}, {"type": "echo", "priority": "low"}, {"type": ""}, {"x": 1}])
def test_a_call_of_its_own_answers_as_the_parameter_does(http, fields):
    apart = http.post("/api/v1/jobs/dry-run", json=fields)
    asked = http.post("/api/v1/jobs?dry_run=true", json=fields)
    assert apart.status_code == asked.status_code == 200
    assert apart.json() == asked.json()


@pytest.mark.parametrize("steps", [[{"job_type": "echo"}], [{"job_type": "echo", "depends_on": ["x"]}], []])
def test_that_of_workflows_too(http, steps):
    form = {"name": "n", "steps": steps}
    apart = http.post("/api/v1/workflows/dry-run", json=form)
    asked = http.post("/api/v1/workflows?dry_run=true", json=form)
    assert apart.status_code == asked.status_code == 200
    assert apart.json() == asked.json()


def test_and_that_of_bulk_operations(http):
    http.post("/api/v1/jobs", json={"type": "echo", "queue": "previewed"})
    form = {"action": "cancel", "target": {"filter": {"queue": ["previewed"]}}}
    apart = http.post("/api/v1/bulk/preview", json=form)
    asked = http.post("/api/v1/bulk", json=form | {"dry_run": True})
    assert apart.status_code == asked.status_code == 200
    assert apart.json() == asked.json()
    assert apart.json()["count"] == 1


def test_they_take_no_parameters(http):
    assert http.post("/api/v1/jobs/dry-run?dry_run=false", json={"type": "echo"}).status_code == 422


def test_a_log_as_a_file(http):
    job = http.post("/api/v1/jobs", json={"type": "echo"}).json()["id"]
    apart, asked = http.get(f"/api/v1/jobs/{job}/logs/file"), http.get(f"/api/v1/jobs/{job}/logs?format=text")
    assert (apart.status_code, apart.headers["content-disposition"]) == (200, f'attachment; filename="{job}.log"')
    assert apart.content == asked.content
    assert http.get("/api/v1/jobs/01M800PCTMJT81THNEAH5YZT00/logs/file").status_code == 404
