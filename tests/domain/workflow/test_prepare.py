"""What a step does once its turn has come."""

import json
from typing import Any

import pytest

from boltq.domain.outcome import DataError
from boltq.domain.workflow.compiler import compile_workflow
from boltq.domain.workflow.form import read_form
from boltq.domain.workflow.plan import Plan
from boltq.domain.workflow.prepare import (
    AskPerson,
    Expand,
    RunJob,
    Skip,
    StartWorkflow,
    WaitFor,
    WaitUntil,
    output_of,
    prepare,
    prepare_item,
)
from boltq.domain.workflow.scope import ReferenceScope, StepEnd
from boltq.domain.workflow.states import MapStats, StepState

SCOPE = ReferenceScope(
    input='{"n":2,"at":"2030-01-31T09:30:00Z","rows":[{"id":12345678901234567890},[]],"word":"soon"}',
    steps={
        "a": StepEnd(StepState.COMPLETED, '{"rows":[1,[],{}]}'),
        "off": StepEnd(StepState.SKIPPED),
        "m": StepEnd(StepState.COMPLETED, "[]", None, MapStats(0)),
    },
)


def plan_of(**step: Any) -> Plan:
    kind = {} if step.keys() & {"wait", "approval", "workflow"} else {"job_type": "t"}
    others = [
        {"id": "a", "job_type": "t"},
        {"id": "off", "job_type": "t"},
        {"id": "m", "job_type": "t", "map": {"over": []}},
    ]
    form = {"name": "w", "steps": [*others, {"id": "x", **kind, **step}], "output": {"r": "{{ steps.a.result.rows }}"}}
    return compile_workflow(read_form(json.dumps(form)), input_is_known=False)


def prepared(**step: Any) -> Any:
    return prepare(plan_of(**step).by_id["x"], SCOPE)


def test_a_job_gets_its_data() -> None:
    assert prepared(params={"r": "{{ steps.a.result.rows }}"}) == RunJob('{"r": [1,[],{}]}')
    assert prepared() == RunJob("{}")


def test_when_is_asked_first() -> None:
    assert prepared(when="input.n > 2", params={"r": "{{ steps.a.result.gone }}"}) == Skip()
    assert prepared(when="input.n == 2", params={"n": "{{ input.n }}"}) == RunJob('{"n": 2}')
    assert prepared(when="input.n > 2", map={"over": "{{ input.gone }}"}) == Skip()


def test_a_map_is_expanded_and_each_item_filled_in() -> None:
    plan = plan_of(map={"over": "{{ input.rows }}"}, params={"row": "{{ item }}", "n": "{{ input.n }}"}).by_id["x"]
    expand = prepare(plan, SCOPE)
    assert expand == Expand(['{"id":12345678901234567890}', "[]"])
    assert prepare_item(plan, SCOPE.with_item(expand.items[0])) == RunJob(
        '{"row": {"id":12345678901234567890}, "n": 2}'
    )
    assert prepare_item(plan, SCOPE.with_item(expand.items[1])) == RunJob('{"row": [], "n": 2}')
    assert prepared(map={"over": [1, "{{ input.n }}", []]}) == Expand(["1", "2", "[]"])
    assert prepared(map={"over": "{{ steps.m.results }}"}, params={"n": "{{ item }}"}) == Expand([])


def test_a_map_in_a_map_is_a_map_of_workflows() -> None:
    mapped = {"job_type": "t", "map": {"over": "{{ input.row }}"}, "params": {"x": "{{ item }}", "n": "{{ input.n }}"}}
    inner = {"name": "i", "input": {"n": 0, "usual": 1}, "steps": [mapped]}
    step = plan_of(
        workflow=inner, map={"over": [[1, 2], [3]]}, params={"row": "{{ item }}", "n": "{{ input.n }}"}
    ).by_id["x"]
    start = prepare_item(step, SCOPE.with_item("[1,2]"))
    assert isinstance(start, StartWorkflow)
    assert start.input == '{"n":2,"usual":1,"row":[1,2]}'
    inside = ReferenceScope(input=start.input)
    assert prepare(start.plan.steps[0], inside) == Expand(["1", "2"])
    assert prepare_item(start.plan.steps[0], inside.with_item("1")) == RunJob('{"x": 1, "n": 2}')


def test_waiting() -> None:
    assert prepared(wait={"seconds": 1.5}) == WaitFor(1_500)
    assert prepared(wait={"seconds": "{{ input.n }}"}) == WaitFor(2_000)
    assert prepared(wait={"until": 5}) == WaitUntil(5_000)
    assert prepared(wait={"until": "{{ input.at }}"}) == WaitUntil(1_896_082_200_000)
    assert prepared(wait={"until": "2030-01-31T10:30:00+01:00"}) == WaitUntil(1_896_082_200_000)


def test_asking() -> None:
    assert prepared(
        approval={"prompt": "{{ steps.m.stats.failed }} failed: go on?", "timeout_seconds": 60}
    ) == AskPerson("0 failed: go on?", 60_000, "reject")
    assert (
        prepared(approval={"prompt": "{{ input.rows }}", "on_timeout": "approve"}).prompt
        == '[{"id":12345678901234567890},[]]'
    )


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ({"params": {"x": "{{ steps.a.result.gone }}"}}, "params: {{ steps.a.result.gone }}: there is no 'gone'"),
        (
            {"params": {"x": "{{ steps.off.result.rows }}"}},
            "params: {{ steps.off.result.rows }}: the step off is skipped",
        ),
        ({"when": "steps.a.result.gone"}, "when: {{ steps.a.result.gone }}"),
        ({"when": "steps.a.result.rows"}, "when: at character 1: this is a list"),
        ({"map": {"over": "{{ input.n }}"}}, "a map needs a list, not a number"),
        ({"map": {"over": "{{ steps.off.result }}"}}, "a map needs a list, not null"),
        ({"wait": {"seconds": "{{ input.word }}"}}, "wait.seconds: not a number of seconds"),
        ({"wait": {"until": "{{ input.word }}"}}, "wait.until: not a time with its zone"),
    ],
)
def test_what_cannot_be_filled_in_fails_the_step_with_a_reason(step: dict[str, Any], reason: str) -> None:
    with pytest.raises(DataError) as error:
        prepared(**step)
    assert reason in str(error.value)


def test_the_output() -> None:
    assert output_of(plan_of(), SCOPE) == '{"r": [1,[],{}]}'
