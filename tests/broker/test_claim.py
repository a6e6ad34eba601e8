import pytest
from model.world import World
from msgspec.structs import replace

from boltq.broker.knobs import DEFAULT_KNOBS, Knobs
from boltq.domain.job import NewJob


def test_high_before_normal_before_low_and_first_in_first_out(world: World) -> None:
    jobs = [world.make(0, priority=priority) for priority in (0, 1, 2, 0, 1, 2)]
    world.submit(*jobs)
    worker = world.register(0, ["q"], None)
    claimed = [job.id for n in (1, 2, 3) for job in world.claim(0, worker, n)]
    assert claimed == [jobs[i].id for i in (2, 5, 1, 4, 0, 3)]


def test_a_stranger_gets_nothing(world: World) -> None:
    world.submit(world.make(0))
    assert world.claim(0, "stranger", 3) == []


def test_asking_for_nothing_brings_nothing(world: World) -> None:
    world.submit(world.make(0))
    assert world.claim(0, world.register(0, ["q"], None), 0) == []


def test_the_first_queue_is_the_callers_choice(world: World) -> None:
    world.submit(world.make(0, queue="q"), world.make(0, queue="r"))
    worker = world.register(0, ["q", "r"], None)
    assert [job.queue for job in world.claim(0, worker, 2, 1)] == ["r", "q"]


def test_unknown_types_are_parked_and_then_come_first(world: World) -> None:
    unknown = [world.make(0, type="y", priority=0) for _ in range(3)]
    world.submit(*unknown, world.make(0, type="x"))
    novice = world.register(0, ["q"], {"x"})
    assert [job.type for job in world.claim(0, novice, 5)] == ["x"]
    world.submit(world.make(0, type="y", priority=2))
    expert = world.register(0, ["q"], {"x", "y"})
    assert [job.id for job in world.claim(0, expert, 3)] == [job.id for job in unknown]
    assert [job.type for job in world.claim(0, expert, 3)] == ["y"]


def test_a_parked_job_that_is_cancelled_and_replayed_is_counted_once(world: World) -> None:
    world.submit(world.make(0, type="y"), world.make(0, type="y"))
    (cancelled, _) = world.jobs
    world.claim(0, world.register(0, ["q"], {"x"}), 5)
    world.cancel(cancelled)
    expert = world.register(0, ["q"], None)
    assert len(world.claim(0, expert, 1)) == 1  # comes upon the ghost
    world.replay(cancelled)
    world.cancel(cancelled)
    world.replay(cancelled)
    assert [job.id for job in world.claim(0, expert, 5)] == [cancelled]


def test_what_has_expired_is_cancelled_and_not_run(world: World) -> None:
    late, fine = world.make(0, expires_in=1_000), world.make(0, expires_in=5_000)
    world.submit(late, fine)
    world.advance(1_000)
    assert [job.id for job in world.claim(0, world.register(0, ["q"], None), 5)] == [fine.id]
    assert world.jobs[late.id].state == "cancelled"


def test_due_jobs_come_in_the_order_of_their_times(world: World) -> None:
    jobs = [world.make(0, delay=delay) for delay in (3_000, 1_000, 2_000)]
    world.submit(*jobs)
    worker = world.register(0, ["q"], None)
    world.advance(999)
    assert world.claim(0, worker, 5) == []
    world.advance(2_001)
    assert [job.id for job in world.claim(0, worker, 5)] == [jobs[i].id for i in (1, 2, 0)]


def test_a_suspect_ends_the_claim(world: World) -> None:
    world.submit(*(world.make(0) for _ in range(4)))
    victim = world.register(0, ["q"], None)
    world.claim(0, victim, 1)
    world.retire(0, victim, lost=True)
    worker = world.register(0, ["q"], None)
    assert len(world.claim(0, worker, 4)) == 1
    assert len(world.claim(0, worker, 4)) == 3


def test_a_worker_with_a_suspect_is_not_asleep(world: World) -> None:
    worker = world.register(0, ["q"], None)
    victim = world.register(0, ["q"], None)
    world.submit(world.make(0))
    world.claim(0, victim, 1)
    world.pause("q")
    assert world.claim(0, worker, 4) == []  # sleeps
    world.retire(0, victim, lost=True)
    world.paused.discard("q")
    for home in range(world.partitions):  # as if its claim came before the hand-off
        world.raw.hdel(world.key(home, "queue:q"), "paused")
    assert len(world.claim(0, worker, 4)) == 1
    world.submit(world.make(0))
    assert len(world.standing("queued")) == 1


def test_a_delivery_is_counted_each_time(world: World) -> None:
    world.submit(world.make(0))
    worker = world.register(0, ["q"], None)
    for number in range(1, 4):
        (job,) = world.claim(0, worker, 1)
        assert (job.delivery, job.attempts) == (number, 0)
        world.settle(0, worker, [world.outcome(world.jobs[job.id], "released")])


async def test_five_thousand_of_the_same_time_all_come(desk) -> None:
    for _ in range(5):
        await desk.submit(1_000, run_at=desk.clock.now + 1_000)
    await desk.worker()
    desk.clock.now += 1_000
    seen: list[str] = []
    while jobs := await desk.claim(1_000):
        seen += [job.id for job in jobs]
        await desk.settle(jobs)
    assert len(seen) == len(set(seen)) == 5_000
    assert seen == sorted(seen)


async def test_cancelled_ids_are_skipped_and_the_caller_is_told_that_there_is_more(desk) -> None:
    ids = []
    for _ in range(10):
        ids += await desk.submit(1_000)
    assert all(verdict.word == "cancelled" for verdict in await desk.broker.cancel(ids))
    (last,) = await desk.submit()
    (stats,) = await desk.inspector.queues()
    assert (stats.queued, stats.cancelled) == (1, 10_000)
    await desk.worker()
    calls = 1
    while not (claim := await desk.broker.claim(0, "w", 5)).jobs:
        assert claim.more
        calls += 1
    assert [job.id for job in claim.jobs] == [last]
    assert calls == 11


class TestPatience:
    @pytest.fixture
    def knobs(self) -> Knobs:
        return replace(DEFAULT_KNOBS, patience=60_000)

    @pytest.mark.parametrize("n", [1, 3, 4, 10])
    async def test_each_lower_class_gets_its_quarter_when_it_has_waited(self, desk, n: int) -> None:
        for priority in (0, 1, 2):
            await desk.submit(400, priority=priority)
        await desk.worker()
        counts = {"0": 0, "1": 0, "2": 0}

        async def take(most: int) -> None:
            while most > 0:
                jobs = await desk.claim(min(n, most))
                for job in jobs:
                    counts[job.route.split(" ")[1]] += 1
                most -= len(jobs)
                await desk.settle(jobs)

        await take(20)
        assert counts == {"0": 0, "1": 0, "2": 20}
        desk.clock.now += 60_001
        await take(400)
        assert 95 <= counts["0"] <= 105
        assert 95 <= counts["1"] <= 105

    async def test_a_ghost_does_not_hide_who_waits_behind_it(self, desk) -> None:
        (ghost,) = await desk.submit(priority=0)
        await desk.submit(priority=0)
        await desk.worker()
        desk.clock.now += 60_001
        await desk.broker.cancel([ghost])
        await desk.submit(20, priority=2)
        jobs = await desk.claim(8)
        assert sum(job.route.split(" ")[1] == "0" for job in jobs) == 1


async def test_a_paused_queue_does_not_name_a_time(desk) -> None:
    await desk.submit(delay=1_000)
    await desk.broker.pause("default")
    await desk.worker()
    desk.clock.now += 5_000
    assert (await desk.broker.claim(0, "w", 1)).next_due == 0  # or the worker would look at once, for ever


async def test_the_next_time_is_the_soonest_of_all_queues(desk) -> None:
    await desk.broker.submit(
        [NewJob(type="x", queue=q, delay=d, id=f"{d:024d}00") for q, d in (("a", 900), ("b", 300))]
    )
    await desk.worker(queues="a b")
    assert (await desk.broker.claim(0, "w", 1)).next_due == desk.clock.now + 300
