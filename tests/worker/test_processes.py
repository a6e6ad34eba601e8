"""Functions in processes of their own: what they start ends with them, and what is sent to a whole unit spares them."""

import contextlib
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import process_tasks
import pytest
from processes import boltq_command, clean_environment, running
from waiting import eventually
from worker_processes import SUPPORT, ended, worker_process

from boltq import BoltQ, JobCancelled, JobFailed, JobState

pytestmark = pytest.mark.any_partitions  # what it looks at is what functions do to their process


def alive(pid: int) -> bool:
    """Whether it runs; a zombie that nobody has collected does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


def pids(path: Path) -> list[int]:
    return [int(word) for word in path.read_text().split()] if path.exists() else []


@pytest.fixture
def path(tmp_path):
    return tmp_path / "pids"


async def test_what_it_started_ends_with_its_timeout(boltq_app, worker, path):
    process_tasks.listed(boltq_app, "starts_a_program", timeout=8, max_attempts=1)
    async with worker(slots=1):
        job = await boltq_app.submit("starts_a_program", {"path": str(path), "seconds": 60})
        with pytest.raises(JobFailed, match="its process was killed"):
            await job.result(30)
        child, program = pids(path)
        await eventually(lambda: not alive(child) and not alive(program))


async def test_what_it_started_ends_with_its_cancel(boltq_app, worker, path):
    process_tasks.listed(boltq_app, "starts_a_program")
    async with worker(slots=1):
        job = await boltq_app.submit("starts_a_program", {"path": str(path), "seconds": 60})
        await eventually(lambda: len(pids(path)) == 2)
        await job.cancel()
        with pytest.raises(JobCancelled):
            await job.result(20)
        child, program = pids(path)
        await eventually(lambda: not alive(child) and not alive(program))


async def test_what_it_started_ends_when_it_has_died(boltq_app, worker, path):
    process_tasks.listed(boltq_app, "starts_and_dies", max_attempts=1)
    async with worker(slots=1):
        job = await boltq_app.submit("starts_and_dies", {"path": str(path)})
        with pytest.raises(JobFailed, match="exit code 3"):
            await job.result(20)
        await eventually(lambda: not any(alive(pid) for pid in pids(path)))


@pytest.fixture
def leftovers(path):
    """What a job leaves behind in a session of its own outlives it, and is ours to end."""
    yield
    for pid in pids(path):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.usefixtures("leftovers")
@pytest.mark.parametrize("way", ["copy", "daemon"])
async def test_its_death_is_seen_though_something_holds_its_pipe(boltq_app, worker, path, way):
    """A copy of it has all that it had open; the job has an hour, and must not wait for that."""
    process_tasks.listed(boltq_app, "leaves_a_holder", timeout=3_600, max_attempts=1)
    async with worker(slots=1) as one:
        job = await boltq_app.submit("leaves_a_holder", {"path": str(path), "way": way, "dies": True})
        with pytest.raises(JobFailed, match="exit code 3"):
            await job.result(20)
        await eventually(lambda: not one._running and not one._buffer.busy)


@pytest.mark.usefixtures("leftovers")
@pytest.mark.parametrize("end", ["timeout", "cancel"])
async def test_a_killed_one_gives_its_slot_back_though_a_daemon_holds_its_pipe(boltq_app, worker, path, end):
    process_tasks.listed(boltq_app, "leaves_a_holder", timeout=5 if end == "timeout" else 3_600, max_attempts=1)
    process_tasks.listed(boltq_app, "cube")
    async with worker(slots=1):
        job = await boltq_app.submit("leaves_a_holder", {"path": str(path), "way": "daemon", "dies": False})
        await eventually(lambda: len(pids(path)) == 1)
        if end == "cancel":
            await job.cancel()
        with pytest.raises(JobCancelled if end == "cancel" else JobFailed):
            await job.result(20)
        assert await (await boltq_app.submit("cube", {"n": 3})).result(20) == 27


@pytest.mark.parametrize("way", ["returns", "leaves"])
async def test_a_copy_of_it_does_not_speak_in_its_name(boltq_app, worker, path, way):
    """Its word would be taken for the next job's."""
    process_tasks.listed(boltq_app, "forks_and_returns", max_attempts=1)
    process_tasks.listed(boltq_app, "cube", max_attempts=1)
    async with worker(slots=1):
        job = await boltq_app.submit("forks_and_returns", {"path": str(path), "way": way})
        assert await job.result(20) == "from the job"
        await eventually(lambda: not any(alive(pid) for pid in pids(path)))
        assert [await (await boltq_app.submit("cube", {"n": n})).result(20) for n in (2, 3)] == [8, 27]


@pytest.mark.parametrize("seconds", [60, 0])
async def test_what_it_started_ends_with_the_worker(boltq_app, worker, path, seconds):
    """Also what an earlier job has left behind in a process that was kept."""
    app = BoltQ(settings=replace(boltq_app.settings, grace=0.1))
    process_tasks.listed(app, "starts_a_program")
    async with app:
        async with worker(app, slots=1):
            job = await app.submit("starts_a_program", {"path": str(path), "seconds": seconds})
            await eventually(lambda: len(pids(path)) == 2)
            if not seconds:
                await job.result(20)
                assert alive(pids(path)[1])
        await eventually(lambda: not any(alive(pid) for pid in pids(path)))
        expected = JobState.QUEUED if seconds else JobState.COMPLETED
        assert (await job.record()).state is expected


async def test_what_it_starts_can_be_ended_by_sigterm(boltq_app, worker):
    """It ignores SIGTERM itself, but hands that on to nobody."""
    process_tasks.listed(boltq_app, "ends_its_program")
    async with worker(slots=1):
        assert await (await boltq_app.submit("ends_its_program")).result(20) == -signal.SIGTERM


@pytest.mark.parametrize("way", ["spawn", "fork", "forkserver"])
async def test_it_may_have_processes_of_its_own(boltq_app, worker, way):
    process_tasks.listed(boltq_app, "multiplies")
    async with worker(slots=1):
        assert await (await boltq_app.submit("multiplies", {"way": way})).result(60) == [0, 2, 4, 6, 8]


async def test_it_may_have_an_executor_of_its_own(boltq_app, worker):
    process_tasks.listed(boltq_app, "multiplies_by_futures")
    async with worker(slots=1):
        assert await (await boltq_app.submit("multiplies_by_futures")).result(60) == [0, 2, 4, 6, 8]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_signals_for_the_whole_unit_are_not_for_it(boltq_app, worker, path, number):
    process_tasks.listed(boltq_app, "hears_signals", max_attempts=1)
    async with worker(slots=1):
        job = await boltq_app.submit("hears_signals", {"path": str(path)})
        await eventually(lambda: len(pids(path)) == 1)
        os.kill(pids(path)[0], number)
        assert await job.result(20) == "undisturbed"


async def test_sigterm_to_every_process_while_its_process_starts(boltq_app, worker, path):
    """It is blocked until it can be ignored."""
    process_tasks.listed(boltq_app, "hears_signals", max_attempts=1)
    async with worker(slots=1) as one:
        job = await boltq_app.submit("hears_signals", {"path": str(path)})
        seen = await eventually(lambda: [child._process.pid for child in one._runner._processes._busy])
        os.kill(seen[0], signal.SIGTERM)
        assert await job.result(20) == "undisturbed"


@pytest.fixture
def unit(boltq_app):
    """`boltq worker` with these tasks, under its supervisor."""
    known = clean_environment(
        REDIS_ADDR=boltq_app.settings.redis_addr,
        BOLTQ_NAMESPACE=boltq_app.settings.namespace,
        BOLTQ_PARTITIONS=str(boltq_app.settings.partitions),
        BOLTQ_LEASE="0.6",
        BOLTQ_GRACE="5",
        PYTHONPATH=os.pathsep.join([SUPPORT, *sys.path]),
    )
    with running(boltq_command("worker", "process_tasks:app", "--name", "unit"), Path(SUPPORT), known) as program:
        yield program


def descendants(pid: int) -> list[int]:
    """All processes below it, as the system knows them."""
    below: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        below.setdefault(parent, []).append(int(stat.parent.name))
    found, new = [], [pid]
    while new:
        new = [child for one in new for child in below.get(one, [])]
        found += new
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the processes in /proc")
async def test_sigterm_to_every_process_of_the_unit(boltq_app, unit, path):
    """As systemd stops a unit: what runs may finish."""
    job = await boltq_app.submit("hears_signals", {"path": str(path)})
    await eventually(lambda: len(pids(path)) == 1)
    assert pids(path)[0] in descendants(unit.pid)
    for pid in [unit.pid, *descendants(unit.pid)]:
        os.kill(pid, signal.SIGTERM)
    assert await ended(unit) == 0
    record = await job.record()
    assert (record.state, record.attempts, record.deliveries) == (JobState.COMPLETED, 1, 1)


def is_worker(pid: int) -> bool:
    return "--child" in Path(f"/proc/{pid}/cmdline").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the processes in /proc")
@pytest.mark.parametrize("whom", ["worker", "supervisor"])
@pytest.mark.parametrize("what", ["starts_a_program", "holds_the_gil"])
async def test_nothing_outlives_a_killed_parent(boltq_app, unit, path, whom, what):
    """Neither the job's process, nor what it has started, nor the worker whose supervisor is gone."""
    data = {"path": str(path), "seconds": 300} if what == "starts_a_program" else {"path": str(path)}
    await boltq_app.submit(what, data, timeout=60)
    await eventually(lambda: len(pids(path)) == 2)
    job_pids = pids(path)
    below = descendants(unit.pid)
    assert set(job_pids) <= set(below)
    victim = next(pid for pid in below if is_worker(pid))
    os.kill(victim if whom == "worker" else unit.pid, signal.SIGKILL)
    watched = job_pids if whom == "worker" else below
    await eventually(lambda: not any(alive(pid) for pid in watched))


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the processes in /proc")
async def test_a_worker_whose_loop_is_blocked_does_not_outlive_its_supervisor(app, marks):
    """It cannot hear SIGTERM; it is killed when its grace time and its time for cleaning up are over."""
    with worker_process(app, supervised=True, BOLTQ_GRACE="0.2", BOLTQ_CLEANUP="0.2") as program:
        await app.submit("block", {"path": marks.path, "seconds": 300})
        await eventually(lambda: marks.words() == ["begin"])
        below = descendants(program.pid)
        program.kill()
        await eventually(lambda: not any(alive(pid) for pid in below))


async def test_threads_of_the_loop_that_are_held_do_not_hold_up_the_end_of_the_process(app, marks):
    """`asyncio.to_thread` of a function that never returns: at SIGTERM the process ends all the same."""
    with worker_process(app, BOLTQ_GRACE="0.2", BOLTQ_CLEANUP="0.2") as far:
        job = await app.submit("hoard", {"path": marks.path})
        await eventually(lambda: marks.words() == ["begin"])
        far.process.send_signal(signal.SIGTERM)
        assert await ended(far) == 0
    assert (await job.record()).state is JobState.QUEUED
