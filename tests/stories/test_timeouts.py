"""A job may not run for ever."""

import asyncio
import threading

import process_tasks
import pytest

from boltq import Backoff, Category, JobFailed


async def fails_with_timeout(job) -> None:
    with pytest.raises(JobFailed, match=r"timeout of 0\.1 s") as caught:
        await job.result()
    assert caught.value.error.category is Category.TIMEOUT


async def test_a_coroutine_is_interrupted_at_its_timeout(boltq_app, worker):
    """At what it waits for."""

    @boltq_app.task(timeout=0.1, max_attempts=1)
    async def endless() -> None:
        await asyncio.sleep(3_600)

    async with worker():
        await fails_with_timeout(await endless.submit())


async def test_a_plain_function_is_given_up_at_its_timeout(boltq_app, worker):
    """Nobody can stop a thread: its job is settled, and its slot is lost until it returns."""
    go_on = threading.Event()

    @boltq_app.task(timeout=0.1, max_attempts=1)
    def stuck() -> None:
        go_on.wait()

    @boltq_app.task
    async def neighbour() -> str:
        return "fine"

    async with worker(slots=2):
        await fails_with_timeout(await stuck.submit())
        assert await (await neighbour.submit()).result() == "fine"
        go_on.set()


async def test_a_process_is_killed_at_its_timeout(boltq_app, worker):
    """Whatever it does: executor="process" is for work that must be stoppable, or that holds the interpreter."""
    process_tasks.listed(boltq_app, "spin", timeout=0.1, max_attempts=1)
    process_tasks.listed(boltq_app, "cube", "awaited")

    async with worker():
        await fails_with_timeout(await boltq_app.submit("spin"))
        assert await (await boltq_app.submit("cube", {"n": 3})).result() == 27
        assert await (await boltq_app.submit("awaited", {"n": 3})).result() == 4


async def test_a_timeout_is_retried_like_any_error(boltq_app, worker):
    """And a submission may name its own."""
    runs = []

    @boltq_app.task(timeout=60, backoff=Backoff(base=0.01, floor=0.01))
    async def slow_once() -> str:
        runs.append(True)
        if len(runs) == 1:
            await asyncio.sleep(3_600)
        return "ok"

    async with worker():
        assert await (await slow_once.options(timeout=0.05).submit()).result() == "ok"
