"""The edge cases of workflows, each of which was somebody's bug, and where its test is.

Most are played call by call, with a worker that does only what the test says; the others with a real worker.
"""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flows import form_of, plan_of, step
from hands import Hands, begin
from msgspec.structs import replace
from waiting import eventually

from boltq import BoltQ
from boltq.broker.broker import Broker
from boltq.broker.call import Call
from boltq.broker.consistency import audit
from boltq.broker.knobs import DEFAULT_KNOBS
from boltq.broker.settling import Settling
from boltq.broker.workflows.claimed_steps import ClaimedSteps
from boltq.broker.workflows.workflows import Workflows
from boltq.domain.errors import Conflict
from boltq.domain.ids import new_id
from boltq.domain.limits import MAX_RESULT_BYTES
from boltq.domain.outcome import DataError
from boltq.domain.workflow.approvals import Answer
from boltq.domain.workflow.builder import Workflow
from boltq.domain.workflow.refs import item
from boltq.domain.workflow.rerun import RerunMode
from boltq.domain.workflow.states import WorkflowState

HERE, STORE, MAPS, DELETED = (
    "stories/test_workflow_edges.py", "broker/test_workflows.py", "broker/test_workflows_maps.py",
    "broker/test_workflows_deleted.py",
)  # fmt: skip
STORIES, RULES, FORMS = (
    "stories/test_workflows.py", "domain/workflow/test_progress.py", "domain/workflow/test_compiler.py",
)  # fmt: skip

CASES = {
    "a parent ends before its child is there": (HERE, "test_a_workflow_is_stored_in_one_call"),
    "a parent is abandoned by a killed worker": (
        STORE, "test_a_lost_worker_hands_its_step_back_and_a_poisoned_step_fails",
    ),
    "two last parents end in one call": (STORE, "test_two_last_parents_that_end_in_one_call_release_once"),
    "last parents end at the same instant": (HERE, "test_many_last_parents_that_end_at_once_release_once"),
    "a step is completed again after a redelivery": (HERE, "test_a_late_outcome_of_a_lost_worker_is_refused"),
    "an outcome of the generation before a rerun": (HERE, "test_a_late_outcome_of_an_earlier_generation_is_refused"),
    "a skipped parent is no failed parent": (HERE, "test_a_skipped_parent_is_no_failed_parent"),
    "an empty map": (HERE, "test_an_empty_map_gives_an_empty_list"),
    "a map of 10,000 that bears 5 %": (MAPS, "test_a_map_of_ten_thousand_of_which_five_percent_may_fail"),
    "a map of 10,000 with a real worker": (HERE, "test_a_real_worker_does_ten_thousand_items"),
    "a sibling fails before a map is expanded": (HERE, "test_a_sibling_fails_while_a_map_is_being_expanded"),
    "a nested map": (HERE, "test_a_map_of_workflows_with_maps"),
    "10,000 results into one step": (HERE, "test_ten_thousand_results_go_into_one_step"),
    "10,000 results that are too large": (HERE, "test_ten_thousand_results_that_are_too_large_fail_the_map"),
    "a diamond with a shared child": (STORIES, "test_a_diamond_joins_once"),
    "a cycle": (FORMS, "test_a_cycle_is_named"),
    "a reference to itself, to nothing, an id twice": (FORMS, "test_a_mistake_is_pointed_at"),
    "a signal before the wait, and twice": (STORIES, "test_waits_and_a_persons_word"),
    "a signal after the timeout": (HERE, "test_a_signal_after_the_timeout_is_refused"),
    "a cancel between claim and start": (HERE, "test_a_cancel_between_claim_and_start"),
    "results outlive their jobs": (HERE, "test_results_live_as_long_as_the_workflow"),
    "a sub-workflow outlives its keep time": (
        DELETED, "test_a_sub_workflow_lives_as_long_as_the_workflow_that_it_is_part_of",
    ),
    "big integers and empty lists": (STORIES, "test_results_go_from_step_to_step_to_the_byte"),
    "a deploy takes a job type away": (HERE, "test_a_job_type_that_no_worker_knows_any_more_waits_for_one"),
    "the store restarts between two calls": ("faults/test_store_restarts.py", "test_the_store_dies_at_any_one_script"),
    "a child has another priority than its parent": (HERE, "test_each_step_waits_with_its_own_priority"),
    "a crash in the middle of an expansion": (
        MAPS, "test_an_expansion_that_a_crash_broke_off_is_gone_on_with_by_another_worker",
    ),
    "a call is made twice, or its answer is lost": (STORIES, "test_a_call_that_is_made_twice_changes_nothing"),
    "a worker dies between any two calls": ("worker/test_steps.py", "test_it_ends_the_same_whenever_workers_die"),
    "any order of events": (STORE, "test_the_store_follows_the_rules_whatever_happens"),
    "one step's job is replayed or deleted": (HERE, "test_one_steps_job_is_not_steered_by_itself"),
    "what is given to a step changes in a rerun": (HERE, "test_a_rerun_with_other_references_knows_who_waits_for_whom"),
    "the widest and the longest workflow": (HERE, "test_no_call_is_too_much_for_the_store"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_every_case_has_its_test(case: str) -> None:
    path, name = CASES[case]
    assert f"def {name}(" in (Path(__file__).parents[1] / path).read_text("utf-8")


async def test_a_workflow_is_stored_in_one_call(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """So no step can end before those that wait for it are there; a worker that sleeps gets the first at once."""
    run, hands = await begin(broker, form_of(step("first")))
    await hands.finish(run)
    original, scripts = Broker.send, []

    async def noted(self: Broker, call: Any) -> Any:
        scripts.append(call.script)
        return await original(self, call)

    monkeypatch.setattr(Broker, "send", noted)
    form = form_of(step("a"), step("b", "a"), step("c", "b"))
    other = await Workflows(broker).submit(plan_of(form), form, workflow_id=new_id(hands.home))
    assert scripts == ["flow_submit"]
    monkeypatch.undo()
    key = f"{broker.layout.prefix(hands.home)}mail:{hands.name}"
    assert await broker.redis.llen(key) == 1
    assert (await hands.finish(other.id)).state == "completed"


async def test_many_last_parents_that_end_at_once_release_once(broker: Broker) -> None:
    names = [f"p{n}" for n in range(40)]
    run, hands = await begin(broker, form_of(*(step(name) for name in names), step("last", *names)))
    others = [await Hands(broker, hands.home, hands.functions).register() for _ in names]
    claimed = [await other.claim(1) for other in others]
    await asyncio.gather(*(other.do(jobs) for other, jobs in zip(others, claimed, strict=True)))
    assert (await hands.finish(run)).state == "completed"
    assert sum(len(other.ran) for other in [hands, *others]) == 41


async def test_a_late_outcome_of_a_lost_worker_is_refused(broker: Broker) -> None:
    run, late = await begin(broker, form_of(step("a"), step("b", "a")))
    [old] = await late.claim()
    await broker.retire(late.home, late.name, lost=True)
    hands = await Hands(broker, late.home, {"t": lambda: 2}).register()
    await hands.do(await hands.claim())
    assert [word for _, word in await late.do([old])] == ["LEASE_LOST"]
    assert [word for _, word in await late.do([old])] == ["LEASE_LOST"]
    assert (await hands.finish(run)).state == "completed"
    assert hands.ran == [{}, {}]
    ends = await broker.redis.hgetall(f"{broker.layout.prefix(late.home)}workflow:{run}:results")
    assert set(ends.values()) == {b"2"}


async def test_a_late_outcome_of_an_earlier_generation_is_refused(broker: Broker) -> None:
    """Of a step, and of an item of a map."""
    form = form_of(step("a"), step("m", map={"over": [1, 2]}), step("z", "a", "m"), policy="continue")
    run, late = await begin(broker, form)
    home = late.home
    first = await late.claim()
    map_job = next(job for job in first if job.type == "boltq.step")
    await late.do([map_job])
    [item_job] = await late.claim(1)
    old = [item_job, *(job for job in first if job is not map_job)]
    for _ in range(3):  # each time it is claimed, its worker is lost: the jobs are buried
        await broker.retire(home, late.name, lost=True)
        worker = await Hands(broker, home, late.functions).register()
        for job in await worker.claim():
            await broker.begin(home, worker.name, job)
        await broker.retire(home, worker.name, lost=True)
    hands = await Hands(broker, home, late.functions).register()
    assert (await hands.finish(run)).state == "failed"
    assert await hands.workflows.rerun(run, RerunMode.ALL) == ("a", "m", "z")
    before = await hands.workflows.get(run)
    stale = [Settling(job.id, job.delivery, "completed", 1, 0, '"stale"') for job in old]
    refused = (await broker.settle(home, late.name, stale)).refused
    assert [word for _, word in refused] == ["LEASE_LOST"] * 2
    assert (await hands.workflows.get(run)).states == before.states
    record = await hands.finish(run)
    assert (record.state, record.generation) == ("completed", 2)
    assert await audit(broker, pauses=()) == []


async def test_a_skipped_parent_is_no_failed_parent(broker: Broker) -> None:
    def fail(**_: Any) -> None:
        raise DataError("no")

    rules = ["all_success", "none_failed", "one_failed", "all_done"]
    form = form_of(
        step("ok"),
        step("skipped", "ok", when="1 > 2"),
        step("bad", "ok", job_type="fail"),
        *(step(f"s_{rule}", "skipped", run_if=rule) for rule in rules),
        *(step(f"b_{rule}", "bad", run_if=rule) for rule in rules),
        step("after_both", "skipped", "bad", run_if="none_failed"),
        step("after_that", "after_both", run_if="none_failed"),
    )
    run, hands = await begin(broker, form, {"t": lambda: 1, "fail": fail})
    states = (await hands.finish(run)).states
    ran = {name for name, state in states.items() if state == "completed"}
    assert ran == {"ok", "s_none_failed", "s_all_done", "b_one_failed", "b_all_done"}
    assert (states["after_both"], states["after_that"]) == ("skipped", "skipped")


async def test_an_empty_map_gives_an_empty_list(broker: Broker) -> None:
    form = form_of(
        step("none", map={"over": []}),
        step("after", "none", params={"x": "{{ steps.none.result }}", "n": "{{ steps.none.stats.total }}"}),
        step("also", "none", map={"over": "{{ steps.none.result }}"}),
        output=["{{ steps.none.result }}", "{{ steps.also.result }}"],
    )
    run, hands = await begin(broker, form, {"t": lambda **_: 1})
    record = await hands.finish(run)
    assert record.state == "completed"
    assert hands.ran == [{"x": [], "n": 0}]
    assert await hands.workflows.output(record) == "[[], []]"


@pytest.mark.parametrize("moment", ["before", "between", "after"])
async def test_a_sibling_fails_while_a_map_is_being_expanded(broker: Broker, moment: str) -> None:
    """Before its worker has told the store of any item, of some, or of all."""

    def fail() -> None:
        raise DataError("no")

    form = form_of(step("m", map={"over": list(range(700))}), step("bad", job_type="fail"), policy="fail_fast")
    run, hands = await begin(broker, form, {"t": lambda: 1, "fail": fail})
    jobs = await hands.claim()
    mapping = next(job for job in jobs if job.type == "boltq.step")
    sibling = [job for job in jobs if job is not mapping]
    original, told = ClaimedSteps(broker).step, 0

    async def tell(self: ClaimedSteps, said: Call[str]) -> str:
        nonlocal told
        told += 1
        if told == {"before": 1, "between": 2, "after": 4}[moment]:
            await hands.do(sibling)
        return await original(said)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClaimedSteps, "step", tell)
        await hands.do([mapping])
    if moment == "after":
        await hands.do(sibling)
    record = await hands.finish(run)
    assert (record.state, record.step("m").state) == ("failed", "cancelled")
    assert hands.ran == [{}]
    assert await broker.redis.zcard(f"{broker.layout.prefix(hands.home)}queue:default:blocked") == 0
    assert await audit(broker, pauses=()) == []


async def test_a_map_of_workflows_with_maps(broker: Broker) -> None:
    deepest = {
        "name": "deepest",
        "input": {"n": 0, "k": 0},
        "steps": [step("x", params={"n": "{{ input.n }}", "k": "{{ input.k }}"})],
        "output": "{{ steps.x.result }}",
    }
    inner = {
        "name": "inner",
        "input": {"n": 0},
        "steps": [
            step("m", workflow=deepest, map={"over": [1, 2, 3]}, params={"n": "{{ input.n }}", "k": "{{ item }}"})
        ],
        "output": "{{ steps.m.result }}",
    }
    outer = step("outer", workflow=inner, map={"over": [10, 20], "max_concurrency": 1}, params={"n": "{{ item }}"})
    run, hands = await begin(broker, form_of(outer, output="{{ steps.outer.result }}"), {"t": lambda n, k: n * k})
    record = await hands.finish(run)
    assert await hands.workflows.output(record) == "[[10,20,30],[20,40,60]]"
    assert len((await hands.workflows.list()).workflows) == 1 + 2 + 6
    assert await audit(broker, pauses=()) == []


def fan(text: str) -> str:
    """10,000 items whose results go into one step."""
    many = step("many", map={"over": list(range(10_000))}, params={"x": "{{ item }}"})
    return form_of(many, step("one", "many", job_type="count", params={"x": text}))


async def test_ten_thousand_results_go_into_one_step(broker: Broker) -> None:
    functions = {"t": lambda x: x, "count": lambda x: [len(x), sum(x)]}
    run, hands = await begin(broker, fan("{{ steps.many.result }}"), functions)
    record = await hands.finish(run)
    assert record.state == "completed"
    assert hands.ran[-1]["x"] == list(range(10_000))


async def test_ten_thousand_results_that_are_too_large_fail_the_map(broker: Broker) -> None:
    """Each is small; together they have more bytes than one result may, and no more than that is kept."""
    large = "y" * (MAX_RESULT_BYTES // 10_000 + 20)
    functions = {"t": lambda x: large, "count": len}
    run, hands = await begin(broker, fan("{{ steps.many.result }}"), functions)
    record = await hands.finish(run)
    assert record.step("one").state == "skipped"
    assert f"more than {MAX_RESULT_BYTES} bytes together" in (record.step("many").error or "")
    kept = await broker.redis.hvals(f"{broker.layout.prefix(hands.home)}workflow:{run}:map:1:results")
    assert sum(map(len, kept)) <= MAX_RESULT_BYTES


async def test_a_real_worker_does_ten_thousand_items(boltq_app: BoltQ, worker: Any) -> None:
    @boltq_app.task
    async def double(x: int) -> int:
        if x % 25 == 0:
            raise DataError("no multiple of 25")
        return 2 * x

    flow = Workflow("many")
    flow.output(flow.map(list(range(10_000)), tolerated_failures="5%").step(double, x=item).stats)
    async with worker(slots=50):
        stats = await (await boltq_app.submit_workflow(flow)).result(timeout=300)
    assert stats == {"total": 10_000, "completed": 9_600, "failed": 400, "cancelled": 0}


async def test_a_signal_after_the_timeout_is_refused(valkey: str, namespace: str) -> None:
    now = [1_800_000_000_000]
    async with Broker(valkey, namespace=namespace, now=lambda: now[0]) as broker:
        asked = step("ask", approval={"prompt": "?", "timeout_seconds": 5})
        run, hands = await begin(broker, form_of(asked, step("after", "ask", run_if="all_done")))
        await hands.work()
        now[0] += 5_000
        assert (await hands.finish(run)).step("ask").state == "failed"
        with pytest.raises(Conflict, match="its timeout has answered step ask already: reject"):
            await hands.workflows.signal(run, "ask", Answer(decision="approve"))
        answer = msgspec.json.decode((await hands.workflows.get(run)).step("ask").answer or "")
        assert (answer["decision"], answer["timed_out"]) == ("reject", True)


@pytest.mark.parametrize("kind", [{}, {"when": "1 < 2"}, {"map": {"over": [1]}}, {"wait": {"seconds": 5}}])
async def test_a_cancel_between_claim_and_start(broker: Broker, kind: dict[str, Any]) -> None:
    """The worker has the job, and has not looked at it: whatever the step is, it does not begin anything."""
    run, hands = await begin(broker, form_of(step("a", **kind), step("b", "a"), **{"finally": [step("f")]}))
    jobs = await hands.claim()
    await hands.workflows.cancel(run)
    if not kind:  # a plain job is in the worker's hands: it stops it, or tells that it was too late
        await broker.settle(hands.home, hands.name, [Settling(jobs[0].id, jobs[0].delivery, "cancelled", 1)])
    elif "when" in kind:
        await broker.settle(hands.home, hands.name, [Settling(jobs[0].id, jobs[0].delivery, "released", 1)])
    else:
        await hands.do(jobs)
    record = await hands.finish(run)
    assert (record.state, record.states) == ("cancelled", {"a": "cancelled", "b": "cancelled", "f": "completed"})
    assert hands.ran == [{}]
    assert await audit(broker, pauses=()) == []


async def test_results_live_as_long_as_the_workflow(valkey: str, namespace: str) -> None:
    """The jobs of steps and items may be gone long before: only one ended job is kept here, for a millisecond."""
    now = [1_800_000_000_000]
    knobs = replace(DEFAULT_KNOBS, keep_completed=1, keep_completed_ms=1, keep_dead=1, keep_dead_ms=1)
    async with Broker(valkey, namespace=namespace, knobs=knobs, now=lambda: now[0]) as broker:
        form = form_of(
            step("a", params={"x": 5}),
            step("m", "a", map={"over": [1, 2, 3]}, params={"x": "{{ item }}"}),
            step("pause", "m", wait={"seconds": 3600}),
            step("last", "pause", params={"x": ["{{ steps.a.result }}", "{{ steps.m.result }}"]}),
            output="{{ steps.last.result }}",
        )
        run, hands = await begin(broker, form, {"t": lambda x: x})
        await hands.work()
        now[0] += 3_600_000
        await broker.submit([])
        assert (await hands.workflows.get(run)).step("a").job_state is None
        jobs = await hands.claim()
        while jobs:
            await hands.do(jobs)
            record = await hands.workflows.get(run)
            jobs = await hands.claim()
        assert hands.ran[-1] == {"x": [5, [1, 2, 3]]}
        assert await hands.workflows.output(record) == "[5,[1,2,3]]"


@pytest.mark.parametrize(("items", "state"), [(3, "completed"), (4, "failed")])
async def test_maps_of_workflows_with_maps_are_bounded_together(
    valkey: str, namespace: str, items: int, state: str
) -> None:
    """Ten jobs here: a map of two workflows of one step each, which is a map of so many items."""

    def ten(_name: str, text: str) -> str:
        return text.replace("MAX_SPREAD", "10")

    inner = {"name": "inner", "steps": [step("i", map={"over": [0] * items}, params={"x": 1})]}
    form = form_of(step("m", type="workflow", workflow=inner, map={"over": [1, 2]}))
    async with Broker(valkey, namespace=namespace, rewrite=ten) as broker:
        run, hands = await begin(broker, form, {"t": lambda x: x})
        assert (await hands.finish(run)).state == state
        failed = (await hands.workflows.list(name="inner", states=[WorkflowState.FAILED])).workflows
        errors = [(await hands.workflows.get(one.id)).step("i").error or "" for one in failed]
        assert len(errors) == (state == "failed")
        assert all("maps and sub-workflows may have" in error for error in errors)
        await hands.workflows.rerun(run, RerunMode.ALL)
        assert (await hands.finish(run)).state == state  # counted anew
        assert await audit(broker, pauses=()) == []


async def test_what_a_step_did_is_known_as_long_as_the_workflow(broker: Broker) -> None:
    """Also when its job has been deleted, or pruned: attempts, times, worker, inputs and sub-workflow."""
    inner = {"name": "inner", "steps": [step("b")], "input": {"y": 0}}
    form = form_of(
        step("a", params={"x": 5}),
        step("m", "a", map={"over": [1, 2]}, params={"x": "{{ item }}"}),
        step("w", "m", type="workflow", workflow=inner, params={"y": "{{ steps.a.result }}"}),
        step("last", "w", params={"x": "{{ steps.m.result }}"}),
        step("fails", "last", params={"bad": True}),
    )
    run, hands = await begin(broker, form, {"t": _unless_bad})
    record = await hands.finish(run)
    data = await hands.workflows.data(record)
    assert record.states["fails"] == "failed"
    verdicts = await broker.delete([one.job_id for one in record.steps])
    assert {verdict.ok for verdict in verdicts} == {True}
    later = await hands.workflows.get(run)
    assert {one.job_state for one in later.steps} == {None}
    assert await hands.workflows.data(later) == data
    for before, after in zip(record.steps, later.steps, strict=True):
        assert after == msgspec.structs.replace(before, job_state=None)
    assert msgspec.json.decode(data["last"].inputs or "") == {"x": [{"x": 1}, {"x": 2}]}
    assert (later.step("a").attempts, later.step("a").worker) == (1, hands.name)
    assert later.step("w").workflow_id
    assert await audit(broker, pauses=()) == []


def _unless_bad(**data: Any) -> Any:
    if "bad" in data:
        raise DataError("bad")
    return data


async def test_a_job_type_that_no_worker_knows_any_more_waits_for_one(boltq_app: BoltQ, worker: Any) -> None:
    """The worker that is there after the deploy does the other steps; one that knows the type does the rest."""
    before, after = BoltQ(settings=boltq_app.settings), BoltQ(settings=boltq_app.settings)

    async def old(x: int) -> int:
        return x + 1

    async def new(x: int) -> int:
        return x * 10

    before.task(old)
    after.task(new)
    flow = Workflow("deploy")
    first = flow.options(id="first").step("new", x=1)
    second = flow.options(id="second").step("old", x=first.result)
    third = flow.options(id="third").step("new", x=second.result)
    flow.output([third.result, flow.options(id="aside").step("new", x=7).result])
    async with before, after:
        run = await boltq_app.submit_workflow(flow)
        async with worker(after):

            async def is_all_else_done() -> bool:
                states = (await run.record()).states
                return states["aside"] == states["first"] == "completed"

            await eventually(is_all_else_done)
            assert (await run.record()).step("second").state == "queued"
            async with worker(before):
                assert await run.result(timeout=60) == [110, 70]


async def test_each_step_waits_with_its_own_priority(broker: Broker) -> None:
    """A step does not take the priority of the one before it; a sub-workflow's steps have that of its form."""
    inner = {"name": "inner", "priority": "high", "steps": [step("deep", params={"x": "deep"})]}
    form = form_of(
        step("urgent", priority="high", params={"x": "urgent"}),
        step("low", "urgent", priority="low", params={"x": "low"}),
        step("sub", "urgent", workflow=inner),
        step("middle", "urgent", params={"x": "middle"}),
        step("high", "low", priority="high", params={"x": "high"}),
        priority="normal",
    )
    run, hands = await begin(broker, form, {"t": lambda x: x})
    for _ in range(10):
        await hands.do(await hands.claim(1))
    assert (await hands.workflows.get(run)).state == "completed"
    names = [row["x"] for row in hands.ran]
    assert names[0] == "urgent"
    assert names.index("deep") < names.index("low")
    assert names[-2:] == ["low", "high"]


async def test_one_steps_job_is_not_steered_by_itself(broker: Broker) -> None:
    """Its refusal says what to do instead."""

    def fail() -> None:
        raise DataError("no")

    run, hands = await begin(broker, form_of(step("a", job_type="fail"), step("b", "a")), {"fail": fail})
    record = await hands.workflows.get(run)
    [waiting] = await broker.delete([record.step("b").job_id])
    with pytest.raises(Conflict, match=f"it is a step of the workflow {run}: rerun, cancel or delete that"):
        waiting.check()
    edited = await broker.edit(record.step("a").job_id, data="{}")
    assert (edited.word, edited.state, edited.workflow) == ("CONFLICT", "queued", run)
    assert (await broker.edit(record.step("a").job_id, priority=2)).ok
    await hands.work()
    [dead] = await broker.replay([record.step("a").job_id])
    assert (dead.word, dead.state, dead.workflow) == ("CONFLICT", "dead", run)
    with pytest.raises(Conflict, match=f"is dead; it is a step of the workflow {run}"):
        dead.check()


async def test_a_rerun_with_other_references_knows_who_waits_for_whom(broker: Broker) -> None:
    """`c` refers to `b` from now on, which did not begin anew: a later rerun of all must wait for it."""
    broken = [True]

    def work(x: Any) -> Any:
        if x == "bad" or (broken and x == [1]):
            raise DataError("no")
        return [x] if x == 1 else x

    form = form_of(
        step("a", params={"x": 1}),
        step("b", params={"x": 2}),
        {"id": "c", "job_type": "t", "params": {"x": "{{ steps.a.result }}"}},
    )
    run, hands = await begin(broker, form, {"t": work})
    assert (await hands.finish(run)).step("c").state == "failed"
    other = {"c": msgspec.Raw(b'{"x":["{{ steps.b.result }}","{{ steps.a.result }}"]}')}
    assert await hands.workflows.rerun(run, RerunMode.FAILED_ONLY, params=other) == ("c",)
    assert (await hands.finish(run)).state == "completed"
    await hands.workflows.rerun(run, RerunMode.ALL)
    assert await audit(broker, pauses=()) == []
    assert (await hands.finish(run)).state == "completed"
    assert hands.ran[-1] == {"x": [2, [1]]}


WIDE = [step(f"a{n}") for n in range(499)]
SHAPES = {
    "a chain": [step(f"s{n}", *([f"s{n - 1}"] if n else [])) for n in range(1_000)],
    "999 before one": [*(step(f"s{n}") for n in range(999)), step("last", *(f"s{n}" for n in range(999)))],
    "one before 999": [step("first"), *(step(f"s{n}", "first") for n in range(999))],
    "each before each": [
        *(step(f"a{n}") for n in range(300)),
        *(step(f"b{n}", *(f"a{m}" for m in range(300)), run_if="all_done") for n in range(300)),
    ],
    "early": [*WIDE, step("e", *(f"a{n}" for n in range(499)), run_if={"at_least": 499}), step("z", "e")],
}


@pytest.mark.parametrize("policy", ["fail_fast", "continue"])
@pytest.mark.parametrize("shape", SHAPES)
async def test_no_call_is_too_much_for_the_store(valkey: str, namespace: str, shape: str, policy: str) -> None:
    """The widest and the longest workflows are paused, cancelled, run again and deleted like any other."""
    form = form_of(*SHAPES[shape], policy=policy)
    async with Broker(valkey, namespace=namespace) as broker:
        run, hands = await begin(broker, form, {"t": lambda: 1})
        await hands.workflows.pause(run)
        await hands.workflows.resume(run)
        first = await hands.claim(600)
        failing = [Settling(job.id, job.delivery, "dead", 1, 0, '{"class":"E"}') for job in first[:1]]
        await broker.settle(hands.home, hands.name, failing)
        await hands.do(first[1:])
        record = await hands.finish(run)
        assert record.state == "failed"
        await hands.workflows.rerun(run, RerunMode.FAILED_AND_DOWNSTREAM)
        await hands.workflows.cancel(run)
        await hands.finish(run)
        await hands.workflows.rerun(run, RerunMode.ALL)
        record = await hands.finish(run)
        assert record.state == "completed"
        assert await audit(broker, pauses=()) == []
        await hands.workflows.delete(run)
