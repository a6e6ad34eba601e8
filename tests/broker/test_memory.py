"""An id that may still be repeated is never forgotten, and what cannot be known any more is not guessed."""

import asyncio
import time

import pytest
from flows import form_of, plan_of, step
from msgspec.structs import replace

from boltq.broker.broker import Broker
from boltq.broker.knobs import DEFAULT_KNOBS, Knobs
from boltq.broker.settling import Settling
from boltq.broker.workflows.own_id import OwnId
from boltq.broker.workflows.workflows import Workflows
from boltq.domain.errors import NotFound, UnknownOutcome
from boltq.domain.ids import ALPHABET, PARTITION_CODES, IdMaker, catch_up, new_id
from boltq.domain.job import NewJob, Submitted
from boltq.domain.limits import ID_MEMORY_MS


@pytest.fixture
def knobs() -> Knobs:
    return replace(DEFAULT_KNOBS, keep_completed=0, keep_dead=0)


@pytest.fixture(autouse=True)
def own_ids(monkeypatch):
    """The ids of other tests do not follow a clock that was set ahead here."""
    maker = IdMaker()
    monkeypatch.setattr("boltq.broker.broker.new_id", maker.make)
    monkeypatch.setattr("boltq.broker.submission.catch_up", maker.catch_up)
    monkeypatch.setattr("boltq.broker.workflows.own_id.new_id", maker.make)
    monkeypatch.setattr("boltq.broker.workflows.workflows.new_id", maker.make)


def id_at(ms: int, number: int = 0, home: int = 0) -> str:
    head = "".join(ALPHABET[(ms >> (5 * place)) & 31] for place in reversed(range(10)))
    return f"{head}{number:014d}{PARTITION_CODES[home]}"


def time_of(job_id: str) -> int:
    ms = 0
    for letter in job_id[:10]:
        ms = ms * 32 + ALPHABET.index(letter)
    return ms


def job_at(desk, age: int = 0, number: int = 0) -> NewJob:
    return NewJob(type="x", id=id_at(desk.clock.now - age, number))


async def pass_by(desk, ms: int) -> None:
    """Time goes by, and what expires by itself is gone."""
    desk.clock.now += ms
    keys = await desk.broker.redis.keys(desk.key("gone:*"))
    if keys and ms > ID_MEMORY_MS:
        await desk.broker.redis.delete(*keys)


async def run_all(desk) -> int:
    jobs = await desk.claim(100)
    await desk.settle(jobs)
    return len(jobs)


@pytest.mark.parametrize("end", ["completed", "dead", "cancelled"])
async def test_a_repeat_is_known_when_its_record_is_gone(desk, end) -> None:
    """At once, and for as long as anybody repeats: with nothing kept, the record goes with the end of the job."""
    await desk.worker()
    job = job_at(desk)
    assert await desk.broker.submit([job]) == [Submitted(job.id)]
    await desk.settle(await desk.claim(), end, text="{}")
    assert await desk.states(job.id) == ["gone"]
    for _ in range(2):
        assert await desk.broker.submit([job]) == [Submitted(job.id, created=False)]
        desk.clock.now += ID_MEMORY_MS - 5_000
    assert await desk.claim() == []


async def test_a_repeat_of_a_deleted_job_makes_no_new_one(desk) -> None:
    job = job_at(desk)
    await desk.broker.submit([job])
    assert (await desk.broker.delete([job.id]))[0].ok
    assert await desk.broker.submit([job]) == [Submitted(job.id, created=False)]
    assert await desk.states(job.id) == ["gone"]


async def test_in_a_batch_each_has_its_own_answer(desk) -> None:
    await desk.worker()
    gone, old = job_at(desk, 10), job_at(desk, ID_MEMORY_MS + 2_000)
    await desk.broker.submit([gone, old])
    assert await run_all(desk) == 2
    new, there = job_at(desk, 0, 1), job_at(desk, 5, 2)
    await desk.broker.submit([there])
    answers = await desk.broker.submit([old, gone, there, new])
    assert isinstance(answers[0], UnknownOutcome)
    assert answers[1:] == [Submitted(gone.id, False), Submitted(there.id, False), Submitted(new.id)]
    assert await run_all(desk) == 2


async def test_what_is_too_old_to_be_known_is_not_run_again(desk) -> None:
    await desk.worker()
    job = job_at(desk)
    await desk.broker.submit([job])
    await run_all(desk)
    await pass_by(desk, ID_MEMORY_MS + 2_000)
    (answer,) = await desk.broker.submit([job])
    assert isinstance(answer, UnknownOutcome)
    assert "too long ago" in str(answer)
    assert await desk.claim() == []


async def test_a_new_id_that_is_older_than_the_newest_gone_is_new(desk) -> None:
    """Ids of several processes do not arrive in their order."""
    await desk.worker()
    await desk.broker.submit([job_at(desk)])
    await run_all(desk)
    late = job_at(desk, ID_MEMORY_MS - 1_000)
    assert await desk.broker.submit([late]) == [Submitted(late.id)]


async def test_an_old_id_is_taken_as_long_as_nothing_so_young_was_forgotten(desk) -> None:
    await desk.worker()
    await desk.broker.submit([job_at(desk, 10 * ID_MEMORY_MS)])
    await run_all(desk)
    late = job_at(desk, 5 * ID_MEMORY_MS)
    assert await desk.broker.submit([late]) == [Submitted(late.id)]


async def test_a_client_whose_clock_is_behind_is_not_refused(desk, monkeypatch, partitions) -> None:
    """Nobody has sent its id before, so it takes one by the store's time, and the next ones follow that."""
    if partitions > 1:
        pytest.skip("a new id may fall into a partition that has forgotten nothing yet")
    desk.clock.now = time.time_ns() // 1_000_000 + 3_600_000
    await desk.worker()
    await desk.broker.submit([job_at(desk)])
    await run_all(desk)
    jobs = [NewJob(type="x") for _ in range(3)]
    answers = await desk.broker.submit(jobs)
    assert answers == [Submitted(job.id) for job in jobs]
    assert all(time_of(job.id) > desk.clock.now for job in jobs)
    assert await run_all(desk) == 3
    assert await desk.broker.submit(jobs) == [Submitted(job.id, created=False) for job in jobs]
    calls = []
    execute = desk.broker._execute
    monkeypatch.setattr(desk.broker, "_execute", lambda *args: calls.append(args) or execute(*args))
    assert (await desk.broker.submit([NewJob(type="x")]))[0].created
    assert len(calls) == 1


async def test_a_client_whose_clock_is_ahead_may_repeat_too(desk) -> None:
    await desk.worker()
    job = job_at(desk, -86_400_000)
    await desk.broker.submit([job])
    await run_all(desk)
    assert await desk.broker.submit([job]) == [Submitted(job.id, created=False)]
    others = [job_at(desk, age, 7) for age in (0, 60_000)]
    assert await desk.broker.submit(others) == [Submitted(other.id) for other in others]


async def test_the_key_of_a_submission_counts_for_longer_than_its_id(desk) -> None:
    await desk.worker()
    job = job_at(desk)
    job.idempotency_key = "k"
    await desk.broker.submit([job])
    await run_all(desk)
    desk.clock.now += 10 * ID_MEMORY_MS
    again = NewJob(type="x", id=id_at(desk.clock.now), idempotency_key="k")
    assert await desk.broker.submit([again]) == [Submitted(job.id, created=False)]


async def test_the_memory_lasts_for_a_while_and_goes_by_itself(desk) -> None:
    await desk.worker()
    await desk.broker.submit([job_at(desk, 0, 1), job_at(desk, 50_000, 2), job_at(desk, 2 * ID_MEMORY_MS, 3)])
    await run_all(desk)
    keys = sorted(await desk.broker.redis.keys(desk.key("gone:*")))
    assert len(keys) == 2
    left = [await desk.broker.redis.pttl(key) for key in keys]
    assert [round(ms, -4) for ms in left] == [ID_MEMORY_MS - 50_000, ID_MEMORY_MS]


@pytest.mark.parametrize("what", ["replay_as"])
async def test_a_repeated_replay_makes_no_second_job(desk, what) -> None:
    """The old job knows it: bulk replays go on for longer than ids are remembered."""
    await desk.broker.redis.hset(desk.key("partition"), mapping={"keep_dead": 5})
    await desk.worker()
    (old,) = await desk.submit()
    await desk.settle(await desk.claim(), "dead", text="{}")
    new = NewJob(type="x", id=id_at(desk.clock.now))
    assert (await getattr(desk.broker, what)(old, new)).word == "replayed"
    await run_all(desk)
    desk.clock.now += 10 * ID_MEMORY_MS
    verdict = await desk.broker.replay_as(old, new)
    assert (verdict.word, verdict.ok) == ("replayed", True)
    assert await desk.claim() == []


def few(name: str, text: str) -> str:
    """For Broker(rewrite=…): hardly any ids are remembered."""
    return text.replace("MAX_REMEMBERED", "10").replace("4096", "0") if name == "lib/memory.lua" else text


async def test_when_there_are_too_many_the_oldest_are_let_go_and_the_store_says_so(valkey, namespace, clock) -> None:
    async with Broker(
        valkey, namespace=namespace, knobs=replace(DEFAULT_KNOBS, keep_completed=0), now=clock, rewrite=few
    ) as broker:
        await broker.register(0, "w", info="{}", queues=["default"], types=None, lease_ms=15_000)
        batches = []
        for _ in range(3):
            jobs = [NewJob(type="x", id=id_at(clock.now, number)) for number in range(6)]
            await broker.submit(jobs)
            claimed = (await broker.claim(0, "w", 10)).jobs
            await broker.settle(0, "w", [Settling(job.id, job.delivery, "completed", 1, 0, "1") for job in claimed])
            batches.append(jobs)
            clock.now += 3_000
        known = await broker.submit(batches[2])
        assert known == [Submitted(job.id, created=False) for job in batches[2]]
        assert all(isinstance(answer, UnknownOutcome) for answer in await broker.submit(batches[0]))
        size = sum([await broker.redis.scard(key) for key in await broker.redis.keys(f"{{{namespace}:0}}:gone:*")])
        assert size <= 10
        new = NewJob(type="x")
        new.id = id_at(clock.now)
        assert await broker.submit([new]) == [Submitted(new.id)]


def a_workflow():
    return plan_of(form_of(step("a")))


async def test_a_workflow_that_is_gone_is_not_begun_again(desk) -> None:
    workflows, plan = Workflows(desk.broker), a_workflow()
    own = id_at(desk.clock.now)
    assert (await workflows.submit(plan, "{}", workflow_id=own)).created
    await desk.broker.cancel([(await workflows.get(own)).steps[0].job_id])
    with pytest.raises(NotFound):
        await workflows.get(own)
    assert await workflows.submit(plan, "{}", workflow_id=own) == Submitted(own, created=False)
    await pass_by(desk, ID_MEMORY_MS + 2_000)
    with pytest.raises(UnknownOutcome, match="workflow"):
        await workflows.submit(plan, "{}", workflow_id=own)


async def test_a_workflow_of_a_client_whose_clock_is_behind_takes_another_id(desk) -> None:
    desk.clock.now = time.time_ns() // 1_000_000 + 3_600_000
    await desk.worker()
    await desk.broker.submit([job_at(desk)])
    await run_all(desk)
    own = OwnId(0)
    before = own.id
    assert await own.submit(Workflows(desk.broker), a_workflow(), "{}", key="") == Submitted(own.id)
    assert before != own.id
    assert time_of(own.id) > desk.clock.now


def test_ids_catch_up_with_the_store_and_do_not_go_back() -> None:
    maker = IdMaker()
    before = maker.make()
    maker.catch_up(time_of(before) + 60_000)
    first, second = maker.make(), maker.make()
    assert time_of(first) == time_of(before) + 60_001
    assert before < first < second
    maker.catch_up(time_of(before))
    assert second < maker.make()
    assert (catch_up.__self__, new_id.__self__)[0] is new_id.__self__


async def test_two_that_repeat_at_once_are_one_job(desk) -> None:
    await desk.worker()
    job = job_at(desk)
    await desk.broker.submit([job])
    await run_all(desk)
    answers = await asyncio.gather(*(desk.broker.submit([job]) for _ in range(5)))
    assert answers == [[Submitted(job.id, created=False)]] * 5
