"""Queues, workers and job types over HTTP."""

import json

import pytest

from boltq.domain.states import JobState


def stats_of(http, name) -> dict:
    return next(queue for queue in http.get("/api/v1/queues/stats").json()["queues"] if queue["name"] == name)


def test_stats_count_every_state_and_priority(http):
    for fields in ({}, {"priority": "high"}, {"priority": 0}, {"delay_seconds": 60}):
        assert http.post("/api/v1/jobs", json={"type": "echo", "queue": "counted"} | fields).status_code == 201
    stats = stats_of(http, "counted")
    assert (stats["queued"], stats["high"], stats["normal"], stats["low"], stats["scheduled"]) == (3, 1, 1, 1, 1)
    assert stats["oldest_queued_at"].endswith("Z")
    totals = http.get("/api/v1/queues/stats").json()["totals"]
    assert set(totals) == set(JobState)
    assert totals["queued"] >= 3


async def test_a_paused_queue_gives_no_jobs(http, run_one):
    http.post("/api/v1/jobs", json={"type": "echo", "queue": "paused"})
    assert http.post("/api/v1/queues/paused/pause").json() == {"queue": "paused", "paused": True}
    assert stats_of(http, "paused")["paused"] is True
    with pytest.raises(AssertionError, match="no job"):
        await run_one("paused", None)
    assert http.post("/api/v1/queues/paused/resume").json() == {"queue": "paused", "paused": False}
    assert stats_of(http, "paused")["paused"] is False
    await run_one("paused", None)


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_the_name_of_a_queue_is_checked(http, verb):
    for name in ("no way", "%7Bx%7D", "x" * 101, "-"):
        assert http.post(f"/api/v1/queues/{name}/{verb}").status_code == 422
    assert http.post(f"/api/v1/queues/{'x' * 100}/{verb}").status_code == 200


async def test_workers_and_job_types(http, desk):
    schema = ("resize", json.dumps({"doc": "Make it small.", "schema": {"type": "object"}}))
    about = {"queues": ["images"], "types": ["resize"], "lease_ms": 60_000, "schemas": [schema]}
    for partition in range(desk.layout.partitions):
        await desk.register(partition, "w1", info='{"host": "h", "pid": 7}', **about)
    (worker,) = [worker for worker in http.get("/api/v1/workers").json()["workers"] if worker["id"] == "w1"]
    assert worker["queues"] == ["images"]
    assert worker["types"] == ["resize"]
    assert worker["info"] == {"host": "h", "pid": 7}
    assert worker["since"] < worker["lease_ends_at"]
    types = http.get("/api/v1/job-types").json()["job_types"]
    assert {"name": "resize", "doc": "Make it small.", "schema": {"type": "object"}} in types


def test_a_query_that_means_nothing_is_refused(http):
    for path in ("/api/v1/queues/stats", "/api/v1/workers", "/api/v1/job-types"):
        assert http.get(f"{path}?x=1").status_code == 422
