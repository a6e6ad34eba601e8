"""Workflows in the store: whole runs beside the domain's rules, and what may go wrong between any two calls."""

import random as chance
from typing import Any

import msgspec
import pytest
from flows import Played, form_of, plan_of, random_form, step
from msgspec.structs import replace

from boltq.broker.broker import Broker
from boltq.broker.consistency import audit
from boltq.broker.inspector import Inspector
from boltq.broker.knobs import DEFAULT_KNOBS
from boltq.broker.workflows.workflows import Workflows
from boltq.domain.errors import Conflict, NotFound
from boltq.domain.workflow.approvals import Answer
from boltq.domain.workflow.rerun import RerunMode
from boltq.domain.workflow.states import StepState, WorkflowState


async def begin(broker: Broker, form: str) -> Played:
    plan = plan_of(form)
    submitted = await Workflows(broker).submit(plan, form)
    home = broker.layout.of_id(submitted.id)
    worker = f"w{submitted.id}"
    await broker.register(home, worker, info="{}", queues=["default"], types=None, lease_ms=60_000)
    return Played(broker, plan, submitted.id, worker)


@pytest.mark.parametrize("seed", range(100))
async def test_the_store_follows_the_rules_whatever_happens(broker: Broker, seed: int) -> None:
    """Claims, ends of one or several steps, repeated calls, hand-backs and a cancel, in any order."""
    random = chance.Random(seed)
    run = await begin(broker, random_form(random))
    await run.check()
    for _ in range(200):
        if run.end:
            break
        action = random.random()
        if run.held and action < 0.1:
            await run.retry(random.choice(sorted(run.held)))
        elif run.held and action < 0.6:
            names = random.sample(sorted(run.held), random.randint(1, min(3, len(run.held))))
            ends = {
                name: StepState.CANCELLED
                if name in run.stopped
                else random.choice([StepState.COMPLETED, StepState.COMPLETED, StepState.FAILED, StepState.CANCELLED])
                for name in names
            }
            await run.settle(ends, twice=random.random() < 0.3)
        elif action < 0.63 and not run.ending and seed % 2:
            await run.cancel()
        else:
            await run.claim(random.randint(1, 3))
        await run.check()
    assert run.end
    assert await audit(broker, pauses=()) == []


@pytest.mark.parametrize("seed", range(30))
async def test_a_cascade_goes_on_in_the_next_calls(valkey: str, namespace: str, partitions: int, seed: int) -> None:
    """With a budget of two steps a call, each workflow comes to the same end."""

    def tiny(name: str, text: str) -> str:
        assert name != "lib/flow.lua" or "MOST = 300" in text
        return text.replace("MOST = 300", "MOST = 2")

    random = chance.Random(seed)
    async with Broker(valkey, namespace=namespace, partitions=partitions, rewrite=tiny) as broker:
        form = random_form(random).replace('"fail_fast"', '"continue"')
        run = await begin(broker, form)
        ends = {s.id: random.choice([StepState.COMPLETED, StepState.FAILED]) for s in run.plan.steps}
        for _ in range(300):
            await run.claim(2)
            await run.settle({name: ends[name] for name in sorted(run.held)[:1]})
            if run.end and (await run.workflows.get(run.id)).state != "running":
                break
        await run.check()
        assert len(set(run.claims)) == len(run.claims)
        assert await audit(broker, pauses=()) == []


async def test_a_submit_that_is_repeated_makes_nothing_twice(broker: Broker) -> None:
    form = form_of(step("a"), step("b", "a"))
    workflows, plan = Workflows(broker), plan_of(form)
    first = await workflows.submit(plan, form)
    second = await workflows.submit(plan, form, workflow_id=first.id)
    assert (first.created, second.created, second.id) == (True, False, first.id)
    counts = await workflows_counts(broker)
    assert (counts["blocked"], counts["queued"]) == (1, 1)


async def workflows_counts(broker: Broker) -> dict[str, int]:
    return {state.value: n for state, n in (await Inspector(broker).counts()).items()}


async def test_two_last_parents_that_end_in_one_call_release_once(broker: Broker) -> None:
    run = await begin(broker, form_of(step("a"), step("b"), step("c", "a", "b")))
    await run.claim(2)
    await run.settle({"a": StepState.COMPLETED, "b": StepState.COMPLETED}, twice=True)
    await run.claim(5)
    await run.check()
    assert (sorted(run.held), len(run.claims)) == (["c"], 3)


async def test_a_lost_worker_hands_its_step_back_and_a_poisoned_step_fails(broker: Broker) -> None:
    run = await begin(broker, form_of(step("a"), step("b", "a")))
    for _ in range(3):
        await run.claim(1)
        await broker.begin(run.home, run.worker, run.held["a"])
        await broker.retire(run.home, run.worker, lost=True)
        run.worker += "x"
        await broker.register(run.home, run.worker, info="{}", queues=["default"], types=None, lease_ms=60_000)
        run.held.clear()
    record = await run.workflows.get(run.id)
    assert (record.step("a").state, record.step("b").state, record.state) == ("failed", "skipped", "failed")
    assert await audit(broker, pauses=()) == []


async def test_a_step_cannot_be_deleted_or_replayed_by_itself(broker: Broker) -> None:
    run = await begin(broker, form_of(step("a"), step("b", "a")))
    record = await run.workflows.get(run.id)
    words = [verdict.word for verdict in await broker.delete([s.job_id for s in record.steps])]
    assert words == ["CONFLICT", "CONFLICT"]
    await run.claim(1)
    await run.settle({"a": StepState.FAILED})
    assert (await broker.replay([record.step("a").job_id]))[0].word == "CONFLICT"
    assert (await broker.cancel([record.step("b").job_id]))[0].word == "cancelled"


async def test_a_person_may_cancel_one_step(broker: Broker) -> None:
    run = await begin(broker, form_of(step("a"), step("b"), step("c", "b"), policy="continue"))
    record = await run.workflows.get(run.id)
    assert (await broker.cancel([record.step("b").job_id]))[0].word == "cancelled"
    run.states["b"] = StepState.CANCELLED
    run._follow()
    await run.check()
    assert run.states["c"] is StepState.SKIPPED


async def test_an_end_of_an_old_generation_counts_no_more(broker: Broker) -> None:
    run = await begin(broker, form_of(step("a"), step("b", "a")))
    await run.claim(1)
    await run.settle({"a": StepState.FAILED})
    old = (await run.workflows.get(run.id)).step("a").job_id
    assert await run.workflows.rerun(run.id, RerunMode.FAILED_ONLY) == ("a", "b")
    assert (await run.workflows.get(run.id)).step("a").job_id != old
    with pytest.raises(Conflict):
        await run.workflows.rerun(run.id, RerunMode.ALL)
    again = Played(broker, run.plan, run.id, run.worker)
    await again.claim(1)
    await again.settle({"a": StepState.COMPLETED})
    await again.claim(1)
    await again.settle({"b": StepState.COMPLETED})
    await again.check()
    assert again.end == "completed"
    assert await audit(broker, pauses=()) == []


async def test_a_thousand_steps_in_a_chain_are_skipped(broker: Broker) -> None:
    form = form_of(*(step(f"s{n}", *([f"s{n - 1}"] if n else [])) for n in range(1_000)))
    run = await begin(broker, form)
    await run.claim(1)
    await run.settle({"s0": StepState.FAILED})
    assert (await run.workflows.get(run.id)).state == "running"  # so many are more than one call does
    for _ in range(3):
        await run.claim(1)
    await run.check()
    assert await audit(broker, pauses=()) == []


async def test_workflows_are_listed_page_by_page(broker: Broker) -> None:
    runs = [await begin(broker, form_of(step("a"))) for _ in range(5)]
    await runs[0].cancel()
    workflows = Workflows(broker)
    found, cursor = [], None
    while True:
        page = await workflows.list(limit=2, cursor=cursor)
        found += [line.id for line in page.workflows]
        cursor = page.cursor
        if cursor is None:
            break
    assert sorted(found) == sorted(run.id for run in runs)
    cancelled = await workflows.list(states=[WorkflowState.CANCELLED])
    assert [line.id for line in cancelled.workflows] == [runs[0].id]


async def test_a_look_at_a_workflow_has_errors_and_answers_within_a_bound(broker: Broker) -> None:
    names = [f"ask{n}" for n in range(40)]
    run = await begin(broker, form_of(*(step(name, approval={}) for name in names)))
    workflows, long = Workflows(broker), msgspec.Raw(msgspec.json.encode("x" * 60_000))
    for name in names:
        await workflows.signal(run.id, name, Answer(decision="approve", data=long))
    record = await workflows.get(run.id)
    shown = [step for step in record.steps if step.answer]
    assert {step.truncated for step in shown} == {False}
    assert 30 <= len(shown) < 40
    assert sum(step.truncated for step in record.steps) == 40 - len(shown)


async def test_what_has_ended_is_kept_for_a_time_and_then_gone_with_all_its_keys(valkey: str, namespace: str) -> None:
    now = [1_800_000_000_000]
    async with Broker(
        valkey, namespace=namespace, knobs=replace(DEFAULT_KNOBS, keep_completed_ms=1_000), now=lambda: now[0]
    ) as broker:
        first = await begin(broker, form_of(step("a"), step("b", "a")))
        await first.cancel()
        now[0] += 5_000
        await (await begin(broker, form_of(step("a")))).cancel()
        with pytest.raises(NotFound):
            await first.workflows.get(first.id)
        keys = await broker.redis.keys(f"{broker.layout.prefix(0)}workflow:{first.id}*")
        assert keys == []


DAMAGES = [
    ("flow-open", lambda r, p: r.srem(f"{p}:open:1", 1)),
    ("flow-step", lambda r, p: r.hset(f"{p}:ends", "1", "completed good 1")),
    ("flow-left", lambda r, p: r.hset(f"{p}:left", "2", "0")),
    ("flow-held", lambda r, p: r.hset(f"{p}:ends", "2", "started")),
    ("orphan", lambda r, p: r.delete(p)),
]


@pytest.mark.parametrize(("code", "damage"), DAMAGES, ids=[code for code, _ in DAMAGES])
async def test_the_auditor_sees_damage(broker: Broker, code: str, damage: Any) -> None:
    run = await begin(broker, form_of(step("a"), step("b", "a")))
    assert await audit(broker, pauses=()) == []
    await damage(broker.redis, f"{broker.layout.prefix(run.home)}workflow:{run.id}")
    assert code in {finding.code for finding in await audit(broker, pauses=())}


async def test_a_cancel_while_the_failure_is_told_stops_the_telling(broker: Broker) -> None:
    handlers = [step("cry"), step("weep", "cry")]
    run = await begin(broker, form_of(step("a"), on_failure=handlers, **{"finally": [step("tidy")]}))
    await run.claim(1)
    await run.settle({"a": StepState.FAILED})
    await run.claim(1)
    await run.cancel()
    await run.check()
    assert (run.stopped, run.states["weep"]) == (("cry",), StepState.CANCELLED)
    await run.settle({"cry": StepState.CANCELLED})
    await run.claim(1)
    await run.settle({"tidy": StepState.COMPLETED})
    assert (await run.check()).state == "failed"
