"""What a job looks like: why it stands where it stands, its past runs, its log; who may see it, and waiting for it."""

import threading

import httpx
import pytest
from asking import submit
from waiting import eventually

from boltq.broker.settling import settling
from boltq.domain.ids import new_id
from boltq.domain.job_error import Category, JobError
from boltq.domain.outcome import Cancelled, Completed, Failed, Snoozed
from boltq.domain.states import JobState
from boltq.server.http import waiters

DATA = Category.DATA
FAILED = Failed(JobError("OSError", "secret text", Category.TRANSIENT, "f1", "Traceback: secret lines"))


def shown(http, job_id) -> dict:
    answer = http.get(f"/api/v1/jobs/{job_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def why(http, job_id) -> tuple[str, str]:
    found = shown(http, job_id)["why"]
    return found["code"], found["text"]


async def worker(desk, name, queue, types=None):
    for partition in range(desk.layout.partitions):
        about = {"info": "{}", "queues": [queue], "types": types, "lease_ms": 600_000}
        await desk.register(partition, name, **about)


# Why


async def test_why_a_queued_job_waits(http, desk):
    job = submit(http, queue="why")
    assert why(http, job) == ("no_worker", "no live worker serves queue why in this store")
    await worker(desk, "why-1", "why", types=["other"])
    assert why(http, job) == ("type_without_worker", "no live worker of queue why knows the job type echo")
    await desk.pause("why", "ann", "the provider is down")
    assert why(http, job) == ("queue_paused", "queue why is paused by ann: the provider is down")


async def test_how_many_stand_before_it(http, desk):
    await desk.pause("line")  # so that the worker sleeps on
    first = submit(http, queue="line")
    home = desk.layout.of_id(first)
    second = next(job for job in iter(lambda: submit(http, queue="line"), None) if desk.layout.of_id(job) == home)
    third = next(
        job for job in iter(lambda: submit(http, queue="line", priority="low"), None) if desk.layout.of_id(job) == home
    )
    await worker(desk, "line-1", "line")
    await desk.resume("line")
    assert why(http, first)[0] == "next"
    assert why(http, second) == ("in_line", "1 job stands before it")
    assert why(http, third)[0] == "in_line"


async def test_why_a_job_waits_for_a_time(http, run_one):
    later = submit(http, run_at="2040-01-31T09:30:00Z")
    found = shown(http, later)["why"]
    assert (found["code"], found["until"]) == ("scheduled", "2040-01-31T09:30:00.000Z")
    snoozed = submit(http, queue="why-snooze")
    await run_one("why-snooze", Snoozed(600))
    assert why(http, snoozed)[0] == "snoozed"
    retrying = submit(http, queue="why-retry", max_attempts=5)
    await run_one("why-retry", FAILED, retry_in=600)
    view = shown(http, retrying)
    assert view["why"]["code"] == "retrying"
    assert view["why"]["until"] == view["run_at"]
    assert "attempt 1 of 5 failed (transient)" in view["why"]["text"]


async def test_why_a_job_runs_or_ended(http, run_one):
    running = submit(http, queue="why-run")
    await run_one("why-run", None)
    code, text = why(http, running)
    assert code == "running"
    assert shown(http, running)["worker"] in text
    http.post(f"/api/v1/jobs/{running}/cancel")
    assert why(http, running)[0] == "stopping"
    spent, hopeless = submit(http, queue="why-spent", max_attempts=1), submit(http, queue="why-hopeless")
    await run_one("why-spent", FAILED)
    assert why(http, spent) == (
        "out_of_attempts",
        "it is out of attempts: 1 of 1 failed, the last one with category transient",
    )
    await run_one("why-hopeless", Failed(JobError("ValueError", "", DATA)))
    assert why(http, hopeless) == ("not_retried", "attempt 1 failed with category data: no retry helps")
    cancelled = submit(http, queue="why-stop")
    http.post(f"/api/v1/jobs/{cancelled}/cancel", json={"reason": "not needed"})
    assert why(http, cancelled) == ("cancelled", "it was cancelled: not needed")


async def test_the_first_versions_status_has_it_too(http):
    job = submit(http, queue="why-first")
    assert http.get(f"/status?id={job}").json()["why"]["code"] == "no_worker"


# Past runs


async def test_past_runs_are_shown(http, run_one):
    job = submit(http, queue="runs")
    await run_one("runs", FAILED, retry_in=0.001)
    await eventually(lambda: http.post(f"/api/v1/jobs/{job}/run-now").status_code in {200, 409})
    await run_one("runs", Cancelled("enough"))
    first, second = shown(http, job)["runs"]
    assert (first["attempt"], first["outcome"], first["category"]) == (1, "failed", "transient")
    assert first["error"]["message"] == "secret text"
    assert first["worker"].startswith("w-runs")
    assert first["started_at"] <= first["ended_at"] <= second["started_at"]
    assert first["run_ms"] >= 0
    assert (second["outcome"], second["error"]) == ("cancelled", None)


# Log


async def test_a_log_is_read_piece_by_piece(http, desk, run_one):
    job = submit(http, queue="log")
    run = await run_one("log", None)
    lines = [f"line {n}" for n in range(1, 6)]
    holder = shown(http, job)["worker"]
    await desk.progress(desk.layout.of_id(job), holder, [(job, run.delivery, "", "", lines)])
    piece = http.get(f"/api/v1/jobs/{job}/logs?limit=3").json()
    assert piece == {"items": [{"n": n, "text": f"line {n}"} for n in (1, 2, 3)], "next_after": 3}
    piece = http.get(f"/api/v1/jobs/{job}/logs?after=3&limit=3").json()
    assert piece == {"items": [{"n": n, "text": f"line {n}"} for n in (4, 5)], "next_after": None}
    assert http.get(f"/api/v1/jobs/{job}/logs?after=5").json() == {"items": [], "next_after": None}


async def test_lines_keep_their_numbers_when_old_ones_go(http, desk, run_one):
    job = submit(http, queue="long-log")
    run = await run_one("long-log", None)
    for start in range(1, 1_201, 400):
        lines = [f"line {n}" for n in range(start, start + 400)]
        holder = shown(http, job)["worker"]
        await desk.progress(desk.layout.of_id(job), holder, [(job, run.delivery, "", "", lines)])
    piece = http.get(f"/api/v1/jobs/{job}/logs?after=1198&limit=10").json()
    assert [line["n"] for line in piece["items"]] == [1199, 1200]
    assert piece["items"][0]["text"] == "line 1199"
    assert http.get(f"/api/v1/jobs/{job}/logs?limit=1").json()["items"] == [{"n": 201, "text": "line 201"}]


async def test_a_log_as_a_file(http, desk, run_one):
    job = submit(http, queue="log-file")
    run = await run_one("log-file", None)
    await desk.progress(
        desk.layout.of_id(job), shown(http, job)["worker"], [(job, run.delivery, "", "", ["<b>one</b>", "zwei: ü"])]
    )
    answer = http.get(f"/api/v1/jobs/{job}/logs?format=text")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-disposition"] == f'attachment; filename="{job}.log"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.text == "<b>one</b>\nzwei: ü\n"


@pytest.mark.parametrize("query", ["after=-1", "after=x", "limit=0", "limit=1001", "format=html", "lines=1"])
def test_a_bad_query_of_a_log(http, query):
    assert http.get(f"/api/v1/jobs/{submit(http)}/logs?{query}").status_code == 422


def test_the_log_of_no_job(http):
    assert http.get(f"/api/v1/jobs/{new_id(0)}/logs").status_code == 404


# Who may see it


async def test_without_the_scope_payload_what_is_in_a_job_is_hidden(http, keyed, desk, run_one):
    job = submit(http, queue="hidden", data={"card": "secret text"})
    run = await run_one("hidden", None)
    await desk.progress(
        desk.layout.of_id(job), shown(http, job)["worker"], [(job, run.delivery, 0.5, "secret text", ["secret text"])]
    )
    await desk.settle(desk.layout.of_id(job), shown(http, job)["worker"], [settling(run, FAILED, 5, None)])
    with keyed("read") as reader:
        answer = reader.get(f"/api/v1/jobs/{job}")
        view = answer.json()
        assert view["hidden"] is True
        assert view["data"] is view["result"] is view["error"] is view["log"] is None
        assert (view["state"], view["runs"][0]["category"], view["runs"][0]["error"]) == ("dead", "transient", None)
        listed = reader.get("/api/v1/jobs?queue=hidden")
        assert listed.json()["items"][0]["hidden"] is True
        for seen in (answer, listed, reader.get(f"/status?id={job}")):
            assert seen.status_code == 200
            assert "secret" not in seen.text
        assert reader.get(f"/api/v1/jobs/{job}/logs").status_code == 403
    with keyed("read", "payload") as reader:
        view = shown(reader, job)
        assert (view["hidden"], view["data"], view["log"]) == (False, {"card": "secret text"}, ["secret text"])
        (summary,) = reader.get("/api/v1/jobs?queue=hidden").json()["items"]
        assert summary["error"] == {
            "class": "OSError",
            "message": "secret text",
            "category": "transient",
            "fingerprint": "f1",
        }  # a list has no tracebacks
        assert reader.get(f"/api/v1/jobs/{job}/logs").status_code == 200
    with keyed("submit") as submitter:
        assert submitter.get(f"/api/v1/jobs/{job}").status_code == 403


# Waiting


async def test_the_end_of_a_job_is_waited_for(http, api, run_one):
    job = submit(http, queue="wait")
    answers = []
    asking = threading.Thread(target=lambda: answers.append(httpx.get(f"{api}/api/v1/jobs/{job}?wait=60", timeout=90)))
    asking.start()
    await run_one("wait", Completed('{"n": 1}'))
    asking.join(60)
    assert answers[0].json()["result"] == {"n": 1}
    assert http.get(f"/api/v1/jobs/{job}?wait=60").json()["state"] == "completed"  # at once


def test_a_wait_has_an_end(http):
    job = submit(http, queue="wait-long")
    assert http.get(f"/api/v1/jobs/{job}?wait=0.05").json()["state"] == "queued"
    assert http.get(f"/api/v1/jobs/{new_id(0)}?wait=5").status_code == 404


@pytest.mark.parametrize("wait", ["-1", "60.5", "x", "nan", "inf"])
def test_a_bad_wait(http, wait):
    assert http.get(f"/api/v1/jobs/{submit(http)}?wait={wait}").status_code == 422


async def test_waiters_are_bounded_and_one_that_leaves_makes_room(http, api, monkeypatch, desk):
    monkeypatch.setattr(waiters, "MAX_WAITERS", 1)
    job = submit(http, queue="wait-crowd")

    def ask(timeout):
        try:
            return httpx.get(f"{api}/api/v1/jobs/{job}?wait=60", timeout=timeout).status_code
        except httpx.ReadTimeout:
            return None

    assert ask(1.0) is None  # it waited, and left
    answers = []

    def ask_until_there_is_room():
        while (status := ask(90)) == 429:
            pass
        answers.append(status)

    asking = threading.Thread(target=ask_until_there_is_room)
    asking.start()
    refused = await eventually(
        lambda: next((a for a in [http.get(f"/api/v1/jobs/{job}?wait=0.01")] if a.status_code == 429), None)
    )
    assert refused.headers["retry-after"]
    assert refused.json()["type"] == "urn:boltq:problem:too-many-waiters"
    assert http.get(f"/api/v1/jobs/{job}").status_code == 200  # looking is not waiting
    http.post(f"/api/v1/jobs/{job}/cancel")
    asking.join(60)
    assert answers == [200]


async def test_whoever_waits_is_answered_when_the_server_ends(valkey, serving, namespace, monkeypatch):
    monkeypatch.setattr(waiters, "MAX_WAITERS", 1)
    answers = []
    with serving(valkey, namespace=namespace) as url:
        with httpx.Client(base_url=url) as http:
            job = submit(http, queue="wait-end")

        def look(seconds):
            return httpx.get(f"{url}/api/v1/jobs/{job}?wait={seconds}", timeout=90)

        def ask_until_there_is_room():
            while (answer := look(60)).status_code == 429:
                pass
            answers.append(answer)

        asking = threading.Thread(target=ask_until_there_is_room)
        asking.start()
        await eventually(lambda: look(0.01).status_code == 429)
    asking.join(60)
    assert answers[0].json()["state"] == "queued"


# Lists


def times(http, job) -> str:
    return shown(http, job)["created_at"]


async def test_jobs_are_found_by_what_they_are(http, run_one):
    tagged = submit(http, queue="find", type="report", tags=["eu", "monthly"])
    plain = submit(http, queue="find", type="echo", delay_seconds=60)
    other = submit(http, queue="find-2", type="report", tags=["eu"])
    await run_one("find-2", FAILED)

    def found(query):
        answer = http.get(f"/api/v1/jobs?{query}")
        assert answer.status_code == 200, answer.text
        return {item["id"] for item in answer.json()["items"]}

    both = "queue=find,find-2"
    assert found(both) == found("queue=find&queue=find-2") == {tagged, plain, other}
    assert found(f"{both}&type=report") == {tagged, other}
    assert found(f"{both}&tag=eu") == {tagged, other}
    assert found(f"{both}&tag=eu&tag=monthly") == {tagged}
    assert found(f"{both}&state=queued,scheduled") == {tagged, plain}
    assert found(f"{both}&category=transient") == found(f"{both}&fingerprint=f1") == {other}
    assert found(f"{both}&category=data") == set()
    assert found(f"{both}&worker={shown(http, other)['worker']}") == {other}
    moment = times(http, plain)
    assert plain in found(f"{both}&created_after={moment}")
    assert plain not in found(f"{both}&created_before={moment}")
    assert found(f"{both}&created_after=4102444800") == set()


def test_a_search_says_how_far_it_has_come(http):
    for n in range(3):
        submit(http, queue="scan", tags=["odd"] if n % 2 else [])
    page = http.get("/api/v1/jobs?queue=scan&tag=odd").json()
    assert len(page["items"]) == 1
    assert page["scan"] == {"examined": 3, "complete": True}
    page = http.get("/api/v1/jobs?queue=scan&limit=2").json()
    assert page["scan"]["complete"] is False
    assert page["next_cursor"]


async def test_jobs_are_counted_by_state(http, run_one):
    for _ in range(3):
        submit(http, queue="count", type="a", tags=["x"])
    submit(http, queue="count", type="b", delay_seconds=60)
    await run_one("count", Completed("1"))
    counts = http.get("/api/v1/jobs/counts?queue=count").json()
    assert counts["approximate"] is False
    assert {state: n for state, n in counts["by_state"].items() if n} == {"queued": 2, "scheduled": 1, "completed": 1}
    assert set(counts["by_state"]) == set(JobState)
    counts = http.get("/api/v1/jobs/counts?queue=count&tag=x").json()["by_state"]
    assert (counts["queued"], counts["completed"], counts["scheduled"]) == (2, 1, 0)


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("state=queued,nope", "/state"),
        ("type=no%20way", "/type"),
        ("tag=-x", "/tag"),
        ("created_after=yesterday", "/created_after"),
        ("created_before=2030-01-01", "/created_before"),
        ("category=bad", "/category"),
        ("type=" + ",".join(f"t{n}" for n in range(51)), "/type"),
        ("worker=" + "w" * 201, "/worker"),
    ],
)
def test_a_bad_filter_is_named(http, query, pointer):
    answer = http.get(f"/api/v1/jobs?{query}")
    assert answer.status_code == 422, answer.text
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


def test_counts_take_no_state(http):
    answer = http.get("/api/v1/jobs/counts?state=queued")
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/state"]
