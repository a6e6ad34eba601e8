import pytest

from boltq.domain.errors import NotFound
from boltq.domain.job import NewJob, Priority, Spec
from boltq.domain.states import JobState


async def test_everything_about_a_job(desk) -> None:
    spec = Spec(max_attempts=5, timeout=2.0, headers={"a": "b"})
    (answer,) = await desk.broker.submit(
        [NewJob(type="t", queue="q", data='{"a":1}', priority=2, delay=1_000, expires_in=9_000, spec=spec)]
    )
    job = await desk.inspector.job(answer.id)
    now = desk.clock.now
    assert (job.state, job.type, job.queue, job.priority) == (JobState.SCHEDULED, "t", "q", Priority.HIGH)
    assert (job.data, job.spec, job.created_at, job.since) == ('{"a":1}', spec, now, now)
    assert (job.due_at, job.expires_at) == (now + 1_000, now + 9_000)
    assert (job.attempts, job.deliveries, job.worker, job.result, job.error) == (0, 0, None, None, None)


async def test_a_job_that_is_not_there(desk) -> None:
    for job_id in (f"{7:024d}00", "nonsense", "0" * 24 + "ZZ"):
        with pytest.raises(NotFound):
            await desk.inspector.job(job_id)


async def test_many_in_the_order_of_the_question(desk) -> None:
    ids = await desk.submit(450)
    order = [*ids[::-1], f"{7_000:024d}00", "nonsense"]
    found = await desk.inspector.jobs(order)
    assert [job.id if job else None for job in found] == [*ids[::-1], None, None]


async def test_tags_and_who_submitted_it(desk) -> None:
    plain, tagged = NewJob(type="t"), NewJob(type="t", tags=["b", "a-1"], created_by="Jörg at the desk")
    for answer, tags, by in zip(
        await desk.broker.submit([plain, tagged]), ([], ["b", "a-1"]), (None, "Jörg at the desk"), strict=True
    ):
        job = await desk.inspector.job(answer.id)
        assert (job.tags, job.created_by, job.replay_of, job.replays, job.runs) == (tags, by, None, [], [])
    page = await desk.inspector.page(JobState.QUEUED)
    assert sorted(job.tags for job in page.jobs) == [[], ["b", "a-1"]]
