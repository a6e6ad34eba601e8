"""How a workflow goes on: the rules by hand, and whole runs against a naive model."""

import json
import random as chance
from typing import Any

import pytest
from hypothesis import given, strategies as st

from boltq.domain.states import JobState
from boltq.domain.workflow.compiler import compile_workflow
from boltq.domain.workflow.form import read_form
from boltq.domain.workflow.plan import Group, Plan, Rule
from boltq.domain.workflow.progress import (
    Advance,
    Decision,
    Ending,
    Standing,
    advance,
    cause_of,
    decide,
    first_failure,
    standings,
    waits_for,
    why_skipped,
)
from boltq.domain.workflow.states import ENDED, OF_JOB, StepState, WorkflowState

PENDING, QUEUED, RUNNING, WAITING, OK, FAILED, SKIPPED, CANCELLED = StepState
GOOD, BAD, LOST, PASSED, TOLERATED, OPEN = (
    Standing.GOOD, Standing.BAD, Standing.LOST, Standing.PASSED, Standing.TOLERATED, Standing.OPEN,
)  # fmt: skip


def step(name: str, *parents: str, **fields: Any) -> dict[str, Any]:
    kind = {} if fields.keys() & {"wait", "approval", "workflow"} else {"job_type": "t"}
    return {"id": name, "depends_on": list(parents), **kind, **fields}


def plan_of(*steps: dict[str, Any], policy: str = "continue", **fields: Any) -> Plan:
    form = {"name": "w", "steps": steps, "on_failure_policy": policy, **fields}
    return compile_workflow(read_form(json.dumps(form)))


def look(plan: Plan, *, ending: Ending | None = None, **states: StepState) -> Advance:
    """What happens next; a step that is not named is pending."""
    return advance(plan, {s.id: states.get(s.id.replace("-", "_"), PENDING) for s in plan.steps}, ending)


def rule(name: str, at_least: int = 0) -> Any:
    word: Any = {"at_least": at_least} if at_least else name
    return plan_of(step("a"), step("b"), step("c"), step("x", "a", "b", "c", run_if=word)).by_id["x"]


@pytest.mark.parametrize(
    ("name", "parents", "decision"),
    [
        ("all_success", [GOOD, GOOD, GOOD], "run"),
        ("all_success", [GOOD, TOLERATED, GOOD], "run"),
        ("all_success", [GOOD, OPEN, GOOD], "wait"),
        ("all_success", [BAD, OPEN, GOOD], "wait"),
        ("all_success", [BAD, GOOD, GOOD], "skip"),
        ("all_success", [GOOD, PASSED, GOOD], "skip"),
        ("all_success", [GOOD, LOST, GOOD], "skip"),
        ("none_failed", [GOOD, PASSED, TOLERATED], "run"),
        ("none_failed", [PASSED, PASSED, PASSED], "run"),
        ("none_failed", [GOOD, BAD, GOOD], "skip"),
        ("none_failed", [GOOD, LOST, GOOD], "skip"),
        ("none_failed", [GOOD, OPEN, GOOD], "wait"),
        ("all_done", [BAD, LOST, PASSED], "run"),
        ("all_done", [BAD, OPEN, PASSED], "wait"),
        ("one_success", [OPEN, GOOD, OPEN], "run"),
        ("one_success", [BAD, OPEN, BAD], "wait"),
        ("one_success", [BAD, TOLERATED, PASSED], "skip"),
        ("one_failed", [OPEN, BAD, OPEN], "run"),
        ("one_failed", [OPEN, TOLERATED, OPEN], "run"),
        ("one_failed", [LOST, OPEN, GOOD], "wait"),
        ("one_failed", [LOST, PASSED, GOOD], "skip"),
        ("all_failed", [BAD, TOLERATED, BAD], "run"),
        ("all_failed", [BAD, OPEN, BAD], "wait"),
        ("all_failed", [BAD, GOOD, BAD], "skip"),
        ("all_failed", [BAD, LOST, BAD], "skip"),
        ("all_failed", [BAD, PASSED, BAD], "skip"),
        ("one_done", [OPEN, GOOD, OPEN], "run"),
        ("one_done", [OPEN, BAD, OPEN], "run"),
        ("one_done", [OPEN, TOLERATED, OPEN], "run"),
        ("one_done", [PASSED, OPEN, LOST], "wait"),
        ("one_done", [PASSED, PASSED, LOST], "skip"),
        ("all_skipped", [PASSED, PASSED, PASSED], "run"),
        ("all_skipped", [PASSED, OPEN, PASSED], "wait"),
        ("all_skipped", [PASSED, GOOD, PASSED], "skip"),
        ("all_skipped", [PASSED, LOST, PASSED], "skip"),
        ("all_skipped", [PASSED, TOLERATED, PASSED], "skip"),
        ("none_failed_min_one_success", [GOOD, PASSED, PASSED], "run"),
        ("none_failed_min_one_success", [GOOD, OPEN, PASSED], "wait"),
        ("none_failed_min_one_success", [PASSED, PASSED, PASSED], "skip"),
        ("none_failed_min_one_success", [TOLERATED, PASSED, PASSED], "skip"),
        ("none_failed_min_one_success", [GOOD, BAD, PASSED], "skip"),
        ("none_failed_min_one_success", [GOOD, LOST, PASSED], "skip"),
        ("at_least", [GOOD, OPEN, GOOD], "run"),
        ("at_least", [GOOD, OPEN, BAD], "wait"),
        ("at_least", [GOOD, TOLERATED, BAD], "skip"),
    ],
)
def test_a_rule_decides(name: str, parents: list[Standing], decision: str) -> None:
    assert decide(rule(name, 2 if name == "at_least" else 0), parents) == decision


def test_what_it_refers_to_must_have_ended_whatever_the_rule() -> None:
    assert decide(rule("one_success"), [GOOD, OPEN, OPEN], [OPEN]) == Decision.WAIT
    assert decide(rule("one_success"), [GOOD, OPEN, OPEN], [BAD]) == Decision.RUN
    assert decide(rule("all_success"), [GOOD, GOOD, GOOD], [BAD]) == Decision.RUN


def test_roots_begin_at_once_and_a_diamond_ends_with_one_join() -> None:
    plan = plan_of(step("a"), step("b", "a"), step("c", "a"), step("d", "b", "c"))
    assert look(plan).ready == ("a",)
    assert look(plan, a=OK).ready == ("b", "c")
    assert look(plan, a=OK, b=OK, c=RUNNING).ready == ()
    assert look(plan, a=OK, b=OK, c=OK).ready == ("d",)
    assert look(plan, a=OK, b=OK, c=OK, d=QUEUED).ready == ()
    assert look(plan, a=OK, b=OK, c=OK, d=OK).end is WorkflowState.COMPLETED


def test_a_skipped_parent_is_not_a_failed_one() -> None:
    plan = plan_of(step("a"), step("b", "a"), step("c", "b"), step("any", "b", run_if="none_failed"))
    skipped = look(plan, a=OK, b=SKIPPED)
    assert (skipped.skipped, skipped.ready) == (("c",), ("any",))
    assert why_skipped(plan, skipped.states, "c") == "all_success does not hold: b skipped"
    failed = look(plan, a=OK, b=FAILED)
    assert (failed.skipped, failed.ready) == (("c", "any"), ())


def test_what_was_skipped_after_a_failure_counts_as_lost_further_down() -> None:
    plan = plan_of(step("a"), step("b", "a"), step("c", "b", run_if="none_failed"), step("d", "c", run_if="all_done"))
    found = look(plan, a=FAILED)
    assert (found.skipped, found.ready) == (("b", "c"), ("d",))
    assert standings(plan, found.states) == {"a": BAD, "b": LOST, "c": LOST, "d": OPEN}


def test_what_was_skipped_on_purpose_after_a_failure_is_not_lost() -> None:
    plan = plan_of(step("a"), step("b", "a", run_if="all_done", when="false"), step("c", "b", run_if="none_failed"))
    assert look(plan, a=FAILED, b=SKIPPED).ready == ("c",)


def test_a_step_is_not_skipped_while_a_parent_runs() -> None:
    """Else a clean-up behind it could begin while that parent still works."""
    plan = plan_of(step("a"), step("b"), step("c", "a", "b"), step("tidy", "c", run_if="all_done"))
    assert look(plan, a=FAILED, b=RUNNING).skipped == ()
    assert look(plan, a=FAILED, b=OK).ready == ("tidy",)


def test_a_map_that_is_not_expanded_is_one_open_parent() -> None:
    plan = plan_of(step("a"), step("m", map={"over": [1]}), step("c", "a", "m", run_if="none_failed"))
    for state in (QUEUED, RUNNING, WAITING):
        assert look(plan, a=FAILED, m=state).skipped == ()


def test_one_success_does_not_skip_before_the_last_parent_has_ended() -> None:
    plan = plan_of(step("a"), step("b"), step("c", "a", "b", run_if="one_success"))
    assert look(plan, a=FAILED, b=QUEUED).skipped == ()
    assert look(plan, a=FAILED, b=FAILED).skipped == ("c",)
    assert look(plan, a=OK, b=RUNNING).ready == ("c",)
    assert look(plan, a=OK, b=OK, c=RUNNING).ready == ()


def test_an_allowed_failure_does_not_stop_what_follows_nor_fail_the_workflow() -> None:
    plan = plan_of(step("a", allow_failure=True), step("b", "a"), policy="fail_fast")
    assert look(plan, a=FAILED).ready == ("b",)
    assert look(plan, a=FAILED, b=OK).end is WorkflowState.COMPLETED
    assert first_failure(plan, {"a": FAILED, "b": FAILED}) == "b"


def test_the_cause_of_a_failure_may_be_a_step_of_finally() -> None:
    plan = plan_of(step("soft", allow_failure=True), step("b"), **{"finally": [step("tidy")]})
    assert cause_of(plan, {"soft": FAILED, "b": OK, "tidy": FAILED}) == "tidy"
    assert cause_of(plan, {"soft": FAILED, "b": FAILED, "tidy": FAILED}) == "b"
    assert cause_of(plan, {"soft": FAILED, "b": CANCELLED, "tidy": OK}) is None


def test_fail_fast_cancels_what_has_not_begun() -> None:
    plan = plan_of(
        step("a"), step("b", "a"), step("q"), step("r"), step("nap", wait={"seconds": 9}), step("m", map={"over": [1]}),
        step("sub", workflow={"name": "i", "steps": [{"job_type": "t"}]}),
        step("tidy", "a", "r", run_if="all_done"), step("after", "tidy"), step("cry", "a", run_if="one_failed"),
        step("late", "q"), policy="fail_fast",
    )  # fmt: skip
    found = look(plan, a=FAILED, q=QUEUED, r=RUNNING, nap=WAITING, m=RUNNING, sub=RUNNING)
    assert set(found.cancelled) == {"b", "q", "nap", "late"}
    assert set(found.stopped) == {"m", "sub"}
    assert found.ready == ("cry",)
    assert {found.states[name] for name in ("r", "tidy", "after")} == {RUNNING, PENDING}
    assert found.end is None
    again = advance(plan, found.states)
    assert (again.ready, again.skipped, again.cancelled) == ((), (), ())
    last = look(plan, **{**found.states, "r": OK, "m": CANCELLED, "sub": CANCELLED, "cry": OK})
    assert last.ready == ("tidy",)
    ended = look(plan, **{**last.states, "tidy": OK, "after": OK})
    assert ended.end is WorkflowState.FAILED


def test_fail_fast_spares_only_what_depends_on_something() -> None:
    plan = plan_of(step("a"), step("free", run_if="all_done"), policy="fail_fast")
    assert look(plan, a=FAILED, free=QUEUED).cancelled == ("free",)


def test_continue_lets_the_other_branches_go_on() -> None:
    plan = plan_of(step("a"), step("b", "a"), step("q"), step("r", "q"))
    found = look(plan, a=FAILED, q=OK)
    assert (found.ready, found.skipped, found.cancelled) == (("r",), ("b",), ())
    assert look(plan, a=FAILED, q=OK, b=SKIPPED, r=OK).end is WorkflowState.FAILED


HANDLERS = {
    "on_failure": [{"id": "cry", "job_type": "t"}],
    "finally": [{"id": "tidy", "job_type": "t"}, {"id": "sweep", "job_type": "t", "depends_on": ["tidy"]}],
}


def test_finally_runs_after_success_and_on_failure_does_not() -> None:
    plan = plan_of(step("a"), **HANDLERS)
    assert look(plan, a=RUNNING).ready == ()
    assert waits_for(plan, look(plan, a=RUNNING).states, "tidy") == ["a", "cry"]
    found = look(plan, a=OK)
    assert (found.skipped, found.ready, found.end) == (("cry",), ("tidy",), None)
    assert look(plan, a=OK, cry=SKIPPED, tidy=OK, sweep=OK).end is WorkflowState.COMPLETED
    assert look(plan, a=OK, cry=SKIPPED, tidy=OK, sweep=FAILED).end is WorkflowState.FAILED


def test_on_failure_comes_before_finally() -> None:
    plan = plan_of(step("a"), policy="fail_fast", **HANDLERS)
    assert look(plan, a=FAILED).ready == ("cry",)
    assert look(plan, a=FAILED, cry=FAILED).ready == ("tidy",)
    assert look(plan, a=FAILED, cry=FAILED, tidy=FAILED).skipped == ("sweep",)
    assert look(plan, a=FAILED, cry=OK, tidy=OK, sweep=OK).end is WorkflowState.FAILED


def test_a_cancelled_workflow_stops_and_still_tidies_up() -> None:
    plan = plan_of(step("a"), step("b"), step("c", "a"), **HANDLERS)
    found = look(plan, ending=Ending.CANCELLED, a=RUNNING, b=QUEUED)
    assert (found.cancelled, found.stopped, found.ready) == (("b", "c"), ("a",), ())
    found = look(plan, ending=Ending.CANCELLED, a=CANCELLED, b=CANCELLED, c=CANCELLED)
    assert (found.skipped, found.ready) == (("cry",), ("tidy",))
    found = look(plan, ending=Ending.CANCELLED, a=OK, b=CANCELLED, c=CANCELLED, cry=SKIPPED, tidy=OK, sweep=OK)
    assert found.end is WorkflowState.CANCELLED
    assert look(plan, ending=Ending.CANCELLED, **{**found.states, "sweep": FAILED}).end is WorkflowState.CANCELLED


def test_a_cancel_that_came_too_late_changes_nothing() -> None:
    plan = plan_of(step("a"))
    assert look(plan, ending=Ending.CANCELLED, a=OK).end is WorkflowState.COMPLETED
    assert look(plan, ending=Ending.CANCELLED, a=FAILED).end is WorkflowState.FAILED


def test_a_cancel_while_the_failure_is_told_stops_the_telling() -> None:
    plan = plan_of(
        step("a"), on_failure=[{"id": "cry", "job_type": "t"}, {"id": "cry2", "job_type": "t", "depends_on": ["cry"]}]
    )
    found = look(plan, ending=Ending.CANCELLED, a=FAILED, cry=RUNNING)
    assert (found.stopped, found.cancelled) == (("cry",), ("cry2",))


def test_a_workflow_that_ran_out_of_time_has_failed() -> None:
    plan = plan_of(step("a"), step("b", "a"), **HANDLERS)
    found = look(plan, ending=Ending.TIMED_OUT, a=RUNNING)
    assert (found.stopped, found.cancelled) == (("a",), ("b",))
    found = look(plan, ending=Ending.TIMED_OUT, a=CANCELLED, b=CANCELLED)
    assert found.ready == ("cry",)
    found = look(plan, ending=Ending.TIMED_OUT, a=CANCELLED, b=CANCELLED, cry=OK, tidy=OK, sweep=OK)
    assert found.end is WorkflowState.FAILED


def test_one_cancelled_step_makes_the_workflow_fail_unless_it_may() -> None:
    plan = plan_of(step("a"), step("b"))
    assert look(plan, a=CANCELLED, b=OK).end is WorkflowState.FAILED
    plan = plan_of(step("a", allow_failure=True), step("b", "a"))
    assert look(plan, a=CANCELLED).ready == ("b",)


def test_a_thousand_steps_in_a_chain_are_skipped_in_one_look() -> None:
    plan = plan_of(*(step(f"s{n}", *([f"s{n - 1}"] if n else [])) for n in range(1_000)))
    found = look(plan, s0=FAILED)
    assert len(found.skipped) == 999
    assert found.end is WorkflowState.FAILED


def test_why_and_for_what() -> None:
    plan = plan_of(step("a"), step("b", "a", when="steps.a.result"), step("c", "a", "b", run_if="all_done"), **HANDLERS)
    states = look(plan, a=OK, b=SKIPPED).states
    assert why_skipped(plan, states, "b") == "when is false"
    assert waits_for(plan, look(plan, a=OK, b=RUNNING).states, "c") == ["b"]
    assert why_skipped(plan, look(plan, a=OK, b=OK, c=OK).states, "cry") == "it was not needed: no step has failed"


@pytest.mark.parametrize("fields", [{}, {"when": "error.category == 'data'"}])
@pytest.mark.parametrize("first", [OK, SKIPPED])
def test_a_handler_that_no_failure_called_was_not_needed_whatever_its_when(
    fields: dict[str, Any], first: StepState
) -> None:
    cry = {"id": "cry", "job_type": "t", **fields}
    plan = plan_of(step("a"), on_failure=[cry, {"id": "later", "job_type": "t", "depends_on": ["cry"], **fields}])
    states = {"a": first, "cry": SKIPPED, "later": SKIPPED}
    for name in ("cry", "later"):
        assert why_skipped(plan, states, name) == "it was not needed: no step has failed"
        stopped = states | {"a": CANCELLED}
        expected = "it was not needed: the workflow was cancelled"
        assert why_skipped(plan, stopped, name, ending=Ending.CANCELLED) == expected
    if fields:
        assert why_skipped(plan, states | {"a": FAILED}, "cry") == "when is false"


def test_a_jobs_state_is_its_steps() -> None:
    assert set(OF_JOB) == set(JobState)
    assert {OF_JOB[state] for state in (JobState.COMPLETED, JobState.DEAD, JobState.CANCELLED)} <= ENDED


FOR_FAILURES = (Rule.ALL_DONE, Rule.ALL_FAILED, Rule.ONE_DONE, Rule.ONE_FAILED)
RULES = [*(rule.value for rule in Rule if rule is not Rule.AT_LEAST), {"at_least": 1}, {"at_least": 2}]


@st.composite
def runs(draw: st.DrawFn) -> tuple[Plan, dict[str, StepState], int]:
    """A graph, how each of its steps will end if it runs (skipped: `when` is false), and a seed for the order."""
    steps = []
    for n in range(draw(st.integers(1, 10))):
        parents = draw(st.lists(st.sampled_from([f"s{m}" for m in range(n)]), unique=True, max_size=4)) if n else []
        fits = [word for word in RULES if parents and (not isinstance(word, dict) or word["at_least"] <= len(parents))]
        steps.append(
            step(
                f"s{n}",
                *parents,
                run_if=draw(st.sampled_from(fits or ["all_success"])),
                allow_failure=draw(st.booleans()),
            )
        )
    ends = {s["id"]: draw(st.sampled_from([OK, OK, OK, FAILED, SKIPPED, CANCELLED])) for s in steps}
    handlers = {"finally": [step("f")], "on_failure": [step("o")]} if draw(st.booleans()) else {}
    ends |= {"f": OK, "o": FAILED}
    return (
        plan_of(*steps, policy=draw(st.sampled_from(["fail_fast", "continue"])), **handlers),
        ends,
        draw(st.integers(0, 999)),
    )


def played(plan: Plan, ends: dict[str, StepState], seed: int) -> tuple[Advance, list[str]]:
    """The workflow played to its end, one step ending at a time in any order; and the order in which they began."""
    random = chance.Random(seed)
    begun: list[str] = []
    states = {s.id: PENDING for s in plan.steps}
    while (found := advance(plan, states)).end is None:
        states = dict(found.states)
        begun += found.ready
        for name in found.ready:
            assert all(states[before] in ENDED for before in plan.by_id[name].awaits)
            if plan.by_id[name].rule not in (Rule.ONE_SUCCESS, Rule.ONE_FAILED, Rule.ONE_DONE, Rule.AT_LEAST):
                assert all(states[before] in ENDED for before in plan.by_id[name].parents)
        again = advance(plan, states)
        assert (again.ready, again.skipped, again.cancelled, again.states) == ((), (), (), states)
        running = [name for name, state in states.items() if state in (QUEUED, RUNNING)]
        assert running, "nothing runs, and it has not ended"
        chosen = random.choice(running)
        states[chosen] = RUNNING if states[chosen] is QUEUED else ends[chosen]
    assert not found.ready
    return found, begun


@given(runs())
def test_every_run_ends_and_no_step_begins_twice(run: tuple[Plan, dict[str, StepState], int]) -> None:
    plan, ends, seed = run
    found, begun = played(plan, ends, seed)
    assert set(found.states.values()) <= ENDED
    assert len(set(begun)) == len(begun)
    main = plan.group(Group.STEPS)
    broken = any(found.states[s.id] in (FAILED, CANCELLED) and not s.allow_failure for s in main)
    assert found.end is (WorkflowState.FAILED if broken else WorkflowState.COMPLETED)
    assert ("f" in plan.by_id) == ("f" in begun)
    assert ("o" in begun) == ("o" in plan.by_id and broken)


@given(runs(), st.integers(0, 999))
def test_the_end_is_the_naive_models_whatever_the_order(
    run: tuple[Plan, dict[str, StepState], int], other: int
) -> None:
    plan, ends, seed = run
    if plan.policy == "fail_fast":
        return
    expected = {s.id: naive(plan, ends, s.id)[0] for s in plan.group(Group.STEPS)}
    for order in (seed, other):
        found, _ = played(plan, ends, order)
        assert {name: found.states[name] for name in expected} == expected


def naive(plan: Plan, ends: dict[str, StepState], name: str) -> tuple[StepState, bool]:
    """How a step ends by the words of the rules, and whether that is somebody's failure. By recursion."""
    planned = plan.by_id[name]
    parents = [(naive(plan, ends, parent), plan.by_id[parent].allow_failure) for parent in planned.parents]
    completed = sum(state is OK for (state, _), _ in parents)
    failed = sum(state is FAILED or (state is CANCELLED and allowed) for (state, _), allowed in parents)
    hurt = any(blame for (_, blame), _ in parents)
    skipped = any(state is SKIPPED for (state, _), _ in parents)
    passed = sum(state is SKIPPED and not blame for (state, blame), _ in parents)
    runs = {
        "all_failed": failed == len(parents),
        "all_skipped": passed == len(parents),
        "one_done": completed + failed >= 1,
        "none_failed_min_one_success": not hurt and completed >= 1,
        "all_success": not hurt and not skipped,
        "none_failed": not hurt,
        "all_done": True,
        "one_success": completed >= 1,
        "one_failed": failed >= 1,
        "at_least": completed >= planned.at_least,
    }[planned.rule]
    if not runs:
        return SKIPPED, hurt
    end = ends[name]
    return end, end in (FAILED, CANCELLED) and not planned.allow_failure


@given(runs())
def test_after_a_failure_fail_fast_begins_nothing_but_what_is_for_it(
    run: tuple[Plan, dict[str, StepState], int],
) -> None:
    plan, ends, seed = run
    if plan.policy != "fail_fast":
        return
    random = chance.Random(seed)
    states = {s.id: PENDING for s in plan.group(Group.STEPS)} | {
        s.id: SKIPPED for s in plan.steps if s.group is not Group.STEPS
    }
    broken = False
    while (found := advance(plan, states)).end is None:
        states = dict(found.states)
        if broken:
            for name in found.ready:
                line = [name]
                while line and plan.by_id[line[0]].rule not in FOR_FAILURES:
                    line = [p for one in line for p in plan.by_id[one].parents]
                    line.sort(key=lambda p: plan.by_id[p].rule not in FOR_FAILURES)
                assert line, f"{name} has nothing to do with failures"
        chosen = random.choice([name for name, state in states.items() if state in (QUEUED, RUNNING)])
        states[chosen] = RUNNING if states[chosen] is QUEUED else ends[chosen]
        broken |= states[chosen] in (FAILED, CANCELLED) and not plan.by_id[chosen].allow_failure
