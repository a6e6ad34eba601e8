"""The form: what is taken, and every mistake with its place."""

import pytest

from boltq.domain.job_error import Category
from boltq.domain.retry import Backoff, RetryPolicy, StepRetry
from boltq.domain.workflow.compiler import compile_workflow
from boltq.domain.workflow.form import StepKind, as_json, read_form
from boltq.domain.workflow.mistakes import InvalidWorkflow
from boltq.domain.workflow.plan import describe

DOCUMENTED = b"""{
    "name": "Data Processing Pipeline",
    "steps": [
      {
        "job_type": "fetch_data",
        "params": {
          "url": "https://example.com/data.csv"
        }
      },
      {
        "job_type": "process_data",
        "params": {
          "operation": "transform"
        },
        "depends_on": ["step-1"]
      }
    ]
  }"""


def test_the_documented_form_is_taken_as_it_is() -> None:
    plan = compile_workflow(read_form(DOCUMENTED))
    about = describe(plan)
    assert about.levels == [["step-1"], ["step-2"]]
    assert about.longest_path == ["step-1", "step-2"]
    assert about.job_types == ["fetch_data", "process_data"]
    assert about.steps == 2
    assert plan.by_id["step-2"].parents == ("step-1",)


def test_every_field_of_a_wrong_type_or_name_is_pointed_at() -> None:
    body = """{"name": 3, "x": 1, "steps": [
        {"id": "a", "jobtype": "x", "retry": {"max_attempts": "3"}, "run_if": "none", "run~/if": 1},
        {"type": "waits", "workflow": {"name": "q"}, "run_if": {"atleast": 2}}, 7]}"""
    with pytest.raises(InvalidWorkflow) as error:
        read_form(body)
    assert [at for at, _ in error.value.errors] == [
        "/name",
        "/x",
        "/steps/0/jobtype",
        "/steps/0/retry/max_attempts",
        "/steps/0/run_if",
        "/steps/0/run~0~1if",
        "/steps/1/type",
        "/steps/1/workflow/steps",
        "/steps/1/run_if/atleast",
        "/steps/1/run_if/at_least",
        "/steps/2",
    ]
    reasons = dict(error.value.errors)
    assert reasons["/steps/0/jobtype"] == "unknown field; did you mean job_type?"
    assert reasons["/steps/0/run_if"] == (
        "invalid enum value 'none'; use all_success, all_done, all_failed, all_skipped, one_success, one_failed,"
        " one_done, none_failed, none_failed_min_one_success"
        ' or {"at_least": 2}'
    )
    assert "job, wait, approval, workflow" in reasons["/steps/1/type"]


@pytest.mark.parametrize(
    "body", ["", "{", "[]", "nothing", '{"name": "x"}', '{"steps": []}', '{"name": "x", "steps": {}}']
)
def test_what_is_no_workflow_is_refused(body: str) -> None:
    with pytest.raises(InvalidWorkflow):
        read_form(body)


def test_deep_nesting_is_refused_and_not_run_into() -> None:
    for body in ('{"a":' * 5_000, '{"name":"x","steps":[{"workflow":' * 2_000 + "1" + "}]}" * 2_000):
        with pytest.raises(InvalidWorkflow):
            read_form(body)


def test_a_form_written_out_reads_back_the_same() -> None:
    form = read_form(DOCUMENTED)
    assert as_json(read_form(as_json(form))) == as_json(form)


def test_the_kind_of_a_step_is_told_by_its_fields() -> None:
    steps = read_form(
        '{"name":"x","steps":[{"job_type":"a"},{"wait":{"seconds":1}},{"approval":{}},{"type":"approval","approval":{}},'
        '{"workflow":{"name":"y","steps":[{"job_type":"b"}]}}]}'
    ).steps
    assert [step.kind for step in steps] == [
        StepKind.JOB, StepKind.WAIT, StepKind.APPROVAL, StepKind.APPROVAL, StepKind.WORKFLOW,
    ]  # fmt: skip


def test_a_retry_says_what_it_changes_of_the_tasks_policy() -> None:
    task = RetryPolicy(max_attempts=9, backoffs={Category.TIMEOUT: None})
    policy = StepRetry(max_attempts=4, backoff=Backoff(base=7), on=[Category.TRANSIENT]).over(task)
    assert policy.max_attempts == 4
    assert policy.backoffs[Category.TRANSIENT] == Backoff(base=7)
    assert all(backoff is None for category, backoff in policy.backoffs.items() if category is not Category.TRANSIENT)
    unchanged = StepRetry().over(task)
    assert unchanged.max_attempts == 9
    assert unchanged.backoffs[Category.TIMEOUT] is None
    assert unchanged.backoffs[Category.SYSTEM] == Backoff(base=10, cap=900, floor=1)
