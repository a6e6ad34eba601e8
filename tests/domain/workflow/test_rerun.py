"""Running again: which steps begin anew."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from boltq.domain.workflow.compiler import compile_workflow
from boltq.domain.workflow.form import read_form
from boltq.domain.workflow.mistakes import InvalidWorkflow
from boltq.domain.workflow.plan import Plan
from boltq.domain.workflow.progress import advance
from boltq.domain.workflow.rerun import (
    RerunMode,
    downstream,
    going_on,
    out_of_place,
    steps_to_rerun,
    with_params,
)
from boltq.domain.workflow.states import ENDED, StepState, WorkflowState

_, _, _, _, OK, FAILED, SKIPPED, CANCELLED = StepState
ALL, FAILED_ONLY, AND_DOWNSTREAM, FROM_STEP = RerunMode


def step(name: str, *parents: str, **fields: Any) -> dict[str, Any]:
    return {"id": name, "depends_on": list(parents), "job_type": "t", **fields}


def plan_of(*steps: dict[str, Any], **fields: Any) -> Plan:
    return compile_workflow(read_form(json.dumps({"name": "w", "steps": steps, **fields})))


PLAN = plan_of(
    step("a"), step("b", "a"), step("c", "b"), step("d", "c", run_if="all_done"), step("x", "a"), step("y", "x"),
    step("soft", allow_failure=True),
    **{"on_failure": [step("cry")], "finally": [step("tidy")]},
)  # fmt: skip
STATES = {
    "a": OK, "b": FAILED, "c": SKIPPED, "d": OK, "x": CANCELLED, "y": CANCELLED, "soft": FAILED, "cry": OK, "tidy": OK,
}  # fmt: skip


@pytest.mark.parametrize(
    ("mode", "start", "again"),
    [
        (ALL, None, {"a", "b", "c", "d", "x", "y", "soft"}),
        (FAILED_ONLY, None, {"b", "c", "x", "y", "soft"}),
        (AND_DOWNSTREAM, None, {"b", "c", "d", "x", "y", "soft"}),
        (FROM_STEP, "c", {"c", "d", "b", "x", "y"}),
        (FROM_STEP, "d", {"d", "b", "c", "x", "y"}),
        (FROM_STEP, "a", {"a", "b", "c", "d", "x", "y"}),
    ],
)
def test_what_begins_anew(mode: RerunMode, start: str | None, again: set[str]) -> None:
    found = steps_to_rerun(PLAN, STATES, mode, start)
    assert set(found) == again | {"cry", "tidy"}
    assert list(found) == [s.id for s in PLAN.steps if s.id in found]


def test_from_a_step_of_a_workflow_that_succeeded() -> None:
    states = dict.fromkeys(STATES, OK) | {"cry": SKIPPED}
    assert steps_to_rerun(PLAN, states, FROM_STEP, "c") == ("c", "d", "cry", "tidy")
    assert steps_to_rerun(PLAN, states, FAILED_ONLY) == ()
    assert steps_to_rerun(PLAN, states | {"tidy": FAILED}, FAILED_ONLY) == ("cry", "tidy")


def test_a_step_that_was_skipped_on_purpose_stays_so_unless_something_before_it_changes() -> None:
    plan = plan_of(step("a"), step("b", when="false", run_if="all_done"), step("c", "a", "b", run_if="all_done"))
    assert steps_to_rerun(plan, {"a": FAILED, "b": SKIPPED, "c": SKIPPED}, FAILED_ONLY) == ("a", "c")


@pytest.mark.parametrize(("mode", "start"), [(FROM_STEP, None), (FROM_STEP, "nope"), (FROM_STEP, "tidy"), (ALL, "a")])
def test_a_start_that_does_not_fit(mode: RerunMode, start: str | None) -> None:
    with pytest.raises(InvalidWorkflow) as error:
        steps_to_rerun(PLAN, STATES, mode, start)
    assert error.value.errors[0][0] == "/from_step"


def test_a_step_can_run_again_with_other_params() -> None:
    form = read_form('{"name":"w","steps":[{"job_type":"t"},{"id":"b","job_type":"t"}],"finally":[{"job_type":"t"}]}')
    edited = with_params(form, {"step-1": msgspec.Raw(b'{"n": 1.0}'), "finally-1": msgspec.Raw(b'{"m":[]}')})
    assert [s.params for s in compile_workflow(edited).steps] == ['{"n": 1.0}', "{}", '{"m":[]}']
    with pytest.raises(InvalidWorkflow) as error:
        with_params(form, {"c/d": msgspec.Raw(b"{}")})
    assert error.value.errors == [("/params/c~1d", "there is no such step")]


def test_only_a_step_that_begins_anew_is_given_other_params() -> None:
    chosen = steps_to_rerun(PLAN, STATES, FAILED_ONLY)
    assert list(out_of_place(PLAN, chosen, FAILED_ONLY, ["b", "a", "n/o", "tidy"])) == [
        ("/params/a", "the step does not begin anew with the mode failed_only"),
        ("/params/n~1o", "there is no such step"),
    ]


@st.composite
def ended(draw: st.DrawFn) -> tuple[Plan, dict[str, StepState]]:
    steps = []
    for n in range(draw(st.integers(1, 10))):
        parents = draw(st.lists(st.sampled_from([f"s{m}" for m in range(n)]), unique=True, max_size=3)) if n else []
        rules = ["all_success", "none_failed", "all_done"] + (["one_failed"] if parents else [])
        steps.append(step(f"s{n}", *parents, run_if=draw(st.sampled_from(rules))))
    plan = plan_of(*steps, on_failure_policy=draw(st.sampled_from(["fail_fast", "continue"])))
    wanted = {s["id"]: draw(st.sampled_from([OK, OK, FAILED, CANCELLED])) for s in steps}
    return plan, run_to_end(plan, {s.id: StepState.PENDING for s in plan.steps}, wanted)


def run_to_end(plan: Plan, states: dict[str, StepState], wanted: dict[str, StepState]) -> dict[str, StepState]:
    while (found := advance(plan, states)).end is None:
        states = {name: wanted[name] if state is StepState.QUEUED else state for name, state in found.states.items()}
    return found.states


def comes_after(plan: Plan, name: str, starts: set[str]) -> bool:
    return any(parent in starts or comes_after(plan, parent, starts) for parent in plan.by_id[name].parents)


@given(ended(), st.data())
def test_the_sets_are_the_naive_models(case: tuple[Plan, dict[str, StepState]], data: st.DataObject) -> None:
    plan, states = case
    bad = {name for name, state in states.items() if state in (FAILED, CANCELLED)}
    after = {name for name in states if comes_after(plan, name, bad)}
    assert downstream(plan, bad) == after
    assert set(steps_to_rerun(plan, states, AND_DOWNSTREAM)) == bad | after
    assert set(steps_to_rerun(plan, states, FAILED_ONLY)) == bad | {name for name in after if states[name] is SKIPPED}
    start = data.draw(st.sampled_from(sorted(states)))
    expected = {start} | {name for name in states if comes_after(plan, name, {start})}
    assert set(steps_to_rerun(plan, states, FROM_STEP, start)) == expected | set(
        steps_to_rerun(plan, states, FAILED_ONLY)
    )


@given(ended(), st.sampled_from([ALL, FAILED_ONLY, AND_DOWNSTREAM]))
def test_a_rerun_in_which_all_goes_well_succeeds(case: tuple[Plan, dict[str, StepState]], mode: RerunMode) -> None:
    plan, states = case
    again = steps_to_rerun(plan, states, mode)
    reset = {name: StepState.PENDING if name in again else state for name, state in states.items()}
    done = run_to_end(plan, reset, dict.fromkeys(states, OK))
    assert set(done.values()) <= ENDED
    assert advance(plan, done).end is WorkflowState.COMPLETED
    assert all(done[name] is states[name] for name in states if name not in again)


@pytest.mark.parametrize(
    ("mode", "before", "kept"),
    [
        (FAILED_ONLY, OK, {"m"}),
        (AND_DOWNSTREAM, OK, {"m"}),
        (ALL, OK, set()),
        (FROM_STEP, OK, set()),
        (FAILED_ONLY, FAILED, set()),  # its items may be others, or be given something else, then
        (AND_DOWNSTREAM, CANCELLED, set()),
    ],
)
def test_a_map_goes_on_when_only_what_failed_is_run_again(mode: RerunMode, before: StepState, kept: set[str]) -> None:
    mapped = {"map": {"over": [1, 2]}}
    plan = plan_of(step("a", allow_failure=True), step("m", "a", **mapped), step("later", "m", **mapped), step("x"))
    states = {"a": before, "m": FAILED, "later": SKIPPED, "x": FAILED}
    chosen = steps_to_rerun(plan, states, mode, "m" if mode is FROM_STEP else None)
    assert going_on(plan, states, mode, chosen) == kept
