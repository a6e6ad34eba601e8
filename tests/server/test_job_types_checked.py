"""Data that do not fit what a worker has published are refused before they are stored."""

import json

import httpx
import pytest
from waiting import eventually

from boltq.broker.inspector import Inspector
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


def submit_workflow(http, form):
    return http.post("/api/v1/workflows", json=form)


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


# Workers come and go


OLD = {"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"], "additionalProperties": False}
NEW = {"type": "object", "properties": {"address": {"type": "string"}}, "required": ["address"]}


async def come(desk, worker: str, lease_ms: int = 600_000, **schemas) -> None:
    types = [(name, json.dumps({"schema": schema})) for name, schema in schemas.items()]
    about = {"info": "{}", "queues": ["typed"], "types": list(schemas), "lease_ms": lease_ms}
    for partition in range(desk.layout.partitions):
        await desk.register(partition, worker, **about, schemas=types)


async def heard_of(http, name: str) -> None:
    """Until the API knows a type that is new: it looks for it once a second."""
    dry = {"type": name, "queue": "typed"}
    await eventually(lambda: not http.post("/api/v1/jobs?dry_run=true", json=dry).json()["warnings"])


async def go(desk, worker: str) -> None:
    for partition in range(desk.layout.partitions):
        await desk.retire(partition, worker, lost=False)


@pytest.fixture
def slow_api(valkey, serving, api_namespace, desk, monkeypatch):
    """An API that does not look by itself while the test runs."""
    monkeypatch.setattr(backend, "LOOK_AGAIN_SECONDS", 1_000.0)
    with serving(valkey, namespace=api_namespace) as url, httpx.Client(base_url=url, timeout=20) as client:
        yield client


def everywhere(http, name: str, data: dict) -> list[bool]:
    """Whether each way to submit takes these data."""
    step = {"name": "n", "steps": [{"job_type": name, "queue": "typed", "params": data}]}
    batch = http.post("/api/v1/jobs/batch", json={"jobs": [{"type": name, "queue": "typed", "data": data}] * 2})
    waiting = http.post("/api/v1/jobs", json={"type": name, "queue": "typed", "data": data, "delay_seconds": 999})
    dry = http.post("/api/v1/jobs?dry_run=true", json={"type": name, "data": data})
    taken = [
        submit(http, name, data).status_code == 201,
        submit(http, name, data, "/submit", "payload").status_code == 201,
        waiting.status_code == 201,
        http.post("/api/v1/workflows", json=step).status_code == 201,
        batch.json()["rejected"] == 0,
        dry.json()["valid"],
    ]
    if waiting.status_code == 201:
        edited = http.patch(f"/api/v1/jobs/{waiting.json()['id']}", json={"data": data})
        taken.append(edited.status_code == 200)
    return taken


async def test_a_deploy_that_renames_a_parameter_refuses_nothing_good(slow_api, desk):
    """The API knows the old version, and the new one counts from the first request on."""
    await come(desk, "old-1", renamed=OLD)
    await heard_of(slow_api, "renamed")
    assert set(everywhere(slow_api, "renamed", {"to": "ann"})) == {True}
    assert set(everywhere(slow_api, "renamed", {"address": "ann"})) == {False}
    await come(desk, "new-1", renamed=NEW)
    assert set(everywhere(slow_api, "renamed", {"address": "ann"})) == {True}
    assert set(everywhere(slow_api, "renamed", {"to": "ann"})) == {True}, "the old worker lives"
    assert set(everywhere(slow_api, "renamed", {})) == {False}
    await go(desk, "old-1")
    assert set(everywhere(slow_api, "renamed", {"address": "ann"})) == {True}
    assert everywhere(slow_api, "renamed", {})[0] is False, "a refusal has it look again"
    assert set(everywhere(slow_api, "renamed", {"to": "ann"})) == {False}


async def test_a_schema_of_workers_that_are_gone_does_not_count(slow_api, desk):
    await come(desk, "last-1", left=OLD)
    await heard_of(slow_api, "left")
    assert submit(slow_api, "left", {}).status_code == 422
    await go(desk, "last-1")
    assert set(everywhere(slow_api, "left", {"address": 1})) == {True}


async def test_nor_does_that_of_one_whose_lease_has_run_out(slow_api, desk):
    await come(desk, "dying-1", lease_ms=4_000, dying=OLD)
    await heard_of(slow_api, "dying")
    assert submit(slow_api, "dying", {}).status_code == 422
    await eventually(lambda: submit(slow_api, "dying", {}).status_code == 201, seconds=20)


async def test_one_that_takes_anything_is_enough(slow_api, desk):
    await come(desk, "strict-1", mixed=OLD)
    await heard_of(slow_api, "mixed")
    assert submit(slow_api, "mixed", {}).status_code == 422
    await come(desk, "loose-1", mixed={"type": "object"})
    assert submit(slow_api, "mixed", {}).status_code == 201
    await go(desk, "loose-1")
    await come(desk, "other-1", other={"type": "object"})
    await eventually(lambda: submit(slow_api, "other", {}).json()["warnings"] == [])


async def test_a_type_that_has_just_come_is_not_refused(valkey, serving, desk, api_namespace, monkeypatch):
    monkeypatch.setattr(backend, "LOOK_AGAIN_SECONDS", 1_000.0)
    with (
        serving(valkey, namespace=api_namespace, strict_types=True) as url,
        httpx.Client(base_url=url, timeout=20) as http,
    ):
        step = {"name": "n", "steps": [{"job_type": "fresh", "queue": "typed"}]}
        assert list(mistakes(submit(http, "fresh", {}))) == ["/type"]
        assert list(mistakes(submit_workflow(http, step))) == ["/steps/0/job_type"]
        await come(desk, "fresh-1", fresh={"type": "object"})
        assert submit(http, "fresh", {}).status_code == 201
        assert submit_workflow(http, step).status_code == 201


async def test_a_batch_of_bad_jobs_looks_once(slow_api, desk, monkeypatch):
    looks = []
    read = Inspector.published

    def counted(inspector, known):
        looks.append(known)
        return read(inspector, known)

    await come(desk, "counted-1", counted=OLD)
    await heard_of(slow_api, "counted")
    assert submit(slow_api, "counted", {}).status_code == 422
    monkeypatch.setattr(Inspector, "published", counted)
    answer = slow_api.post("/api/v1/jobs/batch", json={"jobs": [{"type": "counted"}] * 500}).json()
    assert (answer["rejected"], len(looks)) == (500, 1)
