"""What a step needs comes with the claim of its job, and what was filled in goes back with its outcome."""

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
from flows import form_of, step
from hands import begin
from waiting import eventually

from boltq import BoltQ
from boltq.broker.broker import Broker
from boltq.broker.contract import Look
from boltq.broker.settling import settling
from boltq.broker.workflows.workflows import Workflows
from boltq.domain.outcome import Completed
from boltq.domain.workflow.builder import Workflow
from boltq.domain.workflow.prepare import RunJob
from boltq.worker.steps import Steps


async def test_a_claim_brings_what_a_step_refers_to(broker: Broker) -> None:
    form = form_of(step("a"), step("b", "a", params={"x": "{{ steps.a.result }}"}))
    _, hands = await begin(broker, form)
    first = await hands.claim()
    assert [job.look for job in first] == [None]  # it refers to nothing
    await hands.do(first)
    (job,) = await hands.claim()
    (end,) = msgspec.convert(job.look, Look).reads
    assert (end.number, end.state, end.result) == (1, "completed", "1")
    asked: list[str] = []
    steps = Steps(broker)
    steps._steps._workflows.send = lambda call: asked.append(call.script)  # type: ignore[method-assign,assignment,return-value]
    assert await steps.prepare(SimpleNamespace(job=job, worker=hands.name)) == RunJob('{"x": 1}')  # type: ignore[arg-type]
    assert asked == []


async def test_what_is_too_large_for_a_claim_is_asked_for(broker: Broker) -> None:
    big = "x" * 700_000
    reading = [step(name, "a", params={"x": "{{ steps.a.result }}"}) for name in ("b", "c")]
    form = form_of(step("a"), *reading)
    _, hands = await begin(broker, form, {"t": lambda **_: big})
    await hands.do(await hands.claim())
    jobs = await hands.claim()
    assert sorted(job.look is not None for job in jobs) == [False, True]  # one fits, both do not
    for job in jobs:
        found = await Steps(broker).prepare(SimpleNamespace(job=job, worker=hands.name))  # type: ignore[arg-type]
        assert isinstance(found, RunJob)
        assert big in found.data


async def test_what_another_version_has_sent_in_another_form_is_asked_for(broker: Broker) -> None:
    form = form_of(step("a"), step("b", "a", params={"x": "{{ steps.a.result }}"}))
    _, hands = await begin(broker, form)
    await hands.do(await hands.claim())
    (job,) = await hands.claim()
    for look in (job.look[:-1], [*job.look, "new"], [job.look[0], *job.look]):
        other = SimpleNamespace(job=msgspec.structs.replace(job, look=look), worker=hands.name)
        assert await Steps(broker).prepare(other) == RunJob('{"x": 1}')  # type: ignore[arg-type]


async def test_an_outcome_tells_what_was_filled_in(broker: Broker) -> None:
    form = form_of(step("a"), step("b", "a", params={"x": "{{ steps.a.result }}"}))
    workflow, hands = await begin(broker, form)
    await hands.do(await hands.claim())
    (job,) = await hands.claim()
    ran = msgspec.structs.replace(job, data='{"x":1}', filled=True)
    assert settling(job, Completed("2"), 1, None).data == ""
    await broker.settle(hands.home, hands.name, [settling(ran, Completed("2"), 1, None)])
    record = await Workflows(broker).get(workflow)
    assert (await Workflows(broker).data(record, 10_000))["b"].inputs == '{"x":1}'


async def test_a_long_run_shows_what_was_filled_in_before_it_ends(boltq_app: BoltQ, worker: Any) -> None:
    go_on = asyncio.Event()

    @boltq_app.task
    async def give() -> str:
        return "a word"

    @boltq_app.task
    async def take(text: str) -> None:
        await go_on.wait()

    flow = Workflow("slow")
    flow.options(id="take").step(take, text=flow.step(give).result)
    async with worker():
        run = await boltq_app.submit_workflow(flow)
        job = (await run.record()).step("take").job_id

        async def data() -> str:
            return (await boltq_app.job(job).record()).data

        async def is_shown() -> bool:
            return "a word" in await data()

        await eventually(is_shown)
        assert (await boltq_app.job(job).record()).state == "running"
        go_on.set()
        await run.result(timeout=60)


async def test_a_large_value_does_not_hold_up_the_jobs_beside_its_step(broker: Broker) -> None:
    numbers = list(range(100_000))
    form = form_of(step("a"), step("b", "a", when="steps.a.result == steps.a.result", params={"x": 1}))
    _, hands = await begin(broker, form, {"t": lambda **_: numbers})
    await hands.do(await hands.claim())
    (job,) = await hands.claim()
    assert job.look is not None
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    assert await Steps(broker).prepare(SimpleNamespace(job=job)) == RunJob('{"x": 1}')  # type: ignore[arg-type]
    beside.cancel()
    assert turns > 0
