"""SIGTERM and SIGINT, in every phase of a worker's life: it ends in time, and what it did not finish goes back."""

import asyncio
import logging
import signal
from dataclasses import replace

import pytest
from waiting import eventually
from worker_processes import ended, here, state_of, worker_process

from boltq import BoltQ, JobState, Worker

SIGNALS = [signal.SIGTERM, signal.SIGINT]


@pytest.mark.parametrize("number", SIGNALS)
async def test_an_idle_worker_leaves(app, number):
    with worker_process(app) as far:
        await eventually(lambda: here(app, "far"))
        far.process.send_signal(number)
        assert await ended(far) == 0
    assert await here(app, "far") == []


async def test_leaving_is_no_alarm(boltq_app, caplog):
    """A beat that comes when its registration has just been given up hears that nobody knows it."""
    app = BoltQ(settings=replace(boltq_app.settings, lease=0.6))
    async with app:
        broker = (await app.connections()).broker
        retire = broker.retire

        async def slowly(*args, **kwargs):
            await retire(*args, **kwargs)
            await asyncio.sleep(1)  # the answer travels, and two beats go out meanwhile

        broker.retire = slowly
        one = Worker(app)
        running = asyncio.create_task(one.run())
        await one.started.wait()
        one.stop()
        await running
        assert await broker.alarms() == []
        assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_queue_that_is_named_twice_is_served_once(boltq_app, worker):
    async with worker(queues=["b", "a", "b"]) as one:
        assert one.queues == ["b", "a"]
        listed = await (await boltq_app.connections()).inspector.workers()
        assert [found.queues for found in listed] == [["b", "a"]]


@pytest.mark.parametrize("job_type", ["nap", "doze", "toil"])
async def test_what_runs_may_finish(app, marks, job_type):
    """What waits behind it goes back, unrun."""
    with worker_process(app, "--slots", "1") as far:
        await eventually(lambda: here(app, "far"))
        job = await app.submit(job_type, {"path": marks.path, "seconds": 0.5})
        await eventually(lambda: marks.words() == ["begin"])
        behind = await app.submit("note", {"path": marks.path, "word": "note"})
        far.process.send_signal(signal.SIGTERM)
        assert await ended(far) == 0
    assert (await state_of(job), await state_of(behind)) == (JobState.COMPLETED, JobState.QUEUED)
    assert marks.words() == ["begin", "end"]


@pytest.mark.parametrize("job_type", ["nap", "doze", "toil"])
async def test_what_does_not_finish_goes_back_when_the_grace_time_is_over(app, marks, job_type):
    """A coroutine is cancelled, a process killed, a thread left behind: the process ends without it."""
    with worker_process(app, BOLTQ_GRACE="0.2") as far:
        await eventually(lambda: here(app, "far"))
        job = await app.submit(job_type, {"path": marks.path, "seconds": 60})
        await eventually(lambda: marks.words() == ["begin"])
        far.process.send_signal(signal.SIGTERM)
        assert await ended(far) == 0
    record = await job.record()
    assert (record.state, record.attempts, record.losses) == (JobState.QUEUED, 0, 0)
    assert marks.words() == ["begin"]


async def test_a_job_that_fails_while_its_worker_leaves_is_retried_elsewhere(app, worker, marks):
    """What was told last is told before the lease ends."""
    with worker_process(app, "--slots", "1") as far:
        await eventually(lambda: here(app, "far"))
        jobs = await app.submit_many([app.job_of("block", {"path": marks.path, "seconds": 0.05}) for _ in range(30)])
        await eventually(lambda: len(marks.words()) > 4)
        far.process.send_signal(signal.SIGTERM)
        assert await ended(far) == 0
    done = [job for job in jobs if await state_of(job) is JobState.COMPLETED]
    assert len(done) == marks.words().count("end"), "what ended was told"
    assert {await state_of(job) for job in jobs} == {JobState.COMPLETED, JobState.QUEUED}
    async with worker(app):
        for job in jobs:
            assert await job.result() == "blocked"
    assert marks.words().count("begin") == 30, "nothing ran twice"


async def test_a_function_that_does_not_let_itself_be_cancelled_is_killed_with_its_process(app, worker, marks):
    """By the supervisor, a moment after the grace time; the job goes back, and its worker is not counted as lost."""
    with worker_process(app, "--grace", "0.2", supervised=True) as far:
        job = await app.submit("stubborn", {"path": marks.path})
        await eventually(lambda: marks.words() == ["begin"])
        far.process.send_signal(signal.SIGTERM)
        assert await ended(far) == 0
    assert "asked" in marks.words()
    record = await job.record()
    assert (record.state, record.attempts, record.losses) == (JobState.QUEUED, 0, 0)
