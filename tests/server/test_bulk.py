"""One action on many jobs."""

import json
import time

import pytest
from waiting import eventually

from boltq.broker.operations import BulkAction, Operations
from boltq.domain.filters import JobFilter
from boltq.domain.job_error import Category, JobError
from boltq.domain.outcome import Failed

BOOM = Failed(JobError("Boom", "no", Category.DATA, fingerprint="boom"))


def submit(http, queue: str, count: int = 1, **fields) -> list[str]:
    answers = [http.post("/api/v1/jobs", json={"type": "echo", "queue": queue} | fields) for _ in range(count)]
    assert {answer.status_code for answer in answers} == {201}
    return [answer.json()["id"] for answer in answers]


def states(http, ids) -> set[str]:
    return {http.get(f"/api/v1/jobs/{job_id}").json()["state"] for job_id in ids}


def bulk(http, action: str, target: dict, **more):
    return http.post("/api/v1/bulk", json={"action": action, "target": target} | more)


def finished(http, answer, *wanted: str) -> dict:
    """The operation that an answer names, once it stands where it should."""
    assert answer.status_code == 202, answer.text
    assert answer.headers["Location"] == f"/api/v1/operations/{answer.json()['id']}"
    until = time.monotonic() + 30
    while True:
        operation = http.get(answer.headers["Location"]).json()
        if operation["state"] in (wanted or ("done",)):
            return operation
        assert time.monotonic() < until, operation
        time.sleep(0.02)


@pytest.fixture
def die(http, run_one):
    """Makes dead jobs."""

    async def dead(queue: str, count: int = 1, **data) -> list[str]:
        submit(http, queue, count, data=data)
        return [(await run_one(queue, BOOM)).id for _ in range(count)]

    return dead


def test_cancel_by_a_filter(http):
    ids, others = submit(http, "c1", 3), submit(http, "c1", type="kept")
    operation = finished(http, bulk(http, "cancel", {"filter": {"queue": ["c1"], "type": ["echo"]}}, reason="wrong"))
    assert (operation["total"], operation["ok"], operation["failed"], operation["skipped"]) == (3, 3, 0, 0)
    assert (operation["action"], operation["by"], operation["reason"]) == ("cancel", "local", "wrong")
    assert operation["finished_at"] >= operation["started_at"]
    assert states(http, ids) == {"cancelled"}
    assert states(http, others) == {"queued"}
    entry = http.get("/api/v1/audit", params={"action": "bulk.cancel"}).json()["items"][0]
    assert operation["id"] in entry["target"]


def test_ids_that_are_not_there_are_named(http):
    ids = submit(http, "c2", 2)
    gone = "01ARZ3NDEKTSV4RRFFQ69G5F00"
    preview = bulk(http, "cancel", {"ids": [*ids, gone]}, dry_run=True).json()
    assert (preview["count"], preview["by_state"]) == (3, {"queued": 2})
    assert preview["warnings"] == ["1 of the ids are not there, and will fail"]
    operation = finished(http, bulk(http, "cancel", {"ids": [*ids, *ids, gone]}))
    assert (operation["total"], operation["ok"], operation["failed"]) == (3, 2, 1)
    assert [(error["id"], error["code"]) for error in operation["errors"]] == [(gone, "NOT_FOUND")]


async def test_a_dry_run_changes_nothing(http, die):
    ids = await die("d1", 6, n=1)
    submit(http, "d1")
    answer = bulk(http, "replay", {"filter": {"queue": ["d1"]}}, dry_run=True)
    assert answer.status_code == 200
    preview = answer.json()
    assert (preview["count"], preview["by_state"], preview["by_type"]) == (6, {"dead": 6}, {"echo": 6})
    assert preview["by_type_complete"] is True
    assert len(preview["sample"]) == 5
    assert preview["sample"][0]["before"] is None
    assert states(http, ids) == {"dead"}


async def test_a_replay(http, die):
    ids = await die("r1", 3)
    operation = finished(http, bulk(http, "replay", {"filter": {"queue": ["r1"], "fingerprint": "boom"}}))
    assert (operation["ok"], operation["edited"]) == (3, False)
    assert states(http, ids) == {"queued"}


async def test_a_replay_with_a_patch_makes_new_jobs(http, die, desk):
    schema = ("echo", json.dumps({"schema": {"type": "object", "properties": {"timeout": {"type": "integer"}}}}))
    about = {"info": "{}", "queues": ["none"], "types": ["echo"], "lease_ms": 60_000, "schemas": [schema]}
    await desk.register(0, "publisher", **about)
    ids = await die("p1", 2, timeout=30, to="a")
    target, options = {"filter": {"queue": ["p1"]}}, {"patch": {"timeout": 60}}
    preview = bulk(http, "replay", target, options=options, dry_run=True).json()
    assert preview["sample"][0]["before"] == {"timeout": 30, "to": "a"}
    assert preview["sample"][0]["after"] == {"timeout": 60, "to": "a"}
    assert preview["sample"][0]["errors"] == []
    operation = finished(http, bulk(http, "replay", target, options=options, expect_count=2))
    assert (operation["action"], operation["edited"], operation["ok"]) == ("replay", True, 2)
    assert states(http, ids) == {"dead"}
    new = [job for job_id in ids for job in http.get(f"/api/v1/jobs/{job_id}").json()["replays"]]
    assert len(new) == 2
    for job_id in new:
        job = http.get(f"/api/v1/jobs/{job_id}").json()
        assert (job["state"], job["data"]) == ("queued", {"timeout": 60, "to": "a"})
        assert job["replay_of"] in ids


async def test_a_preview_says_which_data_would_not_do(http, die, desk):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    about = {"info": "{}", "queues": ["none"], "types": None, "lease_ms": 60_000}
    await desk.register(0, "publisher-2", schemas=[("strict", json.dumps({"schema": schema}))], **about)
    submit(http, "p2", type="strict", data={"n": 1})
    answer = bulk(http, "cancel", {"filter": {"queue": ["p2"]}})
    finished(http, answer)
    target = {"filter": {"queue": ["p2"]}}

    def mistakes() -> list[dict]:
        """The API may not have heard of the type at once."""
        preview = bulk(http, "replay", target, options={"patch": {"n": "one"}}, dry_run=True).json()
        return preview["sample"][0]["errors"]

    assert [mistake["pointer"] for mistake in await eventually(mistakes)] == ["/data/n"]


def test_a_count_that_has_changed(http):
    ids = submit(http, "n1", 3)
    answer = bulk(http, "cancel", {"filter": {"queue": ["n1"]}}, expect_count=2)
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:boltq:problem:count-changed")
    assert (answer.json()["count"], answer.json()["expect_count"]) == (3, 2)
    assert states(http, ids) == {"queued"}
    finished(http, bulk(http, "cancel", {"filter": {"queue": ["n1"]}}, expect_count=3))


def test_a_canary_waits_for_somebody(http):
    ids = submit(http, "k1", 5)
    answer = bulk(http, "delete", {"filter": {"queue": ["k1"]}}, options={"canary": 2})
    operation = finished(http, answer, "canary")
    assert (operation["done"], operation["canary"], operation["eta_ms"]) == (2, 2, None)
    assert http.post(f"{answer.headers['Location']}/continue").status_code == 202
    assert finished(http, answer)["ok"] == 5
    assert {http.get(f"/api/v1/jobs/{job_id}").status_code for job_id in ids} == {404}
    again = http.post(f"{answer.headers['Location']}/continue")
    assert (again.status_code, again.json()["type"]) == (409, "urn:boltq:problem:conflict")


def test_one_can_be_stopped(http):
    submit(http, "s1", 4)
    answer = bulk(http, "cancel", {"filter": {"queue": ["s1"]}}, options={"canary": 1})
    finished(http, answer, "canary")
    stopped = http.post(f"{answer.headers['Location']}/stop", json={"reason": "enough"}).json()
    assert (stopped["state"], stopped["done"]) == ("stopped", 1)
    assert http.post(f"{answer.headers['Location']}/stop").status_code == 409


def test_failures_stop_it(http):
    ids = submit(http, "f1", 3)
    answer = bulk(http, "run_now", {"filter": {"queue": ["f1"], "state": ["queued"]}}, options={"stop_on_failures": 1})
    operation = finished(http, answer, "stopped", "done")
    assert (operation["ok"], operation["failed"]) == (0, 3)
    assert {error["code"] for error in operation["errors"]} == {"CONFLICT"}
    assert states(http, ids) == {"queued"}


def test_a_preview_warns(http):
    submit(http, "w1", 2)
    queued = {"filter": {"queue": ["w1"], "state": ["queued", "dead"]}}
    warnings = bulk(http, "run_now", queued, dry_run=True).json()["warnings"]
    assert warnings == ["2 queued jobs do not allow it, and will fail"]
    assert bulk(http, "delete", queued, dry_run=True).json()["warnings"] == ["what is deleted cannot be brought back"]


async def test_what_is_asked_of_running_jobs(http, run_one):
    submit(http, "x1")
    job = await run_one("x1", None)
    target = {"filter": {"queue": ["x1"]}}
    warnings = bulk(http, "cancel", target, dry_run=True).json()["warnings"]
    assert warnings == ["1 jobs run: their workers are asked to stop them"]
    finished(http, bulk(http, "cancel", target))
    assert http.get(f"/api/v1/jobs/{job.id}").json()["cancel_requested"] is True


async def test_one_whose_process_has_died_is_taken_over(http, desk):
    """It was stored, and nobody has begun it."""
    ids = submit(http, "o1", 3)
    operations = Operations(desk)
    items = await operations.snapshot(JobFilter(queues=("o1",)))
    operation = await operations.create(BulkAction.CANCEL, items, by="somebody else")
    await eventually(lambda: http.get(f"/api/v1/operations/{operation.id}").json()["state"] == "done")
    assert states(http, ids) == {"cancelled"}


async def test_a_preview_shows_data_to_who_may_see_them(http, keyed, die):
    await die("seen", 1, secret="x")
    target, options = {"filter": {"queue": ["seen"]}}, {"patch": {"more": 1}}
    with keyed("operate") as blind, keyed("operate", "payload") as seeing:
        hidden = bulk(blind, "replay", target, options=options, dry_run=True).json()["sample"][0]
        shown = bulk(seeing, "replay", target, options=options, dry_run=True).json()["sample"][0]
    assert (hidden["before"], hidden["after"]) == (None, None)
    assert shown["after"] == {"secret": "x", "more": 1}


async def test_who_makes_new_jobs_must_be_allowed_to_submit_them(http, keyed, die):
    await die("mine", 1)
    target, options = {"filter": {"queue": ["mine"]}}, {"patch": {"more": 1}}
    for scopes, status in ((["operate"], 403), (["operate", "submit:other"], 403), (["operate", "submit:m*"], 202)):
        with keyed(*scopes) as client:
            assert bulk(client, "replay", target, options=options).status_code == status
    with keyed("read", "submit") as client:
        assert bulk(client, "cancel", target, dry_run=True).status_code == 403


def test_the_list_of_operations(http):
    submit(http, "l1", 2)
    made = [finished(http, bulk(http, "cancel", {"filter": {"queue": ["l1"]}}))["id"] for _ in range(3)]
    listed, cursor = [], None
    while True:
        query = {"limit": 2, "state": "done"} | ({"cursor": cursor} if cursor else {})
        page = http.get("/api/v1/operations", params=query).json()
        listed += [one["id"] for one in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert listed[:3] == made[::-1]
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize("name", ["x", "op_x", "op_01ARZ3NDEKTSV4RRFFQ69G5F00", "%00"])
def test_an_operation_that_is_not_there(http, name):
    for call in (http.get, *(lambda url, v=v: http.post(f"{url}/{v}") for v in ("stop", "continue"))):
        assert call(f"/api/v1/operations/{name}").status_code == 404


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"action": "promote", "target": {"ids": ["x"]}}, "/action"),
        ({"action": "cancel", "target": {}}, "/target"),
        ({"action": "cancel", "target": {"ids": ["01ARZ3NDEKTSV4RRFFQ69G5F00"], "filter": {}}}, "/target"),
        ({"action": "cancel", "target": {"ids": []}}, "/target/ids"),
        ({"action": "cancel", "target": {"ids": ["nope"]}}, "/target/ids"),
        ({"action": "cancel", "target": {"ids": ["01ARZ3NDEKTSV4RRFFQ69G5F00"] * 1_001}}, "/target/ids"),
        ({"action": "cancel", "target": {"filter": {"queues": ["x"]}}}, "/target/filter/queues"),
        ({"action": "cancel", "target": {"filter": {"state": ["lost"]}}}, "/target/filter/state"),
        ({"action": "cancel", "target": {"filter": {"created_after": "soon"}}}, "/target/filter/created_after"),
        ({"action": "cancel", "target": {"filter": {}}, "options": {"patch": {"a": 1}}}, "/options/patch"),
        ({"action": "replay", "target": {"filter": {}}, "options": {"patch": [1]}}, "/options/patch"),
        ({"action": "cancel", "target": {"filter": {}}, "options": {"rate_per_s": 0}}, "/options/rate_per_s"),
        ({"action": "cancel", "target": {"filter": {}}, "reason": "a\nb"}, "/reason"),
    ],
)
def test_a_body_that_means_nothing_is_refused(http, body, pointer):
    answer = http.post("/api/v1/bulk", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"].startswith(pointer)


def test_a_purge(http):
    gone, kept = submit(http, "purged", 3), submit(http, "purged", delay_seconds=60)
    body = {"states": ["queued"], "confirm": "purged", "reason": "test data"}
    operation = finished(http, http.post("/api/v1/queues/purged/purge", json=body))
    assert (operation["action"], operation["ok"], operation["reason"]) == ("delete", 3, "test data")
    assert {http.get(f"/api/v1/jobs/{job_id}").status_code for job_id in gone} == {404}
    assert states(http, kept) == {"scheduled"}


def test_a_purge_of_too_many_is_done_in_parts(http, monkeypatch):
    monkeypatch.setattr("boltq.server.queues.reading.MAX_PURGED", 3)
    submit(http, "flooded", 5)
    body = {"states": ["queued"], "confirm": "flooded"}
    parts = [finished(http, http.post("/api/v1/queues/flooded/purge", json=body)) for _ in range(2)]
    assert [(part["total"], part["ok"], part["partial"]) for part in parts] == [(3, 3, True), (2, 2, False)]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"confirm": "other"}, "/confirm"),
        ({"states": ["running"]}, "/states"),
        ({"states": []}, "/states"),
        ({"states": ["lost"]}, "/states"),
    ],
)
def test_a_purge_that_is_not_meant(http, change, pointer):
    answer = http.post("/api/v1/queues/purge-me/purge", json={"states": ["dead"], "confirm": "purge-me"} | change)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"][: len(pointer)]) == (422, pointer)
