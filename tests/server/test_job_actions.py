"""What people do to a job over HTTP: change, replay with edits, retry, delete; and that it is noted."""

import pytest
from asking import shown, submit

from boltq.broker.audit_log import AuditLog
from boltq.domain.ids import new_id
from boltq.domain.job_error import Category, JobError
from boltq.domain.outcome import Completed, Failed

DEAD = Failed(JobError("ValueError", "it broke", Category.DATA))


def pointers(answer) -> list[str]:
    assert answer.status_code == 422, answer.text
    return [error["pointer"] for error in answer.json()["errors"]]


async def entries(desk, job_id) -> list[tuple]:
    page = await AuditLog(desk).page(limit=200)
    return [(one.action, one.by, one.reason) for one in page.entries if one.target == job_id]


# Change


def test_a_waiting_job_is_changed(http):
    job = submit(http, queue="edit", delay_seconds=600, tags=["old"])
    change = {"data": {"n": 2}, "priority": "high", "tags": ["new", "x"], "run_at": "2040-01-31T09:30:00Z"}
    answer = http.patch(f"/api/v1/jobs/{job}", json=change)
    assert (answer.status_code, answer.json()["state"]) == (200, "scheduled")
    view = shown(http, job)
    assert (view["data"], view["priority"], view["tags"]) == ({"n": 2}, "high", ["new", "x"])
    assert view["run_at"] == "2040-01-31T09:30:00.000Z"


def test_what_is_left_out_stays(http):
    job = submit(http, queue="edit", data={"n": 1}, priority="low", tags=["a"])
    before = shown(http, job)
    assert http.patch(f"/api/v1/jobs/{job}", json={"tags": []}).status_code == 200
    assert shown(http, job) == before | {"tags": []}
    assert http.patch(f"/api/v1/jobs/{job}", json={}).status_code == 200
    assert shown(http, job) == before | {"tags": []}


def test_changed_data_are_kept_as_they_were_written(http):
    job, data = submit(http, queue="edit"), '{"z": 1, "a": 12345678901234567890123,  "f": 1.10}'
    body = f'{{"data": {data}}}'
    headers = {"Content-Type": "application/json"}
    assert http.patch(f"/api/v1/jobs/{job}", content=body, headers=headers).status_code == 200
    assert f'"data":{data}' in http.get(f"/api/v1/jobs/{job}").text


def test_a_time_ahead_and_a_time_that_is_over(http):
    job = submit(http, queue="edit")
    assert http.patch(f"/api/v1/jobs/{job}", json={"delay_seconds": 600}).json()["state"] == "scheduled"
    assert http.patch(f"/api/v1/jobs/{job}", json={"delay_seconds": 0}).json()["state"] == "queued"
    assert http.patch(f"/api/v1/jobs/{job}", json={"run_at": "2001-01-01T00:00:00Z"}).json()["state"] == "queued"


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"data": []}, "/data"),
        ({"data": {"a": "x" * (1 << 20)}}, "/data"),
        ({"priority": "urgent"}, "/priority"),
        ({"run_at": "tomorrow"}, "/run_at"),
        ({"run_at": -1}, "/run_at"),
        ({"run_at": 1, "delay_seconds": 1}, "/run_at"),
        ({"delay_seconds": -1}, "/delay_seconds"),
        ({"delay_seconds": 315_360_001}, "/delay_seconds"),
        ({"run_at": "9999-12-31T00:00:00Z"}, "/run_at"),
        ({"tags": ["no way"]}, "/tags"),
        ({"tags": [f"t{n}" for n in range(11)]}, "/tags"),
        ({"queue": "other"}, "/queue"),
        ({"reason": "x" * 501}, "/reason"),
        ({"reason": 7}, "/reason"),
    ],
)
def test_a_bad_change_is_named(http, change, pointer):
    job = submit(http, queue="edit", data={"n": 1}, delay_seconds=600)
    before = shown(http, job)
    assert pointers(http.patch(f"/api/v1/jobs/{job}", json=change)) == [pointer]
    assert shown(http, job) == before


async def test_what_runs_or_has_ended_cannot_be_changed(http, run_one):
    job = submit(http, queue="edit-run")
    await run_one("edit-run", None)
    assert http.patch(f"/api/v1/jobs/{job}", json={"priority": 2}).status_code == 409
    other = submit(http, queue="edit-end")
    await run_one("edit-end", Completed("1"))
    answer = http.patch(f"/api/v1/jobs/{other}", json={"priority": 2})
    assert (answer.status_code, answer.json()["state"]) == (409, "completed")


# Replay


async def test_a_replay_with_edits_makes_a_new_job(http, run_one):
    old = submit(http, queue="redo", data={"n": 1}, max_attempts=7, tags=["a"])
    await run_one("redo", DEAD)
    edits = {"data": {"n": 2}, "priority": "high", "queue": "redo-2", "delay_seconds": 60, "timeout_seconds": 9}
    answer = http.post(f"/api/v1/jobs/{old}/replay", json=edits)
    assert (answer.status_code, answer.json()["state"]) == (201, "scheduled")
    new = answer.json()["id"]
    assert new != old
    assert answer.headers["location"] == f"/api/v1/jobs/{new}"
    view = shown(http, new)
    assert (view["data"], view["priority"], view["queue"]) == ({"n": 2}, "high", "redo-2")
    assert (view["max_attempts"], view["timeout_seconds"], view["tags"]) == (7, 9, ["a"])
    assert (view["replay_of"], view["created_by"]) == (old, None)
    before = shown(http, old)
    assert (before["state"], before["replays"], before["data"]) == ("dead", [new], {"n": 1})


async def test_a_completed_job_is_only_replayed_as_a_new_one(http, run_one):
    job = submit(http, queue="redo-done", data={"n": 1})
    await run_one("redo-done", Completed("1"))
    assert http.post(f"/api/v1/jobs/{job}/replay").status_code == 409
    answer = http.post(f"/api/v1/jobs/{job}/replay", json={"as_new": True})
    assert answer.status_code == 201
    assert shown(http, answer.json()["id"])["data"] == {"n": 1}


def test_what_has_not_ended_is_not_replayed(http):
    job = submit(http, queue="redo-wait")
    for body in ({}, {"priority": 2}):
        answer = http.post(f"/api/v1/jobs/{job}/replay", json=body)
        assert (answer.status_code, answer.json()["state"]) == (409, "queued")


@pytest.mark.parametrize(
    ("edits", "pointer"),
    [
        ({"data": 1}, "/data"),
        ({"queue": "no way"}, "/queue"),
        ({"max_attempts": 0}, "/max_attempts"),
        ({"timeout_seconds": -1}, "/timeout_seconds"),
        ({"expires_in_seconds": 0}, "/expires_in_seconds"),
        ({"run_at": 1, "delay_seconds": 1}, "/run_at"),
        ({"type": "other"}, "/type"),
        ({"as_new": 1}, "/as_new"),
    ],
)
def test_a_bad_edit_is_named(http, edits, pointer):
    job = submit(http, queue="redo-bad")
    http.post(f"/api/v1/jobs/{job}/cancel")
    assert pointers(http.post(f"/api/v1/jobs/{job}/replay", json=edits)) == [pointer]
    assert shown(http, job)["replays"] == []


# Retry


async def test_retry_is_for_what_is_dead_cancelled_or_retrying(http, run_one):
    dead, retrying = submit(http, queue="retry-dead"), submit(http, queue="retry-wait")
    await run_one("retry-dead", DEAD)
    await run_one("retry-wait", Failed(JobError("OSError", "gone", Category.TRANSIENT)), retry_in=600)
    cancelled = submit(http, queue="retry-stop")
    http.post(f"/api/v1/jobs/{cancelled}/cancel")
    for job in (dead, retrying, cancelled):
        assert http.post(f"/api/v1/jobs/{job}/retry").json()["state"] == "queued"
    assert http.post(f"/api/v1/jobs/{dead}/retry").status_code == 409
    scheduled = submit(http, queue="retry-later", delay_seconds=60)
    assert http.post(f"/api/v1/jobs/{scheduled}/retry").json()["state"] == "scheduled"


# Delete


async def test_a_job_is_deleted_unless_it_runs(http, run_one):
    running = submit(http, queue="delete-run")
    await run_one("delete-run", None)
    answer = http.delete(f"/api/v1/jobs/{running}")
    assert (answer.status_code, answer.json()["state"]) == (409, "running")
    job = submit(http, queue="delete")
    answer = http.delete(f"/api/v1/jobs/{job}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert http.get(f"/api/v1/jobs/{job}").status_code == 404
    gone = http.delete(f"/api/v1/jobs/{job}")
    assert gone.status_code == 404
    assert "older than the history" in gone.json()["detail"]


@pytest.mark.parametrize(
    "job_id", [pytest.param(new_id(0), id="new"), pytest.param(new_id(1023), id="of-another-partition"), "x", "%00"]
)
def test_a_job_that_is_not_there(http, job_id):
    path = f"/api/v1/jobs/{job_id}"
    assert http.patch(path, json={"priority": 1}).status_code == 404
    assert http.patch(path, json={"data": {}}).status_code == 404
    assert http.delete(path).status_code == 404
    assert http.post(f"{path}/replay", json={"priority": 1}).status_code == 404


# The audit log


async def test_who_did_what_and_why_is_noted(http, desk):
    job = submit(http, queue="noted", delay_seconds=60)
    http.patch(f"/api/v1/jobs/{job}", json={"priority": 2, "reason": "a customer waits"})
    http.post(f"/api/v1/jobs/{job}/run-now", headers={"X-BoltQ-Reason": "now!"})
    http.post(f"/api/v1/jobs/{job}/cancel", json={"reason": "not needed"}, headers={"X-BoltQ-Reason": "unread"})
    http.post(f"/api/v1/jobs/{job}/retry", json={})
    http.post(f"/api/v1/jobs/{job}/cancel")
    http.post(f"/api/v1/jobs/{job}/replay")
    http.delete(f"/api/v1/jobs/{job}", headers={"X-BoltQ-Reason": "gone for good"})
    assert list(reversed(await entries(desk, job))) == [
        ("job.edit", "local", "a customer waits"),
        ("job.run_now", "local", "now!"),
        ("job.cancel", "local", "not needed"),
        ("job.retry", "local", ""),
        ("job.cancel", "local", ""),
        ("job.replay", "local", ""),
        ("job.delete", "local", "gone for good"),
    ]


async def test_what_was_refused_is_not_noted(http, desk):
    job = submit(http, queue="unnoted")
    assert http.post(f"/api/v1/jobs/{job}/replay").status_code == 409
    assert http.post(f"/api/v1/jobs/{job}/run-now", headers={"X-BoltQ-Reason": "x" * 501}).status_code == 422
    assert await entries(desk, job) == []


# Rights


async def test_what_changes_a_job_needs_the_scope_operate(http, keyed, desk):
    job = submit(http, queue="rights", delay_seconds=60)
    with keyed("read", "payload", "submit") as reader:
        for call in (
            lambda: reader.patch(f"/api/v1/jobs/{job}", json={"priority": 2}),
            lambda: reader.delete(f"/api/v1/jobs/{job}"),
            lambda: reader.post(f"/api/v1/jobs/{job}/cancel"),
        ):
            answer = call()
            assert (answer.status_code, answer.json()["scope"]) == (403, "operate")
        actions = shown(reader, job)["actions"]
        assert not any(action["allowed"] for action in actions)
        assert next(a["reason"] for a in actions if a["name"] == "cancel") == "this needs the scope operate"
    with keyed("operate") as operator:
        answer = operator.post(f"/api/v1/jobs/{job}/cancel")
        assert answer.status_code == 200
        answer = operator.post(f"/api/v1/jobs/{job}/replay", json={"priority": 2})
        assert (answer.status_code, answer.json()["scope"]) == (403, "submit")  # it would make a job
    ((_, by, _),) = await entries(desk, job)
    assert by.startswith("key-")
