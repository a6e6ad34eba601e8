"""Bulk operations: each part by itself, and several runners at once. What they leave behind is audited by `desk`."""

import asyncio
from typing import Any

import pytest

from boltq.broker import calls, operations as module
from boltq.broker.broker import Broker
from boltq.broker.consistency import audit
from boltq.broker.inspector import Inspector
from boltq.broker.operations import LEASE_MS, BulkAction, BulkOperation, Operations, OperationState
from boltq.domain.errors import Conflict, InvalidJob, LeaseLost, NotFound
from boltq.domain.filters import JobFilter
from boltq.domain.ids import new_id
from boltq.domain.job import NewJob
from boltq.domain.states import JobState


@pytest.fixture
def ops(desk) -> Operations:
    """In the desk's virtual time: to sleep is to move its clock."""

    async def sleep(seconds: float) -> None:
        desk.clock.now += round(seconds * 1_000)
        await asyncio.sleep(0)

    return Operations(desk.broker, sleep=sleep)


async def dead(desk, count: int, **fields: Any) -> list[str]:
    """Jobs that have died; the clock has moved on since."""
    await desk.worker(f"v{new_id()}", queues=fields.get("queue", "default"))
    ids = await desk.submit(count, **fields)
    worker = (await desk.inspector.workers())[-1].id
    jobs = await desk.claim(count, worker)
    await desk.settle(jobs, "dead", text="{}", worker=worker)
    desk.clock.now += 10
    return ids


async def create(
    desk, ops: Operations, action: BulkAction, what: JobFilter | None = None, **options: Any
) -> BulkOperation:
    return await ops.create(action, await ops.snapshot(what or JobFilter()), **options)


def counts(operation: BulkOperation) -> tuple[int, int, int, int]:
    return operation.done, operation.ok, operation.failed, operation.skipped


# What they do


async def test_cancel_what_waits(desk, ops: Operations) -> None:
    ids = await desk.submit(250, queue="a")
    other = await desk.submit(queue="b")
    what = JobFilter(queues=("a",))
    made = await create(desk, ops, BulkAction.CANCEL, what, by="ann", reason="not needed", chosen_by=what)
    assert (made.state, made.total, made.by, made.started_at) == ("running", 250, "ann", desk.clock.now)
    assert made.filter == '{"queues":["a"]}'
    assert await desk.states(*ids, *other) == ["queued"] * 251
    ended = await ops.run(made.id)
    assert (ended.state, counts(ended), ended.finished_at) == ("done", (250, 250, 0, 0), desk.clock.now)
    assert await desk.states(*ids, *other) == ["cancelled"] * 250 + ["queued"]
    assert (await desk.inspector.job(ids[0])).reason == "not needed"


async def test_replay_run_now_and_delete(desk, ops: Operations) -> None:
    died = await dead(desk, 120)
    ended = await ops.run((await create(desk, ops, BulkAction.REPLAY)).id)
    assert counts(ended) == (120, 120, 0, 0)
    assert set(await desk.states(*died)) == {"queued"}
    later = await desk.submit(5, delay=60_000)
    ended = await ops.run((await create(desk, ops, BulkAction.RUN_NOW, JobFilter.of(JobState.SCHEDULED))).id)
    assert counts(ended) == (5, 5, 0, 0)
    assert set(await desk.states(*later)) == {"queued"}
    ended = await ops.run((await create(desk, ops, BulkAction.DELETE)).id)
    assert counts(ended) == (125, 125, 0, 0)
    assert set(await desk.states(*died, *later)) == {"gone"}


async def test_edited_replay_makes_new_jobs(desk, ops: Operations) -> None:
    ids = await dead(desk, 50, data='{"b":12345678901234567890,"a":1}', tags=["eu"], priority=2)
    made = await create(desk, ops, BulkAction.REPLAY_AS, patch='{"a":null,"c":[1]}', by="ann")
    assert counts(await ops.run(made.id)) == (50, 50, 0, 0)
    assert set(await desk.states(*ids)) == {"dead"}
    old = await desk.inspector.job(ids[7])
    new = await desk.inspector.job(old.replays[0])
    assert (new.data, new.replay_of, new.tags) == ('{"b":12345678901234567890,"c":[1]}', old.id, ["eu"])
    assert (new.state, new.priority, new.created_by, new.queue) == ("queued", 2, "ann", "default")
    fresh, _ = await desk.inspector.count(JobFilter.of(JobState.QUEUED))
    assert fresh == {JobState.QUEUED: 50}


async def test_an_edit_that_makes_no_job_fails_for_that_job(desk, ops: Operations) -> None:
    small, large = await dead(desk, 1), await dead(desk, 1, data='{"a":"%s"}' % ("x" * 1_048_000))
    made = await create(desk, ops, BulkAction.REPLAY_AS, patch='{"b":"%s"}' % ("y" * 1_000))
    ended = await ops.run(made.id)
    assert counts(ended) == (2, 1, 1, 0)
    (error,) = ended.errors
    assert (error.id, error.code) == (large[0], "INVALID")
    assert "/data" in error.message
    assert (await desk.inspector.job(small[0])).replays


async def test_what_is_refused_is_listed_up_to_a_bound(desk, ops: Operations) -> None:
    ids = await desk.submit(30)
    nobody = new_id(0)
    made = await ops.create(BulkAction.REPLAY, [(nobody, 0), *((job_id, 0) for job_id in ids)])
    ended = await ops.run(made.id)
    assert (ended.state, counts(ended), len(ended.errors)) == ("done", (31, 0, 31, 0), 20)
    assert {(error.id, error.code, error.message) for error in ended.errors} >= {
        (nobody, "NOT_FOUND", "there is no such job"),
        (ids[0], "CONFLICT", "it is queued"),
    }


async def test_of_nothing_nothing_is_left_to_do(ops: Operations) -> None:
    made = await ops.create(BulkAction.CANCEL, [])
    assert (made.state, made.total, made.ended) == ("done", 0, True)
    assert made.finished_at is not None


async def test_five_thousand_over_all_partitions(broker: Broker) -> None:
    jobs = [NewJob(type="t", queue=f"q{n % 2}") for n in range(5_000)]
    for start in range(0, 5_000, 250):
        await broker.submit(jobs[start : start + 250])
    ops = Operations(broker)
    made = await ops.create(BulkAction.CANCEL, await ops.snapshot(JobFilter(types=("t",))))
    assert counts(await ops.run(made.id)) == (5_000, 5_000, 0, 0)
    assert (await Inspector(broker).counts())[JobState.CANCELLED] == 5_000
    assert await audit(broker, pauses=()) == []


# Who may run one, and what a crash leaves


async def test_a_job_that_has_moved_since_it_was_chosen_is_left_alone(desk, ops: Operations) -> None:
    ids = await dead(desk, 3)
    made = await create(desk, ops, BulkAction.DELETE)
    await desk.broker.replay(ids[:1])
    await desk.broker.delete(ids[1:2])
    ended = await ops.run(made.id)
    assert (ended.state, counts(ended)) == ("done", (3, 1, 0, 2))
    assert await desk.states(*ids) == ["queued", "gone", "gone"]


@pytest.mark.parametrize("action", [BulkAction.CANCEL, BulkAction.REPLAY, BulkAction.DELETE, BulkAction.REPLAY_AS])
async def test_killed_between_act_and_record_another_goes_on(desk, ops: Operations, action: BulkAction) -> None:
    count = 30
    ids = await desk.submit(count) if action is BulkAction.CANCEL else await dead(desk, count)
    desk.clock.now += 10
    made = await create(desk, ops, action)
    word, _, done, items = await ops.take(made, "first")
    assert (word, done) == ("go", 0)
    await ops.act(made, items)  # and it is killed
    desk.clock.now += LEASE_MS - 1
    assert await ops.advance(made.id, "second") is None
    assert (await ops.get(made.id)).done == 0
    desk.clock.now += 2
    ended = await ops.run(made.id)
    assert (ended.state, ended.done, ended.failed) == ("done", count, 0)
    assert ended.ok + ended.skipped == count
    totals = await desk.inspector.counts()
    expected = {
        BulkAction.CANCEL: {JobState.CANCELLED: count},
        BulkAction.REPLAY: {JobState.QUEUED: count},
        BulkAction.DELETE: {},
        BulkAction.REPLAY_AS: {JobState.DEAD: count, JobState.QUEUED: count},
    }[action]
    assert {state: n for state, n in totals.items() if n} == expected
    assert len(ids) == count


async def test_who_has_lost_the_lease_records_nothing(desk, ops: Operations) -> None:
    await desk.submit(5)
    made = await create(desk, ops, BulkAction.CANCEL)
    _, _, done, items = await ops.take(made, "slow")
    verdicts = await ops.act(made, items)
    desk.clock.now += LEASE_MS + 1
    _, _, _, again = await ops.take(made, "quick")
    assert again == items
    with pytest.raises(LeaseLost):
        await ops.record(made.id, "slow", done, verdicts)
    await ops.record(made.id, "quick", done, verdicts)
    with pytest.raises(LeaseLost):
        await ops.record(made.id, "quick", done, verdicts)
    assert counts(await ops.get(made.id)) == (5, 5, 0, 0)


async def test_a_step_is_recorded_once_though_its_answer_was_lost(desk, ops: Operations) -> None:
    await desk.submit(250)
    made = await create(desk, ops, BulkAction.CANCEL)
    _, _, done, items = await ops.take(made, "me")
    verdicts = await ops.act(made, items)
    await ops.record(made.id, "me", done, verdicts)
    with pytest.raises(LeaseLost):
        await ops.record(made.id, "me", done, verdicts)
    assert counts(await ops.get(made.id)) == (100, 100, 0, 0)


async def test_many_runners_at_once_count_each_job_once(broker: Broker, valkey: str, namespace: str) -> None:
    jobs = [NewJob(type="t") for _ in range(1_000)]
    for start in range(0, 1_000, 100):
        await broker.submit(jobs[start : start + 100])
    async with Broker(valkey, namespace=namespace) as another:
        runners = [Operations(broker), Operations(another), Operations(broker), Operations(another)]
        made = await runners[0].create(BulkAction.CANCEL, await runners[0].snapshot(JobFilter()))
        await asyncio.gather(*(runner.run(made.id) for runner in runners), *(runner.run_all() for runner in runners))
        assert counts(await runners[1].get(made.id)) == (1_000, 1_000, 0, 0)
    cancelled = [job async for job in _cancellations(broker)]
    assert sorted(cancelled) == sorted(job.id for job in jobs)
    assert await audit(broker, pauses=()) == []


async def _cancellations(broker: Broker) -> Any:
    """The id of each job for each time that the event stream says it was cancelled."""
    for partition in range(broker.layout.partitions):
        for _, fields in await broker.redis.xrange(f"{broker.layout.prefix(partition)}events"):
            for move, ids in fields.items():
                if move.endswith(b" cancelled"):
                    for job_id in ids.decode().split():
                        yield job_id


async def test_run_all_takes_over_what_somebody_left(desk, ops: Operations) -> None:
    await desk.submit(10)
    first, second = [await create(desk, ops, BulkAction.CANCEL) for _ in range(2)]
    await ops.take(first, "gone")
    await ops.run_all()
    assert [(await ops.get(op.id)).state for op in (first, second)] == ["running", "done"]
    desk.clock.now += LEASE_MS + 1
    await ops.run_all()
    assert (await ops.get(first.id)).state == "done"


async def test_a_half_made_one_is_never_run_and_expires(desk, ops: Operations, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILLED_AT_A_TIME", 10)
    items = [(job_id, 0) for job_id in await desk.submit(30)]
    fill, calls = ops._fill, []

    async def dying(op_id: str, start: int, rows: Any) -> None:
        calls.append(op_id)
        if start == 20:
            raise asyncio.CancelledError
        await fill(op_id, start, rows)

    monkeypatch.setattr(ops, "_fill", dying)
    with pytest.raises(asyncio.CancelledError):
        await ops.create(BulkAction.CANCEL, items)
    assert await ops.list() == []
    with pytest.raises(NotFound):
        await ops.run(calls[0])
    assert 0 < await desk.broker.redis.ttl(desk.key(f"op:{calls[0]}:items")) <= 600


async def test_making_one_may_be_repeated_and_may_not_be_short(desk, ops: Operations) -> None:
    rows = [f"{job_id} 0" for job_id in await desk.submit(4)]
    for _ in range(2):
        await ops._fill("op_X", 0, rows[:2])
    with pytest.raises(Conflict):
        await desk.broker.send(calls.operations.start("op_X", 4, ["action", "cancel"], 10, 60))
    await ops._fill("op_X", 2, rows[2:])
    for _ in range(2):
        await desk.broker.send(calls.operations.start("op_X", 4, ["action", "cancel"], 10, 60))
    assert counts(await ops.run("op_X")) == (4, 4, 0, 0)


# How they go


async def test_stop(desk, ops: Operations) -> None:
    ids = await desk.submit(250)
    made = await create(desk, ops, BulkAction.CANCEL)
    assert await ops.advance(made.id, "me") == 0.0
    _, _, done, items = await ops.take(made, "me")
    verdicts = await ops.act(made, items)
    stopped = await ops.stop(made.id)
    assert (stopped.state, stopped.ended) == ("stopped", True)
    assert await ops.record(made.id, "me", done, verdicts) is OperationState.STOPPED
    ended = await ops.run(made.id)
    assert (ended.state, counts(ended)) == ("stopped", (200, 200, 0, 0))
    assert (await desk.states(*ids)).count("queued") == 50
    with pytest.raises(Conflict):
        await ops.stop(made.id)
    with pytest.raises(Conflict):
        await ops.continue_(made.id)


async def test_a_canary_goes_first_and_then_waits(desk, ops: Operations) -> None:
    ids = await desk.submit(130)
    made = await create(desk, ops, BulkAction.CANCEL, canary=5)
    for _ in range(2):
        waiting = await ops.run(made.id)
        assert (waiting.state, counts(waiting), waiting.ended) == ("canary", (5, 5, 0, 0), False)
    assert (await desk.states(*ids)).count("cancelled") == 5
    assert (await ops.continue_(made.id)).state == "running"
    assert counts(await ops.run(made.id)) == (130, 130, 0, 0)


async def test_a_canary_can_be_stopped(desk, ops: Operations) -> None:
    await desk.submit(10)
    made = await create(desk, ops, BulkAction.CANCEL, canary=5)
    await ops.run(made.id)
    assert (await ops.stop(made.id)).state == "stopped"
    assert counts(await ops.run(made.id)) == (5, 5, 0, 0)


async def test_too_many_failures_stop_it(desk, ops: Operations) -> None:
    ids = [(job_id, 0) for job_id in await desk.submit(250)]
    made = await ops.create(BulkAction.REPLAY, ids, stop_on_failures=3)
    ended = await ops.run(made.id)
    assert (ended.state, counts(ended)) == ("stopped", (100, 0, 100, 0))
    made = await ops.create(BulkAction.REPLAY, ids, stop_on_failures=3, canary=3)
    ended = await ops.run(made.id)
    assert (ended.state, counts(ended)) == ("stopped", (3, 0, 3, 0))


async def test_it_goes_no_faster_than_its_rate(desk, ops: Operations) -> None:
    await desk.submit(100)
    made = await create(desk, ops, BulkAction.CANCEL, rate_per_s=10)
    ended = await ops.run(made.id)
    assert (ended.done, ended.finished_at) == (100, made.started_at + 9_000)


async def test_a_rate_holds_for_whoever_runs_it(desk, ops: Operations) -> None:
    await desk.submit(100)
    made = await create(desk, ops, BulkAction.CANCEL, rate_per_s=10)
    assert await ops.advance(made.id, "me") == 0.0
    assert (await ops.get(made.id)).done == 10
    assert await ops.advance(made.id, "me") == 1.0
    desk.clock.now += 999
    assert (await ops.take(made, "me"))[:2] == ("wait", 1)
    desk.clock.now += LEASE_MS
    _, _, _, items = await ops.take(made, "another")
    assert len(items) == 10


async def test_a_slow_rate_keeps_its_lease(desk, ops: Operations) -> None:
    await desk.submit(3)
    made = await create(desk, ops, BulkAction.CANCEL, rate_per_s=0.02)
    start = desk.clock.now
    await ops.advance(made.id, "me")
    while (pause := await ops.advance(made.id, "me")) is not None:
        assert await ops.advance(made.id, "other") is None
        desk.clock.now += round(min(pause, 5.0) * 1_000)
    assert (await ops.get(made.id)).state == "done"
    assert desk.clock.now - start == 100_000


async def test_a_clock_that_was_set_back_holds_nothing_up(desk, ops: Operations) -> None:
    await desk.submit(30)
    made = await create(desk, ops, BulkAction.CANCEL, rate_per_s=10)
    await ops.advance(made.id, "gone")
    desk.clock.now -= 3_600_000
    assert counts(await ops.run(made.id)) == (30, 30, 0, 0)


# What is known of them


async def test_they_are_listed_the_newest_first(desk, ops: Operations) -> None:
    await desk.submit(3)
    made = []
    for _ in range(3):
        made.append((await create(desk, ops, BulkAction.CANCEL)).id)
        desk.clock.now += 5
    await ops.stop(made[1])
    assert [operation.id for operation in await ops.list()] == made[::-1]
    assert [operation.id for operation in await ops.list(OperationState.STOPPED)] == [made[1]]
    with pytest.raises(NotFound):
        await ops.get("op_nonsense")
    with pytest.raises(NotFound):
        await ops.stop("op_nonsense")


async def test_only_so_many_are_known(desk, ops: Operations, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KNOWN", 3)
    await desk.submit(1)
    made = []
    for _ in range(3):
        made.append((await create(desk, ops, BulkAction.CANCEL)).id)
        desk.clock.now += 5
    with pytest.raises(Conflict):
        await create(desk, ops, BulkAction.CANCEL)
    await ops.stop(made[1])
    newest = await create(desk, ops, BulkAction.CANCEL)
    assert [operation.id for operation in await ops.list()] == [newest.id, made[2], made[0]]


async def test_every_key_of_one_ends_by_itself(desk, ops: Operations) -> None:
    await desk.submit(3)
    made = await create(desk, ops, BulkAction.CANCEL)
    for key in (f"op:{made.id}", f"op:{made.id}:items"):
        assert 0 < await desk.broker.redis.ttl(desk.key(key)) <= 86_400
    await desk.broker.redis.delete(desk.key(f"op:{made.id}:items"))
    assert (await ops.run(made.id)).state == "failed"


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({"rate_per_s": -1}, "/rate_per_s"),
        ({"rate_per_s": 1e9}, "/rate_per_s"),
        ({"canary": -1}, "/canary"),
        ({"stop_on_failures": -1}, "/stop_on_failures"),
        ({"patch": "{}"}, "/patch"),
        ({"action": BulkAction.REPLAY_AS, "patch": "[]"}, "/patch"),
        ({"action": BulkAction.REPLAY_AS, "patch": '{"a":"%s"}' % ("x" * 70_000)}, "/patch"),
        ({"reason": "x" * 501}, "/reason"),
        ({"by": "a\nb"}, "/by"),
        ({"items": [("nonsense", 0)]}, "/ids"),
        ({"items": [("0" * 26, 0)] * 100_001}, "/items"),
    ],
)
async def test_what_is_wrong_is_named(ops: Operations, options: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidJob) as error:
        await ops.create(**{"action": BulkAction.CANCEL, "items": [], **options})
    assert [where for where, _ in error.value.errors] == [pointer]
    assert await ops.list() == []
