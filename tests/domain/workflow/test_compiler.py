"""Compilation: the graph, and every mistake with its place."""

import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from boltq.domain.job import Priority
from boltq.domain.workflow import bounds
from boltq.domain.workflow.compiler import compile_workflow, read_and_compile
from boltq.domain.workflow.expression import parse_expression
from boltq.domain.workflow.form import StepKind, read_form
from boltq.domain.workflow.mistakes import InvalidWorkflow
from boltq.domain.workflow.plan import Group, Plan, PlannedStep, Rule, describe
from boltq.domain.workflow.scope import ReferenceScope
from boltq.domain.workflow.templates import fill

FIN = {"finally": [{"id": "fin", "job_type": "t"}]}
TOLERATED = "/steps/0/map/tolerated_failures"


def form_of(*steps: dict[str, Any], **fields: Any) -> str:
    named = [
        step if step.keys() & {"wait", "approval", "workflow", "type"} else {"job_type": "t", **step} for step in steps
    ]
    return json.dumps({"name": "w", "steps": named, **fields})


def plan_of(*steps: dict[str, Any], **fields: Any) -> Plan:
    return compile_workflow(read_form(form_of(*steps, **fields)))


def mistakes_of(*steps: dict[str, Any], **fields: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidWorkflow) as error:
        plan_of(*steps, **fields)
    return error.value.errors


def step(id: str, *parents: str, **fields: Any) -> dict[str, Any]:
    return {"id": id, "depends_on": list(parents), **fields}


def test_a_diamond() -> None:
    plan = plan_of(step("d", "b", "c"), step("b", "a"), step("c", "a"), step("a"))
    assert [s.id for s in plan.steps] == ["a", "b", "c", "d"]
    assert plan.by_id["a"].dependents == ("b", "c")
    assert plan.by_id["d"].parents == ("b", "c")
    assert describe(plan).levels == [["a"], ["b", "c"], ["d"]]
    assert describe(plan).longest_path == ["a", "b", "d"]


def test_a_number_that_nobody_can_read_is_named_by_its_place() -> None:
    text = form_of(step("a", params={"x": 1})).replace('"x": 1', '"x": 1e999')
    with pytest.raises(InvalidWorkflow) as error:
        compile_workflow(read_form(text))
    assert error.value.errors == [("/steps/0/params/x", "number out of range")]


def test_a_plan_can_be_stored_and_read_back() -> None:
    inner = json.loads(form_of({"params": {"x": "{{ input.n }}"}}))
    plan = plan_of(
        step("a", params={"big": 12345678901234567890123}, retry={"max_attempts": 3, "on": ["timeout"]}),
        step("m", "a", map={"over": "{{ steps.a.result }}", "tolerated_failures": "5%"}, params={"x": "{{ item }}"}),
        {"id": "sub", "workflow": inner, "params": {"n": "{{ steps.m.stats.failed }}"}},
        {"id": "ok", "approval": {"prompt": "sure?"}},
        {"id": "nap", "wait": {"seconds": 1.5}},
    )  # fmt: skip
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan


def test_references_are_dependencies_when_none_are_given() -> None:
    plan = plan_of(
        {"id": "a"},
        {"id": "b", "params": {"x": "{{ steps.a.result }}"}},
        {"id": "c", "when": "steps.b.state == 'completed'", "params": {"y": ["-{{ steps.a.result.n }}"]}},
        {"id": "d", "map": {"over": "{{ steps.c.result }}"}},
        {"id": "e", "approval": {"prompt": "{{ steps.d.stats.failed }}?"}},
        {"id": "f", "wait": {"until": "{{ steps.e.result.data }}"}},
    )
    assert [s.parents for s in plan.steps] == [(), ("a",), ("a", "b"), ("c",), ("d",), ("e",)]
    assert plan.by_id["c"].reads == ("a", "b")


def test_what_is_referred_to_must_come_before_the_step_where_it_says_what_does() -> None:
    late = step("c", "a", params={"x": {"y": "{{ steps.b.result }}"}}, when="steps.b.state == 'failed'")
    reason = "b does not come before c: add it to depends_on"
    assert mistakes_of({"id": "a"}, {"id": "b"}, late) == [("/steps/2/params/x/y", reason), ("/steps/2/when", reason)]
    plan = plan_of({"id": "a"}, step("b", "a"), step("c", "b", params={"x": "{{ steps.a.result }}"}))
    assert (plan.by_id["c"].parents, plan.by_id["c"].awaits) == (("b",), ("a",))


def test_what_comes_before_it_anyway_is_awaited_but_not_counted() -> None:
    plan = plan_of(
        {"id": "risky"},
        step("tidy", "risky", run_if="all_done"),
        step("report", "tidy", params={"s": "{{ steps.risky.state }}"}),
    )
    assert plan.by_id["report"].parents == ("tidy",)
    assert plan.by_id["report"].awaits == ("risky",)
    assert plan.by_id["risky"].dependents == ("tidy", "report")


def test_a_rule_that_does_not_wait_still_awaits_what_it_refers_to() -> None:
    plan = plan_of(
        {"id": "a"}, {"id": "b"}, step("c", "a", "b", run_if="one_success", params={"x": "{{ steps.a.result }}"})
    )
    assert (plan.by_id["c"].parents, plan.by_id["c"].awaits) == (("a", "b"), ("a",))


def test_a_chain_of_a_thousand() -> None:
    plan = plan_of(*(step(f"s{n}", *([f"s{n - 1}"] if n else [])) for n in range(1_000)))
    assert describe(plan).longest_path == [f"s{n}" for n in range(1_000)]
    assert [s.level for s in plan.steps] == list(range(1_000))


def test_a_cycle_is_named() -> None:
    [(at, reason)] = mistakes_of(step("x"), step("a", "c", "x"), step("b", "a"), step("c", "b"), step("after", "c"))
    assert at == "/steps/1/depends_on"
    assert reason == "a cycle: a needs c needs b needs a"


def test_two_cycles_are_both_named() -> None:
    found = mistakes_of(step("a", "b"), step("b", "a"), step("c", "d"), step("d", "c"))
    assert [at for at, _ in found] == ["/steps/0/depends_on", "/steps/2/depends_on"]


def test_a_cycle_made_by_references_is_one_too() -> None:
    [(at, reason)] = mistakes_of({"id": "a", "params": {"x": "{{ steps.b.result }}"}}, step("b", "a"))
    assert (at, reason) == ("/steps/0/depends_on", "a cycle: a needs b needs a")


def test_a_cycle_of_a_thousand_is_found_and_shortened() -> None:
    [(_, reason)] = mistakes_of(*(step(f"s{n}", f"s{(n + 1) % 1_000}") for n in range(1_000)))
    assert reason.startswith("a cycle: s0 needs s1 needs s2 ")
    assert reason.endswith("needs …")


@pytest.mark.parametrize(
    ("steps", "fields", "at", "reason"),
    [
        ([step("a"), step("a")], {}, "/steps/1/id", "there is another step a, at /steps/0"),
        ([{"id": "step-2"}, {}], {}, "/steps/1/id", "there is another step step-2"),
        ([step("a", "a")], {}, "/steps/0/depends_on/0", "depends on itself"),
        ([{"id": "a", "params": {"x": ["{{ steps.a.result }}"]}}], {}, "/steps/0/params/x/0", "refers to itself"),
        ([step("fetch"), step("b", "fech")], {}, "/steps/1/depends_on/0", "no step 'fech'; did you mean fetch?"),
        ([step("a"), step("b", "a", "a")], {}, "/steps/1/depends_on/1", "given twice"),
        ([step("a", params={"x": "{{ steps.b.result }}"})], {}, "/steps/0/params/x", "there is no step 'b'"),
        ([step("a", params={"x": "{{ steps.fin.result }}"})], FIN, "/steps/0/params/x", "runs later"),
        ([step("a", "fin")], FIN, "/steps/0/depends_on/0", "one of finally"),
        ([step("a")], {"finally": [{"job_type": "t", "depends_on": ["a"]}]}, "/finally/0/depends_on/0", "one of steps"),
        ([step("a", params={"x": "{{ item }}"})], {}, "/steps/0/params/x", "only in the params of a step with a map"),
        ([step("a", map={"over": [1]}, when="item > 1")], {}, "/steps/0/when", "looked at once"),
        ([step("a", map={"over": "{{ item }}"})], {}, "/steps/0/map/over", "looked at once"),
        ([step("a", map={"over": "x {{ input.x }}"})], {}, "/steps/0/map/over", "give a list, or a reference"),
        ([step("a", map={"over": {}})], {}, "/steps/0/map/over", "give a list, or a reference"),
        ([step("a", map={"over": [0] * 10_001})], {}, "/steps/0/map/over", "at most 10000 items"),
        ([step("a", map={"over": [], "max_concurrency": 0})], {}, "/steps/0/map/max_concurrency", "from 1"),
        ([step("a", map={"over": [], "tolerated_failures": "5"})], {}, TOLERATED, "a share"),
        ([step("a", map={"over": [], "tolerated_failures": "101%"})], {}, TOLERATED, "a share"),
        ([step("a", map={"over": [], "tolerated_failures": -1})], {}, TOLERATED, "a number"),
        ([step("a", when="input.n >")], {}, "/steps/0/when", "at character 10"),
        ([step("a", when="1")], {}, "/steps/0/when", "true or false"),
        ([step("a", when="1 > 'a'")], {}, "/steps/0/when", "number"),
        ([step("a", when="steps.zz.result == 1")], {}, "/steps/0/when", "no step 'zz'"),
        ([step("a", params={"a/b": "{{ inputs.x }}"})], {}, "/steps/0/params/a~1b", "'inputs' is unknown"),
        ([step("a", params={"x": "{{ input.y }}"})], {"input": {"x": 1}}, "/steps/0/params/x", "no such thing"),
        ([step("a", params={"x": "{{ error.step }}"})], {}, "/steps/0/params/x", "only on_failure and finally"),
        ([step("a", params={"x": "{{ workflow.state }}"})], {}, "/steps/0/params/x", "only on_failure and finally"),
        ([step("a"), step("b", params={"x": "{{ steps.a.stats.failed }}"})], {}, "/steps/1/params/x", "a has no map"),
        ([step("a")], {"output": {"x": "{{ steps.q.result }}"}}, "/output/x", "there is no step 'q'"),
        ([step("a")], {"output": "{{ item }}"}, "/output", "step with a map"),
        ([step("a", params=[1])], {}, "/steps/0/params", "must be a JSON object"),
        ([step("a")], {"input": 3}, "/input", "must be a JSON object"),
        ([step("a.b")], {}, "/steps/0/id", "not a step's id"),
        ([step("")], {}, "/steps/0/id", "not a step's id"),
        ([step("a", job_type="no spaces")], {}, "/steps/0/job_type", "is not a name"),
        ([step("a", queue="")], {}, "/steps/0/queue", "is not a name"),
        ([step("a", priority="urgent")], {}, "/steps/0/priority", "is no priority"),
        ([step("a", timeout_seconds=0)], {}, "/steps/0/timeout_seconds", "more than 0"),
        ([step("a", timeout_seconds=10**7)], {}, "/steps/0/timeout_seconds", "at most 604800 seconds"),
        ([step("a", retry={"max_attempts": 0})], {}, "/steps/0/retry/max_attempts", "from 1 to 1000"),
        ([step("a", retry={"backoff": {"factor": 0.5}})], {}, "/steps/0/retry/backoff/factor", "from 1 to 100"),
        ([step("a", retry={"backoff": {"cap_seconds": -1}})], {}, "/steps/0/retry/backoff/cap_seconds", "from 0"),
        ([step("a", run_if="one_success")], {}, "/steps/0/run_if", "needs a step that it depends on"),
        ([step("a"), step("b", "a", run_if={"at_least": 2})], {}, "/steps/1/run_if/at_least", "on 1 steps"),
        ([step("a"), step("b", "a", run_if={"at_least": 0})], {}, "/steps/1/run_if/at_least", "at least 1"),
        ([{"id": "a", "type": "job"}], {}, "/steps/0/job_type", "required for a step of the type job"),
        ([{"id": "a", "type": "wait"}], {}, "/steps/0/wait", "required for a step of the type wait"),
        ([{"id": "a", "type": "job", "job_type": "t", "wait": {"seconds": 1}}], {}, "/steps/0/wait", "has no wait"),
        ([{"id": "a", "wait": {"seconds": 1}, "retry": {}}], {}, "/steps/0/retry", "has no retry"),
        ([{"id": "a", "wait": {"seconds": 1, "until": 5}}], {}, "/steps/0/wait", "one of them"),
        ([{"id": "a", "wait": {}}], {}, "/steps/0/wait", "one of them"),
        ([{"id": "a", "wait": {"seconds": -1}}], {}, "/steps/0/wait/seconds", "a number of seconds"),
        ([{"id": "a", "wait": {"seconds": "2 hours"}}], {}, "/steps/0/wait/seconds", "a number of seconds"),
        ([{"id": "a", "wait": {"until": "2030-01-31T09:30:00"}}], {}, "/steps/0/wait/until", "a time with its zone"),
        ([{"id": "a", "approval": {"timeout_seconds": 0}}], {}, "/steps/0/approval/timeout_seconds", "more than 0"),
        ([{"id": "a", "approval": {"prompt": "x" * 2_001}}], {}, "/steps/0/approval/prompt", "at most 2000 characters"),
        ([step("a")], {"name": " "}, "/name", "must not be empty"),
        ([], {}, "/steps", "at least one step"),
        ([step("a")], {"timeout_seconds": -1}, "/timeout_seconds", "more than 0"),
        ([step("a")], {"tags": ["x", "x"]}, "/tags", "the same tag twice"),
        ([step("a")], {"idempotency_key": ""}, "/idempotency_key", "1 to 200"),
    ],
)  # fmt: skip
def test_a_mistake_is_pointed_at(steps: list[dict[str, Any]], fields: dict[str, Any], at: str, reason: str) -> None:
    found = dict(mistakes_of(*steps, **fields))
    assert at in found
    assert reason in found[at]
    assert len(found) == 1


def test_all_mistakes_are_named_at_once_but_no_more_than_thirty() -> None:
    found = mistakes_of(step("a", "x", timeout_seconds=0, when="("), step("b", params={"x": "{{ y }}"}))
    assert {at for at, _ in found} == {
        "/steps/0/depends_on/0", "/steps/0/timeout_seconds", "/steps/0/when", "/steps/1/params/x",
    }  # fmt: skip
    *named, last = mistakes_of(step("a", *(f"x{n}" for n in range(5_000))))
    assert [at for at, _ in named] == [f"/steps/0/depends_on/{n}" for n in range(bounds.MAX_MISTAKES)]
    assert last == ("", "there is more: 30 mistakes are named at once")
    assert mistakes_of(step("a", **{f"x{n}": 1 for n in range(31)}))[-1] == last
    assert mistakes_of(step("a", **{f"x{n}": 1 for n in range(30)}))[-1] != last


def test_too_many_steps_and_too_large() -> None:
    assert mistakes_of(*({} for _ in range(1_001))) == [
        ("/steps", "at most 1000 steps, those of sub-workflows included")
    ]
    inner = json.loads(form_of(*({} for _ in range(500))))
    assert mistakes_of({"workflow": inner}, {"workflow": inner})[0][0] == "/steps"
    assert mistakes_of({"params": {"x": "y" * (1 << 20)}}) == [("", "larger than 1048576 bytes")]


def test_sub_workflows_are_compiled_and_their_mistakes_have_their_place() -> None:
    inner = json.loads(form_of(step("a", params={"x": "{{ input.anything }}"}), queue="inner"))
    plan = plan_of({"id": "sub", "workflow": inner, "input": {"anything": 1}}, priority="high", queue="outer")
    sub = plan.by_id["sub"].workflow
    assert sub is not None
    assert (sub.by_id["a"].queue, sub.by_id["a"].priority) == ("inner", Priority.HIGH)
    assert describe(plan).steps == 2
    assert describe(plan).job_types == ["t"]

    bad = json.loads(form_of(step("a", "sub"), idempotency_key="k", input={"x": "{{ steps.sub.result }}"}))
    assert {at for at, _ in mistakes_of({"id": "sub", "workflow": bad})} == {
        "/steps/0/workflow/steps/0/depends_on/0", "/steps/0/workflow/idempotency_key", "/steps/0/workflow/input/x",
    }  # fmt: skip


@pytest.mark.parametrize(
    "place", [{"params": {"x": "{{ input.mont }}"}}, {"when": "exists(input.month) and input.mont == 3"}]
)
@pytest.mark.parametrize("gives", [{"input": {"month": 3}}, {"params": {"month": "{{ input.m }}"}}, {}])
def test_what_a_sub_workflow_is_not_given_is_a_mistake(place: dict[str, Any], gives: dict[str, Any]) -> None:
    inner = json.loads(form_of(step("a", **place), input={} if gives else {"month": 3}))
    found = mistakes_of({"id": "sub", "workflow": inner, **gives}, input={"m": 3})
    assert [(at, "no such thing in the input; did you mean input.month?" in why) for at, why in found] == [
        (f"/steps/0/workflow/steps/0/{'when' if 'when' in place else 'params/x'}", True)
    ]


def test_a_step_of_another_workflow_is_named_as_that() -> None:
    inner = json.loads(form_of(step("b"), step("c", "a")))
    [(at, why)] = mistakes_of(step("a"), {"id": "sub", "workflow": inner})
    assert (at, "a is a step of the workflow around this one" in why) == (
        "/steps/1/workflow/steps/1/depends_on/0",
        True,
    )
    inner["steps"].pop()
    sub = {"id": "sub", "workflow": inner}
    [(at, why)] = mistakes_of({"id": "a", "params": {"x": "{{ steps.b.result }}"}}, sub)
    assert (at, "b is a step inside of the workflow of the step sub: name sub" in why) == ("/steps/0/params/x", True)


@pytest.mark.parametrize(
    ("when", "refused"),
    [
        ("input.typo == 1", True),
        ("input.n == 1 and input.typo", True),
        ("not exists(input.typo)", False),
        ("exists(input.typo) and input.typo.deep > 1", False),
        ("exists(input.o) and input.o.typo", False),
        ("exists(input.typo.deep) and input.typo", True),
        ("input.n[0] == 1", True),
        ("size(input) > 0", False),
    ],
)
def test_when_names_what_the_input_has(when: str, refused: bool) -> None:
    if refused:
        assert [at for at, _ in mistakes_of(step("a", when=when), input={"n": 1})] == ["/steps/0/when"]
    else:
        assert plan_of(step("a", when=when), input={"n": 1}).steps[0].when == when


@pytest.mark.parametrize("written", ["o['a b']", 'o["a b"]', "['o']['a b']", "[ 'o' ][\"a b\"]", "o['a\\u0020b']"])
def test_keys_may_stand_in_either_quotes(written: str) -> None:
    path = f"input{'' if written[0] == '[' else '.'}{written}"
    plan = plan_of(step("a", params={"x": f"{{{{ {path} }}}}"}, when=f"{path} == 1"), input={"o": {"a b": 1}})
    assert json.loads(fill(plan.steps[0].params, ReferenceScope(input=plan.input))) == {"x": 1}
    assert parse_expression(str(plan.steps[0].when)).holds(ReferenceScope(input=plan.input))


def test_unknown_fields_and_wrong_types_hide_no_other_mistake() -> None:
    form = {
        "name": "w",
        "colour": "red",
        "input": {"n": 1},
        "steps": [
            {"id": "a", "job_type": "t", "retries": 3, "params": {"x": "{{ input.m }}", "big": 1}},
            {"id": "b", "job_type": "t", "depends_on": ["c"], "timeout": True, "queue": "no no"},
            {"id": "sub", "workflow": {"name": "i", "steps": [{"job_type": "t", "when": "1 +", "wehn": ""}]}},
        ],
        "on_failure": [{"jobtype": "t"}],
    }
    with pytest.raises(InvalidWorkflow) as error:
        read_and_compile(json.dumps(form))
    assert {at for at, _ in error.value.errors} == {
        "/colour", "/steps/0/retries", "/steps/0/params/x", "/steps/1/depends_on/0", "/steps/1/timeout",
        "/steps/1/queue", "/steps/2/workflow/steps/0/when", "/steps/2/workflow/steps/0/wehn", "/on_failure/0/jobtype",
        "/on_failure/0/job_type",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([{"id": 3, "job_type": "t"}, step("b", "a", job_type="t", x=1)], {"/steps/0/id", "/steps/1/x"}),
        ([{"id": 3, "job_type": "t"}, step("step-1", job_type="t")], {"/steps/0/id"}),
        ([{"id": 3, "job_type": "t"}, step("b", "a", job_type="t", run_if="one_failed")], {"/steps/0/id"}),
        ([7, {"x": 1}], {"/steps/0", "/steps/1/x", "/steps/1/job_type"}),
        ([step("a", job_type="t"), step("b", job_type="t", depends_on="a"),
          step("c", "b", job_type="t", params={"x": "{{ steps.a.result }}"})], {"/steps/1/depends_on"}),
        ([step("a", job_type="t", map={}), step("b", "a", job_type="t", when="steps.a.stats.total > 0")],
         {"/steps/0/map/over"}),
        ([step("a", job_type="t", retry={"max_attempts": 0, "backof": 1}, map={"over": 5, "x": 1}, queue="a b")],
         {"/steps/0/retry/max_attempts", "/steps/0/retry/backof", "/steps/0/map/x", "/steps/0/queue"}),
        ({}, {"/steps"}),
    ],
)  # fmt: skip
def test_what_depends_on_something_that_is_wrong_is_not_named(steps: Any, expected: set[str]) -> None:
    with pytest.raises(InvalidWorkflow) as error:
        read_and_compile(json.dumps({"name": "w", "steps": steps}))
    assert {at for at, _ in error.value.errors} == expected


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"name": 5}, {"/name"}),
        ({"name": None}, {"/name"}),
        ({"tags": [1, "a", 2]}, {"/tags/0", "/tags/2"}),
        ({"on_failure": "x"}, {"/on_failure"}),
        ({"finally": [None, {"jobtype": "t"}]}, {"/finally/0", "/finally/1/jobtype", "/finally/1/job_type"}),
        ({"output": "{{ input.q }}", "tags": 5}, {"/output", "/tags"}),
    ],
)
def test_what_is_wrong_beside_the_steps_hides_nothing_in_them(more: dict[str, Any], expected: set[str]) -> None:
    with pytest.raises(InvalidWorkflow) as error:
        read_and_compile(json.dumps({"name": "w", "steps": [step("d", job_type="t", when="1 +")], **more}))
    assert {at for at, _ in error.value.errors} == expected | {"/steps/0/when"}


def test_a_forgotten_name_hides_nothing() -> None:
    inner = {"steps": [step("d", "zz", job_type="t"), {"x": 1, "job_type": "t"}]}
    with pytest.raises(InvalidWorkflow) as error:
        read_and_compile(json.dumps({"steps": [step("d", "zz", job_type="t"), {"workflow": inner}], "queue": "a b"}))
    assert {at for at, _ in error.value.errors} == {
        "/name", "/queue", "/steps/0/depends_on/0", "/steps/1/workflow/name", "/steps/1/workflow/steps/0/depends_on/0",
        "/steps/1/workflow/steps/1/x",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "at"),
    [
        ({"job_type": 5}, "job_type"),
        ({"type": "x"}, "type"),
        ({"retry": 5}, "retry"),
        ({"retry": {"on": ["x"]}}, "retry/on/0"),
        ({"retry": {"backoff": {"factor": "x"}}}, "retry/backoff/factor"),
        ({"map": 5}, "map"),
        ({"map": {}}, "map/over"),
        ({"map": {"over": [1], "max_concurrency": "x"}}, "map/max_concurrency"),
        ({"run_if": {"at_least": "x"}}, "run_if/at_least"),
        ({"run_if": {}}, "run_if/at_least"),
        ({"run_if": "x"}, "run_if"),
        ({"depends_on": "b"}, "depends_on"),
        ({"depends_on": [5]}, "depends_on/0"),
        ({"allow_failure": "yes"}, "allow_failure"),
        ({"when": 5}, "when"),
        ({"job_type": None, "wait": 5}, "wait"),
        ({"job_type": None, "wait": {"seconds": []}}, "wait/seconds"),
        ({"job_type": None, "approval": {"prompt": 5}}, "approval/prompt"),
        ({"job_type": None, "workflow": 5}, "workflow"),
        ({"job_type": None, "workflow": {"name": "c", "steps": 5}}, "workflow/steps"),
        ({"job_type": None, "workflow": {"name": "c", "steps": [5]}}, "workflow/steps/0"),
        ({"job_type": None, "workflow": {"steps": [{"job_type": "t"}]}}, "workflow/name"),
    ],
)
def test_what_is_wrong_in_a_step_hides_nothing_and_makes_nothing_wrong(wrong: dict[str, Any], at: str) -> None:
    steps = [step("b", job_type="t", when="1 +"), {"id": "q", "job_type": "t", **wrong}, step("c", "no", job_type="t")]
    with pytest.raises(InvalidWorkflow) as error:
        read_and_compile(json.dumps({"name": "w", "steps": steps}))
    assert {at for at, _ in error.value.errors} == {"/steps/0/when", f"/steps/1/{at}", "/steps/2/depends_on/0"}


@pytest.mark.parametrize(
    ("when", "wrong"),
    [
        ("steps.a.state == 'completed'", ""),
        ("steps.a.state in ['failed', 'skipped'] or not (steps.a.state != 'cancelled')", ""),
        ("steps.a.state == steps.b.state", ""),
        ("steps.a.result == 'succeeded'", ""),
        ("steps.a.state == 'succeeded'", "at character 15: no step ends 'succeeded'; use completed, failed, skipped,"),
        ("'done' != steps.a.state", "no step ends 'done'"),
        ("size(input) > 0 and not steps.a.state in ['failed', 'dead']", "no step ends 'dead'"),
    ],
)
def test_a_state_is_compared_with_a_word_that_there_is(when: str, wrong: str) -> None:
    steps = [step("a"), step("b"), step("c", "a", "b", when=when)]
    if wrong:
        [(at, why)] = mistakes_of(*steps)
        assert (at, wrong in why) == ("/steps/2/when", True)
    else:
        assert plan_of(*steps).steps[2].when == when


def test_nesting_is_bounded() -> None:
    form = json.loads(form_of({"id": "a"}))
    for _ in range(4):
        form = json.loads(form_of({"id": "a", "workflow": form}))
    compile_workflow(read_form(json.dumps(form)))
    assert mistakes_of({"id": "a", "workflow": form}) == [
        ("/steps/0" + "/workflow/steps/0" * 4 + "/workflow", "workflows may be nested 5 deep")
    ]


def test_a_saved_form_may_leave_its_input_open() -> None:
    form = read_form(form_of(step("a", params={"x": "{{ input.later }}"})))
    assert compile_workflow(form, input_is_known=False).steps[0].id == "a"
    assert plan_of(step("a", when="exists(input.later) and input.later > 3")).steps[0].when


def test_handlers_see_the_error_the_state_and_every_step() -> None:
    plan = plan_of(
        step("a"),
        on_failure=[{"job_type": "t", "params": {"t": "{{ error.step }}: {{ error.message }} {{ steps.a.state }}"}}],
        **{"finally": [{"id": "x", "job_type": "t", "params": {"s": "{{workflow.state}} {{steps.on-failure-1.state}}"}},
                       {"id": "y", "job_type": "tidy", "depends_on": ["x"]}]},
    )  # fmt: skip
    assert [(s.id, s.group, s.level, s.parents) for s in plan.steps] == [
        ("a", Group.STEPS, 0, ()),
        ("on-failure-1", Group.ON_FAILURE, 0, ()),
        ("x", Group.FINALLY, 0, ()),
        ("y", Group.FINALLY, 1, ("x",)),
    ]
    assert plan.by_id["on-failure-1"].reads == ("a",)
    assert describe(plan).levels == [["a"]]


def test_a_step_has_its_own_queue_and_priority_or_the_workflows() -> None:
    plan = plan_of(step("a", priority="low", queue="own"), step("b", "a"), priority=2, queue="all")
    assert [(s.queue, s.priority) for s in plan.steps] == [("own", Priority.LOW), ("all", Priority.HIGH)]


def starts_by_itself(planned: PlannedStep) -> bool:
    """A job's params are filled in by its worker, so only `when` and `map` hold it up."""
    return planned.when is None and planned.map is None and (planned.kind is StepKind.JOB or not planned.refers)


def test_the_store_can_start_by_itself_what_needs_no_evaluation() -> None:
    plan = plan_of(
        step("job", params={"x": "{{ workflow.id }}"}),
        step("when", when="true"),
        step("map", map={"over": [1]}),
        {"id": "nap", "wait": {"seconds": 1}},
        {"id": "late", "wait": {"seconds": "{{ input.n }}"}},
        {"id": "ask", "approval": {"prompt": r"\{{ sure }}"}},
        input={"n": 3},
    )
    assert [s.id for s in plan.steps if starts_by_itself(s)] == ["job", "nap"]


def test_params_stay_as_they_were_written() -> None:
    params = '{ "n":123456789012345678901234567890, "a" : [ ], "o":{}, "f":1.0 }'
    plan = compile_workflow(read_form(f'{{"name":"w","steps":[{{"job_type":"t","params":{params}}}]}}'))
    assert plan.steps[0].params == params


@st.composite
def graphs(draw: st.DrawFn) -> list[tuple[int, list[int]]]:
    """Steps in any order, each with parents such that there is no cycle."""
    count = draw(st.integers(1, 12))
    steps = [(n, draw(st.lists(st.sampled_from(range(n)), unique=True)) if n else []) for n in range(count)]
    return draw(st.permutations(steps))


@given(graphs())
def test_any_graph_without_a_cycle_compiles_into_a_right_order(steps: list[tuple[int, list[int]]]) -> None:
    plan = plan_of(*(step(f"s{n}", *(f"s{parent}" for parent in parents)) for n, parents in steps))
    place = {s.id: at for at, s in enumerate(plan.steps)}
    assert sorted(place) == sorted(f"s{n}" for n, _ in steps)

    def level(n: int) -> int:
        return max((1 + level(parent) for parent in dict(steps)[n]), default=0)

    for n, parents in steps:
        planned = plan.by_id[f"s{n}"]
        assert set(planned.parents) == {f"s{parent}" for parent in parents}
        assert all(place[parent] < place[planned.id] for parent in planned.parents)
        assert set(planned.dependents) == {f"s{m}" for m, before in steps if n in before}
        assert planned.level == level(n)
    path = plan.longest_path
    assert len(path) == 1 + max(level(n) for n, _ in steps)
    assert all(before in plan.by_id[after].parents for before, after in pairwise(path))


@given(graphs(), st.randoms())
def test_any_edge_back_is_a_cycle(steps: list[tuple[int, list[int]]], random: Any) -> None:
    edges = {n: list(parents) for n, parents in steps}
    start = random.choice(sorted(edges))
    chain = [start]
    while edges[chain[-1]]:
        chain.append(random.choice(edges[chain[-1]]))
    if len(chain) == 1:
        return
    edges[chain[-1]].append(start)
    [(at, reason), *_] = mistakes_of(*(step(f"s{n}", *(f"s{parent}" for parent in edges[n])) for n, _ in steps))
    ids = reason.removeprefix("a cycle: ").split(" needs ")
    assert at.endswith("/depends_on")
    assert ids[0] == ids[-1]
    assert all(int(before[1:]) in edges[int(after[1:])] for after, before in pairwise(ids))


def test_a_rule_by_number_of_successes() -> None:
    plan = plan_of(step("a"), step("b"), step("c", "a", "b", run_if={"at_least": 2}))
    assert (plan.by_id["c"].rule, plan.by_id["c"].at_least) == (Rule.AT_LEAST, 2)
