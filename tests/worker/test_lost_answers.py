"""A request arrives at the store, and its answer is lost on the way back: nothing is lost, nothing runs twice."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest
from proxy import proxy_before
from waiting import eventually

from boltq import BoltQ, JobState


@pytest.mark.parametrize("word", ["_claim", "_settle", "BLPOP", "_held", "_register"])
async def test_an_answer_that_is_lost_costs_nothing_but_time(boltq_app, worker, valkey, tmp_path, word):
    """A claim's jobs are found again (`held`) and given back unrun; an outcome that has arrived is not sent again."""
    runs: Counter[int] = Counter()

    async with proxy_before(valkey, tmp_path) as proxy:
        distant = BoltQ(settings=replace(boltq_app.settings, redis_addr=proxy.address))

        @distant.task
        async def count(n: int) -> int:
            runs[n] += 1
            await asyncio.sleep(0.002)
            return n

        async with distant:
            if word == "_register":
                proxy.lose_answers(word, 1)
            async with worker(distant, slots=4):
                jobs = await boltq_app.submit_many([boltq_app.job_of("count", {"n": n}) for n in range(100)])
                for wave in range(3):
                    await eventually(lambda wave=wave: len(runs) >= 20 * wave)
                    if word == "_held":
                        proxy.lose_answers("_claim", 1)
                        await eventually(lambda: proxy.lost >= 1)
                    proxy.lose_answers(word, 2)
                for job in jobs:
                    await job.result()
                for _ in range(20):  # one by one: each of these travels by mail, or by a claim of a worker just woken
                    jobs.append(await boltq_app.submit("count", {"n": len(jobs)}))
                    await jobs[-1].result()
    assert proxy.lost >= 1
    assert set(runs) == set(range(120))
    assert set(runs.values()) == {1}, f"ran more than once: {[n for n in runs if runs[n] > 1]}"
    assert {(await job.record()).state for job in jobs} == {JobState.COMPLETED}


async def test_a_submission_whose_answer_is_lost_is_one_job(boltq_app, valkey, tmp_path):
    """It is repeated with the id that it has: the store knows it already."""
    async with proxy_before(valkey, tmp_path) as proxy:
        distant = BoltQ(settings=replace(boltq_app.settings, redis_addr=proxy.address))
        async with distant:
            proxy.lose_answers("_submit", 2)
            jobs = await asyncio.gather(*(distant.submit("count", {"n": n}) for n in range(50)))
    assert proxy.lost >= 1
    assert len({job.id for job in jobs}) == 50
    [queue] = await (await boltq_app.connections()).inspector.queues()
    assert queue.queued == 50


@pytest.fixture
def short_sighted(boltq_app, valkey):
    """The same application, in a store that keeps hardly any history."""
    return replace(boltq_app.settings, keep_completed=50)


async def _is_idle(inspector) -> bool:
    return not sum(queue.queued + queue.running for queue in await inspector.queues())


async def run_once(app, worker, runs, proxy, submit) -> None:
    """What `submit` submits runs once, though hundreds of jobs end meanwhile and its record is long gone."""
    async with worker(app, slots=4):
        submitting = asyncio.create_task(submit())
        await eventually(lambda: runs, seconds=20)
        while not (submitting.done() and proxy.lost + proxy.late):
            before = runs.total()
            await app.submit_many([app.job_of("count", {"n": 1_000}) for _ in range(200)])
            await eventually(lambda: runs.total() >= before + 200)  # noqa: B023
            await asyncio.sleep(0.1)
        await submitting
        line = await app.connections()
        await eventually(lambda: _is_idle(line.inspector))


@pytest.mark.parametrize("what", ["withheld", "late"])
async def test_a_repeat_that_comes_when_the_record_is_gone_runs_nothing_twice(
    boltq_app, short_sighted, worker, valkey, tmp_path, what
):
    """The answer comes never, or the first try arrives when its sender has given up and the repeat has been run."""
    runs: Counter[int] = Counter()
    async with proxy_before(valkey, tmp_path) as proxy, BoltQ(settings=short_sighted) as near:

        @near.task
        async def count(n: int) -> None:
            runs[n] += 1

        async with BoltQ(settings=replace(short_sighted, redis_addr=proxy.address)) as distant:
            await distant.connections()
            if what == "withheld":
                proxy.withhold_answers("_submit", 1)
            else:
                proxy.delay_requests("_submit", 1, 7.0)

            async def submit():
                return await asyncio.gather(*(distant.submit("count", {"n": n}) for n in range(20)))

            await run_once(near, worker, runs, proxy, submit)
    assert proxy.lost + proxy.late == 1
    assert {n: times for n, times in runs.items() if n < 1_000} == dict.fromkeys(range(20), 1)
