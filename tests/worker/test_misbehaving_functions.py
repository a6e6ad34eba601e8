"""A function may do what it likes: its job ends as it deserves, its neighbours finish, and the worker lives on."""

import asyncio
import os
import signal
import sys
import threading
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import process_tasks
import pytest
from waiting import eventually

from boltq import Backoff, BoltQ, Cancel, Category, Conflict, JobCancelled, JobFailed, JobState, RetryLater, Snooze

pytestmark = pytest.mark.any_partitions  # what it looks at is what functions do to their process

AT_ONCE = Backoff(base=0.01, floor=0.01)


@asynccontextmanager
async def among_neighbours(app, worker, **options):
    """A worker with two slots, whose other jobs must all be done whatever happens in the block."""
    done = []

    @app.task(max_attempts=1)
    async def neighbour(n: int) -> int:
        await asyncio.sleep(0.001)
        done.append(n)
        return n

    async with worker(slots=2, **options) as one:
        before = await app.submit_many([neighbour.job(n) for n in range(10)])
        yield one
        after = await app.submit_many([neighbour.job(n) for n in range(10, 20)])
        for job in [*before, *after]:
            await job.result()
    assert sorted(done) == list(range(20))


async def error_of(job):
    with pytest.raises(JobFailed) as caught:
        await job.result()
    return caught.value.error


class Hostile(Exception):
    """Cannot be looked at."""

    def __str__(self):
        raise ValueError("no str for you")

    @property
    def category(self):
        raise LookupError("no category either")


class Hopeless(BaseException):
    """Not even an Exception."""


class ExitsWhenShown(Exception):
    """Would end the process of whoever logs it."""

    def __str__(self):
        return sys.exit(3)


def too_deep(n=0):
    return too_deep(n + 1)


def lone_surrogate():
    raise ValueError("\ud800 broken text")


def a_generator():
    yield 1


async def an_async_generator():
    yield 1


def a_loop():
    loop: list = []
    loop.append(loop)
    return loop


def nonsense_snooze():
    snooze = Snooze(1)
    snooze.delay = None
    raise snooze


def raiser(error):
    def function():
        raise error

    return function


BAD = {
    "sys.exit": (lambda: sys.exit(1), "SystemExit", "unknown"),
    "KeyboardInterrupt": (raiser(KeyboardInterrupt()), "KeyboardInterrupt", "unknown"),
    "a BaseException of its own": (raiser(Hopeless("x")), "Hopeless", "unknown"),
    "GeneratorExit": (raiser(GeneratorExit()), "GeneratorExit", "unknown"),
    "StopIteration": (raiser(StopIteration(1)), None, "unknown"),
    "CancelledError": (raiser(asyncio.CancelledError()), "CancelledError", "unknown"),
    "an error that cannot be looked at": (raiser(Hostile()), "Hostile", "unknown"),
    "an error that exits when shown": (raiser(ExitsWhenShown()), "ExitsWhenShown", "unknown"),
    "endless recursion": (too_deep, "RecursionError", "unknown"),
    "a message that is not UTF-8": (lone_surrogate, "ValueError", "unknown"),
    "a message of 10 MB": (raiser(RuntimeError("x" * 10_000_000)), "RuntimeError", "unknown"),
    "an object": (object, "DataError", "data"),
    "a text that is not UTF-8": (lambda: "\ud800", "DataError", "data"),
    "a result of more than 1 MiB": (lambda: "x" * (1 << 20), "DataError", "data"),
    "a number out of range": (lambda: 2**70, None, None),
    "a generator": (a_generator, "DataError", "data"),
    "an async generator": (an_async_generator, "DataError", "data"),
    "a loop of references": (a_loop, "DataError", "data"),
    "a nonsense pause": (raiser(RetryLater("soon")), "RetryLater", "unknown"),
    "a nonsense snooze": (nonsense_snooze, "Snooze", "unknown"),
}


@pytest.mark.parametrize("way", ["coroutine", "thread"])
@pytest.mark.parametrize("what", BAD)
async def test_what_it_raises_or_returns(boltq_app, worker, what, way):
    bad, class_name, category = BAD[what]

    def plainly():
        return bad()

    async def awaited():
        await asyncio.sleep(0)
        return bad()

    boltq_app.task(name="bad", max_attempts=1)(awaited if way == "coroutine" else plainly)
    async with among_neighbours(boltq_app, worker):
        job = await boltq_app.submit("bad")
        if class_name is None and category is None:
            await eventually(lambda: ended(job))
            return
        error = await error_of(job)
    assert error.category == category
    assert class_name is None or error.class_name == class_name
    assert len(error.message) <= 2_000
    assert len(error.traceback) <= 16_384


async def ended(job) -> bool:
    return (await job.record()).state in {JobState.COMPLETED, JobState.DEAD, JobState.CANCELLED}


@pytest.mark.parametrize("delay", [float("inf"), float("nan"), -1, 1e300, None])
@pytest.mark.parametrize("how", [Snooze, RetryLater])
async def test_a_pause_that_is_no_pause(boltq_app, worker, how, delay):
    """It waits for a while or fails; it does not take the worker down."""
    if how is Snooze and delay is None:
        delay = "1"

    @boltq_app.task(max_attempts=2, backoff=AT_ONCE)
    async def bad() -> None:
        signal_ = how.__new__(how)
        Exception.__init__(signal_, "x")
        signal_.delay = delay
        raise signal_

    async with among_neighbours(boltq_app, worker):
        job = await bad.submit()
        await eventually(lambda: began(job))
        with suppress(Conflict):  # it may have died meanwhile
            await job.cancel()


async def began(job) -> bool:
    return (await job.record()).deliveries > 0


async def test_a_reason_that_is_not_utf8(boltq_app, worker):
    @boltq_app.task
    async def bad() -> None:
        raise Cancel("\ud800" * 5_000)

    async with among_neighbours(boltq_app, worker):
        with pytest.raises(JobCancelled):
            await (await bad.submit()).result()


async def test_a_coroutine_that_waits_for_ever(boltq_app, worker):
    @boltq_app.task(timeout=0.1, max_attempts=1)
    async def bad() -> None:
        await asyncio.Event().wait()

    async with among_neighbours(boltq_app, worker):
        assert (await error_of(await bad.submit())).category is Category.TIMEOUT


async def test_a_thread_that_never_returns(boltq_app, worker):
    """It costs its slot, and nothing else."""
    go_on = threading.Event()

    @boltq_app.task(timeout=0.1, max_attempts=1)
    def bad() -> None:
        while not go_on.is_set():
            time.sleep(0.01)

    async with among_neighbours(boltq_app, worker):
        assert (await error_of(await bad.submit())).category is Category.TIMEOUT
    go_on.set()


async def test_threads_that_hold_every_slot_end_the_worker(boltq_app):
    """It says that it is worn out, so that it is replaced; what it had not begun goes back."""
    from boltq import Worker
    from boltq.worker.slots import WornOutError

    go_on = threading.Event()

    @boltq_app.task(timeout=0.1, max_attempts=1)
    def bad() -> None:
        go_on.wait()

    jobs = await boltq_app.submit_many([bad.job() for _ in range(5)])
    with pytest.raises(ExceptionGroup) as caught:
        await Worker(boltq_app, slots=2).run()
    assert caught.group_contains(WornOutError)
    assert sorted([(await job.record()).state for job in jobs]) == ["dead"] * 2 + ["queued"] * 3
    go_on.set()


async def test_a_slow_thread_that_ends_after_all_gives_its_slot_back(boltq_app, worker):
    @boltq_app.task(timeout=0.05, max_attempts=1)
    def slow() -> None:
        time.sleep(0.3)

    async with among_neighbours(boltq_app, worker):
        jobs = await boltq_app.submit_many([slow.job() for _ in range(4)])
        for job in jobs:
            assert (await error_of(job)).category is Category.TIMEOUT


async def test_a_coroutine_that_will_not_be_cancelled(boltq_app, worker):
    """Its job is settled all the same, and may even run again beside it; in the end it returns, and nobody minds."""
    go_on, runs = asyncio.Event(), []
    app = BoltQ(settings=replace(boltq_app.settings, cleanup=0.1))

    @app.task(timeout=0.1, max_attempts=2, backoff=AT_ONCE)
    async def bad() -> str:
        runs.append(True)
        while len(runs) == 1 and not go_on.is_set():
            try:
                await asyncio.sleep(3_600)
            except asyncio.CancelledError:
                continue
        return "second run"

    async with app, worker(app, slots=2):
        job = await bad.submit()
        assert await job.result() == "second run"
        go_on.set()
    assert (len(runs), (await job.record()).attempts) == (2, 2)


async def test_a_coroutine_that_will_not_be_cancelled_and_the_end_of_its_worker(boltq_app, worker):
    """It is asked again and again; the worker ends when it has."""
    app = BoltQ(settings=replace(boltq_app.settings, grace=0.05, cleanup=0.05))
    asked, begun = [], asyncio.Event()

    @app.task
    async def bad() -> None:
        begun.set()
        while len(asked) < 3:
            try:
                await asyncio.sleep(3_600)
            except asyncio.CancelledError:
                asked.append(True)

    async with app:
        job = await bad.submit()
        async with worker(app):
            await begun.wait()
    assert len(asked) == 3
    assert (await job.record()).state in {JobState.COMPLETED, JobState.QUEUED}


async def test_a_coroutine_that_cancels_itself(boltq_app, worker):
    """Only its own run is hit."""

    @boltq_app.task(max_attempts=1)
    async def bad() -> None:
        asyncio.current_task().cancel()
        await asyncio.sleep(0)

    async with among_neighbours(boltq_app, worker):
        assert (await error_of(await bad.submit())).class_name == "CancelledError"


async def test_a_coroutine_that_leaves_a_cancel_behind(boltq_app, worker):
    """The next job in its slot does not get it."""

    @boltq_app.task
    async def bad() -> str:
        asyncio.current_task().cancel()
        return "done"

    async with among_neighbours(boltq_app, worker):
        jobs = await boltq_app.submit_many([bad.job() for _ in range(6)])
        for job in jobs:
            assert await job.result() == "done"


@pytest.mark.parametrize(
    ("name", "data", "class_name", "message"),
    [
        ("spin", {}, "JobTimeout", "its process was killed"),
        ("leave", {"code": 3}, "SystemExit", "3"),
        ("die", {}, "ProcessEnded", "signal 9"),
    ],
)
async def test_what_a_process_of_its_own_may_do(boltq_app, worker, name, data, class_name, message):
    """It cannot hurt anybody else."""
    process_tasks.listed(boltq_app, name, max_attempts=1, timeout=1.0 if name == "spin" else None)
    process_tasks.listed(boltq_app, "cube")
    async with among_neighbours(boltq_app, worker):
        bad = await boltq_app.submit(name, data)
        good = await boltq_app.submit("cube", {"n": 2})
        error = await error_of(bad)
        assert await good.result() == 8
    assert error.class_name == class_name
    assert message in error.message


async def test_what_a_process_says_arrives(boltq_app, worker):
    """Progress and log lines come through the pipe; a snooze too. The process is kept for the next job."""
    process_tasks.listed(boltq_app, "telling", "snooze")
    async with worker(slots=1):
        first = await boltq_app.submit("telling")
        pid = await first.result()
        assert pid != os.getpid()
        record = await first.record()
        assert (record.progress, record.progress_text, record.log[0].split(" ", 1)[1]) == (0.5, "half", "from a child")
        assert await (await boltq_app.submit("telling")).result() == pid
        snoozed = await boltq_app.submit("snooze")
        await eventually(lambda: is_in(snoozed, JobState.SCHEDULED))


async def is_in(job, state) -> bool:
    return (await job.record()).state is state


async def test_a_process_task_that_cannot_be_found_is_not_tried_again(boltq_app, worker):
    """A child looks for it at the top of its module, and not for a name that data gave it."""

    @boltq_app.task(executor="process")
    def hidden() -> None: ...

    hidden.function.__module__ = "process_tasks"
    async with among_neighbours(boltq_app, worker):
        error = await error_of(await hidden.submit())
    assert (error.class_name, error.category) == ("TaskNotFound", "system")


async def test_cancelling_a_process_kills_it(boltq_app, worker):
    process_tasks.listed(boltq_app, "wait")
    async with among_neighbours(boltq_app, worker):
        job = await boltq_app.submit("wait", {"seconds": 3_600})
        await eventually(lambda: is_in(job, JobState.RUNNING))
        await job.cancel()
        with pytest.raises(JobCancelled):
            await job.result()


def test_signals_are_where_they_were():
    assert signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL
