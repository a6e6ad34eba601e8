"""However a worker ends, it ends: all slots held, a loop that fails, a policy that makes no sense, an odd exception."""

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from processes import clean_environment
from waiting import eventually

from boltq import Backoff, BoltQ, Cancel, Category, JobFailed, JobState, RetryLater, Snooze, Worker
from boltq.cli.child import _code_of
from boltq.domain.retry import RetryPolicy
from boltq.worker.slots import WornOutError

pytestmark = pytest.mark.any_partitions  # what it looks at is what functions do to their process

AT_ONCE = Backoff(base=0.01, floor=0.01)


# Policies are checked when they are registered


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"errors": {ValueError: "temporary"}}, ValueError, "errors[ValueError]: 'temporary' is no category"),
        ({"errors": {ValueError: "transiant"}}, ValueError, "did you mean transient?"),
        ({"errors": {"ValueError": Category.DATA}}, TypeError, "the keys are exception classes"),
        ({"errors": {int: Category.DATA}}, TypeError, "the keys are exception classes"),
        ({"errors": [ValueError]}, TypeError, "a mapping of exception classes"),
        ({"errors": {ValueError: None}}, ValueError, "None is no category"),
        ({"backoff": {Category.UNKNOWN: 5}}, TypeError, "backoff[unknown] is 5: a Backoff(base=…), or None"),
        ({"backoff": {"unknwon": AT_ONCE}}, ValueError, "did you mean unknown?"),
        ({"backoff": 5}, TypeError, "backoff=5: a Backoff"),
        ({"max_attempts": 0}, ValueError, "max_attempts=0: from 1 to 1000"),
        ({"max_attempts": "3"}, TypeError, "max_attempts='3': a whole number"),
        ({"max_attempts": True}, TypeError, "a whole number"),
        ({"executor": "fork"}, ValueError, "executor='fork': one of async, thread, process"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_when_it_is_registered(options, kind, words):
    app = BoltQ()

    def function() -> None: ...

    with pytest.raises(kind) as caught:
        app.task(**options)(function)
    assert words in str(caught.value)
    assert app.tasks == {}


@pytest.mark.parametrize("field", ["base", "factor", "cap", "floor"])
@pytest.mark.parametrize(("value", "kind"), [(float("nan"), ValueError), (float("inf"), ValueError), (-1, ValueError),
                                             ("1", TypeError), (None, TypeError), (True, TypeError)])  # fmt: skip
def test_a_backoff_has_numbers(field, value, kind):
    with pytest.raises(kind, match=rf"Backoff\({field}=…\)"):
        Backoff(**{field: value})


def test_categories_may_be_plain_texts():
    app = BoltQ()

    @app.task(errors={ValueError: "transient"}, backoff={"transient": AT_ONCE, "unknown": None})
    def function() -> None: ...

    assert function.retry.errors == {ValueError: Category.TRANSIENT}
    assert function.retry.backoffs == {Category.TRANSIENT: AT_ONCE, Category.UNKNOWN: None}


# Whatever a job raises, and whatever its policy does, is that job's end and no other's


class Meta(type):
    """Answers no question about itself."""

    @property
    def __name__(cls):
        raise RuntimeError("no name")

    @property
    def __module__(cls):
        raise RuntimeError("no module")

    def __instancecheck__(cls, instance):
        raise RuntimeError("no instances")


class Nameless(Exception, metaclass=Meta):
    pass


class Mute(BaseException):
    def __str__(self):
        raise Nameless("and this cannot be named either")

    __repr__ = __str__


class Masked(Exception):
    @property
    def __class__(self):
        raise ValueError("no class")


class OddText(str):
    __slots__ = ()

    def __getitem__(self, _):
        raise ValueError("not to be cut")


class SaysOddly(Exception):
    def __str__(self):
        return OddText("odd \ud800")


class Odd(Backoff):
    answer: object = None

    def delay(self, attempt, chance):
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


def raising(error):
    async def function():
        raise error

    return function


def named(name):
    return type(name, (Exception,), {})("x")


def elsewhere():
    """Raised in code whose module has no name that is a text, and whose function has none that can be sent."""
    code = compile("def f():\n    raise ValueError('far')", "<far>", "exec")
    scope = {"__name__": 7}
    exec(code, scope)
    scope["f"].__code__ = scope["f"].__code__.replace(co_name="\udfff")
    try:
        scope["f"]()
    except ValueError as error:
        return error


def deep_group():
    error = ExceptionGroup("leaves", [ValueError("\udcff"), Masked()])
    for _ in range(50):
        error = ExceptionGroup("more", [error, KeyError("k")])
    return error


def chained():
    first = last = ValueError("0")
    for n in range(3_000):
        last.__cause__ = last = ValueError(str(n))
    last.__context__ = first  # a ring
    return first


ODD = {
    "a class that hides its name": (Nameless("x"), "Nameless"),
    "no text, whose error has no name": (Mute(), "Mute"),
    "a class that hides what it is": (Masked(), "Masked"),
    "a text that is no plain text": (SaysOddly(), "SaysOddly"),
    "a name of 1 MB": (named("N" * 1_000_000), "N" * 200),
    "an empty name": (named(""), ""),
    "from a place without a name": (elsewhere(), "ValueError"),
    "a group of groups": (deep_group(), "ExceptionGroup"),
    "a group of BaseExceptions": (BaseExceptionGroup("g", [KeyboardInterrupt(), SystemExit(3)]), "BaseExceptionGroup"),
    "a ring of causes": (chained(), "ValueError"),
    "a cancel of its own kind": (type("Mine", (asyncio.CancelledError,), {"__str__": lambda _: 1 / 0})(), "Mine"),
    "SystemExit with an object": (SystemExit(object()), "SystemExit"),
    "GeneratorExit": (GeneratorExit(), "GeneratorExit"),
    "StopAsyncIteration": (StopAsyncIteration(), "StopAsyncIteration"),
}


@pytest.mark.parametrize("way", ["coroutine", "thread"])
@pytest.mark.parametrize("what", ODD)
async def test_an_odd_exception_is_its_own_jobs_end(boltq_app, worker, what, way):
    error, class_name = ODD[what]

    def plainly():
        raise error

    boltq_app.task(name="odd", max_attempts=1)(raising(error) if way == "coroutine" else plainly)

    @boltq_app.task
    async def good() -> str:
        return "fine"

    async with worker(slots=1):
        job = await boltq_app.submit("odd")
        with pytest.raises(JobFailed) as caught:
            await job.result(20)
        assert await (await good.submit()).result(20) == "fine"
    assert caught.value.error.class_name == class_name


@pytest.mark.parametrize(
    "answer",
    [float("nan"), float("inf"), -1.0, "soon", None, 1j, True, ValueError("no"), KeyboardInterrupt(), Mute()],
    ids=lambda answer: repr(type(answer).__name__),
)
async def test_a_policy_that_fails_is_its_own_jobs_end(boltq_app, worker, answer):
    """A backoff of the user's own class; the job is dead, and says that its policy was what failed, and what else."""
    runs = []

    @boltq_app.task(backoff=Odd(answer=answer), max_attempts=3)
    async def bad() -> None:
        runs.append(True)
        raise ValueError("the job's own trouble")

    @boltq_app.task
    async def good() -> str:
        return "fine"

    async with worker(slots=1):
        job = await bad.submit()
        with pytest.raises(JobFailed) as caught:
            await job.result(20)
        assert await (await good.submit()).result(20) == "fine"
    error = caught.value.error
    assert (error.class_name, error.category, len(runs)) == ("RetryPolicyFailed", Category.UNKNOWN, 1)
    assert error.message.startswith("its retry policy raised ")
    assert error.message.endswith("the job itself failed with ValueError: the job's own trouble")


@pytest.mark.parametrize("bad", ["spec", "retry"])
async def test_a_job_that_cannot_begin_or_be_told_is_its_own_end(boltq_app, worker, bad, monkeypatch):
    """What fails is ours, as a bug would: the spec of one job cannot be read, or the policy that is made of it."""
    from boltq.worker.run_factory import Specs

    read = Specs.read

    def broken(self, text):
        if "900" in text and bad == "spec":
            raise Nameless("a bug")
        return read(self, text)

    monkeypatch.setattr(Specs, "read", broken)
    if bad == "retry":
        monkeypatch.setattr(RetryPolicy, "delay", lambda *_: 1 / 0)

    @boltq_app.task(max_attempts=1)
    async def job_of_ours(n: int) -> int:
        return 1 // n

    async with worker(slots=1):
        broken_one = await job_of_ours.options(timeout=900).submit(0)
        with pytest.raises(JobFailed) as caught:
            await broken_one.result(20)
        assert await (await job_of_ours.submit(1)).result(20) == 1
    names = {"spec": "Nameless", "retry": "RetryPolicyFailed"}
    assert caught.value.error.class_name == names[bad]


async def test_a_cancel_that_a_job_leaves_behind_costs_no_slot(boltq_app, worker):
    """It cancels its task when it is long over: while the slot is idle, and while the next one waits."""

    @boltq_app.task
    async def leaves_one(seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, asyncio.current_task().cancel)

    @boltq_app.task
    async def good(n: int) -> int:
        return n

    async with worker(slots=2) as one:
        for _ in range(3):
            for job in await boltq_app.submit_many([leaves_one.job(0.05) for _ in range(4)]):
                await job.result(20)
            await asyncio.sleep(0.15)
        assert [await (await good.submit(n)).result(20) for n in range(8)] == list(range(8))
        assert one._buffer.busy == 0


# Every way out


async def ends(running, seconds: float = 15.0):
    await asyncio.wait({running}, timeout=seconds)
    assert running.done(), "the worker hangs"


@pytest.mark.parametrize("slots", [1, 2, 7])
async def test_all_slots_held_end_the_worker(boltq_app, slots):
    go_on = threading.Event()

    @boltq_app.task(timeout=0.1, max_attempts=1)
    def bad() -> None:
        go_on.wait()

    await boltq_app.submit_many([bad.job() for _ in range(slots + 3)])
    one = Worker(boltq_app, slots=slots)
    running = asyncio.create_task(one.run())
    await ends(running)
    go_on.set()
    with pytest.raises(ExceptionGroup) as caught:
        running.result()
    assert caught.group_contains(WornOutError)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("boltq-lease")]
    counts = await (await boltq_app.connections()).inspector.counts()
    assert (counts[JobState.DEAD], counts[JobState.QUEUED], counts[JobState.RUNNING]) == (slots, 3, 0)


@pytest.mark.parametrize("what", ["run", "read_mail"])
async def test_a_loop_that_fails_ends_the_worker(boltq_app, what, monkeypatch):
    """A bug in ours: it is raised, the leases end, and what ran is interrupted, cleans up and goes back."""
    from boltq.worker.fetcher import Fetcher

    begun, cleaned = asyncio.Event(), []

    @boltq_app.task
    async def slow() -> None:
        begun.set()
        try:
            await asyncio.sleep(3_600)
        finally:
            await asyncio.sleep(0.5)
            cleaned.append(True)

    usual = getattr(Fetcher, what)

    async def failing(self):
        going = asyncio.create_task(usual(self))
        await begun.wait()
        going.cancel()
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Fetcher, what, failing)
    job = await slow.submit()
    running = asyncio.create_task(Worker(boltq_app).run())
    await ends(running)
    with pytest.raises(ExceptionGroup) as caught:
        running.result()
    assert caught.group_contains(ZeroDivisionError)
    assert cleaned == [True]
    record = await job.record()
    assert (record.state, record.losses) == (JobState.QUEUED, 0)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("boltq-lease")]


@pytest.mark.parametrize("how", ["forgotten", "disowned"])
async def test_functions_that_go_on_when_their_jobs_are_somebody_elses_wear_it_out(boltq_app, how):
    """They swallow each cancel, and nobody waits for them: the worker would sit there and take nothing, for ever."""
    app = BoltQ(settings=replace(boltq_app.settings, lease=1.0, cleanup=0.2))
    asked, over = [], asyncio.Event()

    @app.task(timeout=3_600)
    async def stubborn() -> None:
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                asked.append(1)

    async with app:
        one = Worker(app, slots=2)
        running = asyncio.create_task(one.run())
        await one.started.wait()
        jobs = [await stubborn.submit() for _ in range(2)]
        await eventually(lambda: len(one._running) == 2 and all(run.began for run in one._running))
        partitions = app.settings.partitions
        if how == "forgotten":
            broker = (await app.connections()).broker
            for partition in range(partitions):
                await broker.redis.delete(
                    f"{broker.layout.prefix(partition)}worker:{one._fetchers[partition].worker_id}"
                )
        else:
            for fetcher in one._fetchers:
                one.disown(fetcher.partition, one.known(fetcher.partition))
        with pytest.raises(ExceptionGroup) as caught:
            await asyncio.wait_for(running, 20)
        assert caught.group_contains(WornOutError)
        assert len(asked) >= 2 * len(jobs)  # each was asked again, when its time for cleaning up was over
        over.set()
        await eventually(lambda: all(loop.done() for loop in one._loops))  # though nobody cancels them any more


async def test_a_worker_that_is_cancelled_twice_ends_in_good_order(boltq_app):
    begun, cleaned = asyncio.Event(), []

    @boltq_app.task
    async def slow() -> None:
        begun.set()
        try:
            await asyncio.sleep(3_600)
        finally:
            await asyncio.sleep(0.3)
            cleaned.append(True)

    one = Worker(boltq_app)
    running = asyncio.create_task(one.run())
    job = await slow.submit()
    await begun.wait()  # when the store says that it runs, its function may not have been called
    running.cancel()
    await asyncio.sleep(0.1)
    running.cancel()
    await ends(running)
    assert running.cancelled()
    assert cleaned == [True]
    assert (await job.record()).state is JobState.QUEUED


async def is_running(job) -> bool:
    return (await job.record()).state is JobState.RUNNING


async def test_a_function_that_holds_all_of_the_loops_own_threads_does_not_hold_the_end(boltq_app):
    """`asyncio.to_thread` has few threads, and a worker that ends must not wait for one."""
    go_on = threading.Event()

    @boltq_app.task
    async def hoards() -> None:
        await asyncio.gather(*(asyncio.to_thread(go_on.wait) for _ in range(100)))

    app = BoltQ(settings=replace(boltq_app.settings, grace=0.1))
    app.task(hoards.function)
    one = Worker(app)
    running = asyncio.create_task(one.run())
    try:
        await one.started.wait()
        job = await boltq_app.submit("hoards")
        await eventually(lambda: is_running(job))
        one.stop()
        await ends(running)
    finally:
        go_on.set()
        await app.close()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (WornOutError("one"), 75),
        (ExceptionGroup("g", [WornOutError("one"), WornOutError("two")]), 75),
        (ExceptionGroup("g", [ExceptionGroup("h", [WornOutError("one")]), ValueError("two")]), 75),
        (ExceptionGroup("g", [ValueError("one"), ValueError("two")]), 1),
    ],
)
def test_the_exit_code_of_a_worn_out_worker(error, code):
    assert _code_of(error) == code


PROGRAM = """
import asyncio, sys, threading
from boltq import BoltQ, Settings, Worker
app = BoltQ(settings=Settings(redis_addr=sys.argv[1], namespace=sys.argv[2]))
go_on = threading.Event()

@app.task(timeout=0.1, max_attempts=1)
def bad() -> None:
    go_on.wait()

async def main():
    await app.submit_many([bad.job() for _ in range(9)])
    try:
        await Worker(app, slots=4).run()
    except ExceptionGroup as group:
        print("ended", type(group.exceptions[0]).__name__, flush=True)
    go_on.set()
    await app.close()

if sys.argv[3] == "uvloop":
    import uvloop
    uvloop.run(main())
else:
    asyncio.run(main())
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_all_slots_held_under_either_loop(valkey, namespace, loop):
    """Three times: it hung in two of three runs."""
    for run in range(3):
        command = [sys.executable, "-c", PROGRAM, valkey, f"{namespace}-{run}", loop]
        known = clean_environment(PYTHONPATH=os.pathsep.join(sys.path))
        here = Path(__file__).parent
        done = subprocess.run(command, env=known, cwd=here, capture_output=True, text=True, timeout=30, check=False)
        assert done.stdout == "ended WornOutError\n", done.stderr


# Fuzz: anything from anywhere in a job's life


@pytest.mark.parametrize("seed", range(6))
async def test_many_odd_jobs_at_once(boltq_app, worker, seed):
    """Each ends, none twice, and the worker has all of its slots in the end."""
    import random

    draw = random.Random(seed)
    errors = [error for error, _ in ODD.values()]
    said = [Snooze(1e-9), RetryLater(0), RetryLater(-5), RetryLater(1e-3), Cancel("\ud800")]

    @boltq_app.task(max_attempts=2, backoff=AT_ONCE, timeout=5)
    async def odd(kind: int) -> object:
        if kind % 5 == 0:
            asyncio.current_task().cancel()
        if kind % 7 == 0:
            await asyncio.sleep(0)
        if kind % 11 == 0:
            raise draw.choice(said[1:])
        if kind % 3 == 0:
            raise draw.choice(errors)
        return object() if kind % 13 == 0 else kind

    @boltq_app.task(max_attempts=2, backoff=Odd(answer=ValueError("no policy")), timeout=5)
    def plain(kind: int) -> object:
        if kind % 2 == 0:
            raise draw.choice(errors)
        return kind

    @boltq_app.task
    async def good(n: int) -> int:
        await asyncio.sleep(0)
        return n

    async with worker(slots=4) as one:
        jobs = [draw.choice([odd, plain]).job(draw.randrange(1_000)) for _ in range(200)]
        for job in await boltq_app.submit_many(jobs):
            with contextlib.suppress(Exception):
                await job.result(30)
            assert (await job.record()).state in {JobState.COMPLETED, JobState.DEAD, JobState.CANCELLED}
        assert [await (await good.submit(n)).result(20) for n in range(12)] == list(range(12))
        assert (one._buffer.busy, one._buffer.lost_slots, len(one._running)) == (0, 0, 0)
