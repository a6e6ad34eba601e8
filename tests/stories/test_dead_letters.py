"""Jobs that cannot succeed wait for a person, with all that is needed to understand why."""

import pytest

from boltq import JobError, JobFailed, JobState


async def test_a_dead_letter_tells_what_happened(boltq_app, worker):
    """The class, message, traceback and category; and a fingerprint by which the same errors are grouped."""

    @boltq_app.task(max_attempts=1)
    async def divide(a: int, b: int) -> float:
        return a / b

    async with worker():
        errors = []
        for job in [await divide.submit(1, 0), await divide.submit(2, 0)]:
            with pytest.raises(JobFailed) as caught:
                await job.result()
            errors.append(caught.value.error)

    first, second = errors
    assert isinstance(first, JobError)
    assert (first.class_name, first.message, first.category) == ("ZeroDivisionError", "division by zero", "unknown")
    assert "return a / b" in first.traceback
    assert first.fingerprint == second.fingerprint


async def test_a_dead_job_is_replayed(boltq_app, worker):
    """After the cause is gone: with all its attempts before it, and its old error forgotten."""
    is_down = True

    @boltq_app.task(max_attempts=1)
    async def call_partner() -> str:
        if is_down:
            raise ConnectionError("partner is down")
        return "done"

    line = await boltq_app.connections()
    async with worker():
        job = await call_partner.submit()
        with pytest.raises(JobFailed):
            await job.result()
        dead = await line.inspector.page(JobState.DEAD)
        assert [found.id for found in dead.jobs] == [job.id]

        is_down = False
        await line.broker.replay([job.id])
        assert await job.result() == "done"
    record = await job.record()
    assert (record.state, record.attempts, record.error) == (JobState.COMPLETED, 1, None)
