import base64
from typing import Any

import pytest

from boltq.broker.broker import Broker
from boltq.broker.inspector import Inspector
from boltq.broker.search import MAX_EXAMINED
from boltq.domain.errors import InvalidJob
from boltq.domain.filters import JobFilter
from boltq.domain.job import NewJob
from boltq.domain.job_error import Category, JobError, as_json
from boltq.domain.states import JobState


async def pages(desk, state: JobState | None, limit: int = 50) -> list[str]:
    """All ids, page by page."""
    found, cursor = [], None
    while True:
        page = await desk.inspector.page(state, cursor=cursor, limit=limit)
        found += [job.id for job in page.jobs]
        cursor = page.cursor
        if cursor is None:
            return found


async def test_queued_as_they_will_run_without_the_cancelled(desk) -> None:
    low, high = await desk.submit(60, priority=0), await desk.submit(60, priority=2)
    await desk.broker.cancel(low[::2])
    assert await pages(desk, JobState.QUEUED) == high + low[1::2]


async def test_parked_ones_are_queued_too(desk) -> None:
    ids = await desk.submit(5, type="unknown")
    await desk.worker(types=["x"])
    await desk.claim(10)
    assert sorted(await pages(desk, JobState.QUEUED, 2)) == ids


async def test_scheduled_the_soonest_first(desk) -> None:
    late, soon = await desk.submit(60, delay=9_000), await desk.submit(60, delay=1_000)
    assert await pages(desk, JobState.SCHEDULED) == soon + late


async def test_running_all_of_them(desk) -> None:
    ids = await desk.submit(700)
    await desk.worker()
    await desk.claim(700)
    assert sorted(await pages(desk, JobState.RUNNING, 200)) == ids


@pytest.mark.parametrize("verb", ["completed", "dead", "cancelled"])
async def test_history_the_newest_first(desk, verb: str) -> None:
    await desk.worker()
    ids = await desk.submit(130)
    for start in range(0, 130, 13):
        jobs = await desk.claim(13)
        assert [job.id for job in jobs] == ids[start : start + 13]
        for job in jobs:
            await desk.settle([job], verb, text="{}")
            desk.clock.now += 1
    assert await pages(desk, JobState(verb)) == ids[::-1]


async def test_a_thousand_completed_while_others_complete(desk) -> None:
    await desk.worker()
    ids = await desk.submit(1_000)
    await desk.settle((await desk.claim(1_000))[::-1])
    found, cursor = [], None
    while True:
        page = await desk.inspector.page(JobState.COMPLETED, cursor=cursor, limit=100)
        found += [job.id for job in page.jobs]
        await desk.submit(7)
        await desk.settle(await desk.claim(7))
        cursor = page.cursor
        if cursor is None:
            break
    assert found == ids[::-1]


async def test_a_page_goes_on_where_its_last_job_has_left(desk) -> None:
    ids = await desk.submit(10, delay=1_000)
    page = await desk.inspector.page(JobState.SCHEDULED, limit=4)
    await desk.broker.cancel([page.jobs[-1].id])
    rest = await desk.inspector.page(JobState.SCHEDULED, cursor=page.cursor, limit=200)
    assert {*ids[4:]} <= {job.id for job in rest.jobs}


async def test_without_a_state_the_living_come_first(desk) -> None:
    await desk.worker()
    done = await desk.submit(3)
    await desk.settle(await desk.claim(3))
    waiting = await desk.submit(3)
    assert (await pages(desk, None, 2))[:3] == waiting
    assert sorted((await pages(desk, None, 2))[3:]) == done


async def test_a_list_shows_no_payloads(desk) -> None:
    await desk.submit(data='{"secret":1}')
    (job,) = (await desk.inspector.page()).jobs
    assert job.data == ""


def written(state: str, inner: str, queue: str = "default", partition: int = 0) -> str:
    """A cursor as ours are written."""
    return base64.urlsafe_b64encode(f"{state}|{queue}|{partition}|{inner}".encode()).decode().rstrip("=")


@pytest.mark.parametrize("inner", ["nonsense", "a b", "-5", "9" * 200, "9" * 30 + " x", "1 x", "ready:1 99999999999 x"])
@pytest.mark.parametrize("state", list(JobState))
async def test_a_cursor_that_somebody_made_up_harms_nothing(desk, inner: str, state: JobState) -> None:
    ids = await desk.submit(3)
    await desk.worker()
    await desk.submit(delay=9_000)
    done, dead, later = await desk.claim(3)
    await desk.settle([done])
    await desk.settle([dead], "dead", text="{}")
    await desk.settle([later], "retrying", 9_000, "{}")
    await desk.broker.cancel(await desk.submit())
    await desk.submit(2)
    await desk.claim(1)
    page = await desk.inspector.page(state, cursor=written(state, inner))
    assert {job.state for job in page.jobs} <= {state}
    assert len(ids) == 3


@pytest.mark.parametrize("cursor", ["!", "%%%", "fHw8", "AAAA", "MHxub25zZW5zZQ", written("sleeping", "")])
async def test_what_is_no_cursor_is_refused(desk, cursor: str) -> None:
    with pytest.raises(InvalidJob):
        await desk.inspector.page(cursor=cursor)


async def test_a_cursor_is_true_though_other_queues_come_and_go(desk) -> None:
    ids = await desk.submit(4, queue="m")
    page = await desk.inspector.page(JobState.QUEUED, limit=2)
    await desk.submit(2, queue="a")
    rest = await desk.inspector.page(JobState.QUEUED, cursor=page.cursor)
    assert [job.id for job in page.jobs + rest.jobs] == ids
    await desk.broker.cancel(ids)
    later = await desk.submit(queue="z")
    rest = await desk.inspector.page(JobState.QUEUED, cursor=page.cursor)
    assert [job.id for job in rest.jobs] == later


@pytest.mark.parametrize("taken", [1, 3, 7])
async def test_of_a_queue_that_is_being_worked_off_nothing_is_left_out(desk, taken: int) -> None:
    await desk.worker()
    ids = await desk.submit(40)
    found, cursor, running = [], None, []
    while True:
        page = await desk.inspector.page(JobState.QUEUED, cursor=cursor, limit=5)
        found += [job.id for job in page.jobs]
        cursor = page.cursor
        if cursor is None:
            break
        running += await desk.ids(taken)
    assert len(found) == len(set(found))
    assert {*found, *running} == {*ids}
    assert found == [job_id for job_id in ids if job_id in found]


async def test_completed_ones_may_be_deleted_between_two_pages(desk) -> None:
    await desk.worker()
    ids = await desk.submit(20)
    await desk.settle((await desk.claim(20))[::-1])
    page = await desk.inspector.page(JobState.COMPLETED, limit=5)
    assert [job.id for job in page.jobs] == ids[:-6:-1]
    await desk.broker.delete([ids[18], ids[16]])
    rest = await desk.inspector.page(JobState.COMPLETED, cursor=page.cursor)
    assert [job.id for job in rest.jobs] == ids[14::-1]


async def test_running_ones_come_in_pages_of_the_size_that_was_asked_for(desk) -> None:
    ids = await desk.submit(300)
    await desk.worker()
    await desk.claim(300)
    page = await desk.inspector.page(JobState.RUNNING, limit=40)
    assert len(page.jobs) == 40
    assert sorted(await pages(desk, JobState.RUNNING, 40)) == ids


# Filters


async def found(desk, limit: int = 50, **fields: Any) -> list[str]:
    """All ids that a filter chooses, page by page; the filter agrees with itself."""
    wanted, ids, cursor, examined = JobFilter(**fields), [], None, 0
    while True:
        page = await desk.inspector.page(wanted, cursor=cursor, limit=limit)
        assert all(wanted.matches(job) for job in page.jobs)
        assert len(page.jobs) <= limit
        ids += [job.id for job in page.jobs]
        examined += page.examined
        cursor = page.cursor
        assert page.complete == (cursor is None)
        if cursor is None:
            return ids


async def test_by_type_and_tags(desk) -> None:
    plain = await desk.submit(10)
    mail = await desk.submit(10, type="mail", tags=["eu", "big"])
    both = await desk.submit(10, type="mail", tags=["eu"], delay=1_000)
    assert await found(desk, types=("mail",)) == mail + both
    assert await found(desk, 3, types=("mail", "x")) == plain + mail + both
    assert await found(desk, tags=("eu",)) == mail + both
    assert await found(desk, tags=("big", "eu"), limit=3) == mail
    assert await found(desk, tags=("e",)) == []
    assert await found(desk, types=("mail",), states=(JobState.SCHEDULED,)) == both
    assert await found(desk, types=("mail",), queues=("other",)) == []


async def test_by_time(desk) -> None:
    start, ids = desk.clock.now, []
    for _ in range(5):
        ids += await desk.submit()
        desk.clock.now += 10
    assert await found(desk, created_after=start + 20) == ids[2:]
    assert await found(desk, created_before=start + 20) == ids[:2]
    assert await found(desk, created_after=start + 10, created_before=start + 11) == ids[1:2]


async def test_by_worker(desk) -> None:
    ids = await desk.submit(4)
    await desk.worker()
    await desk.worker("v")
    await desk.claim(1)
    await desk.claim(2, "v")
    assert await found(desk, worker="w") == ids[:1]
    assert sorted(await found(desk, worker="v")) == ids[1:3]


async def test_by_error(desk) -> None:
    ids = await desk.submit(4)
    await desk.worker()
    jobs = await desk.claim(4)
    tricky = 'say "fingerprint":"feed" and "category":"timeout"'
    for job, category, mark, message in (
        (jobs[0], Category.DATA, "beef", tricky),
        (jobs[1], Category.TIMEOUT, "feed", "late"),
        (jobs[2], Category.TIMEOUT, "", "also late"),
    ):
        text = as_json(JobError("ValueError", message, category, mark, "Traceback …"))
        await desk.settle([job], "dead" if job is not jobs[1] else "retrying", 9_000, text)
    assert await found(desk, fingerprint="feed") == ids[1:2]
    assert await found(desk, fingerprint="beef") == ids[:1]
    assert sorted(await found(desk, category="timeout")) == ids[1:3]
    assert await found(desk, category="timeout", states=(JobState.DEAD,)) == ids[2:3]
    assert await found(desk, category="data", fingerprint="feed") == []


async def test_a_page_looks_at_so_many_records_and_no_more(desk) -> None:
    await desk.submit(MAX_EXAMINED + 100)
    ids = await desk.submit(3, type="rare", priority=0)
    wanted = JobFilter(types=("rare",))
    page = await desk.inspector.page(wanted)
    assert (page.jobs, page.examined, page.complete) == ([], MAX_EXAMINED, False)
    page = await desk.inspector.page(wanted, cursor=page.cursor)
    assert ([job.id for job in page.jobs], page.examined, page.complete) == (ids, 103, True)


async def test_pages_over_queues_and_partitions(broker: Broker) -> None:
    jobs = [NewJob(type="t" if n % 3 else "u", queue=f"q{n % 4}", tags=["a"]) for n in range(300)]
    for start in range(0, 300, 30):
        await broker.submit(jobs[start : start + 30])
    inspector, ids, cursor = Inspector(broker), [], None
    while True:
        page = await inspector.page(JobFilter(types=("t",), queues=("q1", "q3")), cursor=cursor, limit=7)
        ids += [job.id for job in page.jobs]
        cursor = page.cursor
        if cursor is None:
            break
    assert sorted(ids) == sorted(job.id for job in jobs if job.type == "t" and job.queue in {"q1", "q3"})
