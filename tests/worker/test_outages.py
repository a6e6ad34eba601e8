"""The store goes away while functions run, and comes back: what they returned is kept, and told then."""

import asyncio
import os
import signal
import threading
from collections import Counter
from dataclasses import replace

import pytest
from waiting import eventually

from boltq import BoltQ, JobState, Settings
from boltq.broker.consistency import audit
from boltq.broker.embedded import EmbeddedStore


@pytest.fixture
def store(tmp_path):
    """A server of our own, which is started again when it dies."""
    with EmbeddedStore(tmp_path / "data") as embedded:
        embedded.watch(interval=0.05)
        yield embedded


@pytest.fixture
async def app(store):
    settings = Settings(redis_addr=store.url, lease=2.0, job_timeout=60)
    async with BoltQ(settings=settings) as opened:
        yield opened


async def test_outcomes_survive_an_outage_of_the_store(app, store, worker):
    """Functions that end while the store is dead have ended: nothing runs a second time, on this worker or another."""
    runs: Counter[int] = Counter()
    go_on = threading.Event()

    @app.task
    async def on_loop(n: int) -> int:
        runs[n] += 1
        await asyncio.to_thread(go_on.wait)
        return n

    @app.task
    def in_thread(n: int) -> int:
        runs[n] += 1
        go_on.wait()
        return n

    other = BoltQ(settings=app.settings)
    other.task(on_loop.function)
    other.task(in_thread.function)
    async with worker(app, slots=8), other, worker(other, slots=8):
        jobs = await app.submit_many([(on_loop, in_thread)[n % 2].job(n) for n in range(24)])
        await eventually(lambda: len(runs) == 16)
        for _ in range(2):
            os.kill(store.pid, signal.SIGKILL)
            go_on.set()
            await asyncio.sleep(0.3)
        for n, job in enumerate(jobs):
            assert await job.result() == n
    assert set(runs.values()) == {1}
    assert await audit((await app.connections()).broker) == []


async def test_submitters_ride_out_a_restart(app, store):
    """A call that is safe to repeat is repeated; its callers notice nothing."""
    await app.submit("warm-up")
    before = len([job async for job in all_jobs(app)])
    os.kill(store.pid, signal.SIGKILL)
    jobs = await asyncio.gather(*(app.submit("count", {"n": n}) for n in range(100)))
    assert len({job.id for job in jobs}) == 100
    assert len([job async for job in all_jobs(app)]) == before + 100


async def all_jobs(app):
    line = await app.connections()
    cursor = None
    while True:
        page = await line.inspector.page(JobState.QUEUED, cursor=cursor)
        for job in page.jobs:
            yield job
        if (cursor := page.cursor) is None:
            return


async def test_a_worker_may_be_stopped_while_the_store_is_away(app, store, worker, tmp_path):
    """It ends in time, without having said so; its lease runs out, and another worker goes on."""
    begun = asyncio.Event()
    first_run = True

    @app.task
    async def work() -> str:
        nonlocal first_run
        begun.set()
        if first_run:
            first_run = False
            await asyncio.sleep(3_600)
        return "done"

    leaving = BoltQ(settings=replace(app.settings, grace=0.1))
    leaving.task(work.function)
    job = await app.submit("work")
    async with leaving, worker(leaving) as one:
        await begun.wait()
        store._watcher.stop()
        store._watcher = None
        os.kill(store.pid, signal.SIGKILL)
        one.stop()
    store.ensure_running()
    async with worker(app):
        assert await job.result() == "done"
    assert (await job.record()).attempts == 1
