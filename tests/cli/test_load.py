"""`boltq load`, the performance test: a running API is loaded over real HTTP, and what went wrong is named."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from apis import running_api
from commands import Run
from crews import running_crew
from processes import boltq_command, clean_environment, running, wait_until

from boltq.bench.load import Load, LoadPlan, LoadReport, check, spread
from boltq.bench.raw_wire import RawWire
from boltq.client import AsyncClient, Client
from boltq.client.async_client import AsyncJob
from boltq.client.place import Place
from boltq.domain.errors import JobCancelled
from boltq.domain.states import JobState

SCRIPT = Path(__file__).parents[2] / "scripts" / "performance_test.py"


@pytest.fixture
def site(valkey, namespace):
    """The URL of an API with a worker on its store."""
    with running_api(valkey, namespace=namespace) as url, running_crew(valkey, namespace, ["default"]):
        with Client(url) as client:
            wait_until(lambda: not client.dry_run_job(client.job_of("add")).valid)  # the API has heard of its types
        yield url


def test_every_job_is_followed_to_its_end(boltq: Run, site: str):
    ran = boltq("load", "--jobs", "60", "--concurrency", "4", "--url", site, "--json")
    assert ran.code == 0, ran.err
    assert ran.err == ""  # a progress bar is for terminals
    report = json.loads(ran.out)
    kept = {name: report[name] for name in ("jobs", "concurrency", "submitted", "completed", "failed", "unfinished")}
    assert kept == {
        "jobs": 60, "concurrency": 4, "submitted": 60, "completed": 60, "failed": 0, "unfinished": 0,
    }  # fmt: skip
    assert (report["failures"], report["interrupted"], report["stopped"]) == ({}, False, None)
    assert report["jobs_per_second"] == pytest.approx(60 / report["seconds"], rel=0.05)
    for name in ("submit_ms", "end_to_end_ms"):
        assert 0 < report[name]["p50"] <= report[name]["p95"] <= report[name]["p99"] <= report[name]["max"]
    assert report["submit_ms"]["p50"] < report["end_to_end_ms"]["max"]
    with Client(site) as client:
        counts = client.counts(type="echo").by_state
        assert (counts[JobState.COMPLETED], sum(counts.values())) == (60, 60)


def test_people_get_a_table(boltq: Run, site: str):
    ran = boltq("load", "--jobs", "5", "--concurrency", "9", "--url", site)
    assert ran.code == 0
    assert "5 of 5 jobs completed in" in ran.out
    for word in ("jobs/s", "p50", "p95", "p99", "submit", "end to end"):
        assert word in ran.out


def test_what_fails_is_counted_and_named(boltq: Run, site: str):
    ran = boltq("load", "--jobs", "7", "--type", "spoil", "--data", '{"text": "bad egg"}', "--url", site, "--json")
    assert ran.code == 1
    report = json.loads(ran.out)
    assert (report["completed"], report["failed"], report["failures"]) == (0, 7, {"dead: bad egg": 7})
    assert report["end_to_end_ms"] is None
    shown = boltq("load", "--jobs", "2", "--type", "spoil", "--data", '{"text": "bad egg"}', "--url", site)
    assert "2 × dead: bad egg" in shown.out


def test_what_does_not_end_in_time_is_counted(boltq: Run, site: str):
    ran = boltq("load", "--jobs", "2", "--type", "hold", "--data", "{}", "--timeout", "0.2", "--url", site, "--json")
    assert ran.code == 1
    assert json.loads(ran.out)["failures"] == {"not ended within 0.2 s": 2}


def test_without_an_api_it_says_so(boltq: Run):
    ran = boltq("load", "--jobs", "5", "--url", "http://127.0.0.1:1")
    assert ran.code == 3
    assert "no answer from the API at http://127.0.0.1:1" in ran.err
    assert "`boltq api` starts one" in ran.err


def test_without_a_worker_nothing_is_submitted(boltq: Run, valkey: str, namespace: str):
    with running_api(valkey, namespace=namespace) as url:
        ran = boltq("load", "--jobs", "5", "--url", url)
        assert ran.code == 1
        assert "no live worker serves queue default" in ran.err
        assert "`boltq worker` starts one" in ran.err
        assert json.loads(boltq("jobs", "--json").out)["items"] == []


def test_a_type_that_nobody_knows_is_said_before_anything_is_submitted(boltq: Run, site: str):
    ran = boltq("load", "--jobs", "5", "--type", "unheard-of", "--url", site)
    assert ran.code == 1
    assert "no live worker of queue default knows the job type unheard-of" in ran.err
    assert json.loads(boltq("jobs", "--json").out)["items"] == []


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--type", "no way"], "/type: 'no way' is not a name"),
        (["--type", "add", "--data", '{"left": "x", "right": 1}'], "/data/left"),
        (["--data", "[1]"], "--data"),
        (["--data", "{"], "--data"),
        (["--jobs", "0"], "--jobs 0: from 1 to"),
        (["--concurrency", "100000"], "--concurrency 100000: from 1 to"),
        (["--jobs", "many"], "whole number"),
        (["--url", "nonsense"], "no address of an API"),
    ],
)
def test_a_load_that_makes_no_sense_is_refused(boltq: Run, site: str, words: list[str], complaint: str):
    ran = boltq("load", "--url", site, *words)
    assert ran.code == 2
    assert complaint in ran.err


def test_a_token_that_is_wrong_or_missing_is_said(boltq: Run, valkey: str, namespace: str, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("BOLTQ_DATA", str(tmp_path / "empty"))
    token = "t" * 40
    with (
        running_api(valkey, namespace=namespace, auth="on", token=token) as url,
        running_crew(valkey, namespace, ["default"]),
    ):
        for words in ([], ["--token", "x" * 40]):
            ran = boltq("load", "--jobs", "3", "--url", url, *words)
            assert ran.code == 1
            assert "the API does not know who you are" in ran.err
        assert boltq("load", "--jobs", "3", "--url", url, "--token", token).code == 0


async def test_a_thousand_jobs_need_as_many_connections_as_there_are_callers(site: str):
    wire = RawWire(Place(site), 15)
    plan = LoadPlan(type="echo", data="{}", queue="default", jobs=1_000, concurrency=10, timeout=60)
    await check(plan, wire.exchange)
    report = await Load(plan, wire.exchange).run()
    await wire.close()
    assert report.completed == 1_000, report
    assert wire.opened <= 10


async def test_a_run_that_is_cancelled_tells_what_is_known(site: str):
    wire = RawWire(Place(site), 15)
    seen = asyncio.Event()
    plan = LoadPlan(type="echo", data="{}", queue="default", jobs=100_000, concurrency=3, timeout=60)
    running = asyncio.create_task(Load(plan, wire.exchange, seen.set).run())
    await seen.wait()
    running.cancel()
    report: LoadReport = await running
    await wire.close()
    assert report.interrupted
    assert 1 <= report.completed <= report.submitted < 100_000
    assert report.completed + report.failed + report.unfinished == 100_000


def test_ctrl_c_prints_what_is_known(site: str, tmp_path: Path):
    command = boltq_command("load", "--jobs", "100000", "--type", "hold", "--data", "{}", "--url", site)
    with running(command, tmp_path, clean_environment()) as load, Counting(site) as there:
        wait_until(lambda: there("hold") >= 10)  # each caller has submitted its job
        load.interrupt()
        assert load.wait() == 130
        assert "0 of 100,000 jobs completed" in load.output
        assert "interrupted" in load.output
        assert "99,9" in load.output or "100,000 unfinished" in load.output
        assert "Traceback" not in load.output


class Counting:
    """How many jobs of a type there are."""

    def __init__(self, url: str) -> None:
        self._client = Client(url)

    def __enter__(self):
        return lambda job_type: sum(self._client.counts(type=job_type).by_state.values())

    def __exit__(self, *_: object) -> None:
        self._client.close()


def test_an_api_that_goes_away_ends_the_run_with_what_is_known(valkey: str, namespace: str, tmp_path: Path):
    known = clean_environment(REDIS_ADDR=valkey, BOLTQ_NAMESPACE=namespace)
    with (
        running(boltq_command("api", "--port", "0"), tmp_path, known) as api,
        running_crew(valkey, namespace, ["default"]),
    ):
        url = api.wait_for(r"listens on (http://\S+)").group(1)
        command = boltq_command("load", "--jobs", "100000", "--concurrency", "2", "--url", url)
        with running(command, tmp_path, clean_environment()) as load, Counting(url) as there:
            wait_until(lambda: there("echo") >= 5)
            api.kill()
            assert load.wait() == 3
            assert "of 100,000 jobs completed" in load.output
            assert f"given up: no answer from the API at {url}" in load.output


@pytest.mark.parametrize("python", [sys.executable, getattr(sys, "_base_executable", sys.executable)])
def test_the_performance_test_of_the_documents(site: str, tmp_path: Path, python: str):
    command = [python, str(SCRIPT), "--jobs=100", "--concurrency=10"]
    ran = subprocess.run(
        command, cwd=tmp_path, env=clean_environment(BOLTQ_URL=site), capture_output=True, text=True, check=False
    )
    if "BoltQ is not installed here" in ran.stderr:
        pytest.skip("this checkout has no .venv of its own")
    assert ran.returncode == 0, ran.stderr
    assert "100 of 100 jobs completed" in ran.stdout
    assert "10 at once" in ran.stdout


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals")
def test_a_terminal_has_a_progress_bar(site: str, tmp_path: Path):
    import pty

    parent, child = pty.openpty()
    command = boltq_command("load", "--jobs", "50", "--url", site)
    environment = clean_environment(TERM="xterm", COLUMNS="80", LINES="24")
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=child, stdout=subprocess.PIPE)
    os.close(child)
    shown = b""
    while True:
        try:
            piece = os.read(parent, 4096)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(parent)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"/50" in shown
    assert b"50 of 50 jobs completed" in out


def test_percentiles_are_values_that_were_measured():
    found = spread([n / 1_000 for n in range(100, 0, -1)])
    assert found is not None
    assert (found.p50, found.p95, found.p99, found.max) == (50, 95, 99, 100)
    only = spread([0.25])
    assert only is not None
    assert (only.p50, only.p99, only.max) == (250, 250, 250)
    assert spread([]) is None


async def test_more_followers_than_connections_take_turns(site: str):
    """A client keeps 100 connections at most; who follows more jobs than that waits for one, and does not give up."""
    async with AsyncClient(site, timeout=0.3) as client:
        job = await client.submit("echo", delay=600)
        following = [asyncio.create_task(job.result()) for _ in range(130)]
        await asyncio.sleep(6)  # longer than it would try
        assert not [task for task in following if task.done()]
        async with AsyncClient(site) as other:
            await AsyncJob(other, job.id).cancel()
        ended = await asyncio.gather(*following, return_exceptions=True)
    assert {type(end) for end in ended} == {JobCancelled}
