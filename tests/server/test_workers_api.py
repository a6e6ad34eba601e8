"""Workers and job types over HTTP."""

import json

import pytest
from waiting import eventually

SCHEMA = ("resize", json.dumps({"description": "Make it small.", "queue": "images", "schema": {"type": "object"}}))


@pytest.fixture
def register(desk):
    """Makes a worker that serves the queue of its name."""

    async def registered(name: str, **what) -> str:
        info = json.dumps({"host": "h", "pid": 7, "slots": 2})
        about = {"info": info, "queues": [name], "types": ["resize"], "lease_ms": 60_000, "schemas": [SCHEMA]} | what
        for partition in range(desk.layout.partitions):
            await desk.register(partition, name, **about)
        return name

    return registered


def state_of(http, name: str) -> str:
    return http.get(f"/api/v1/workers/{name}").json()["state"]


async def claim_everywhere(desk, worker: str, n: int = 1) -> list[str]:
    """The ids of what it got, up to n of each partition."""
    return [job.id for p in range(desk.layout.partitions) for job in (await desk.claim(p, worker, n)).jobs]


async def test_who_is_here(http, register):
    await register("w1")
    (worker,) = [worker for worker in http.get("/api/v1/workers").json()["items"] if worker["id"] == "w1"]
    assert (worker["queues"], worker["types"]) == (["w1"], ["resize"])
    assert (worker["host"], worker["pid"], worker["slots"], worker["version"]) == ("h", 7, 2, None)
    assert worker["since"] < worker["lease_ends_at"]
    assert worker["state"] == "up"


async def test_what_it_runs(http, desk, register):
    await register("w2", types=None)
    for _ in range(3):
        http.post("/api/v1/jobs", json={"type": "x", "queue": "w2"})
    claimed = await claim_everywhere(desk, "w2", 2)
    worker = http.get("/api/v1/workers/w2").json()
    assert sorted(job["id"] for job in worker["running_jobs"]) == sorted(claimed)
    assert worker["running_jobs_complete"] is True
    assert {job["state"] for job in worker["running_jobs"]} == {"running"}


async def test_drain_and_resume(http, desk, register):
    await register("w3", types=None)
    answer = http.post("/api/v1/workers/w3/drain", json={"reason": "a new version"})
    assert (answer.status_code, answer.json()["state"]) == (202, "draining")
    http.post("/api/v1/jobs", json={"type": "x", "queue": "w3"})
    assert await claim_everywhere(desk, "w3") == []
    answer = http.post("/api/v1/workers/w3/resume")
    assert (answer.status_code, answer.json()["state"]) == (202, "up")
    assert len(await claim_everywhere(desk, "w3")) == 1


async def test_stop_is_for_good(http, register):
    await register("w4")
    assert http.post("/api/v1/workers/w4/stop").json()["state"] == "stopping"
    for verb in ("drain", "resume"):
        answer = http.post(f"/api/v1/workers/w4/{verb}")
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:boltq:problem:conflict")
    assert http.post("/api/v1/workers/w4/stop").status_code == 202
    assert state_of(http, "w4") == "stopping"


async def test_one_whose_lease_has_run_out_is_stale(http, register):
    await register("w5", lease_ms=0)
    await eventually(lambda: state_of(http, "w5") == "stale")  # its last millisecond may not be over


@pytest.mark.parametrize("name", ["nobody", "x" * 300, "%00", "a%0Ab"])
def test_one_that_is_not_there(http, name):
    assert http.get(f"/api/v1/workers/{name}").status_code == 404
    for verb in ("drain", "resume", "stop"):
        assert http.post(f"/api/v1/workers/{name}/{verb}").status_code == 404


def test_a_body_that_means_nothing_is_refused(http):
    assert http.post("/api/v1/workers/w/drain", json={"resaon": "x"}).status_code == 422


async def test_job_types(http, register):
    await register("w6")
    await register("w7")
    http.post("/api/v1/workers/w7/drain")
    listed = {one["name"]: one for one in http.get("/api/v1/job-types").json()["items"]}
    one = http.get("/api/v1/job-types/resize").json()
    assert listed["resize"] == one
    assert (one["description"], one["queue"], one["schema"]) == ("Make it small.", "images", {"type": "object"})
    assert one["defaults"] == {"queue": "images", "executor": "async", "max_attempts": None, "timeout_seconds": None}
    before = one["workers"]
    await register("w8", types=None)
    assert http.get("/api/v1/job-types/resize").json()["workers"] == before + 1
    http.post("/api/v1/workers/w6/drain")
    assert http.get("/api/v1/job-types/resize").json()["workers"] == before
    assert http.get("/api/v1/job-types/no-such").status_code == 404


def test_a_query_that_means_nothing_is_refused(http):
    for path in ("/api/v1/workers", "/api/v1/job-types", "/api/v1/workers/x", "/api/v1/job-types/x"):
        assert http.get(f"{path}?x=1").status_code == 422
