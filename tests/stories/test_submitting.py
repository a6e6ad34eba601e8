"""Submitting a job, and what comes back."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from boltq import BoltQ, Conflict, InvalidJob, JobCancelled, JobState, NewJob, NotFound, Priority, WaitTimeout


async def test_a_submitted_job_gives_its_result(boltq_app, worker):
    """A task is a function; `submit` takes its arguments, and the handle waits for what it returns."""

    @boltq_app.task
    async def add(a: int, b: int) -> int:
        return a + b

    async with worker():
        job = await add.submit(2, b=3)
        assert await job.result() == 5

    record = await job.record()
    assert (record.state, record.type, record.attempts) == (JobState.COMPLETED, "add", 1)


async def test_a_plain_function_is_a_task_too(boltq_app, worker):
    """It runs in a thread, so that it does not hold up the others."""

    @boltq_app.task
    def shout(text: str) -> str:
        return text.upper()

    async with worker():
        assert await (await shout.submit("hello")).result() == "HELLO"


async def test_a_task_can_still_be_called(boltq_app):
    """Calling the task is calling the function: here, now, with no store involved."""

    @boltq_app.task
    def double(n: int) -> int:
        """Twice as much."""
        return n * 2

    assert double(21) == 42
    assert double.__doc__ == "Twice as much."


async def test_a_job_is_submitted_by_name_where_its_code_is_not_known(boltq_app, worker, valkey):
    """Another program needs the name of the job type and nothing else."""

    @boltq_app.task(name="mail.send")
    async def send(to: str) -> str:
        return f"sent to {to}"

    async with worker(), BoltQ(settings=boltq_app.settings) as other:
        job = await other.submit("mail.send", {"to": "ann@example.org"})
        assert await job.result() == "sent to ann@example.org"


async def test_a_handle_can_be_made_from_an_id(boltq_app, worker):
    """An id is all one has to keep."""

    @boltq_app.task
    async def answer() -> int:
        return 42

    job = await answer.submit()
    async with worker():
        assert await boltq_app.job(job.id).result() == 42
    with pytest.raises(NotFound):
        await boltq_app.job("01J00000000000000000000000").record()


async def test_waiting_for_a_result_may_end_before_the_job_does(boltq_app):
    """The job goes on; only the waiting has ended."""
    job = await boltq_app.submit("slow")
    with pytest.raises(WaitTimeout):
        await job.result(timeout=0.05)
    assert (await job.record()).state is JobState.QUEUED


async def test_a_job_waits_for_its_time(boltq_app, worker):
    """A delay, or a time to run at: until then the job is scheduled."""

    @boltq_app.task
    async def ring() -> float:
        return time.time()

    async with worker():
        submitted = time.time()
        later = await ring.options(delay=timedelta(seconds=0.3)).submit()
        at = await ring.options(run_at=datetime.now(UTC) + timedelta(seconds=0.4)).submit()
        assert (await later.record()).state is JobState.SCHEDULED
        assert await later.result() - submitted >= 0.299
        assert await at.result() - submitted >= 0.399


async def test_a_job_that_is_not_started_in_time_never_runs(boltq_app, worker):
    """Some work is worthless after a while."""
    ran = []

    @boltq_app.task
    async def remind() -> None:
        ran.append(True)

    job = await remind.options(expires_at=time.time() - 1).submit()
    async with worker():
        with pytest.raises(JobCancelled, match="expired"):
            await job.result()
    assert ran == []


async def test_high_runs_before_normal_and_normal_before_low(boltq_app, worker):
    """Within one priority, who came first is served first; all that within one partition, as one batch is."""
    order = []

    @boltq_app.task
    async def note(name: str) -> None:
        order.append(name)

    named = [("a", "low"), ("b", Priority.NORMAL), ("c", 2), ("d", "high"), ("e", 1)]
    jobs = await boltq_app.submit_many([note.options(priority=priority).job(name) for name, priority in named])
    async with worker(slots=1):
        for job in jobs:
            await job.result()
    assert order == ["c", "d", "b", "e", "a"]


async def test_an_idempotency_key_makes_one_job_of_many_submissions(boltq_app):
    """Repeating a submission with its key is safe; using the key for something else is refused."""
    first = await boltq_app.submit("charge", {"cents": 500}, idempotency_key="order-7")
    again = await boltq_app.submit("charge", {"cents": 500}, idempotency_key="order-7")
    assert (again.id, again.created) == (first.id, False)

    with pytest.raises(Conflict, match="order-7"):
        await boltq_app.submit("charge", {"cents": 900}, idempotency_key="order-7")


async def test_many_jobs_are_submitted_at_once(boltq_app, worker):
    """One call takes any number; it sends them in large batches."""

    @boltq_app.task
    async def square(n: int) -> int:
        return n * n

    jobs = await boltq_app.submit_many([square.job(n) for n in range(2_500)])
    async with worker():
        assert [await job.result() for job in jobs[::100]] == [n * n for n in range(0, 2_500, 100)]
        assert await jobs[-1].result() == 2_499 * 2_499


async def test_the_same_id_is_one_job(boltq_app):
    """A caller that makes the id itself may repeat a submission whose answer it never got."""
    job = NewJob(type="import", data='{"file":"a.csv"}', id="01J8ZC5Y3M6Q4T2W1X0VBNKD00")
    first = await boltq_app.submit_job(job)
    again = await boltq_app.submit_job(job)
    assert (first.id, first.created, again.id, again.created) == (job.id, True, job.id, False)


async def test_what_cannot_be_accepted_is_named_field_by_field(boltq_app):
    """All that is wrong is said at once."""
    with pytest.raises(InvalidJob) as caught:
        await boltq_app.submit("bad name!", {}, queue="also bad", max_attempts=0, delay=-1)
    assert [pointer for pointer, _ in caught.value.errors] == ["/type", "/queue", "/delay_seconds", "/max_attempts"]

    with pytest.raises(InvalidJob, match="not both"):
        await boltq_app.submit("report", delay=10, run_at=time.time() + 10)


async def test_a_call_that_does_not_fit_the_function_is_refused_where_it_is_made(boltq_app):
    """The same error as calling the function would raise."""

    @boltq_app.task
    async def resize(image: str, width: int = 100) -> None: ...

    with pytest.raises(TypeError):
        await resize.submit()
    with pytest.raises(TypeError):
        await resize.submit("a.png", height=3)
