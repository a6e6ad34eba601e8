import pytest

from boltq.broker import search
from boltq.domain.filters import JobFilter
from boltq.domain.states import JobState


async def test_states_and_queues_are_counted_exactly(desk) -> None:
    await desk.submit(5, queue="a")
    await desk.submit(3, queue="b", delay=1_000)
    await desk.broker.cancel(await desk.submit(2, queue="a"))
    counts, approximate = await desk.inspector.count(JobFilter(queues=("a",)))
    assert not approximate
    assert {state: n for state, n in counts.items() if n} == {JobState.QUEUED: 5, JobState.CANCELLED: 2}
    assert set(counts) == set(JobState)
    counts, _ = await desk.inspector.count(JobFilter(states=(JobState.SCHEDULED,)))
    assert counts == {JobState.SCHEDULED: 3}


async def test_what_is_inside_is_looked_up(desk) -> None:
    await desk.submit(2_500)
    await desk.submit(40, type="mail")
    await desk.submit(7, type="mail", delay=1_000)
    counts, approximate = await desk.inspector.count(JobFilter(types=("mail",)))
    assert not approximate
    assert {state: n for state, n in counts.items() if n} == {JobState.QUEUED: 40, JobState.SCHEDULED: 7}


async def test_too_many_are_counted_in_part_and_small_states_wholly(desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MAX_COUNTED", 100)
    await desk.submit(30, type="mail", delay=1_000)
    await desk.submit(300, type="mail")
    counts, approximate = await desk.inspector.count(JobFilter(types=("mail",)))
    assert approximate
    assert (counts[JobState.SCHEDULED], counts[JobState.QUEUED]) == (30, 70)


async def test_nothing_is_nothing(desk) -> None:
    counts, approximate = await desk.inspector.count(JobFilter(types=("mail",)))
    assert (sum(counts.values()), approximate) == (0, False)
