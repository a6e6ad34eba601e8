"""How a program that uses BoltQ tests its jobs: in the test itself, at once, and without waiting for any clock."""

import pytest

import boltq.testing
from boltq import Backoff, BoltQ, JobCancelled, JobContext, JobFailed, JobState, Settings

app = BoltQ(settings=Settings(redis_addr="unix:///nowhere/in/production"))
sent: list[str] = []


@app.task(backoff=Backoff(base=60, factor=2, cap=600))
async def send_mail(to: str) -> str:
    """A task of the program under test."""
    if to == "nobody":
        raise ConnectionError("no such mailbox")
    sent.append(to)
    return "sent"


@app.task
def welcome(job: JobContext, name: str) -> None:
    """Another one, which submits two more jobs."""
    job.log(f"welcome {name}")
    send_mail.submit_sync(name)
    send_mail.options(delay=3 * 86_400).submit_sync(f"{name}, three days later")


@pytest.fixture(autouse=True)
def nothing_sent():
    sent.clear()


async def test_jobs_run_in_the_test_itself():
    """`run_all` also runs what the jobs submit, until nothing is left that can run now."""
    async with boltq.testing.inline(app) as inline:
        job = await welcome.submit("Ann")
        assert sent == []
        assert await inline.run_all() == 2
        assert sent == ["Ann"]
        assert (await job.record()).state is JobState.COMPLETED
        assert (await job.record()).log[0].endswith("welcome Ann")
        assert [later.type for later in await inline.jobs("scheduled")] == ["send_mail"]


async def test_time_passes_when_the_test_says_so():
    """Delays, backoffs and expiry follow the test's clock: three days take a millisecond."""
    async with boltq.testing.inline(app) as inline:
        await welcome.submit("Ann")
        await inline.run_all()
        await inline.advance(3 * 86_400 - 1)
        assert sent == ["Ann"]
        await inline.advance(1)
        assert sent == ["Ann", "Ann, three days later"]


async def test_a_failure_is_retried_as_a_worker_would():
    """With the task's own policy, the backoffs at their longest: first 60 s, then 120 s."""
    async with boltq.testing.inline(app) as inline:
        job = await send_mail.submit("nobody")
        assert await inline.run_all() == 1
        assert (await job.record()).due_at == round((inline.now + 60) * 1_000)
        assert await inline.advance(60) == 1
        assert await inline.advance(119) == 0
        assert await inline.advance(1) == 1
        with pytest.raises(JobFailed, match="no such mailbox"):
            await job.result()
        [dead] = await inline.jobs("dead")
        assert (dead.id, dead.attempts) == (job.id, 3)


async def test_a_long_time_is_lived_through_in_order():
    """What becomes due on the way runs at its own time, not all at the end."""
    async with boltq.testing.inline(app) as inline:
        begun = inline.now
        job = await send_mail.submit("nobody")
        await send_mail.options(delay=90).submit("Bob")
        assert await inline.advance(3_600) == 4
        record = await job.record()
        assert record.since == round((begun + 180) * 1_000)
        assert inline.now == begun + 3_600


async def test_every_block_begins_with_an_empty_store():
    """And after it, the application is as it was: this one is in production again, and cannot reach its store."""
    async with boltq.testing.inline(app) as inline:
        assert await inline.jobs() == []
        await send_mail.submit("Ann")
        assert len(await inline.jobs(queue="default")) == 1
    async with boltq.testing.inline(app) as inline:
        assert await inline.jobs() == []
    with pytest.raises(boltq.StoreError):
        await send_mail.submit("Ann")


async def test_an_unknown_type_and_a_cancelled_job_do_not_run():
    """As with any worker."""
    async with boltq.testing.inline(app) as inline:
        unknown = await app.submit("typo")
        cancelled = await send_mail.submit("Ann")
        await cancelled.cancel("not needed")
        assert await inline.run_all() == 0
        assert [job.id for job in await inline.jobs("queued")] == [unknown.id]
        with pytest.raises(JobCancelled, match="not needed"):
            await cancelled.result()


async def test_a_server_of_ones_own_can_be_used(valkey):
    """Nothing is left in it."""
    async with boltq.testing.inline(app, address=valkey) as inline:
        await send_mail.submit("Ann")
        await inline.run_all()
        assert sent == ["Ann"]


def test_plain_tests_have_the_same():
    """With `inline_sync`, and the calls that end in `_sync`."""
    with boltq.testing.inline_sync(app) as inline:
        job = welcome.submit_sync("Ann")
        assert inline.run_all() == 2
        assert job.record_sync().state is JobState.COMPLETED
        assert len(inline.jobs("scheduled")) == 1
        inline.advance(3 * 86_400)
        assert sent == ["Ann", "Ann, three days later"]
    app.close_sync()
