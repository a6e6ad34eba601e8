"""A cancel may come at any moment of a job's life; what was answered is what happens."""

import asyncio
import os
import signal

import pytest
from waiting import eventually
from worker_processes import here, state_of, worker_process

from boltq import Backoff, Conflict, JobCancelled, JobState


async def is_in(job, state) -> bool:
    return await state_of(job) is state


async def is_cancelled(job) -> bool:
    with pytest.raises(JobCancelled):
        await job.result()
    return True


async def test_while_it_waits_in_a_worker_for_its_slot(boltq_app, worker):
    """It is claimed and has not begun: it never does."""
    ran, go_on = [], asyncio.Event()

    @boltq_app.task
    async def work(n: int) -> None:
        ran.append(n)
        await go_on.wait()

    jobs = await boltq_app.submit_many([work.job(n) for n in range(8)])
    async with worker(slots=4):
        await eventually(lambda: len(ran) == 4)
        running = [job for job in jobs if await is_in(job, JobState.RUNNING)]
        waiting = jobs[4:]
        for job in waiting:
            await job.cancel()
        go_on.set()
        for job in jobs[:4]:
            await job.result()
        for job in waiting:
            assert await is_cancelled(job)
    assert sorted(ran) == [0, 1, 2, 3]
    assert len(running) >= 4


async def test_while_it_waits_for_its_next_attempt(boltq_app, worker):
    ran = []

    @boltq_app.task(backoff=Backoff(base=0.3, floor=0.3))
    async def work() -> None:
        ran.append(True)
        raise ConnectionError

    async with worker():
        job = await work.submit()
        await eventually(lambda: is_in(job, JobState.RETRYING))
        assert await job.cancel() is JobState.CANCELLED
        await asyncio.sleep(0.5)
        assert await is_cancelled(job)
    assert ran == [True]


async def test_while_it_snoozes(boltq_app, worker):
    from boltq import Snooze

    @boltq_app.task
    async def work() -> None:
        raise Snooze(3_600)

    async with worker():
        job = await work.submit()
        await eventually(lambda: is_in(job, JobState.SCHEDULED))
        assert await job.cancel() is JobState.CANCELLED


async def test_twice(boltq_app, worker):
    """The second one changes nothing."""
    begun = asyncio.Event()

    @boltq_app.task
    async def work() -> None:
        begun.set()
        await asyncio.sleep(3_600)

    async with worker():
        job = await work.submit()
        await begun.wait()
        assert await job.cancel() is JobState.RUNNING
        assert await job.cancel() in {JobState.RUNNING, JobState.CANCELLED}
        assert await is_cancelled(job)
        assert await job.cancel() is JobState.CANCELLED


async def test_at_the_very_moment_of_its_end(boltq_app, worker):
    """Either it was cancelled or it was not: the answer and the end agree."""

    @boltq_app.task
    async def work() -> str:
        await asyncio.sleep(0.001)
        return "done"

    async with worker(slots=8):
        jobs = await boltq_app.submit_many([work.job() for _ in range(40)])
        answers = await asyncio.gather(*(job.cancel() for job in jobs), return_exceptions=True)
        ends = await asyncio.gather(*(job.result() for job in jobs), return_exceptions=True)
    for answer, end in zip(answers, ends, strict=True):
        if answer is JobState.CANCELLED:
            assert isinstance(end, JobCancelled)
        elif isinstance(answer, Conflict):
            assert end == "done"
        else:
            assert answer is JobState.RUNNING
            assert end == "done" or isinstance(end, JobCancelled)


async def test_while_its_worker_is_frozen(app, worker, marks):
    """Nobody runs it again: it is cancelled when it is taken back."""
    with worker_process(app) as far:
        await eventually(lambda: here(app, "far"))
        job = await app.submit("nap", {"path": marks.path, "seconds": 60})
        await eventually(lambda: marks.words() == ["begin"])
        os.kill(far.pid, signal.SIGSTOP)
        assert await job.cancel() is JobState.RUNNING
        async with worker(app):
            assert await is_cancelled(job)
    assert marks.words() == ["begin"]
