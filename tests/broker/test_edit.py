"""A waiting job is changed: what it carries, its priority, its time."""

import pytest
from model.world import World, long_lists

from boltq.broker.events import follow
from boltq.broker.verdicts import JobVerdict
from boltq.domain import limits
from boltq.domain.errors import InvalidJob
from boltq.domain.job import Priority
from boltq.domain.states import JobState


async def test_what_it_carries(desk) -> None:
    (job_id,) = await desk.submit(data='{"a":1}', tags=["old"])
    verdict = await desk.broker.edit(job_id, data='{"a":2}', tags=["new", "er"], priority=2)
    assert verdict == JobVerdict(job_id, "edited", "queued")
    job = await desk.inspector.job(job_id)
    assert (job.data, job.tags, job.priority) == ('{"a":2}', ["new", "er"], Priority.HIGH)
    await desk.worker()
    (claimed,) = await desk.claim()
    assert (claimed.data, claimed.route) == ('{"a":2}', "default 2 x")


async def test_who_gives_it_other_data_has_submitted_it(desk) -> None:
    """A task may read what its submitter may: so nobody's words run with another's rights."""
    (job_id,) = await desk.submit(data='{"a":1}', created_by="ann")
    for change, whose in (
        ({"priority": 2, "by": "bob"}, "ann"),
        ({"data": '{"a":2}'}, "ann"),
        ({"data": '{"a":3}', "by": "bob"}, "bob"),
        ({"tags": ["t"], "run_at": 0, "by": "ann"}, "bob"),
        ({"data": '{"a":4}', "by": "token"}, "token"),
    ):
        assert (await desk.broker.edit(job_id, **change)).ok
        assert (await desk.inspector.job(job_id)).created_by == whose


async def test_what_is_not_named_stays(desk) -> None:
    (job_id,) = await desk.submit(data='{"a":1}', tags=["t"], priority=2, delay=900)
    before = await desk.inspector.job(job_id)
    assert (await desk.broker.edit(job_id)).ok
    assert await desk.inspector.job(job_id) == before
    await desk.broker.edit(job_id, tags=[])
    assert (await desk.inspector.job(job_id)).tags == []


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"data": "[]"}, "/data"),
        ({"data": '{"a":"' + "x" * limits.MAX_DATA_BYTES + '"}'}, "/data"),
        ({"priority": 3}, "/priority"),
        ({"run_at": -1}, "/run_at"),
        ({"tags": ["a b"]}, "/tags"),
    ],
)
async def test_what_is_wrong_is_refused(desk, change, pointer: str) -> None:
    (job_id,) = await desk.submit()
    with pytest.raises(InvalidJob) as refused:
        await desk.broker.edit(job_id, **change)
    assert [at for at, _ in refused.value.errors] == [pointer]


def test_another_priority_is_another_place(world: World) -> None:
    world.submit(*(world.make(0) for _ in range(4)))
    first, second, third, fourth = world.jobs
    world.edit(third, priority=2)
    world.edit(fourth, priority=2)
    world.edit(first, priority=0)
    worker = world.register(0, ["q"], None)
    assert [job.id for job in world.claim(0, worker, 4)] == [third, fourth, second, first]


def test_a_time_ahead_takes_it_out_of_the_queue_and_now_brings_it_back(world: World) -> None:
    world.submit(world.make(0))
    (job,) = world.jobs
    world.edit(job, run_at=world.now + 60_000)
    worker = world.register(0, ["q"], None)
    assert world.claim(0, worker, 1) == []
    world.edit(job, run_at=0)
    assert world.jobs[job].state == "running"  # handed to the sleeper


def test_a_sleeper_learns_of_an_earlier_time(world: World) -> None:
    world.submit(world.make(0, delay=900_000))
    (job,) = world.jobs
    worker = world.register(0, ["q"], None)
    assert world.claim(0, worker, 1) == []
    world.edit(job, run_at=world.now + 1_000)  # the letter is read, and the claim answers the new time
    world.advance(1_000)
    assert [one.id for one in world.claim(0, worker, 1)] == [job]


async def test_nobody_else_s_partition(desk) -> None:
    for job_id in ("nonsense", "0" * 24 + "ZZ", f"{7:024d}00"):
        assert await desk.broker.edit(job_id, priority=1) == JobVerdict(job_id, "NOT_FOUND")


async def test_it_is_told(desk) -> None:
    (job_id,) = await desk.submit()
    await desk.broker.edit(job_id, priority=2)
    told = []
    async for moved in follow(desk.broker, 0, "0-0"):
        told.append((moved.before, moved.to, moved.priority, moved.ids))
        if moved.to == "edited":
            break
    assert told[-1] == ("queued", "edited", 2, [job_id])


class TestLongLists:
    """In a list too long to be searched, an id stays as a ghost; which is counted, and dropped when it is met."""

    @pytest.fixture
    def world(self, valkey: str, partitions: int):
        made = World(valkey, partitions=partitions, rewrite=long_lists)
        yield made
        made.close()

    def ghosts(self, world: World) -> list[int]:
        key = world.key(0, "queue:q")
        return [int(world.raw.hget(key, f"ghosts:ready:{priority}") or 0) for priority in range(3)]

    def test_the_ghost_is_dropped_and_the_job_runs_once(self, world: World) -> None:
        world.submit(world.make(0), world.make(0))
        first, second = world.jobs
        world.edit(first, priority=0)
        assert self.ghosts(world) == [0, 1, 0]
        worker = world.register(0, ["q"], None)
        assert [job.id for job in world.claim(0, worker, 4)] == [second, first]
        assert self.ghosts(world) == [0, 0, 0]

    def test_to_and_fro_makes_no_more_than_so_many(self, world: World) -> None:
        world.submit(world.make(0))
        (job,) = world.jobs
        for n in range(20):
            world.edit(job, priority=n % 3)
        assert sum(self.ghosts(world)) == 3
        worker = world.register(0, ["q"], None)
        assert [one.id for one in world.claim(0, worker, 9)] == [job]
        world.quiesce()
        assert self.ghosts(world) == [0, 0, 0]

    def test_postponed_and_due_again_before_anybody_met_its_ghost(self, world: World) -> None:
        world.submit(world.make(0), world.make(0))
        first, _ = world.jobs
        world.edit(first, run_at=world.now + 100)
        world.advance(100)
        novice = world.register(0, ["q"], {"y"})
        world.claim(0, novice, 1)  # promotes, and parks all
        world.edit(first, priority=2)
        expert = world.register(0, ["q"], None)
        assert len(world.claim(0, expert, 5)) == 2
        assert self.ghosts(world) == [0, 0, 0]

    def test_cancelled_where_it_came_to(self, world: World) -> None:
        world.submit(world.make(0))
        (job,) = world.jobs
        world.edit(job, priority=2)
        world.cancel(job)
        assert self.ghosts(world) == [0, 1, 1]
        world.replay(job)
        assert self.ghosts(world) == [0, 1, 0]
        world.delete(job)
        assert self.ghosts(world) == [0, 1, 1]
        world.claim(0, world.register(0, ["q"], None), 1)
        assert self.ghosts(world) == [0, 0, 0]


async def test_really_long_lists(desk) -> None:
    ids: list[str] = []
    for _ in range(3):
        ids += await desk.submit(1_000)
    for job_id in ids[:10]:
        await desk.broker.edit(job_id, priority=2)
    await desk.broker.delete(ids[10:20])
    (stats,) = await desk.inspector.queues()
    assert (stats.high, stats.normal) == (10, 2_980)
    listed = await queued_ids(desk)
    assert listed == ids[:10] + ids[20:]
    await desk.worker()
    claimed: list[str] = []
    while batch := await desk.claim(1_000):
        claimed += [job.id for job in batch]
        await desk.settle(batch)
    assert claimed == ids[:10] + ids[20:]


async def queued_ids(desk) -> list[str]:
    found: list[str] = []
    page = await desk.inspector.page(JobState.QUEUED, limit=200)
    found += [job.id for job in page.jobs]
    while page.cursor:
        page = await desk.inspector.page(JobState.QUEUED, limit=200, cursor=page.cursor)
        found += [job.id for job in page.jobs]
    return found
