"""The supervisor keeps workers alive; nothing that they held waits for a lease to run out."""

import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import psutil
import pytest
import redis
from processes import PATIENCE, Program, boltq_command, clean_environment, gone, running, wait_until
from servers import running_server

from boltq import BoltQ, JobFailed, JobState, Settings
from boltq.broker.embedded import server_binary

TASKS = """
import asyncio
import os
import time
from pathlib import Path

from boltq import BoltQ

app = BoltQ()


@app.task
async def pid() -> int:
    return os.getpid()


@app.task
async def hold(name: str, seconds: float = 600) -> int:
    '''The first run of each name holds its worker; the next one is quick.'''
    first = not Path(name).exists()
    with Path(name).open("a") as file:
        file.write(f"{os.getpid()}\\n")
    if first:
        await asyncio.sleep(seconds)
    return os.getpid()


@app.task
async def suicide() -> None:
    os.kill(os.getpid(), 9)


@app.task
def leave(code: int) -> None:
    os._exit(code)


@app.task(timeout=0.3, max_attempts=1)
async def block() -> None:
    time.sleep(600)
"""

Start = Callable[..., AbstractContextManager[Program]]


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    file = tmp_path / "supervised_tasks.py"
    file.write_text(TASKS)
    return file


@pytest.fixture
def worker(valkey: str, namespace: str, tmp_path: Path, tasks: Path) -> Start:
    """Starts `boltq worker` with leases so long that nothing comes back by itself while the test runs."""

    def start(*words: str, address: str = valkey, lease: str = "600") -> AbstractContextManager[Program]:
        environment = clean_environment(
            REDIS_ADDR=address, BOLTQ_NAMESPACE=namespace, BOLTQ_LEASE=lease, NUM_WORKERS="4", BOLTQ_LOG_LEVEL="info"
        )
        return running(boltq_command("worker", *(words or ("supervised_tasks:app",))), tmp_path, environment)

    return start


@pytest.fixture
def app(valkey: str, namespace: str) -> Iterator[BoltQ]:
    app = BoltQ(settings=Settings(redis_addr=valkey, namespace=namespace))
    yield app
    app.close_sync()


def wait_for_start(folder: Path, *names: str) -> None:
    """Return when the first runs of these have begun."""
    wait_until(lambda: all((folder / name).exists() and (folder / name).read_text() for name in names))


def test_the_jobs_of_a_killed_child_run_again_at_once(worker: Start, app: BoltQ, tmp_path: Path) -> None:
    with worker() as program:
        jobs = [app.submit_sync("hold", {"name": f"job{n}"}) for n in range(4)]
        wait_for_start(tmp_path, "job0", "job1", "job2", "job3")
        child = program.worker_children()[0]
        child.kill()
        pids = {job.result_sync(PATIENCE) for job in jobs}
        assert pids == {program.worker_children()[0].pid}
        assert child.pid not in pids
        assert all(job.record_sync().losses == 1 for job in jobs)
        assert "gave back 4 jobs" in program.output


def test_a_killed_supervisor_takes_its_children_along_in_good_order(worker: Start, app: BoltQ, tmp_path: Path) -> None:
    with worker("supervised_tasks:app", "--processes", "2") as program:
        job = app.submit_sync("hold", {"name": "job", "seconds": 1.5})
        wait_for_start(tmp_path, "job")
        children = wait_until(lambda: program.worker_children() if len(program.worker_children()) == 2 else None)
        program.kill()
        assert job.result_sync(PATIENCE) in {child.pid for child in children}
        wait_until(lambda: all(gone(child.pid) for child in children))
        assert job.record_sync().deliveries == 1


def test_when_the_supervisor_was_killed_its_jobs_are_back_within_a_lease(
    worker: Start, app: BoltQ, tmp_path: Path
) -> None:
    """As when a worker dies: whatever the grace time is. The run that was broken off says why."""
    with worker("supervised_tasks:app", "--grace", "600", lease="3") as program:
        job = app.submit_sync("hold", {"name": "job"})
        wait_for_start(tmp_path, "job")
        program.kill()
        wait_until(lambda: job.record_sync().state is JobState.QUEUED)
        record = job.record_sync()
        assert (record.losses, [run.outcome for run in record.runs]) == (0, ["handed_back"])


def test_a_job_that_takes_its_workers_down_is_buried_and_its_neighbours_finish(
    worker: Start, app: BoltQ, tmp_path: Path
) -> None:
    with worker() as program:
        neighbours = [app.submit_sync("hold", {"name": f"job{n}"}) for n in range(2)]
        wait_for_start(tmp_path, "job0", "job1")
        poison = app.submit_sync("suicide")
        with pytest.raises(JobFailed) as failure:
            poison.result_sync(PATIENCE)
        assert failure.value.error.category == "poison"  # type: ignore[attr-defined]
        record = poison.record_sync()
        assert (record.state, record.losses, record.deliveries) == (JobState.DEAD, 3, 3)
        for neighbour in neighbours:
            neighbour.result_sync(PATIENCE)
        program.wait_for("died by signal 9")


@pytest.mark.parametrize("code", [0, 75, 76])
def test_a_function_that_ends_its_process_takes_it_down_with_whatever_exit_code(
    worker: Start, app: BoltQ, code: int
) -> None:
    """These three are what a worker ends with when it has handed back all that it held, and has said so."""
    with worker() as program:
        poison = app.submit_sync("leave", {"code": code})
        with pytest.raises(JobFailed) as failure:
            poison.result_sync(PATIENCE)
        assert failure.value.error is not None
        assert failure.value.error.category == "poison"
        record = poison.record_sync()
        assert (record.state, record.losses, record.deliveries) == (JobState.DEAD, 3, 3)
        program.wait_for(f"was ended by what it ran, with exit code {code}")
        assert app.submit_sync("pid").result_sync(PATIENCE) == program.worker_children()[0].pid


def test_running_jobs_may_finish_and_the_exit_code_is_0(worker: Start, app: BoltQ, tmp_path: Path) -> None:
    with worker("supervised_tasks:app", "--slots", "2") as program:
        jobs = [app.submit_sync("hold", {"name": f"job{n}", "seconds": 1.5}) for n in range(5)]
        wait_for_start(tmp_path, "job0", "job1")
        program.terminate()
        assert program.wait() == 0
        states = [job.record_sync().state for job in jobs]
        assert states == [JobState.COMPLETED] * 2 + [JobState.QUEUED] * 3
        assert "Traceback" not in program.output


def test_after_the_grace_time_jobs_go_back_unharmed(worker: Start, app: BoltQ, tmp_path: Path) -> None:
    with worker("supervised_tasks:app", "--grace", "0.5") as program:
        job = app.submit_sync("hold", {"name": "job"})
        wait_for_start(tmp_path, "job")
        program.terminate()
        assert program.wait() == 0
        record = job.record_sync()
        assert (record.state, record.attempts, record.losses) == (JobState.QUEUED, 0, 0)


def test_a_second_signal_hurries_and_jobs_go_back_unharmed(worker: Start, app: BoltQ, tmp_path: Path) -> None:
    with worker("supervised_tasks:app", "--grace", "600") as program:
        job = app.submit_sync("hold", {"name": "job"})
        wait_for_start(tmp_path, "job")
        program.interrupt()
        wait_until(lambda: job.record_sync().state is JobState.RUNNING)
        time.sleep(0.5)
        program.interrupt()
        assert program.wait() == 0
        record = job.record_sync()
        assert (record.state, record.losses) == (JobState.QUEUED, 0)


def test_two_signals_at_once_are_one_word(worker: Start, app: BoltQ, tmp_path: Path) -> None:
    """As timeout(1) sends them, to the program and to its group: what runs may finish."""
    with worker("supervised_tasks:app", "--grace", "600") as program:
        job = app.submit_sync("hold", {"name": "job", "seconds": 1.5})
        wait_for_start(tmp_path, "job")
        program.terminate()
        program.terminate()
        assert program.wait() == 0
        assert job.record_sync().state is JobState.COMPLETED


def test_a_child_that_hangs_is_killed_after_the_grace_time(worker: Start, app: BoltQ, tmp_path: Path) -> None:
    with worker("supervised_tasks:app", "--grace", "0.2") as program:
        job = app.submit_sync("hold", {"name": "job"})
        wait_for_start(tmp_path, "job")
        program.worker_children()[0].send_signal(signal.SIGSTOP)
        program.terminate()
        assert program.wait() == 0
        assert job.record_sync().state is JobState.QUEUED


def test_what_a_child_held_goes_back_when_the_store_answers_again(
    tmp_path: Path, worker: Start, namespace: str
) -> None:
    with running_server(server_binary()) as url, worker(address=url) as program:
        app = BoltQ(settings=Settings(redis_addr=url, namespace=namespace))
        job = app.submit_sync("hold", {"name": "job"})
        wait_for_start(tmp_path, "job")
        with redis.Redis.from_url(url) as client:
            server = psutil.Process(int(client.info()["process_id"]))
        server.suspend()
        try:
            program.worker_children()[0].kill()
            program.wait_for("cannot give back yet")
        finally:
            server.resume()
        job.result_sync(PATIENCE)
        app.close_sync()


def test_a_worn_out_child_is_replaced_and_its_job_is_settled(worker: Start, app: BoltQ) -> None:
    with worker() as program:
        with pytest.raises(JobFailed) as failure:
            app.submit_sync("block").result_sync(PATIENCE)
        assert failure.value.error.category == "timeout"  # type: ignore[attr-defined]
        program.wait_for("worn out")
        assert app.submit_sync("pid").result_sync(PATIENCE) == program.worker_children()[0].pid


def test_several_processes_share_the_work(worker: Start, app: BoltQ, tmp_path: Path) -> None:
    with worker("supervised_tasks:app", "--processes", "2", "--slots", "1", "--name", "pair"):
        jobs = [app.submit_sync("hold", {"name": f"job{n}", "seconds": 0.5}) for n in range(4)]
        wait_for_start(tmp_path, "job0", "job1")
        assert len({job.result_sync(PATIENCE) for job in jobs}) == 2
        assert {str(job.record_sync().worker)[:5] for job in jobs} == {"pair-"}


def test_only_the_named_queues_are_served(worker: Start, app: BoltQ) -> None:
    with worker("supervised_tasks:app", "--queues", "mail, fast"):
        app.submit_sync("pid", queue="fast").result_sync(PATIENCE)
        app.submit_sync("pid", queue="mail").result_sync(PATIENCE)
        assert app.submit_sync("pid").record_sync().state is JobState.QUEUED


def test_the_built_in_tasks_run_without_a_name(worker: Start, app: BoltQ) -> None:
    with worker("--slots", "1"):
        assert app.submit_sync("echo", {"a": 1}).result_sync(PATIENCE) == {"a": 1}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("supervised_tasks:nothing", "it has supervised_tasks:app"),
        ("supervised_tasks:os", "is a module, not a BoltQ application"),
        ("no_such_module:app", "no module 'no_such_module'"),
        ("no_such_package.tasks:app", "no module 'no_such_package.tasks'"),
        ("supervised_tasks.py:app", "is a path"),
        ("./supervised_tasks.py", "such as supervised_tasks:app"),
        ("json:app", "write `app = BoltQ()` in it"),
    ],
)
def test_a_name_that_leads_nowhere_is_explained(worker: Start, name: str, said: str) -> None:
    with worker(name) as program:
        assert program.wait() == 2
        assert said in program.output
        assert "Traceback" not in program.output


def test_a_module_that_cannot_be_imported_shows_its_own_traceback(worker: Start, tmp_path: Path) -> None:
    (tmp_path / "broken_tasks.py").write_text("import math\nmath.nothing\n")
    with worker("broken_tasks:app") as program:
        assert program.wait() == 2
        assert "broken_tasks.py" in program.output
        assert "AttributeError" in program.output
        assert "boltq/cli" not in program.output


def test_a_module_with_one_application_needs_no_more_than_its_name(worker: Start, app: BoltQ) -> None:
    with worker("supervised_tasks"):
        app.submit_sync("pid").result_sync(PATIENCE)


@pytest.mark.parametrize("words", [("--processes", "0"), ("--queues", "no name"), ("--slots", "0"), ("--slots", "x")])
def test_options_that_cannot_be_are_refused(worker: Start, words: tuple[str, ...]) -> None:
    with worker(*words) as program:
        assert program.wait() == 2
        assert "Traceback" not in program.output


def test_a_worker_waits_for_its_store(worker: Start, tmp_path: Path) -> None:
    with worker(address=f"unix://{tmp_path}/nobody") as program:
        program.wait_for("does not answer.*trying again")
        program.terminate()
        assert program.wait() == 0


def test_a_server_that_is_too_old_is_refused(worker: Start, old_redis: str) -> None:
    with worker(address=old_redis) as program:
        assert program.wait() == 3
        assert "too old" in program.output


def test_the_server_is_checked(worker: Start, namespace: str) -> None:
    with running_server(server_binary(), "--appendonly", "no") as url, worker(address=url) as program:
        program.wait_for("append-only file is off")


def test_changed_code_is_loaded(worker: Start, app: BoltQ, tasks: Path) -> None:
    with worker("supervised_tasks:app", "--reload") as program:
        first = app.submit_sync("pid").result_sync(PATIENCE)
        tasks.write_text(TASKS.replace("return os.getpid()", "return -1"))
        program.wait_for("supervised_tasks.py changed")
        wait_until(lambda: gone(first))
        assert app.submit_sync("pid").result_sync(PATIENCE) == -1


def test_broken_code_is_waited_for(worker: Start, app: BoltQ, tasks: Path) -> None:
    tasks.write_text("this is not Python")
    with worker("supervised_tasks:app", "--reload") as program:
        program.wait_for("waiting for a change")
        tasks.write_text(TASKS)
        app.submit_sync("pid").result_sync(PATIENCE)
        program.terminate()
        assert program.wait() == 0


def test_a_worker_that_has_run_outlives_code_that_is_broken_for_a_while(worker: Start, app: BoltQ, tasks: Path) -> None:
    with worker() as program:
        app.submit_sync("pid").result_sync(PATIENCE)
        tasks.write_text("this is not Python")
        program.worker_children()[0].kill()
        program.wait_for("cannot be imported")
        tasks.write_text(TASKS)
        app.submit_sync("pid").result_sync(PATIENCE)


@pytest.fixture
def old_redis(tmp_path: Path) -> Iterator[str]:
    """What a Redis 6.2 answers to INFO, and nothing else: the check comes before all other calls."""
    import threading

    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(line,), daemon=True).start()

    def answer(line: socket.socket) -> None:
        info = b"redis_version:6.2.14\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\n"
        with line:
            while asked := line.recv(65_536):
                for command in asked.split(b"*")[1:]:
                    line.sendall(b"$%d\r\n%s\r\n" % (len(info), info) if b"INFO" in command else b"+OK\r\n")

    threading.Thread(target=serve, daemon=True).start()
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    listener.close()
