"""A new job is made from one that has ended; each knows of the other."""

import pytest

from boltq.broker.verdicts import JobVerdict
from boltq.domain import limits
from boltq.domain.errors import InvalidJob, QueueFull
from boltq.domain.job import NewJob
from boltq.domain.states import JobState


async def ended(desk, verb: str = "completed") -> str:
    await desk.worker()
    (job_id,) = await desk.submit()
    await desk.settle(await desk.claim(), verb, text="{}")
    return job_id


@pytest.mark.parametrize("verb", ["completed", "dead", "cancelled"])
async def test_both_know_of_each_other(desk, verb: str) -> None:
    old = await ended(desk, verb)
    before = await desk.inspector.job(old)
    new = NewJob(type="x", data='{"a":2}', tags=["again"], created_by="somebody", delay=500)
    verdict = await desk.broker.replay_as(old, new)
    assert verdict == JobVerdict(new.id, "replayed", "scheduled")
    made = await desk.inspector.job(new.id)
    assert (made.replay_of, made.data, made.tags, made.created_by) == (old, '{"a":2}', ["again"], "somebody")
    assert made.state is JobState.SCHEDULED
    after = await desk.inspector.job(old)
    assert after.replays == [new.id]
    assert (after.state, after.since, after.result) == (before.state, before.since, before.result)


async def test_the_new_one_lives_where_the_old_one_does(desk) -> None:
    old = await ended(desk)
    new = NewJob(type="x")
    await desk.broker.replay_as(old, new)
    assert new.id[-2:] == old[-2:]
    with pytest.raises(InvalidJob):
        await desk.broker.replay_as(old, NewJob(type="x", id="0" * 24 + "ZZ"))
    with pytest.raises(InvalidJob):
        await desk.broker.replay_as(old, NewJob(type="x", idempotency_key="k"))


async def test_a_repeated_call_makes_no_second_job(desk) -> None:
    old = await ended(desk)
    new = NewJob(type="x")
    first = await desk.broker.replay_as(old, new)
    assert await desk.broker.replay_as(old, new) == first
    assert (await desk.inspector.job(old)).replays == [new.id]
    await desk.broker.delete([old])
    assert await desk.broker.replay_as(old, new) == first


async def test_the_newest_of_many_are_remembered(desk) -> None:
    old = await ended(desk)
    made = []
    for _ in range(limits.MAX_REPLAYS + 5):
        new = NewJob(type="x")
        await desk.broker.replay_as(old, new)
        made.append(new.id)
    assert (await desk.inspector.job(old)).replays == made[-limits.MAX_REPLAYS :]


async def test_refusals(desk) -> None:
    old = await ended(desk)
    since = (await desk.inspector.job(old)).since
    (queued,) = await desk.submit()
    replay = desk.broker.replay_as
    assert await replay("nonsense", NewJob(type="x")) == JobVerdict("nonsense", "NOT_FOUND")
    assert await replay(queued, NewJob(type="x")) == JobVerdict(queued, "CONFLICT", "queued")
    assert await replay(old, NewJob(type="x"), since - 1) == JobVerdict(old, "CHANGED", "completed")
    assert await replay(old, NewJob(type="x", id=queued)) == JobVerdict(queued, "CONFLICT", "queued")
    await desk.broker.limit("default", 1)
    full = await replay(old, NewJob(type="x"), since)
    assert full == JobVerdict(old, "FULL")
    with pytest.raises(QueueFull):
        full.check()
    assert (await desk.inspector.job(old)).replays == []
