"""What one call may do: the store answers nobody else meanwhile, so it is bounded in jobs, bytes and commands."""

from collections.abc import Callable
from typing import Any

import msgspec

from boltq.broker.call import Call
from boltq.broker.settling import Settling
from boltq.broker.workflows.workflows import Workflows
from boltq.domain.job import NewJob
from boltq.domain.limits import MAX_CALL, MAX_CALL_BYTES
from boltq.domain.workflow.builder import Workflow
from boltq.domain.workflow.rerun import RerunMode
from boltq.domain.workflow.states import StepState
from boltq.worker.fetcher import Outbox

LARGE = '{"x":"' + "a" * 300_000 + '"}'


async def commands(desk: Any) -> int:
    """How many commands the server has carried out, those of scripts included."""
    stats = await desk.broker.redis.info("commandstats")
    return sum(row["calls"] for row in stats.values())


def noted(desk: Any) -> list[Call[Any]]:
    """From now on, all calls that the broker sends."""
    sent: list[Call[Any]] = []
    send: Callable[..., Any] = desk.broker.send

    async def noting(call: Call[Any]) -> Any:
        sent.append(call)
        return await send(call)

    desk.broker.send = noting
    return sent


async def test_a_submission_goes_in_calls_of_so_many_jobs(desk) -> None:
    sent = noted(desk)
    await desk.submit(1_000)
    sizes = [len(msgspec.msgpack.decode(call.args[0])) for call in sent]
    assert sum(sizes) == 1_000
    assert max(sizes) <= MAX_CALL


async def test_a_submission_goes_in_calls_of_so_many_bytes(desk) -> None:
    sent = noted(desk)
    await desk.submit(10, data=LARGE)
    assert [len(msgspec.msgpack.decode(call.args[0])) for call in sent] == [3, 3, 3, 1]


async def test_a_claim_brings_so_many_bytes_and_the_rest_comes_next(desk) -> None:
    ids = await desk.submit(10, data=LARGE)
    await desk.worker()
    first = await desk.broker.claim(0, "w", 10)
    assert ([job.id for job in first.jobs], first.more) == (ids[:3], True)
    assert [job_id for _ in range(3) for job_id in await desk.ids(10)] == ids[3:]


async def test_a_claim_brings_one_job_however_large(desk) -> None:
    data = '{"x":"' + "a" * (MAX_CALL_BYTES - 8) + '"}'
    ids = await desk.submit(3, data=data)
    await desk.worker()
    assert [await desk.ids(10) for _ in range(3)] == [[job_id] for job_id in ids]


async def test_parked_jobs_that_do_not_fit_are_counted_as_before(desk) -> None:
    ids = await desk.submit(5, data=LARGE)
    await desk.worker("novice", types=["y"])
    assert await desk.claim(5, "novice") == []
    await desk.worker()
    assert [await desk.ids(10) for _ in range(2)] == [ids[:3], ids[3:]]


async def test_a_hand_off_brings_so_many_bytes_and_the_sleeper_looks_for_the_rest(desk) -> None:
    await desk.broker.pause("default")
    ids = await desk.submit(5, data=LARGE)
    await desk.worker("one")
    await desk.worker("two")
    for name in ("one", "two"):
        assert await desk.claim(5, name) == []
    await desk.broker.resume("default")
    letters = [*await desk.letters("one"), *await desk.letters("two")]
    assert [[job[0] for job in rest[0]] for kind, *rest in letters if kind == "jobs"] == [ids[:3]]
    assert sorted(kind for kind, *_ in letters) == ["jobs", "look"]
    assert {*await desk.ids(5, "one"), *await desk.ids(5, "two")} == {*ids[3:]}


async def test_sleepers_get_one_very_large_job_together_and_look_for_the_others(desk) -> None:
    data = '{"x":"' + "a" * (MAX_CALL_BYTES - 8) + '"}'
    await desk.broker.pause("default")
    ids = await desk.submit(3, data=data)
    for name in "abc":
        await desk.worker(name)
        assert await desk.claim(5, name) == []
    await desk.broker.resume("default")
    letters = [letter for name in "abc" for letter in await desk.letters(name)]
    assert [[job[0] for job in rest[0]] for kind, *rest in letters if kind == "jobs"] == [ids[:1]]
    assert sorted(kind for kind, *_ in letters) == ["jobs", "look", "look"]  # nobody sleeps on
    assert [job_id for _ in range(2) for job_id in await desk.ids(5, "a")] == ids[1:]


async def test_large_jobs_are_read_in_portions(desk) -> None:
    ids = await desk.submit(10, data=LARGE)
    sent = noted(desk)
    found = await desk.inspector.jobs([*ids, "0" * 26])
    assert [job and (job.id, job.data) for job in found] == [*((job_id, LARGE) for job_id in ids), None]
    assert len(sent) == 3


def test_large_outcomes_go_in_several_calls() -> None:
    outbox = Outbox(lambda: None)
    items = [Settling(f"{i}", 1, "completed", 1, 0, "a" * 300_000) for i in range(7)]
    items[4] = Settling("4", 1, "completed", 1, 0, "a" * 2 * MAX_CALL_BYTES)
    for item in items:
        outbox.put(item, "w")
    taken = []
    while outbox:
        taken.append([item.id for item in outbox.take()[1]])
    assert taken == [["0", "1", "2"], ["3"], ["4"], ["5", "6"]]


async def test_sleepers_of_many_queues_are_asked_for_one(desk) -> None:
    queues = [f"q{i}" for i in range(100)]
    for i in range(30):
        await desk.worker(f"w{i}", types=["known"], queues=" ".join(queues))
        assert await desk.claim(4, f"w{i}") == []
    before = await commands(desk)
    await desk.submit(1, type="unknown", queue="q50")
    assert await commands(desk) - before < 1_000  # not all queues of each


async def test_jobs_of_many_queues_find_the_sleepers_that_know_them(desk) -> None:
    queues = [f"q{i}" for i in range(100)]
    for i in range(30):
        await desk.worker(f"w{i}", types=["known"], queues=" ".join(queues))
        assert await desk.claim(4, f"w{i}") == []
    before = await commands(desk)
    jobs = [NewJob(type="known", queue=queue, id=f"{i:024d}00") for i, queue in enumerate(queues, 9_000)]
    await desk.broker.submit(jobs)
    assert await commands(desk) - before < 10_000  # nobody who is awake is asked again for each queue
    letters = [await desk.letters(f"w{i}") for i in range(30)]
    assert all(one[0] == "jobs" for letter in letters for one in letter)
    given = [job[0] for letter in letters for one in letter for job in one[1]]
    assert len(given) == 30
    claimed = [job_id for i in range(30) for job_id in await desk.ids(4, f"w{i}")]
    assert sorted([*given, *claimed]) == [job.id for job in jobs]


async def test_a_large_workflow_is_read_with_one_command_a_step(desk) -> None:
    flow, workflows = Workflow("large"), Workflows(desk.broker)
    for _ in range(300):
        flow.step("x")
    made = await workflows.submit(flow.compile(), flow.json())
    before = await commands(desk)
    record = await workflows.get(made.id)
    assert await commands(desk) - before < 400
    assert len(record.states) == 300
    await workflows.cancel(made.id)
    record = await workflows.get(made.id)
    assert set(record.states.values()) == {StepState.CANCELLED}


async def test_a_large_workflow_runs_again_with_few_commands_a_step(desk) -> None:
    flow, workflows = Workflow("large"), Workflows(desk.broker)
    for _ in range(300):
        flow.step("x")
    made = await workflows.submit(flow.compile(), flow.json())
    await workflows.cancel(made.id)
    before = await commands(desk)
    await workflows.rerun(made.id, RerunMode.ALL)
    assert await commands(desk) - before < 300 * 12
    earlier = await workflows.get(made.id, generation=1)
    assert set(earlier.states.values()) == {StepState.CANCELLED}
