"""Only a run that began can be poison; and each run that began leaves why it ended, and no other one does."""

import asyncio
import random
import re
from collections import Counter
from pathlib import Path

import pytest
from waiting import eventually
from worker_processes import ended, here, state_of, worker_process

from boltq import Cancel, JobState, Snooze
from boltq.broker import scripts
from boltq.domain.job import RUN_ENDS


async def outcomes(job) -> list[str]:
    return [run.outcome for run in (await job.record()).runs]


async def test_workers_that_are_killed_at_random_bury_nothing(app, worker, marks):
    """Hundreds wait in their buffers each time, and four run."""
    jobs = await app.submit_many([app.job_of("note", {"path": marks.path, "word": f"{n}"}) for n in range(3_000)])
    dice = random.Random(5)
    for number in range(6):
        with worker_process(app, "--slots", "4", name=f"victim-{number}") as victim:
            before = len(marks.words())
            await eventually(lambda before=before: len(marks.words()) > before + dice.randrange(300))
            victim.kill()
            await ended(victim)
        async with worker(app, name=f"reaper-{number}", queues=["none"]):
            await eventually(lambda number=number: gone(app, f"victim-{number}"))
    async with worker(app, slots=4):
        for job in jobs:
            await job.result()
    assert len(set(marks.words())) == 3_000
    assert Counter([await state_of(job) for job in jobs]) == {JobState.COMPLETED: 3_000}


async def gone(app, name: str) -> bool:
    return not await here(app, name)


async def test_the_function_of_a_suspect_is_not_called_when_its_run_is_not_ours(app, worker, marks):
    """Its worker was believed dead while the job waited there; the store says so when it is asked."""
    job = await app.submit("note", {"path": marks.path, "word": "ran"})
    broker = (await app.connections()).broker
    home = broker.layout.of_id(job.id)
    for name in ("first", "second"):
        await broker.register(home, name, info="{}", queues=["default"], types=None, lease_ms=60_000)
    await broker.claim(home, "first", 1)
    await broker.retire(home, "first", lost=True)
    async with worker(app) as one:
        begin = one._runner._executor._may_begin

        async def late(run):
            await broker.retire(home, run_worker(one, home), lost=True)
            return await begin(run)

        one._runner._executor._may_begin = late
        one._fetchers[home].wake()
        await eventually(lambda: has(job, deliveries=3))
        await asyncio.sleep(0.1)
    record = await job.record()
    assert record.losses == 1
    assert marks.words() in ([], ["ran"])


def run_worker(one, home: int) -> str:
    return one._fetchers[home].worker_id


async def has(job, deliveries: int) -> bool:
    return (await job.record()).deliveries >= deliveries


async def test_each_way_a_run_ends_is_noted(boltq_app, worker):
    """A run that is handed back at shutdown, one that is cancelled, and what waited behind them."""
    began = asyncio.Event()

    @boltq_app.task(max_attempts=2)
    async def act(how: str) -> str:
        if how == "fail":
            raise ValueError(how)
        if how == "snooze":
            raise Snooze(60)
        if how == "cancel":
            raise Cancel("done with it")
        if how == "stay":
            began.set()
            await asyncio.sleep(60)
        return how

    settings = boltq_app.settings
    object.__setattr__(settings, "grace", 0.1)
    first = [await boltq_app.submit("act", {"how": how}) for how in ("fail", "snooze", "cancel", "return")]
    async with worker(slots=1):
        await eventually(lambda: ends_are(first, [["failed"], ["snoozed"], ["cancelled"], []]))
        stays = await boltq_app.submit("act", {"how": "stay"})
        await began.wait()
        waits = await boltq_app.submit("act", {"how": "return"})
    assert await outcomes(stays) == ["handed_back"]
    assert await outcomes(waits) == []
    assert [await state_of(job) for job in (stays, waits)] == [JobState.QUEUED] * 2


async def ends_are(jobs, wanted: list[list[str]]) -> bool:
    return [await outcomes(job) for job in jobs] == wanted


async def test_what_is_cancelled_before_it_begins_leaves_no_run(boltq_app, worker):
    began = asyncio.Event()

    @boltq_app.task
    async def act() -> None:
        began.set()
        await asyncio.sleep(60)

    async with worker(slots=1) as one:
        runs = await boltq_app.submit("act", {})
        await began.wait()
        waits = await boltq_app.submit("act", {})
        line = await boltq_app.connections()
        home = line.broker.layout.of_id(waits.id)
        fetcher = one._fetchers[home]
        claim = await line.broker.claim(home, fetcher.worker_id, 1)  # as a claim ahead: it waits in the buffer
        fetcher.take_in(claim.jobs)
        for job in (waits, runs):
            await job.cancel()
        await eventually(lambda: both_are(runs, waits, JobState.CANCELLED))
    assert (await outcomes(runs), await outcomes(waits)) == (["cancelled"], [])


async def both_are(first, second, state: JobState) -> bool:
    return {await state_of(first), await state_of(second)} == {state}


def test_all_reasons_are_listed():
    """Where the scripts name one, it is in the table; and the page of guarantees says what each means."""
    lua = "".join(scripts._texts().values())
    named = set(re.findall(r"note_run\(id, '(\w+)'", lua)) | set(re.findall(r"note_run\(id, .*? or '(\w+)'\)", lua))
    named |= set(re.findall(r"note_run\(id, \S+ and '(\w+)'", lua)) | {"handed_back"}
    assert named <= set(RUN_ENDS)
    page = (Path(__file__).parents[2] / "docs/concepts/guarantees.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", page, re.MULTILINE))
    assert {word: text for word, text in rows.items() if word in RUN_ENDS} == RUN_ENDS


@pytest.mark.parametrize("word", sorted(RUN_ENDS))
def test_every_reason_is_used(word):
    """By the scripts, or by what the worker tells them."""
    root = Path(scripts.__file__).parents[1]
    texts = [path.read_text() for path in [*root.rglob("*.lua"), *root.glob("worker/*.py"), *root.glob("broker/*.py")]]
    assert any(f"'{word}'" in text or f'"{word}"' in text for text in texts)
