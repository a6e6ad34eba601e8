"""Queues over HTTP."""

import json

import pytest
from asking import submit

from boltq.domain.states import JobState


def stats_of(http, name) -> dict:
    return next(queue for queue in http.get("/api/v1/queues/stats").json()["queues"] if queue["name"] == name)


def row_of(http, name) -> dict:
    return next(row for row in http.get("/api/v1/queues").json()["items"] if row["name"] == name)


async def register(desk, name: str, queue: str) -> None:
    about = {"info": json.dumps({"slots": 4}), "queues": [queue], "types": None, "lease_ms": 60_000}
    for partition in range(desk.layout.partitions):
        await desk.register(partition, name, **about)


def test_stats_count_every_state_and_priority(http):
    for fields in ({}, {"priority": "high"}, {"priority": 0}, {"delay_seconds": 60}):
        submit(http, queue="counted", **fields)
    stats = stats_of(http, "counted")
    assert (stats["queued"], stats["high"], stats["normal"], stats["low"], stats["scheduled"]) == (3, 1, 1, 1, 1)
    assert stats["oldest_queued_at"].endswith("Z")
    totals = http.get("/api/v1/queues/stats").json()["totals"]
    assert set(totals) == set(JobState)
    assert totals["queued"] >= 3


async def test_a_row_tells_depth_rate_and_workers(http, desk):
    for fields in ({}, {"priority": "high"}, {"delay_seconds": 60}):
        submit(http, queue="rows", **fields)
    row = row_of(http, "rows")
    assert row["state"] == "no_workers"
    assert (row["depth"]["queued"], row["depth"]["scheduled"], row["depth"]["dead"]) == (2, 1, 0)
    assert row["by_priority"] == {"high": 1, "normal": 1, "low": 0, "parked": 0}
    assert row["oldest_ms"] >= 0
    assert row["in_per_s"] == pytest.approx(3 / 65, rel=0.1)
    assert (row["out_per_s"], row["workers"], row["paused"]) == (0, 0, None)
    await register(desk, "rows-worker", "rows")
    row = row_of(http, "rows")
    assert (row["state"], row["workers"], row["slots"]) == ("running", 1, 4)


def test_queues_come_in_pages(http):
    for name in ("page-a", "page-b", "page-c"):
        submit(http, queue=name)
    names, cursor = [], None
    for _ in range(100):
        page = http.get("/api/v1/queues", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        assert len(page["items"]) <= 2
        names += [row["name"] for row in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert names == sorted(set(names))
    assert {"page-a", "page-b", "page-c"} <= set(names)


async def test_a_queue_in_detail(http, desk):
    ids = [submit(http, queue="detail", type=name) for name in ("a", "a", "b", "a", "a", "a", "a")]
    await register(desk, "detail-worker", "detail")
    queue = http.get("/api/v1/queues/detail").json()
    assert queue["by_type"] == {
        "items": [{"type": "a", "queued": 6}, {"type": "b", "queued": 1}], "examined": 7, "complete": True,
    }  # fmt: skip
    assert len(queue["head"]) == 5
    assert {job["id"] for job in queue["head"]} <= set(ids)
    assert "data" not in queue["head"][0]
    assert [worker["id"] for worker in queue["served_by"]] == ["detail-worker"]
    assert queue["depth"]["queued"] == 7


def test_a_queue_that_is_not_there(http):
    answer = http.get("/api/v1/queues/never-used")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:boltq:problem:not-found")


async def test_a_paused_queue_gives_no_jobs_and_says_who_paused_it(http, run_one):
    submit(http, queue="paused")
    answer = http.post("/api/v1/queues/paused/pause", json={"reason": "the provider is down"})
    assert answer.json() == {"queue": "paused", "paused": True}
    row = row_of(http, "paused")
    assert (row["state"], row["paused"]["by"], row["paused"]["reason"]) == ("paused", "local", "the provider is down")
    assert row["paused"]["at"].endswith("Z")
    with pytest.raises(AssertionError, match="no job"):
        await run_one("paused", None)
    assert http.post("/api/v1/queues/paused/resume").json() == {"queue": "paused", "paused": False}
    assert row_of(http, "paused")["paused"] is None
    await run_one("paused", None)


def test_the_reason_may_be_a_header(http):
    http.post("/api/v1/queues/by-header/pause", headers={"X-BoltQ-Reason": "maintenance"})
    assert row_of(http, "by-header")["paused"]["reason"] == "maintenance"


@pytest.mark.parametrize("reason", ["x" * 501, "a\nb"])
def test_a_reason_is_bounded(http, reason):
    answer = http.post("/api/v1/queues/reasons/pause", json={"reason": reason})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/reason")


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_the_name_of_a_queue_is_checked(http, verb):
    for name in ("no way", "%7Bx%7D", "x" * 101, "-"):
        assert http.post(f"/api/v1/queues/{name}/{verb}").status_code == 422
    assert http.post(f"/api/v1/queues/{'x' * 100}/{verb}").status_code == 200


def test_a_limit_holds_and_goes(http, partitions):
    url = "/api/v1/queues/limited"
    assert http.patch(url, json={"max_depth": partitions}).json()["limit"] == partitions
    codes = [http.post("/api/v1/jobs", json={"type": "echo", "queue": "limited"}).status_code for _ in range(9)]
    assert 429 in codes
    assert codes.count(201) == partitions
    assert http.patch(url, json={"max_depth": None}).json()["limit"] is None
    submit(http, queue="limited")


@pytest.mark.parametrize("body", [{}, {"max_depth": 0}, {"max_depth": "5"}, {"max_depth": 5, "more": 1}])
def test_a_limit_that_is_none(http, body):
    assert http.patch("/api/v1/queues/limits", json=body).status_code == 422


def test_a_query_that_means_nothing_is_refused(http):
    for path in ("/api/v1/queues/stats", "/api/v1/queues", "/api/v1/queues/x"):
        assert http.get(f"{path}?x=1").status_code == 422


@pytest.mark.parametrize("cursor", ["%00", "a%00", "%20", "a/b", "x" * 200])
def test_a_cursor_that_is_no_name_is_refused(http, cursor):
    answer = http.get(f"/api/v1/queues?cursor={cursor}")
    assert answer.status_code == 422, answer.text
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/cursor"]
