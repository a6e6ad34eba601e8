"""Looking at jobs and doing things to them over HTTP."""

import json

import pytest
from asking import shown, submit

from boltq.domain.ids import new_id
from boltq.domain.job_error import Category, JobError
from boltq.domain.outcome import Completed, Failed


def allowed(about) -> list[str]:
    """The actions that an answer allows; of the others it says why not."""
    assert all(action["allowed"] == (action["reason"] is None) for action in about["actions"])
    return [action["name"] for action in about["actions"] if action["allowed"]]


def failure(message="it broke", category=Category.DATA) -> Failed:
    return Failed(JobError("ValueError", message, category))


async def test_a_completed_job(http, run_one):
    job = submit(http, queue="done")
    await run_one("done", Completed('{"b": 1, "a": 12345678901234567890}'))
    answer = http.get(f"/api/v1/jobs/{job}")
    assert '"result":{"b": 1, "a": 12345678901234567890}' in answer.text
    view = answer.json()
    assert view["state"] == "completed"
    assert view["attempts"] == view["attempt"] == 1
    assert view["worker"].startswith("w-done")
    assert view["created_at"] <= view["finished_at"] == view["since"]
    assert view["started_at"] < view["finished_at"]
    assert allowed(view) == ["replay_as", "delete"]
    assert view["why"] is None


async def test_a_running_job(http, run_one):
    job = submit(http, queue="run")
    await run_one("run", None)
    view = shown(http, job)
    assert (view["state"], view["attempt"], view["attempts"]) == ("running", 1, 0)
    assert allowed(view) == ["cancel"]
    assert view["result"] is None


async def test_a_dead_job_is_replayed(http, run_one):
    job = submit(http, queue="die")
    await run_one("die", failure("it broke: ☠"))
    view = shown(http, job)
    assert view["state"] == "dead"
    assert view["error"] == {"class": "ValueError", "message": "it broke: ☠", "category": "data"}
    assert allowed(view) == ["replay", "replay_as", "delete"]
    answer = http.post(f"/api/v1/jobs/{job}/replay")
    assert answer.status_code == 200
    standing = answer.json()
    assert allowed(standing) == ["cancel", "edit", "delete"]
    assert standing == {"id": job, "state": "queued", "cancel_requested": False, "actions": standing["actions"]}
    assert shown(http, job)["error"] is None
    again = http.post(f"/api/v1/jobs/{job}/replay")
    assert again.status_code == 409
    assert again.json()["state"] == "queued"


async def test_a_retrying_job_is_run_now(http, run_one):
    job = submit(http, queue="again")
    await run_one("again", failure(category=Category.TRANSIENT), retry_in=600)
    view = shown(http, job)
    assert view["state"] == "retrying"
    assert view["run_at"] > view["since"]
    assert allowed(view) == ["cancel", "run_now", "edit", "delete"]
    assert http.post(f"/api/v1/jobs/{job}/run-now").json()["state"] == "queued"
    assert http.post(f"/api/v1/jobs/{job}/run-now").status_code == 409


def test_a_scheduled_job_is_run_now(http):
    job = submit(http, queue="later", delay_seconds=600)
    assert http.post(f"/api/v1/jobs/{job}/run-now", json={}).json()["state"] == "queued"


@pytest.mark.parametrize("fields", [{}, {"delay_seconds": 60}])
def test_a_waiting_job_is_cancelled_at_once(http, fields):
    job = submit(http, queue="stop", **fields)
    answer = http.post(f"/api/v1/jobs/{job}/cancel", json={"reason": "changed my mind"})
    assert answer.status_code == 200
    assert answer.json()["state"] == "cancelled"
    view = shown(http, job)
    assert (view["state"], view["reason"]) == ("cancelled", "changed my mind")
    assert http.post(f"/api/v1/jobs/{job}/cancel").status_code == 200  # it is what was asked for
    assert http.post(f"/api/v1/jobs/{job}/replay").json()["state"] == "queued"


async def test_a_running_job_is_asked_to_stop(http, run_one):
    job = submit(http, queue="busy")
    await run_one("busy", None)
    answer = http.post(f"/api/v1/jobs/{job}/cancel")
    assert answer.status_code == 202
    standing = answer.json()
    assert allowed(standing) == ["cancel"]
    assert standing == {"id": job, "state": "running", "cancel_requested": True, "actions": standing["actions"]}
    assert shown(http, job)["cancel_requested"] is True


async def test_what_has_ended_cannot_be_cancelled(http, run_one):
    job = submit(http, queue="over")
    await run_one("over", Completed("null"))
    answer = http.post(f"/api/v1/jobs/{job}/cancel")
    assert answer.status_code == 409
    problem = answer.json()
    assert problem["type"] == "urn:boltq:problem:conflict"
    assert (problem["id"], problem["state"], allowed(problem)) == (job, "completed", ["replay_as", "delete"])


@pytest.mark.parametrize("verb", ["", "/cancel", "/replay", "/retry", "/run-now"])
@pytest.mark.parametrize(
    "job_id",
    [
        pytest.param(new_id(0), id="new"),
        pytest.param(new_id(1023), id="of-another-partition"),
        pytest.param(new_id(0).lower(), id="in-small-letters"),
        pytest.param("8" + new_id(0)[1:], id="too-large"),
        *("job_123", "x", "a" * 500, "%00", "é" * 26),
    ],
)
def test_a_job_that_is_not_there(http, verb, job_id):
    path = f"/api/v1/jobs/{job_id}{verb}"
    answer = http.post(path) if verb else http.get(path)
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:boltq:problem:not-found"


@pytest.mark.parametrize("verb", ["cancel", "retry", "run-now"])
@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", None),
        ("{}", None),
        ("{", 400),
        ("[]", 422),
        ('{"why":1}', 422),
        ('{"reason":7}', 422),
        ("[" * 100_000, 413),
        ("[" * 60_000, 422),
    ],
)
def test_the_body_of_an_action(http, verb, body, status):
    job = submit(http, queue="bodies", delay_seconds=100)
    headers = {"Content-Type": "application/json"}
    answer = http.post(f"/api/v1/jobs/{job}/{verb}", content=body, headers=headers)
    assert answer.status_code in ({status} if status else {200, 409})
    if status:
        assert shown(http, job)["state"] == "scheduled"


def test_a_list_goes_through_all_pages(http):
    wanted = {submit(http, queue="pages", data={"n": n}) for n in range(7)}
    wanted |= {submit(http, queue="pages", delay_seconds=60) for _ in range(4)}
    found, cursor, pages = [], None, 0
    while cursor or not pages:
        params = {"queue": "pages", "limit": 3} | ({"cursor": cursor} if cursor else {})
        page = http.get("/api/v1/jobs", params=params).json()
        assert len(page["items"]) <= 3
        found += page["items"]
        cursor, pages = page["next_cursor"], pages + 1
    assert sorted(job["id"] for job in found) == sorted(wanted)
    assert "data" not in found[0]
    assert "result" not in found[0]


def test_a_list_of_one_state(http):
    queued, scheduled = submit(http, queue="states"), submit(http, queue="states", delay_seconds=60)
    for state, job in (("queued", queued), ("scheduled", scheduled)):
        page = http.get("/api/v1/jobs", params={"queue": "states", "state": state}).json()
        assert [found["id"] for found in page["items"]] == [job]
        assert page["next_cursor"] is None
    page = http.get("/api/v1/jobs?queue=never-used").json()
    assert page == {"items": [], "next_cursor": None, "scan": {"examined": 0, "complete": True}}


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("state=nope", "/state"),
        ("queue=no%20way", "/queue"),
        ("limit=0", "/limit"),
        ("limit=201", "/limit"),
        ("limit=x", "/limit"),
        ("limit=-1", "/limit"),
        ("limit=%D9%A3", "/limit"),
        ("limit=99999999999999999999", "/limit"),
        ("cursor=%21%21", "/cursor"),
        ("cursor=YWJj", "/cursor"),
        ("satte=queued", "/satte"),
        ("limit=1&limit=2", "/limit"),
    ],
)
def test_a_bad_query_is_named(http, query, pointer):
    answer = http.get(f"/api/v1/jobs?{query}")
    assert answer.status_code == 422, answer.text
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


def test_the_largest_page(http):
    assert http.get("/api/v1/jobs?limit=200").status_code == 200
    assert http.get("/api/v1/jobs?limit=1").status_code == 200


def test_status_needs_an_id(http):
    for query in ("", "?id=", "?job=1"):
        assert http.get(f"/status{query}").status_code == 422


async def test_progress_and_log_are_shown(http, run_one, desk):
    job = submit(http, queue="talk")
    claimed = await run_one("talk", None)
    holder = shown(http, job)["worker"]
    await desk.progress(desk.layout.of_id(job), holder, [(job, claimed.delivery, 0.25, "a quarter", ["one", "two"])])
    view = shown(http, job)
    assert (view["progress"], view["progress_text"], view["log"]) == (0.25, "a quarter", ["one", "two"])


def test_head_is_get_without_a_body(http):
    job = submit(http)
    answer = http.head(f"/api/v1/jobs/{job}")
    assert answer.status_code == 200
    assert answer.content == b""
    assert json.loads(http.get(f"/api/v1/jobs/{job}").text)["id"] == job
