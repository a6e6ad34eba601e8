"""The two ways in which a form may say the same thing: one plan, and mistakes that point at what was written."""

import json
from typing import Any

import msgspec
import pytest

from boltq.domain.job_error import Category
from boltq.domain.retry import Backoff
from boltq.domain.workflow.compiler import compile_workflow
from boltq.domain.workflow.form import read_form
from boltq.domain.workflow.mistakes import InvalidWorkflow
from boltq.domain.workflow.plan import Plan, describe
from boltq.domain.workflow.rerun import with_params

INVOICES = """{
  "name": "invoice-run", "input": {"month": "2026-11", "base_url": "https://example.com"},
  "priority": "normal", "timeout": "2h", "idempotency_key": "inv-2026-11",
  "on_failure_policy": "fail_fast",
  "steps": [
    {"id": "fetch",  "job_type": "http.get", "params": {"url": "{{ input.base_url }}/orders?m={{ input.month }}"},
     "retry": {"max_attempts": 5, "backoff": "exponential", "base": "2s", "max": "5m", "jitter": true,
               "on": ["transient", "timeout"]}},
    {"id": "each",   "job_type": "invoice.render", "depends_on": ["fetch"],
     "map": {"over": "{{ steps.fetch.result.orders }}", "as": "item", "max_concurrency": 20, "tolerate_failures": "5%"},
     "params": {"order": "{{ item }}"}},
    {"id": "review", "type": "approval", "depends_on": ["each"], "when": "steps.each.stats.failed > 0",
     "timeout": "24h", "on_timeout": "reject"},
    {"id": "send",   "job_type": "mail.bulk", "depends_on": ["each", "review"], "run_if": "none_failed",
     "params": {"ids": "{{ steps.each.results }}"}, "allow_failure": true},
    {"id": "wait",   "type": "wait", "for": "1h", "depends_on": ["send"]},
    {"id": "ledger", "type": "workflow", "workflow": LEDGER, "input": {"n": "{{ steps.each.stats.completed }}"},
     "depends_on": ["wait"]}
  ],
  "on_failure": [{"job_type": "slack.notify", "params": {"text": "{{ error.step }}: {{ error.message }}"}}],
  "finally":    [{"job_type": "tmp.cleanup"}],
  "output": {"sent": "{{ steps.send.result.count }}"}
}"""
LEDGER = '{"name": "ledger-close", "steps": [{"job_type": "close", "params": {"n": "{{ input.n }}"}}]}'


def form_of(*steps: dict[str, Any], **fields: Any) -> str:
    return json.dumps({"name": "w", "steps": steps, **fields})


def plan_of(*steps: dict[str, Any], **fields: Any) -> Plan:
    return compile_workflow(read_form(form_of(*steps, **fields)))


def mistakes_in(form: str) -> list[tuple[str, str]]:
    with pytest.raises(InvalidWorkflow) as error:
        compile_workflow(read_form(form))
    return error.value.errors


def test_a_form_with_everything_in_it() -> None:
    plan = compile_workflow(read_form(INVOICES.replace("LEDGER", LEDGER)))
    assert describe(plan).levels == [["fetch"], ["each"], ["review"], ["send"], ["wait"], ["ledger"]]
    assert plan.timeout_seconds == 7_200
    by_id = plan.by_id
    retry = by_id["fetch"].retry
    assert retry is not None
    assert (retry.max_attempts, retry.on) == (5, [Category.TRANSIENT, Category.TIMEOUT])
    assert retry.backoff == Backoff(base=2, factor=2, cap=300, floor=0.1, jitter=True)
    mapping = by_id["each"].map
    assert mapping is not None
    assert (mapping.max_concurrency, mapping.tolerated_failures) == (20, "5%")
    review, wait = by_id["review"], by_id["wait"].wait
    assert review.approval is not None
    assert wait is not None
    assert (review.approval.timeout_seconds, review.approval.on_timeout, review.timeout_seconds) == (
        86_400,
        "reject",
        None,
    )
    assert wait.seconds == "1h"
    assert by_id["ledger"].params == '{"n": "{{ steps.each.stats.completed }}"}'
    assert by_id["ledger"].workflow is not None


def test_what_there_is_not_is_named_with_what_to_do_instead() -> None:
    form = INVOICES.replace("LEDGER", '"ledger-close@3"').replace('"priority"', '"tenant": "acme", "priority"', 1)
    assert mistakes_in(form.replace('"max_concurrency"', '"batch_size": 9, "max_concurrency"')) == [
        ("/tenant", "there are no tenants: use tags, or a queue of its own"),
        ("/steps/1/map/batch_size", "each item is a job of its own: make the items larger instead"),
        ("/steps/5/workflow", "expected object | null, got str: a workflow's form is expected here, not a name"),
    ]
    [(at, reason)] = mistakes_in(form_of({"job_type": "t", "map": {"over": [], "as": "order"}}))
    assert (at, reason) == ("/steps/0/map/as", "invalid enum value 'order'; use item")
    [(at, reason)] = mistakes_in(form_of({"job_type": "t", "retry": {"backoff": "linear"}}))
    assert at == "/steps/0/retry/backoff"
    assert reason.startswith("invalid enum value 'linear'; use exponential, fixed or an object such as")
    [(at, reason)] = mistakes_in(form_of({"job_type": "t", "params": {"x": "{{ input.x | default(1) }}"}}))
    assert at == "/steps/0/params/x"
    assert reason.endswith("}} must follow input.x; there are references only, no filters and no language")


JOB = {"job_type": "t"}
INNER = json.loads(LEDGER) | {"input": {"n": 0}}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (JOB | {"timeout": "1m30s"}, JOB | {"timeout_seconds": 90}),
        (JOB | {"timeout_seconds": "1.5m"}, JOB | {"timeout": 90}),
        ({"type": "wait", "for": 60}, {"wait": {"seconds": 60}}),
        ({"type": "wait", "seconds": "{{ input.n }}"}, {"wait": {"seconds": "{{ input.n }}"}}),
        ({"type": "wait", "until": "2030-01-31T09:30:00Z"}, {"wait": {"until": "2030-01-31T09:30:00Z"}}),
        ({"type": "approval"}, {"approval": {}}),
        (
            {"type": "approval", "prompt": "{{ input.n }}?", "timeout": 9, "on_timeout": "approve"},
            {"approval": {"prompt": "{{ input.n }}?", "timeout_seconds": 9, "on_timeout": "approve"}},
        ),
        ({"approval": {"prompt": "x"}, "timeout": 9}, {"approval": {"prompt": "x", "timeout_seconds": 9}}),
        ({"workflow": INNER, "input": {"n": []}, "timeout": "1d"},
         {"workflow": INNER, "params": {"n": []}, "timeout": "24h"}),
        (JOB | {"map": {"over": [1], "tolerate_failures": 2}}, JOB | {"map": {"over": [1], "tolerated_failures": 2}}),
        (JOB | {"retry": {"base": "2s"}}, JOB | {"retry": {"backoff": {"base_seconds": 2}}}),
        (JOB | {"retry": {"backoff": "exponential", "base": "20m"}},
         JOB | {"retry": {"backoff": {"base_seconds": 1_200, "cap_seconds": 1_200}}}),
        (JOB | {"retry": {"backoff": "fixed", "base": "500ms"}},
         JOB | {"retry": {"backoff": {"base_seconds": 0.5, "factor": 1, "jitter": False}}}),
        (JOB | {"retry": {"backoff": "fixed", "jitter": True}}, JOB | {"retry": {"backoff": {"factor": 1}}}),
        (JOB | {"retry": {"jitter": False, "max": 7}},
         JOB | {"retry": {"backoff": {"jitter": False, "cap_seconds": 7}}}),
    ],
)  # fmt: skip
def test_both_spellings_mean_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert plan_of(one, input={"n": 3}) == plan_of(other, input={"n": 3})


def test_a_fixed_wait_is_the_same_each_time_and_a_growing_one_may_do_without_chance() -> None:
    fixed, growing = (
        plan_of(JOB | {"retry": {"base": "2s", **more}}).steps[0].retry
        for more in ({"backoff": "fixed"}, {"jitter": False})
    )
    assert fixed is not None
    assert growing is not None
    assert fixed.backoff is not None
    assert growing.backoff is not None
    assert [fixed.backoff.delay(n, chance) for n, chance in ((1, 0.0), (2, 0.5), (9, 1.0))] == [2, 2, 2]
    assert [growing.backoff.delay(n, 0.0) for n in (1, 2, 3)] == [2, 4, 8]
    short = plan_of(JOB | {"retry": {"backoff": "fixed", "base": "10ms"}}).steps[0].retry
    assert short is not None
    assert short.backoff is not None
    assert short.backoff.delay(1, 0.5) == 0.01


@pytest.mark.parametrize(
    ("step", "at", "reason"),
    [
        (JOB | {"timeout": "0s"}, "/steps/0/timeout", "more than 0 and at most 604800 seconds"),
        (JOB | {"timeout": "8d"}, "/steps/0/timeout", "more than 0 and at most 604800 seconds"),
        (JOB | {"timeout": ""}, "/steps/0/timeout", "a number of seconds, or a text"),
        (JOB | {"timeout": "90"}, "/steps/0/timeout", "a number of seconds, or a text"),
        (JOB | {"timeout": "5m1h"}, "/steps/0/timeout", "a number of seconds, or a text"),
        (JOB | {"timeout": "-5m"}, "/steps/0/timeout", "a number of seconds, or a text"),
        (JOB | {"timeout": 1, "timeout_seconds": 1}, "/steps/0/timeout", "/steps/0/timeout_seconds says it already"),
        (JOB | {"for": "1h"}, "/steps/0/for", "a step of the type job has no for; one of the type wait has"),
        (JOB | {"input": {"x": 1}}, "/steps/0/input", "one of the type workflow has"),
        ({"type": "wait", "for": "soon"}, "/steps/0/for", "a number of seconds, or a text"),
        ({"type": "wait", "for": 1, "until": 1}, "/steps/0", "give seconds or until, one of them"),
        ({"type": "wait", "for": 1, "seconds": 1}, "/steps/0/seconds", "/steps/0/for says it already"),
        ({"type": "wait", "for": "{{ steps.x.result }}"}, "/steps/0/for", "no step 'x'"),
        ({"type": "wait", "wait": {"seconds": 1}, "for": 1}, "/steps/0/for", "/steps/0/wait/seconds says it already"),
        ({"type": "wait", "for": 1, "timeout": 1}, "/steps/0/timeout", "one of the type job or approval or workflow"),
        ({"type": "wait", "for": 1, "map": {"over": [1]}}, "/steps/0/map", "one of the type job or workflow has"),
        ({"type": "approval", "map": {"over": [1]}}, "/steps/0/map", "a step of the type approval has no map"),
        ({"type": "approval", "prompt": "{{ input.gone }}"}, "/steps/0/prompt", "no such thing in the input"),
        ({"type": "approval", "timeout": "0s"}, "/steps/0/timeout", "more than 0"),
        ({"approval": {"timeout_seconds": 5}, "timeout": 6}, "/steps/0/timeout",
         "/steps/0/approval/timeout_seconds says it already"),
        ({"approval": {"prompt": "a"}, "prompt": "b"}, "/steps/0/prompt", "/steps/0/approval/prompt says it already"),
        ({"workflow": INNER, "input": {"n": {"m": "{{ item }}"}}}, "/steps/0/input/n/m", "a step with a map"),
        ({"workflow": INNER, "input": [1]}, "/steps/0/input", "must be a JSON object"),
        ({"workflow": INNER, "params": {"a": 1}, "input": {"a": 1}}, "/steps/0/input", "/steps/0/params says it"),
        ({"workflow": INNER | {"timeout": "x"}}, "/steps/0/workflow/timeout", "a number of seconds, or a text"),
        (JOB | {"map": {"over": [], "tolerate_failures": "500%"}}, "/steps/0/map/tolerate_failures", "a share"),
        (JOB | {"map": {"over": [], "tolerate_failures": 1, "tolerated_failures": 2}}, "/steps/0/map/tolerate_failures",
         "/steps/0/map/tolerated_failures says it already"),
        (JOB | {"retry": {"base": "x"}}, "/steps/0/retry/base", "a number of seconds, or a text"),
        (JOB | {"retry": {"base": "5m", "max": "2s"}}, "/steps/0/retry/max", "less than the first wait"),
        (JOB | {"retry": {"backoff": {}, "base": 1}}, "/steps/0/retry/base", "/steps/0/retry/backoff says it already"),
        (JOB | {"retry": {"backoff": {"cap_seconds": 1, "base_seconds": 2}}}, "/steps/0/retry/backoff/cap_seconds",
         "less than the first wait"),
    ],
)  # fmt: skip
def test_a_mistake_points_at_what_was_written(step: dict[str, Any], at: str, reason: str) -> None:
    found = mistakes_in(form_of(step, input={"n": 3}))
    assert [pointer for pointer, _ in found] == [at]
    assert reason in found[0][1]


def test_data_is_kept_to_the_byte_in_either_spelling() -> None:
    data = '{ "n" : 123456789012345678901234567890, "a" : [ ], "o":{} , "f":1.0 }'
    for name in ("params", "input"):
        form = f'{{"name":"w","steps":[{{"type":"workflow","workflow":{LEDGER},"{name}":{data}}}]}}'
        assert compile_workflow(read_form(form)).steps[0].params == data


def test_other_params_replace_what_was_called_input() -> None:
    form = read_form(form_of({"id": "sub", "workflow": INNER, "input": {"n": 1}}))
    edited = with_params(form, {"sub": msgspec.Raw(b'{"n":2}')})
    assert compile_workflow(edited).by_id["sub"].params == '{"n":2}'
