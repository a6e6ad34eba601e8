import pytest

from boltq.broker.broker import Broker
from boltq.broker.inspector import Inspector
from boltq.domain.errors import InvalidJob
from boltq.domain.filters import JobFilter
from boltq.domain.job import NewJob
from boltq.domain.states import JobState


async def test_every_job_that_fits_and_since_when(desk) -> None:
    ids = await desk.submit(3)
    desk.clock.now += 5
    later = await desk.submit(2, delay=1_000)
    await desk.submit(2, type="other")
    picked = await desk.inspector.snapshot(JobFilter(types=("x",)))
    now = desk.clock.now
    assert dict(picked) == {**dict.fromkeys(ids, now - 5), **dict.fromkeys(later, now)}


async def test_all_of_many(broker: Broker) -> None:
    jobs = [NewJob(type="t", queue=f"q{n % 3}", delay=60_000 * (n % 2)) for n in range(5_000)]
    for start in range(0, 5_000, 500):
        await broker.submit(jobs[start : start + 500])
    picked = await Inspector(broker).snapshot(JobFilter(queues=("q0", "q2")))
    assert sorted(job_id for job_id, _ in picked) == sorted(job.id for job in jobs if job.queue != "q1")


async def test_too_many_are_refused(desk) -> None:
    await desk.submit(30)
    with pytest.raises(InvalidJob, match="more than 29"):
        await desk.inspector.snapshot(JobFilter(), most=29)
    assert len(await desk.inspector.snapshot(JobFilter(), most=30)) == 30


async def test_what_was_edited_is_picked_once_and_where_it_waits(desk) -> None:
    ids = await desk.submit(1_500)
    for priority in (2, 1):
        await desk.broker.edit(ids[3], priority=priority)
    await desk.broker.edit(ids[5], priority=2)
    picked = [job_id for job_id, _ in await desk.inspector.snapshot(JobFilter.of(JobState.QUEUED))]
    assert sorted(picked) == ids
    page = await desk.inspector.page(JobState.QUEUED, limit=8)
    assert [job.id for job in page.jobs] == [ids[5], *ids[:5], *ids[6:8]]
    counts, _ = await desk.inspector.count(JobFilter(types=("x",)))
    assert counts[JobState.QUEUED] == 1_500
