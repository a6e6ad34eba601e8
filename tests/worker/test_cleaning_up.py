"""A function that is interrupted has its time for cleaning up: it is cancelled once, and again when that is over."""

import asyncio
import itertools
import time
from dataclasses import replace

import pytest
from waiting import eventually

from boltq import BoltQ, JobCancelled, JobContext, JobFailed, JobState


@pytest.fixture
def made(boltq_app):
    """An application with other settings, and a short lease: the beat comes often while a function cleans up."""

    def make(**settings) -> BoltQ:
        return BoltQ(settings=replace(boltq_app.settings, lease=0.6, **settings))

    return make


def cleaner(app: BoltQ, done: list, **options):
    """A task whose clean-up takes a second."""

    @app.task(max_attempts=1, **options)
    async def clean() -> None:
        try:
            await asyncio.sleep(3_600)
        finally:
            begun = time.monotonic()
            await asyncio.sleep(1.0)
            done.append(time.monotonic() - begun)

    return clean


async def running(job) -> bool:
    return (await job.record()).state is JobState.RUNNING


async def test_after_a_timeout(made, worker):
    done = []
    app = made()
    clean = cleaner(app, done, timeout=0.1)
    async with app, worker(app, slots=1):
        job = await clean.submit()
        with pytest.raises(JobFailed, match="longer than its timeout"):
            await job.result(20)
        record = await job.record()
    assert len(done) == 1
    assert done[0] >= 0.99
    assert (record.deliveries, record.error is not None) == (1, True)


async def test_after_a_cancel(made, worker):
    """Asked for three times, while the beat repeats it."""
    done = []
    app = made()
    clean = cleaner(app, done)
    async with app, worker(app, slots=1):
        job = await clean.submit()
        await eventually(lambda: running(job))
        for _ in range(3):
            await job.cancel()
            await asyncio.sleep(0.1)
        with pytest.raises(JobCancelled):
            await job.result(20)
    assert len(done) == 1
    assert done[0] >= 0.99


async def test_when_the_timeout_comes_while_it_cleans_up_after_a_cancel(made, worker):
    done = []
    app = made()
    clean = cleaner(app, done, timeout=0.8)
    async with app, worker(app, slots=1):
        job = await clean.submit()
        await eventually(lambda: running(job))
        await asyncio.sleep(0.3)
        await job.cancel()
        with pytest.raises(JobCancelled):
            await job.result(20)
    assert len(done) == 1
    assert done[0] >= 0.99


async def test_at_shutdown(made, worker):
    done = []
    app = made(grace=0.1)
    clean = cleaner(app, done)
    async with app:
        async with worker(app, slots=1):
            job = await clean.submit()
            await eventually(lambda: running(job))
        record = await job.record()
    assert len(done) == 1
    assert done[0] >= 0.99
    assert (record.state, record.losses, record.attempts) == (JobState.QUEUED, 0, 0)


async def test_when_its_time_is_over_it_is_interrupted_again_and_again(made, worker):
    """Each time after as long a time."""
    app = made(cleanup=0.4)
    asked = []

    @app.task(timeout=0.1, max_attempts=1)
    async def stubborn() -> str:
        while len(asked) < 3:
            try:
                await asyncio.sleep(3_600)
            except asyncio.CancelledError:
                asked.append(time.monotonic())
        return "at last"

    async with app, worker(app, slots=1):
        job = await stubborn.submit()
        await eventually(lambda: len(asked) == 3)
        assert await job.result(20) == "at last"  # it has ended, before it was given up
    gaps = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert all(0.39 <= gap < 1.5 for gap in gaps), gaps


async def test_the_lease_thread_does_not_settle_a_run_that_cleans_up(made, worker):
    """Only when its time, and a second, are over: then its slot is written off, and its job is settled without it."""
    app = made(cleanup=1.5)
    done = []
    clean = cleaner(app, done, timeout=0.1)
    go_on = asyncio.Event()

    @app.task(timeout=0.1, max_attempts=1)
    async def never() -> None:
        while not go_on.is_set():
            try:
                await go_on.wait()
            except asyncio.CancelledError:
                continue

    async with app, worker(app, slots=2):
        begun = time.monotonic()
        patient, endless = await clean.submit(), await never.submit()
        with pytest.raises(JobFailed):
            await patient.result(20)
        assert done, "settled before it had cleaned up"
        with pytest.raises(JobFailed):
            await endless.result(20)
        assert time.monotonic() - begun >= 0.1 + 1.5 + 1.0
        go_on.set()


async def test_a_plain_function_cleans_up_when_it_looks(made, worker):
    """Nobody can interrupt it; it hears of the cancel, and all that it does then is done."""
    app = made()
    done = []

    @app.task
    def plain(job: JobContext) -> None:
        try:
            while True:
                time.sleep(0.01)
                job.check_cancelled()
        finally:
            time.sleep(1.0)
            done.append(True)

    async with app, worker(app, slots=1):
        job = await plain.submit()
        await eventually(lambda: running(job))
        await job.cancel()
        with pytest.raises(JobCancelled):
            await job.result(20)
    assert done == [True]
