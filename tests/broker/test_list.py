import pytest

from boltq.domain.errors import InvalidJob
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


@pytest.mark.parametrize("cursor", ["MHxub25zZW5zZQ", "MHxhIGI", "MHwtNQ", "MHw5OTk5OTk5OTk5OTk"])
@pytest.mark.parametrize("state", list(JobState))
async def test_a_cursor_that_somebody_made_up_harms_nothing(desk, cursor: str, state: JobState) -> None:
    await desk.submit(3)
    await desk.inspector.page(state, cursor=cursor)


@pytest.mark.parametrize("cursor", ["!", "%%%", "fHw8", "AAAA"])
async def test_what_is_no_cursor_is_refused(desk, cursor: str) -> None:
    with pytest.raises(InvalidJob):
        await desk.inspector.page(cursor=cursor)
