"""The whole system at a glance."""

import json
from collections import Counter

import pytest

from boltq.domain.job_error import Category, JobError
from boltq.domain.outcome import Completed, Failed
from boltq.server.queues.overview import _percentile

BOOM = Failed(JobError("Boom", "no", Category.DATA, fingerprint="boom"))


async def test_a_system_that_works(http, run_one, desk):
    before = http.get("/api/v1/overview").json()
    assert before["first_run"] == {"worker_seen": False, "job_seen": False, "job_done": False}
    assert before["run_ms"] == {"p50": None, "p95": None, "p99": None}
    for queue in ("busy", "busy", "busy", "lonely"):
        http.post("/api/v1/jobs", json={"type": "echo", "queue": queue})
    await run_one("busy", Completed("1"))
    await run_one("busy", BOOM)
    about = {"info": json.dumps({"slots": 4}), "queues": ["busy"], "types": None, "lease_ms": 60_000}
    await desk.register(0, "worker", **about)
    seen = http.get("/api/v1/overview", params={"window": "5m"}).json()
    assert (seen["totals"]["queued"], seen["totals"]["completed"], seen["totals"]["dead"]) == (2, 1, 1)
    series = seen["series"]
    assert (series["step_s"], len(series["submitted"]), seen["window_seconds"]) == (10, 30, 300)
    assert [sum(series[what]) for what in ("submitted", "completed", "failed", "dead")] == [4, 1, 1, 1]
    assert seen["rates"]["in_per_s"] == pytest.approx(4 / 295, rel=0.05)
    assert seen["rates"]["out_per_s"] > seen["rates"]["fail_per_s"] > 0
    assert 4 <= seen["run_ms"]["p50"] <= 8
    assert seen["wait_ms"]["p50"] is not None
    assert seen["queues"][0]["name"] == "lonely"
    assert seen["workers"]["up"] >= 1
    assert seen["workers"]["slots"] == 4
    assert seen["first_run"] == {"worker_seen": True, "job_seen": True, "job_done": True}


@pytest.mark.parametrize(("window", "length", "step"), [("15m", 90, 10), ("1h", 360, 10), ("6h", 360, 60)])
def test_windows(http, window, length, step):
    series = http.get("/api/v1/overview", params={"window": window}).json()["series"]
    assert (len(series["completed"]), series["step_s"], series["t0"] % step) == (length, step, 0)


def test_a_window_that_is_none(http):
    assert http.get("/api/v1/overview", params={"window": "1y"}).status_code == 422


def test_percentiles_of_powers_of_two():
    assert _percentile(Counter(), 0.5) is None
    assert _percentile(Counter({3: 10}), 0.5) == 6.0
    assert _percentile(Counter({0: 100, 10: 1}), 0.5) == 0.5
    assert _percentile(Counter({0: 90, 10: 10}), 0.95) == 768.0
