"""What happens when a function fails."""

import time

import pytest

from boltq import (
    Backoff,
    BoltQ,
    Cancel,
    Category,
    DataError,
    JobCancelled,
    JobFailed,
    JobState,
    RateLimited,
    RetryLater,
    Snooze,
    current_job,
)

AT_ONCE = Backoff(base=0.01, floor=0.01)


def attempt() -> int:
    job = current_job()
    assert job is not None
    return job.attempt


async def test_a_job_that_failed_runs_again(boltq_app, worker):
    """After a backoff; the error of the last run is kept meanwhile."""

    @boltq_app.task(backoff=AT_ONCE)
    async def flaky() -> str:
        if attempt() < 3:
            raise ConnectionError("refused")
        return f"worked at attempt {attempt()}"

    async with worker():
        job = await flaky.submit()
        assert await job.result() == "worked at attempt 3"
    assert (await job.record()).attempts == 3


async def test_a_job_that_keeps_failing_ends_in_the_dead_letters(boltq_app, worker):
    """Three attempts by default (MAX_ATTEMPTS)."""
    runs = []

    @boltq_app.task(backoff=AT_ONCE)
    async def hopeless() -> None:
        runs.append(attempt())
        raise ConnectionError("refused")

    async with worker():
        job = await hopeless.submit()
        with pytest.raises(JobFailed, match="ConnectionError: refused"):
            await job.result()
    assert runs == [1, 2, 3]
    assert (await job.record()).state is JobState.DEAD


@pytest.mark.parametrize(("by_job", "by_task", "expected"), [(1, 3, 1), (None, 2, 2), (None, None, 4)])
async def test_the_job_decides_how_often_it_runs_then_its_task_then_the_setting(
    boltq_app, worker, by_job, by_task, expected
):
    """The nearest one counts."""
    app = BoltQ(settings=replaced(boltq_app, max_attempts=4))
    runs = []

    @app.task(backoff=AT_ONCE, max_attempts=by_task)
    async def failing() -> None:
        runs.append(attempt())
        raise OSError

    async with app, worker(app):
        job = await failing.options(max_attempts=by_job).submit()
        with pytest.raises(JobFailed):
            await job.result()
    assert len(runs) == expected


def replaced(app: BoltQ, **changes):
    from dataclasses import replace

    return replace(app.settings, **changes)


class PaymentDeclined(Exception):
    """An error of the user's own."""


@pytest.mark.parametrize(
    ("error", "category"),
    [
        (ConnectionResetError("reset"), Category.TRANSIENT),
        (TimeoutError("late"), Category.TIMEOUT),
        (MemoryError(), Category.SYSTEM),
        (KeyError("x"), Category.UNKNOWN),
        (RateLimited(), Category.RATE_LIMITED),
        (PaymentDeclined("no funds"), Category.DATA),
    ],
)
async def test_every_error_has_a_category(boltq_app, worker, error, category):
    """The well-known ones by themselves, a task's own by the mapping that it gives."""

    @boltq_app.task(max_attempts=1, errors={PaymentDeclined: Category.DATA})
    async def failing() -> None:
        raise error

    async with worker():
        job = await failing.submit()
        with pytest.raises(JobFailed) as caught:
            await job.result()
    assert caught.value.error.category is category
    assert caught.value.error.class_name == type(error).__name__


async def test_each_category_has_its_own_backoff(boltq_app, worker):
    """And one without a backoff is not retried at all."""

    @boltq_app.task(backoff={Category.TRANSIENT: AT_ONCE, Category.SYSTEM: None})
    async def failing(how: str) -> None:
        raise ConnectionError(how) if how == "transient" else OSError(how)

    async with worker():
        transient, system = await failing.submit("transient"), await failing.submit("system")
        for job in (transient, system):
            with pytest.raises(JobFailed):
                await job.result()
    assert (await transient.record()).attempts == 3
    assert (await system.record()).attempts == 1


def test_the_backoff_doubles_and_is_spread():
    """Full jitter above a floor: after a crowd has failed together, it does not come back together."""
    backoff = Backoff(base=1, factor=2, cap=10, floor=0.5)
    assert [backoff.ceiling(n) for n in (1, 2, 3, 4, 5, 100)] == [1, 2, 4, 8, 10, 10]
    assert (backoff.delay(3, 0.0), backoff.delay(3, 1.0)) == (0.5, 4.0)


async def test_a_task_asks_to_be_retried_later(boltq_app, worker):
    """It knows best when it is worth another try; that counts as an attempt."""

    @boltq_app.task
    async def poll() -> list[float]:
        if attempt() == 1:
            raise RetryLater(0.2)
        return [time.time(), attempt()]

    async with worker():
        before = time.time()
        job = await poll.submit()
        after, at = await job.result()
    assert after - before >= 0.2
    assert at == 2


async def test_a_rate_limit_names_its_own_pause(boltq_app, worker):
    """As the other side said."""

    @boltq_app.task
    async def call_api() -> str:
        if attempt() == 1:
            raise RateLimited(retry_after=0.05)
        return "ok"

    async with worker():
        assert await (await call_api.submit()).result() == "ok"


async def test_data_that_cannot_be_processed_are_not_tried_again(boltq_app, worker):
    """A retry would only fail in the same way."""

    @boltq_app.task
    async def parse(text: str) -> None:
        raise DataError(f"not a date: {text}")

    async with worker():
        job = await parse.submit("yesterdayish")
        with pytest.raises(JobFailed, match="not a date: yesterdayish"):
            await job.result()
    assert (await job.record()).attempts == 1


async def test_a_snooze_is_not_an_attempt(boltq_app, worker):
    """Not now: the same attempt begins again later, as often as it likes."""
    looks = []

    @boltq_app.task(max_attempts=1)
    async def wait_for_file() -> int:
        looks.append(attempt())
        if len(looks) < 4:
            raise Snooze(0.01)
        return len(looks)

    async with worker():
        job = await wait_for_file.submit()
        assert await job.result() == 4
    assert looks == [1, 1, 1, 1]
    record = await job.record()
    assert (record.attempts, record.deliveries) == (1, 4)


async def test_a_task_may_cancel_its_own_job(boltq_app, worker):
    """What was to be done need not be done any more."""

    @boltq_app.task
    def sync_user() -> None:
        raise Cancel("the user is gone")

    async with worker():
        job = await sync_user.submit()
        with pytest.raises(JobCancelled, match="the user is gone"):
            await job.result()
