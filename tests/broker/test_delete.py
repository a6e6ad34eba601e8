"""Jobs are deleted, with all that belongs to them."""

import asyncio

import pytest
from model.world import World

from boltq.broker import calls
from boltq.broker.broker import Broker
from boltq.broker.events import Watch, follow
from boltq.broker.settling import Settling
from boltq.broker.verdicts import JobVerdict
from boltq.domain.errors import NotFound
from boltq.domain.job import NewJob, Submitted


def test_every_state_but_running(world: World) -> None:
    world.submit(*(world.make(0) for _ in range(6)), world.make(0, delay=9_000))
    worker = world.register(0, ["q"], None)
    done, dead, retrying, cancelled, running, queued, scheduled = world.jobs
    world.claim(0, worker, 5)
    verbs = {done: "completed", dead: "dead", retrying: "retrying", cancelled: "cancelled"}
    world.settle(0, worker, [world.outcome(world.jobs[job], verb, 9_000) for job, verb in verbs.items()])
    world.delete(done, dead, retrying, cancelled, running, queued, scheduled, f"{9:024d}00", "nonsense")
    assert list(world.jobs) == [running]
    world.delete(done)
    world.quiesce()


async def test_nothing_of_it_is_left(desk) -> None:
    await desk.worker()
    (job_id,) = await desk.submit()
    before = await desk.broker.redis.keys(desk.key("*:" + job_id))
    assert len(before) == 1
    (job,) = await desk.claim()
    await desk.broker.progress(0, "w", [(job_id, 1, "", "", ["a line"])])
    await desk.settle([job], "retrying", 60_000, "{}")
    assert len(await desk.broker.redis.keys(desk.key("*:" + job_id))) == 3
    assert await desk.broker.delete([job_id]) == [JobVerdict(job_id, "deleted", "deleted")]
    assert await desk.broker.redis.keys(desk.key("*:" + job_id)) == []


async def test_many_in_the_order_of_the_question(desk) -> None:
    ids: list[str] = []
    for _ in range(3):
        ids += await desk.submit(1_000)
    order = [*ids[::-1], "nonsense", ids[0]]
    verdicts = await desk.broker.delete(order)
    assert [verdict.id for verdict in verdicts] == order
    assert {verdict.word for verdict in verdicts[:3_000]} == {"deleted"}
    assert [verdict.word for verdict in verdicts[3_000:]] == ["NOT_FOUND", "deleted"]


async def test_more_history_than_one_call_searches(valkey: str, namespace: str, partitions: int) -> None:
    """A call that has searched long lists says AGAIN, and the broker asks again."""

    def impatient(name: str, text: str) -> str:
        return text.replace("MOST_SEARCHED = 500000", "MOST_SEARCHED = 1000")

    async with Broker(valkey, namespace=namespace, partitions=partitions, rewrite=impatient) as broker:
        await broker.register(0, "w", info="{}", queues=["default"], types=None, lease_ms=15_000)
        ids = [f"{n:024d}00" for n in range(600)]
        await broker.submit([NewJob(type="x", id=job_id) for job_id in ids])
        jobs = (await broker.claim(0, "w", 600)).jobs
        await broker.settle(0, "w", [Settling(job.id, job.delivery, "completed", 1, 0, "1") for job in jobs])
        words = await broker.send(calls.jobs.delete(0, [(job_id, 0) for job_id in ids[:2]]))
        assert words == ["deleted", "AGAIN"]
        verdicts = await broker.delete(ids[:10])
        assert [verdict.word for verdict in verdicts] == ["NOT_FOUND", *["deleted"] * 9]


async def test_it_is_told_and_who_waits_for_its_end_hears_of_it(desk) -> None:
    (job_id,) = await desk.submit(delay=60_000)
    watch = Watch(desk.broker)
    waiting = asyncio.create_task(watch.end_of(job_id))
    await asyncio.sleep(0)
    await desk.broker.delete([job_id])
    with pytest.raises(NotFound):
        await waiting
    await watch.close()
    told = []
    async for moved in follow(desk.broker, 0, "0-0"):
        told.append((moved.before, moved.to, moved.ids))
        if moved.to == "deleted":
            break
    assert told[-1] == ("scheduled", "deleted", [job_id])


@pytest.mark.parametrize("state", ["queued", "scheduled", "retrying", "dead", "cancelled", "completed"])
async def test_the_key_of_what_has_not_completed_is_free_again(desk, state) -> None:
    def job(number: int) -> NewJob:
        own = {"id": f"{number:024d}00", "idempotency_key": "k"}  # in the desk's partition
        return NewJob(type="x", data="{}", delay=60_000 if state == "scheduled" else 0, **own)

    await desk.worker()
    (first,) = await desk.broker.submit([job(1)])
    if state in {"retrying", "dead", "completed"}:
        await desk.settle(await desk.claim(), state, 60_000, "{}")
    elif state == "cancelled":
        await desk.broker.cancel([first.id])
    assert await desk.states(first.id) == [state]
    assert await desk.broker.delete([first.id]) == [JobVerdict(first.id, "deleted", "deleted")]
    (again,) = await desk.broker.submit([job(2)])
    assert again == (Submitted(first.id, created=False) if state == "completed" else Submitted(again.id))
    assert (again.id == first.id) is (state == "completed")


async def test_the_key_of_another_job_is_not_freed(desk) -> None:
    """The first use was forgotten, and somebody else has the key now."""
    jobs = [NewJob(type="x", data="{}", idempotency_key="k", id=f"{number:024d}00") for number in (1, 2, 3)]
    (first,) = await desk.broker.submit(jobs[:1])
    await desk.broker.redis.delete(desk.key("idem:k"))
    (second,) = await desk.broker.submit(jobs[1:2])
    assert second.created
    await desk.broker.delete([first.id])
    assert await desk.broker.submit(jobs[2:]) == [Submitted(second.id, created=False)]
