"""Draining a worker and sending it home, through the store: what runs may finish, and nothing new begins."""

import asyncio

from waiting import eventually
from worker_processes import ended, here, state_of, worker_process

from boltq import BoltQ, JobState, Settings, Worker

SENT_HOME = 76


async def broker_of(app):
    return (await app.connections()).broker


async def state_here(app, name: str) -> str | None:
    found = await here(app, name)
    return found[0].state if found else None


def holding(app):
    """A task that runs until it is let go, and what lets it go."""
    begun, go = asyncio.Event(), asyncio.Event()

    @app.task
    async def hold() -> str:
        begun.set()
        await go.wait()
        return "held"

    @app.task
    async def quick() -> str:
        return "quick"

    return begun, go


async def test_a_draining_worker_finishes_what_runs_and_begins_nothing(boltq_app, worker):
    begun, go = holding(boltq_app)
    broker = await broker_of(boltq_app)
    async with worker(slots=1, name="d") as one:
        held = await boltq_app.submit("hold")
        await begun.wait()
        await broker.tell("d.1", "draining")
        await eventually(lambda: not any(fetcher.claiming for fetcher in one._fetchers))
        behind = await boltq_app.submit("quick")
        go.set()
        assert await held.result() == "held"
        assert await state_here(boltq_app, "d") == "draining"
        assert await state_of(behind) is JobState.QUEUED
        await broker.tell("d.1", "")
        assert await behind.result() == "quick"
        assert await state_here(boltq_app, "d") == "up"


async def test_what_it_had_claimed_and_not_begun_goes_back(boltq_app, worker):
    begun, go = holding(boltq_app)
    async with worker(slots=2, name="d") as one:
        one._buffer._mean = 0.001  # jobs were quick so far: so some are claimed ahead
        one._buffer._most = 20
        holds = await boltq_app.submit_many([boltq_app.job_of("hold") for _ in range(10)])
        await begun.wait()
        await eventually(lambda: one._buffer.busy == 2)
        await (await broker_of(boltq_app)).tell("d.1", "draining")
        await eventually(lambda: not any(fetcher.claiming or fetcher.outbox for fetcher in one._fetchers))

        async def states() -> list[JobState]:
            return sorted([await state_of(job) for job in holds])

        wanted = [JobState.QUEUED] * 8 + [JobState.RUNNING] * 2

        async def settled() -> bool:
            return await states() == wanted

        await eventually(settled)
        go.set()


async def test_an_idle_worker_that_drains_leaves_new_jobs_to_others(boltq_app, worker):
    holding(boltq_app)
    broker = await broker_of(boltq_app)
    async with worker(name="idle"), worker(name="other"):
        await broker.tell("idle.1", "draining")
        jobs = await boltq_app.submit_many([boltq_app.job_of("quick") for _ in range(20)])
        for job in jobs:
            await job.result()
        assert {(await job.record()).worker for job in jobs} == {"other.1"}


async def test_a_letter_that_is_lost_does_not_matter(valkey, namespace, partitions):
    """The next beat tells it."""
    settings = Settings(redis_addr=valkey, namespace=namespace, partitions=partitions, lease=0.6)
    async with BoltQ(settings=settings) as app:
        one = Worker(app, name="d")
        for_mail = one.wished

        def only_beats(partition: int, wish: str, at: int) -> None:
            if asyncio.current_task() is None:  # a callback of the lease thread, and not the loop that reads mail
                for_mail(partition, wish, at)

        one.wished = only_beats  # type: ignore[method-assign]
        running = asyncio.create_task(one.run())
        await one.started.wait()
        await (await broker_of(app)).tell("d.1", "draining")
        await eventually(lambda: not any(fetcher.claiming for fetcher in one._fetchers))
        await (await broker_of(app)).tell("d.1", "stopping")
        await asyncio.wait_for(running, 30)
        assert one.sent_home


async def test_it_drains_still_under_a_new_registration(boltq_app, worker):
    holding(boltq_app)
    broker = await broker_of(boltq_app)
    async with worker(name="d") as one:
        await broker.tell("d.1", "draining")
        await eventually(lambda: not any(fetcher.claiming for fetcher in one._fetchers))
        for fetcher in one._fetchers:
            one.lost(fetcher.partition, "d.1")
        await eventually(lambda: all(fetcher.worker_id == "d.2" for fetcher in one._fetchers))
        job = await boltq_app.submit("quick")
        states = {worker.id: worker.state for worker in await (await boltq_app.connections()).inspector.workers()}
        assert states["d.2"] == "draining"
        assert (await broker.claim(0, "d.2", 1)).jobs == []
        await broker.tell("d.2", "")
        assert await job.result() == "quick"


async def test_a_worker_that_is_sent_home_finishes_and_says_so_by_its_exit_code(app, marks):
    with worker_process(app, "--slots", "1") as far:
        await eventually(lambda: here(app, "far"))
        job = await app.submit("nap", {"path": marks.path, "seconds": 0.5})
        await eventually(lambda: marks.words() == ["begin"])
        behind = await app.submit("note", {"path": marks.path, "word": "note"})
        await (await broker_of(app)).tell("far.1", "stopping")
        assert await ended(far) == SENT_HOME
    assert (await state_of(job), await state_of(behind)) == (JobState.COMPLETED, JobState.QUEUED)
    assert await here(app, "far") == []


async def test_a_supervisor_puts_nobody_in_its_place(app):
    """Of its two workers one is sent home, and works no more; when the other one is, too, the supervisor ends."""
    with worker_process(app, "--processes", "2", supervised=True) as far:

        async def names() -> list[str]:
            found = await (await app.connections()).inspector.workers()
            return sorted({one.id for one in found if one.id.startswith("far-")})

        async def two() -> bool:
            return len(await names()) == 2

        await eventually(two)
        first, second = await names()
        broker = await broker_of(app)
        await broker.tell(first, "stopping")

        async def one_left() -> bool:
            return await names() == [second]

        await eventually(one_left)
        await asyncio.to_thread(far.wait_for, "no other takes its place")
        await broker.tell(second, "stopping")
        assert await ended(far) == 0
    assert far.output.count("runs:") == 2, "no third worker was started"


async def test_one_that_does_not_end_is_killed_and_its_job_goes_back(app, marks):
    with worker_process(app, "--grace", "0.2", supervised=True) as far:
        job = await app.submit("stubborn", {"path": marks.path})
        await eventually(lambda: marks.words() == ["begin"])
        worker_id = (await job.record()).worker
        await (await broker_of(app)).tell(worker_id, "stopping")
        assert await ended(far) == 0
    record = await job.record()
    assert (record.state, record.attempts, record.losses) == (JobState.QUEUED, 0, 0)
