"""Calling a job off."""

import asyncio
import threading

import pytest

from boltq import BoltQ, Conflict, JobCancelled, JobContext, JobState


@pytest.mark.parametrize("options", [{}, {"delay": 60}, {"priority": "high"}])
async def test_a_waiting_job_is_cancelled_at_once(boltq_app, worker, options):
    """It never runs, whatever it was waiting for."""
    ran = []

    @boltq_app.task
    async def work(n: int) -> None:
        ran.append(n)

    job = await work.options(**options).submit(1)
    assert await job.cancel("changed my mind") is JobState.CANCELLED
    async with worker():
        await (await work.submit(2)).result()
        with pytest.raises(JobCancelled, match="changed my mind"):
            await job.result()
    assert ran == [2]


async def test_a_running_coroutine_is_interrupted(boltq_app, worker):
    """It gets the CancelledError of asyncio, at what it waits for, and may clean up."""
    begun, cleaned_up = asyncio.Event(), []

    @boltq_app.task
    async def endless() -> None:
        try:
            begun.set()
            await asyncio.sleep(3_600)
        finally:
            cleaned_up.append(True)

    async with worker():
        job = await endless.submit()
        await begun.wait()
        assert await job.cancel() is JobState.RUNNING  # it is asked, and has not stopped yet
        with pytest.raises(JobCancelled):
            await job.result()
    assert cleaned_up == [True]


async def test_a_running_plain_function_is_asked_to_stop(boltq_app, worker):
    """Nobody can interrupt a thread, so the function looks whether it shall stop."""
    begun = threading.Event()

    @boltq_app.task
    def crunch(job: JobContext) -> None:
        while True:
            begun.set()
            job.check_cancelled()
            threading.Event().wait(0.01)

    async with worker():
        job = await crunch.submit()
        await asyncio.to_thread(begun.wait)
        await job.cancel()
        with pytest.raises(JobCancelled):
            await job.result()


async def test_a_function_that_finishes_first_has_finished(boltq_app, worker):
    """A cancel that comes too late changes nothing, and says so."""
    go_on = threading.Event()
    begun = threading.Event()

    @boltq_app.task
    def deaf() -> str:
        begun.set()
        go_on.wait()
        return "done anyway"

    async with worker():
        job = await deaf.submit()
        await asyncio.to_thread(begun.wait)
        assert await job.cancel() is JobState.RUNNING
        go_on.set()
        assert await job.result() == "done anyway"
        with pytest.raises(Conflict, match="completed"):
            await job.cancel()


async def test_a_job_that_was_cancelled_is_not_retried(boltq_app: BoltQ, worker):
    """Even when its function fails instead of stopping."""
    begun = asyncio.Event()

    @boltq_app.task
    async def stubborn() -> None:
        begun.set()
        try:
            await asyncio.sleep(3_600)
        except asyncio.CancelledError:
            raise ConnectionError("lost the line while cleaning up") from None

    async with worker():
        job = await stubborn.submit()
        await begun.wait()
        await job.cancel()
        with pytest.raises(JobCancelled):
            await job.result()
