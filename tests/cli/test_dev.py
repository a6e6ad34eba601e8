"""`boltq dev` starts everything in one terminal, keeps it alive, and stops it in order."""

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psutil
import pytest
from processes import Program, boltq_command, clean_environment, gone, running, wait_until

from boltq import BoltQ, JobState, Settings
from boltq.broker.embedded import EmbeddedStore

pytestmark = pytest.mark.slow

TASKS = """
import asyncio
from boltq import BoltQ

app = BoltQ()

@app.task
async def answer() -> int:
    return 42
"""

Start = Callable[..., AbstractContextManager[Program]]


@pytest.fixture
def dev(tmp_path: Path) -> Start:
    """Starts `boltq dev` in an empty directory, on a port that is free."""

    def start(*words: str, **environment: str) -> AbstractContextManager[Program]:
        known = clean_environment(**{"API_PORT": "0", **environment})
        return running(boltq_command("dev", *words), tmp_path, known)

    return start


def url_of(program: Program) -> str:
    return program.wait_for(r"API\s+(http://\S+)").group(1)


def call(url: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def submit(url: str, job_type: str, **data: object) -> str:
    job_id: str = call(f"{url}/api/v1/jobs", {"type": job_type, "data": data})["id"]
    return job_id


def wait_for_state(url: str, job_id: str, state: str) -> Any:
    def look() -> Any:
        job = call(f"{url}/api/v1/jobs/{job_id}")
        return job if job["state"] == state else None

    return wait_until(look, lambda: f"{job_id} does not become {state}: {call(f'{url}/api/v1/jobs/{job_id}')}")


def stored_states(folder: Path) -> list[JobState]:
    """Where all jobs of a data directory stand, once nobody works on them."""
    app = BoltQ(settings=Settings(data_dir=str(folder / ".boltq")))
    page = app.run_sync(_page(app))
    app.close_sync()
    return page


async def _page(app: BoltQ) -> list[JobState]:
    page = await (await app.connections()).inspector.page(limit=200)
    return [job.state for job in page.jobs]


def store_pid(folder: Path) -> int:
    return EmbeddedStore(folder / ".boltq").pid


def parts(program: Program, word: str) -> list[psutil.Process]:
    """The direct children that were started with this word."""
    found = [child for child in psutil.Process(program.pid).children() if word in child.cmdline()]
    return [child for child in found if "--child" not in child.cmdline()]


def test_the_curl_line_of_the_banner_ends_in_a_completed_job(dev: Start, tmp_path: Path) -> None:
    with dev() as program:
        url = url_of(program)
        line = program.wait_for(r"(curl -X POST (?:.|\n)+?}}')").group(1)
        if shutil.which("curl") is None:
            pytest.skip("no curl here")
        answer = subprocess.run(["sh", "-c", line], capture_output=True, check=True, text=True)
        job = wait_for_state(url, json.loads(answer.stdout)["id"], "completed")
        assert job["result"] == {"message": "Hello World"}
        assert str(tmp_path / ".boltq") in program.output


def test_ctrl_c_with_running_jobs_loses_nothing(dev: Start, tmp_path: Path) -> None:
    with dev(NUM_WORKERS="4") as program:
        url = url_of(program)
        ids = [submit(url, "sleep", seconds=1.5) for _ in range(10)]
        wait_for_state(url, ids[3], "running")
        store = store_pid(tmp_path)
        program.interrupt()
        assert program.wait() == 0
        assert gone(store)
        assert "Traceback" not in program.output
        assert "stopping" in program.output
    states = stored_states(tmp_path)
    assert sorted(states) == [JobState.COMPLETED] * 4 + [JobState.QUEUED] * 6


def test_a_second_ctrl_c_hurries_and_loses_nothing(dev: Start, tmp_path: Path) -> None:
    with dev() as program:
        url = url_of(program)
        job_id = submit(url, "sleep", seconds=600)
        wait_for_state(url, job_id, "running")
        program.interrupt()
        program.wait_for("stopping")
        time.sleep(0.5)
        program.interrupt()
        assert program.wait() == 0
    assert stored_states(tmp_path) == [JobState.QUEUED]


def test_sigterm_is_the_same_as_ctrl_c(dev: Start, tmp_path: Path) -> None:
    with dev() as program:
        url_of(program)
        store = store_pid(tmp_path)
        program.terminate()
        assert program.wait() == 0
        assert gone(store)


def test_ctrl_c_while_it_starts_is_no_mishap(dev: Start, tmp_path: Path) -> None:
    with dev() as program:
        wait_until((tmp_path / ".boltq" / "server.pid").exists)
        time.sleep(0.3)
        program.interrupt()
        assert program.wait() in {0, 130}
        assert "Traceback" not in program.output
        wait_until(lambda: not EmbeddedStore(tmp_path / ".boltq").running)


def test_what_was_accepted_is_there_after_a_restart(dev: Start, tmp_path: Path) -> None:
    with dev() as program:
        url = url_of(program)
        call(f"{url}/api/v1/queues/default/pause", {})
        job_id = submit(url, "echo", n=1)
        program.interrupt()
        assert program.wait() == 0
    with dev() as program:
        url = url_of(program)
        call(f"{url}/api/v1/queues/default/resume", {})
        assert wait_for_state(url, job_id, "completed")["result"] == {"n": 1}
        program.interrupt()
        program.wait()


def test_a_dead_worker_is_started_again(dev: Start) -> None:
    with dev() as program:
        url = url_of(program)
        program.wait_for("runs: echo")
        parts(program, "worker")[0].kill()
        program.wait_for("the worker has ended")
        wait_for_state(url, submit(url, "echo"), "completed")


def test_a_dead_store_is_started_again(dev: Start, tmp_path: Path) -> None:
    with dev() as program:
        url = url_of(program)
        job_id = submit(url, "sleep", seconds=1)
        wait_for_state(url, job_id, "running")
        psutil.Process(store_pid(tmp_path)).kill()
        program.wait_for("it runs again")
        wait_for_state(url, job_id, "completed")


def test_a_dead_api_stops_everything(dev: Start, tmp_path: Path) -> None:
    with dev() as program:
        url_of(program)
        parts(program, "api")[0].kill()
        assert program.wait() == 1
        assert "the API has ended" in program.output
        assert not EmbeddedStore(tmp_path / ".boltq").running


def test_a_port_that_is_taken_is_said_so(dev: Start, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, dev(API_PORT=str(taken.getsockname()[1])) as program:
        assert program.wait() == 1
        assert "another program listens there" in program.output
        assert "Traceback" not in program.output
        assert not EmbeddedStore(tmp_path / ".boltq").running


def test_a_killed_dev_leaves_nothing_behind(dev: Start, tmp_path: Path) -> None:
    with dev() as program:
        url_of(program)
        program.wait_for("runs: echo")
        family = [child.pid for child in program.children()]
        program.kill()
        wait_until(lambda: all(gone(pid) for pid in family))
        assert not EmbeddedStore(tmp_path / ".boltq").running


def test_an_application_of_ones_own_is_run(dev: Start, tmp_path: Path) -> None:
    (tmp_path / "own_tasks.py").write_text(TASKS)
    with dev("own_tasks:app", "--reload") as program:
        url = url_of(program)
        assert wait_for_state(url, submit(url, "answer"), "completed")["result"] == 42
        (tmp_path / "own_tasks.py").write_text(TASKS.replace("42", "43"))
        program.wait_for("own_tasks.py changed")
        program.wait_for("runs: answer", after=program.output.index("own_tasks.py changed"))
        assert wait_for_state(url, submit(url, "answer"), "completed")["result"] == 43


def test_an_application_that_is_not_there_stops_everything(dev: Start) -> None:
    with dev("own_tasks:app") as program:
        assert program.wait() == 2
        assert "no module 'own_tasks'" in program.output
        assert "Traceback" not in program.output


def test_a_store_of_ones_own_is_used(dev: Start, valkey: str, namespace: str, tmp_path: Path) -> None:
    with dev(REDIS_ADDR=valkey, BOLTQ_NAMESPACE=namespace) as program:
        url = url_of(program)
        wait_for_state(url, submit(url, "echo"), "completed")
        program.interrupt()
        assert program.wait() == 0
        assert not (tmp_path / ".boltq").exists()


def test_a_bad_setting_is_one_line(dev: Start) -> None:
    with dev(NUM_WORKERS="many") as program:
        assert program.wait() == 2
        assert program.output.startswith("boltq: NUM_WORKERS='many'")
        assert program.output.count("\n") == 1


def test_the_api_alone_serves_and_stops(tmp_path: Path, valkey: str, namespace: str) -> None:
    environment = clean_environment(REDIS_ADDR=valkey, BOLTQ_NAMESPACE=namespace)
    with running(boltq_command("api", "--port", "0"), tmp_path, environment) as program:
        url = program.wait_for(r"listens on (http://\S+)").group(1)
        assert call(f"{url}/health") == {"status": "ok"}
        program.terminate()
        assert program.wait() == 0


def test_production_logs_are_json(tmp_path: Path, valkey: str, namespace: str) -> None:
    environment = clean_environment(REDIS_ADDR=valkey, BOLTQ_NAMESPACE=namespace, ENVIRONMENT="production")
    with running(boltq_command("worker"), tmp_path, environment) as program:
        line = program.wait_for(r"(\{.*runs: .*\})\n").group(1)
        assert json.loads(line)["level"] == "info"
        program.terminate()
        assert program.wait() == 0
