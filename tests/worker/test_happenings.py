"""What a worker announces: each run that starts ends once, however it ends; and what happens to the worker itself."""

import asyncio
import threading
from collections import Counter

import pytest
from waiting import eventually

from boltq import JobContext, JobFailed, Snooze, Workflow
from boltq.broker.outage import Outage
from boltq.domain.happenings import (
    Happening,
    JobsClaimed,
    JobsDelivered,
    RegistrationLost,
    RunEnded,
    RunStarted,
    StoreAway,
    StoreBack,
    WorkerStarted,
    WorkerStopped,
)
from boltq.domain.job import NewJob, Spec
from boltq.domain.outcome import Cancelled, Category, Completed, Failed, Snoozed
from boltq.telemetry.listeners import Listeners
from boltq.worker.worker import Worker


@pytest.fixture
def heard() -> list[Happening]:
    return []


@pytest.fixture
def listeners(heard) -> Listeners:
    found = Listeners()
    found.attach(heard.append)
    return found


def ends(heard: list[Happening], job_id: str) -> list[RunEnded]:
    return [one for one in heard if isinstance(one, RunEnded) and one.run.job_id == job_id]


async def test_a_run_that_starts_ends_once(boltq_app, worker, listeners, heard):
    @boltq_app.task(max_attempts=2)
    async def work(ctx: JobContext, end: str) -> int:
        if end == "fail":
            raise ConnectionError("away")
        if end == "snooze" and ctx.attempt == 1:
            raise Snooze(600)
        return 7

    async with worker(slots=2, listeners=listeners):
        good, bad, late = [await work.submit(end) for end in ("good", "fail", "snooze")]
        assert await good.result(20) == 7
        await eventually(lambda: ends(heard, bad.id) and ends(heard, late.id))
    [well], [failed], [snoozed] = (ends(heard, job.id) for job in (good, bad, late))
    assert well.outcome == Completed("7")
    assert (well.run.job_type, well.run.queue, well.run.attempt, well.run.max_attempts) == ("work", "default", 1, 2)
    assert 0 <= well.seconds < 20
    assert 0 <= well.run.waited < 20
    assert isinstance(failed.outcome, Failed)
    assert failed.outcome.error.category is Category.TRANSIENT
    assert failed.retry_in is not None
    assert snoozed.outcome == Snoozed(600)
    started = Counter((one.run.job_id, one.run.delivery) for one in heard if isinstance(one, RunStarted))
    ended = Counter((one.run.job_id, one.run.delivery) for one in heard if isinstance(one, RunEnded))
    assert started == ended
    assert set(started.values()) == {1}


async def test_headers_come_to_whoever_listens(boltq_app, worker, listeners, heard):
    @boltq_app.task
    async def work() -> None:
        """Nothing."""

    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    async with worker(listeners=listeners):
        job = await boltq_app.submit_job(NewJob(type="work", spec=Spec(headers=trace)))
        await job.result(20)
    [end] = ends(heard, job.id)
    assert end.run.headers == trace


async def test_a_cancel_and_a_death(boltq_app, worker, listeners, heard):
    begun = asyncio.Event()

    @boltq_app.task(max_attempts=1)
    async def work(n: int) -> int:
        begun.set()
        await asyncio.sleep(3_600 if n else 0)
        return 1 // n

    async with worker(listeners=listeners):
        long, dead = await work.submit(1), await work.submit(0)
        await begun.wait()
        with pytest.raises(JobFailed):
            await dead.result(20)
        await eventually(lambda: any(isinstance(one, RunStarted) and one.run.job_id == long.id for one in heard))
        await long.cancel()
        await eventually(lambda: ends(heard, long.id))
    assert [end.outcome for end in ends(heard, long.id)] == [Cancelled("cancelled")]
    assert ends(heard, dead.id)[0].retry_in is None


async def test_a_run_that_cannot_be_stopped_has_ended_when_it_is_settled(boltq_app, worker, listeners, heard):
    go_on = threading.Event()

    @boltq_app.task(timeout=0.2, max_attempts=1)
    def work() -> None:
        go_on.wait()

    async with worker(slots=2, listeners=listeners):
        job = await work.submit()
        with pytest.raises(JobFailed):
            await job.result(20)
        go_on.set()
        await asyncio.sleep(0.2)
    [end] = ends(heard, job.id)
    assert isinstance(end.outcome, Failed)
    assert end.outcome.error.category is Category.TIMEOUT


async def test_a_step_that_does_something_else_has_no_outcome(boltq_app, worker, listeners, heard):
    flow = Workflow("waits")
    flow.wait(600)
    async with worker(listeners=listeners):
        await boltq_app.submit_workflow(flow)
        await eventually(lambda: any(isinstance(one, RunEnded) for one in heard))
    [end] = [one for one in heard if isinstance(one, RunEnded)]
    assert end.outcome is None
    assert end.run.is_step


async def test_what_happens_to_the_worker(boltq_app, worker, listeners, heard):
    @boltq_app.task
    async def work() -> None:
        """Nothing."""

    async with worker(slots=3, name="w", listeners=listeners) as one:
        await (await work.submit()).result(20)
        broker = (await boltq_app.connections()).broker
        await broker.retire(0, one._fetchers[0].worker_id, lost=True)
        await eventually(lambda: any(isinstance(happening, RegistrationLost) for happening in heard))
    assert heard[0] == WorkerStarted("w", one.queues, 3)
    assert heard[-1] == WorkerStopped("w", failed=False)
    assert any(isinstance(happening, JobsClaimed) and happening.wanted for happening in heard)
    came = sum(happening.jobs for happening in heard if isinstance(happening, JobsClaimed | JobsDelivered))
    assert came == 1
    assert RegistrationLost(0, "w.1") in heard


async def test_a_worker_that_is_cancelled_says_that_it_stops(boltq_app, listeners, heard):
    one = Worker(boltq_app, listeners=listeners)
    running = asyncio.create_task(one.run())
    await one.started.wait()
    running.cancel()
    await asyncio.wait({running})
    assert heard[-1] == WorkerStopped(one.name, failed=False)


def test_an_outage_is_announced_once(heard):
    outage = Outage()
    outage.announce_to.append(heard.append)
    for who in ("claims", "mail", "claims"):
        outage.down(who, ConnectionError("gone"))
    for who in ("claims", "mail"):
        outage.up(who)
    away, back = heard
    assert away == StoreAway("gone")
    assert isinstance(back, StoreBack)
