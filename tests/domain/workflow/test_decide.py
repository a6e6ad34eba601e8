"""What a claimed step does next, by how far it is."""

from typing import Any

import msgspec
import pytest
from flows import form_of, plan_of, step

from boltq.domain.job_error import Category, JobError
from boltq.domain.outcome import Cancelled, Completed, DataError, Failed
from boltq.domain.workflow.approvals import Answer
from boltq.domain.workflow.decide import (
    AnswerLate,
    AskOn,
    BeginMap,
    Begins,
    ChildEnded,
    ClaimedStep,
    HasAsked,
    HasWaited,
    ItemsEnded,
    ResumeWorkflow,
    next_of,
)
from boltq.domain.workflow.prepare import RunJob, Skip, StartWorkflow
from boltq.domain.workflow.scope import ReferenceScope
from boltq.domain.workflow.states import MapStats, WorkflowState

SCOPE = ReferenceScope(input='{"n":2,"rows":[1,null,3]}')
BAD = JobError("E", "no", Category.DATA)
YES, NO = Answer(decision="approve", by="ann"), Answer(decision="reject", by="ann")
INNER = {"name": "inner", "steps": [step("a")]}


def decided(phase: Any = None, *, data: str = "{}", is_item: bool = False, wrong: Any = None, **fields: Any) -> Any:
    """What a step with these fields of the form does next."""
    planned = plan_of(form_of(step("x", **fields), input={"n": 0, "rows": []})).steps[0]
    return next_of(ClaimedStep(planned, SCOPE, data, phase or Begins(), is_item=is_item, wrong=wrong))


def test_a_step_that_begins_does_what_it_says() -> None:
    assert decided(params={"n": "{{ input.n }}"}) == RunJob('{"n": 2}')
    assert decided(when="input.n > 2") == Skip()
    with pytest.raises(DataError, match="when: "):
        decided(when="input.rows > 2")


def test_a_map_begins_with_the_jobs_of_all_its_items() -> None:
    mapping = {"over": "{{ input.rows }}", "max_concurrency": 2, "tolerated_failures": "50%"}
    items = [('{"x": 1}', ""), ('{"x": null}', ""), ('{"x": 3}', "")]
    assert decided(map=mapping, params={"x": "{{ item }}"}) == BeginMap(items, 2, 1)
    assert decided(map={"over": []}) == BeginMap([], 0, 0)


def test_an_item_that_cannot_be_made_says_why_and_the_others_are_made() -> None:
    begun = decided(map={"over": [{"y": 1}, {}]}, params={"x": "{{ item.y }}"})
    assert [data for data, _ in begun.items] == ['{"x": 1}', "{}"]
    assert begun.items[0][1] == ""
    assert "there is no 'y' in item" in msgspec.json.decode(begun.items[1][1])["message"]


def test_an_item_runs_with_the_data_of_its_job() -> None:
    mapping = {"over": "{{ input.rows }}"}
    assert decided(map=mapping, data='{"x":1}', is_item=True) == RunJob('{"x":1}')
    start = decided(map=mapping, workflow=INNER, data='{"x":1}', is_item=True)
    assert isinstance(start, StartWorkflow)
    assert start.input == '{"x":1}'
    assert decided(wrong=BAD, map=mapping, is_item=True) == Failed(BAD, retry=False)


@pytest.mark.parametrize("fields", [{}, {"is_item": True, "map": {"over": [1]}}])
def test_a_sub_workflow_of_an_earlier_run_goes_on(fields: dict[str, Any]) -> None:
    start = decided(workflow=INNER, **fields)
    assert decided(Begins("W"), workflow=INNER, **fields) == ResumeWorkflow("W", start)


def test_a_step_that_has_waited_completes() -> None:
    assert decided(HasWaited(), wait={"seconds": 1}) == Completed("null")


def test_the_answer_of_a_person_ends_the_step() -> None:
    ended = decided(HasAsked(YES, None, 5), approval={})
    assert msgspec.json.decode(ended.result)["by"] == "ann"
    assert decided(HasAsked(NO, 4, 5), approval={}).error.message == "rejected by ann"


def test_without_an_answer_the_step_waits_on_until_its_time_is_up() -> None:
    asked = {"approval": {"timeout_seconds": 60, "on_timeout": "approve"}}
    assert decided(HasAsked(None, None, 5), approval={}) == AskOn(None)
    assert decided(HasAsked(None, 6, 5), **asked) == AskOn(6)
    assert decided(HasAsked(None, 5, 5), **asked) == AnswerLate(Answer(decision="approve", timed_out=True))


def test_the_results_of_a_map_are_gathered_in_the_order_of_its_items() -> None:
    ended = ItemsEnded(
        MapStats(3, completed=2, failed=1),
        2,
        {3: '"c"', 1: "[]"},
        {2: '{"class":"E","message":"two","category":"data"}'},
        {},
    )
    assert decided(ended, map={"over": [1, 2, 3], "tolerated_failures": 1}) == Completed('[[],null,"c"]')
    failed = decided(ended, map={"over": [1, 2, 3]})
    assert failed.error.message == "1 of 3 items did not succeed (1 failed); 0 may; items[1]: E: two"
    with pytest.raises(DataError, match="more than 1048576 bytes together"):
        decided(msgspec.structs.replace(ended, result_bytes=1 << 21), map={"over": [], "tolerated_failures": 1})


def test_a_sub_workflow_ends_its_step() -> None:
    assert decided(ChildEnded(WorkflowState.COMPLETED, "[1]"), workflow=INNER) == Completed("[1]")
    assert decided(ChildEnded(WorkflowState.FAILED, error=BAD), workflow=INNER) == Failed(BAD, retry=False)
    assert decided(ChildEnded(WorkflowState.CANCELLED), workflow=INNER) == Cancelled("cancelled")
