"""Who holds a job, and for how long."""

import os
import signal

import pytest
from processes import Program
from waiting import eventually
from worker_processes import ended, here, state_of, worker_process

from boltq import JobCancelled, JobFailed, JobState


async def test_a_blocked_event_loop_keeps_its_jobs(app, worker, marks):
    """For three leases; the heartbeat comes from a thread, so the living worker beside it takes nothing away."""
    with worker_process(app, "--slots", "2"):
        await eventually(lambda: here(app, "far"))
        blocking = await app.submit("block", {"path": marks.path, "seconds": 2.0})
        await eventually(lambda: marks.words() == ["begin"])
        async with worker(app, name="near"):
            others = [await app.submit("note", {"path": marks.path, "word": "note"}) for _ in range(20)]
            for job in others:
                await job.result()
            assert await blocking.result() == "blocked"
    assert sorted(marks.words()) == ["begin", "end", *["note"] * 20]
    record = await blocking.record()
    assert (record.deliveries, record.losses) == (1, 0)


async def test_a_function_that_blocks_the_loop_for_ever_ends_its_process(app, worker, marks):
    """After its timeout: it is settled by the lease thread, everything else goes back at once, and nobody is blamed."""
    with worker_process(app, "--slots", "4") as far:
        await eventually(lambda: here(app, "far"))
        naps = await app.submit_many([app.job_of("nap", {"path": marks.path, "seconds": 0.5}) for _ in range(3)])
        await eventually(lambda: marks.words().count("begin") == 3)
        bad = await app.submit("wedge", {"path": marks.path})
        assert await ended(far) == 75
        with pytest.raises(JobFailed, match="longer than its timeout"):
            await bad.result()
        records = [await job.record() for job in naps]
        assert {(record.state, record.losses) for record in records} == {(JobState.QUEUED, 0)}
        assert await here(app, "far") == []
        async with worker(app):
            for job in naps:
                assert await job.result() == "slept"


async def test_a_worker_that_was_frozen_finds_its_jobs_taken(app, worker, marks):
    """Its late outcome is refused, it registers anew, and works on."""
    with worker_process(app, "--slots", "2") as far:
        await eventually(lambda: here(app, "far"))
        job = await app.submit("nap", {"path": marks.path, "seconds": 1.0})
        await eventually(lambda: marks.words() == ["begin"])
        os.kill(far.pid, signal.SIGSTOP)
        async with worker(app, name="near"):
            assert await job.result() == "slept"
        taken = await job.record()
        assert (taken.deliveries, taken.losses) == (2, 1)
        assert taken.worker.startswith("near")
        assert await here(app, "far") == []

        os.kill(far.pid, signal.SIGCONT)
        [again] = await eventually(lambda: here(app, "far"))
        assert again.id.endswith(".2")
        assert await (await app.submit("note", {"path": marks.path, "word": "on"})).result() == "on"
        assert await job.record() == taken
    assert marks.words().count("begin") == 2


async def test_what_a_killed_worker_held_is_done_by_another_when_its_lease_is_over(app, worker, marks):
    """Nobody has to notice or to act: the living take it back."""
    with worker_process(app, "--slots", "8") as far:
        await eventually(lambda: here(app, "far"))
        jobs = await app.submit_many([app.job_of("nap", {"path": marks.path, "seconds": 30.0}) for _ in range(4)])
        waiting = await app.submit_many([app.job_of("note", {"path": marks.path, "word": "w"}) for _ in range(4)])
        await eventually(lambda: marks.words().count("begin") == 4)
        far.kill()
        async with worker(app, slots=10):
            for job in waiting:
                await job.result()
            for job in jobs:
                await eventually(lambda job=job: has(job, losses=1))
                await eventually(lambda job=job: is_running(job))
                await job.cancel()
                with pytest.raises(JobCancelled):
                    await job.result()


async def has(job, losses: int) -> bool:
    return (await job.record()).losses == losses


async def is_running(job) -> bool:
    return await state_of(job) is JobState.RUNNING


async def test_a_job_that_kills_its_workers_is_buried(app, marks):
    """As poison, after three of them; each goes on with nothing else beside it, so that others do not suffer."""
    job = await app.submit("murder", {"path": marks.path})
    for number in range(4):
        with worker_process(app, name=f"victim-{number}") as victim:
            await eventually(lambda: ended_or_dead(victim, job))
        if await state_of(job) is JobState.DEAD:
            break
    with pytest.raises(JobFailed) as caught:
        await job.result()
    assert caught.value.error.category == "poison"
    assert marks.words() == ["begin"] * 3


async def ended_or_dead(victim: Program, job) -> bool:
    return victim.process.poll() is not None or await state_of(job) is JobState.DEAD
