"""Workflows written in Python compile to the same JSON."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from boltq import (
    Backoff,
    BoltQ,
    Category,
    InvalidWorkflow,
    JobContext,
    Workflow,
    exists,
    failure,
    is_in,
    item,
    size,
)
from boltq.domain.workflow.plan import Group, describe

app = BoltQ()


@app.task(name="orders.fetch")
async def fetch(url: str, month: str = "") -> dict[str, list[dict[str, int]]]:
    return {}


@app.task
def render(job: JobContext, order: dict[str, int], copies: int = 1) -> str:
    return ""


@app.task
def send(files: list[str], note: str = "") -> int:
    return 1


def test_a_whole_workflow() -> None:
    wf = Workflow("invoices", month="2026-11", priority="high", timeout=timedelta(hours=2))
    fetched = wf.step(fetch, f"https://x/{wf.input['month']}", month=wf.input["month"])
    rendered = wf.map(fetched.result["orders"], max_concurrency=20, tolerated_failures=0.05).step(render, order=item)
    asked = wf.options(when=rendered.stats.failed > 0).approval(f"{rendered.stats.failed} failed", timeout=60)
    sent = wf.options(id="mail", run_if="none_failed", after=[asked], max_attempts=3, allow_failure=True).step(
        send, rendered.result, note="done"
    )
    wf.on_failure.step("slack", text=f"{failure.step}: {failure.message}")
    wf.finally_.step("tidy")
    wf.output({"sent": sent.result})

    assert json.loads(wf.json()) == {
        "name": "invoices",
        "input": {"month": "2026-11"},
        "on_failure_policy": "fail_fast",
        "timeout_seconds": 7200,
        "priority": "high",
        "steps": [
            {
                "id": "orders-fetch",
                "job_type": "orders.fetch",
                "params": {"url": "https://x/{{ input.month }}", "month": "{{ input.month }}"},
            },
            {
                "id": "render",
                "job_type": "render",
                "params": {"order": "{{ item }}"},
                "map": {
                    "over": "{{ steps.orders-fetch.result.orders }}",
                    "max_concurrency": 20,
                    "tolerated_failures": "5%",
                },
            },
            {
                "id": "approval",
                "type": "approval",
                "approval": {
                    "prompt": "{{ steps.render.stats.failed }} failed",
                    "timeout_seconds": 60,
                    "on_timeout": "reject",
                },
                "when": "steps.render.stats.failed > 0",
            },
            {
                "id": "mail",
                "job_type": "send",
                "params": {"files": "{{ steps.render.result }}", "note": "done"},
                "depends_on": ["approval"],
                "run_if": "none_failed",
                "retry": {"max_attempts": 3},
                "allow_failure": True,
            },
        ],
        "on_failure": [
            {"id": "slack", "job_type": "slack", "params": {"text": "{{ error.step }}: {{ error.message }}"}}
        ],
        "finally": [{"id": "tidy", "job_type": "tidy", "params": {}}],
        "output": {"sent": "{{ steps.mail.result }}"},
    }
    plan = wf.compile()
    assert describe(plan).levels == [["orders-fetch"], ["render"], ["approval"], ["mail"]]
    assert plan.by_id["mail"].awaits == ("render",)
    assert [s.id for s in plan.group(Group.FINALLY)] == ["tidy"]


def test_dependencies_are_what_is_referred_to() -> None:
    wf = Workflow("w")
    one, two = wf.step("t"), wf.step("t")
    three = wf.options(when=one.state == "completed").step("t", deep=[{"x": (two.result[0]["a b"],)}])
    assert (one.id, two.id, three.id) == ("t", "t-2", "t-3")
    assert set(wf.compile().by_id["t-3"].parents) == {"t", "t-2"}
    assert wf.compile().by_id["t-3"].params == '{"deep":[{"x":["{{ steps.t-2.result[0][\\"a b\\"] }}"]}]}'


def test_what_comes_after_and_what_is_referred_to_are_both_waited_for() -> None:
    wf = Workflow("w")
    a, b, c = (wf.options(id=name, after=[]).step("t") for name in "abc")
    both = wf.options(after=[a]).step("t", x=b.result, y=a.state)
    deep = wf.options(after=[both, c], run_if="none_failed").step("t", x=a.result)
    aside = wf.options(after=[], when=f"{deep.state} == 'failed'").step("t")
    nap = wf.options(after=[c]).wait(both.result)
    handler = wf.finally_.options(after=[]).step("t", x=aside.result)
    plan = wf.compile()
    parents = {step.id: plan.by_id[step.id].parents for step in (both, deep, aside, nap, handler)}
    assert parents == {
        both.id: ("a", "b"), deep.id: (both.id, "c"), aside.id: (deep.id,), nap.id: ("c", both.id), handler.id: (),
    }  # fmt: skip
    assert plan.by_id[deep.id].awaits == ("a",)


def test_durations_may_be_texts() -> None:
    wf = Workflow("w", timeout="2h", tags=["monthly"])
    first = wf.options(timeout="1m30s", backoff=Backoff(base=600, jitter=False)).step("t")
    wf.options(after=[first]).wait("1h")
    asked = wf.approval("sure?", timeout="1d")
    plan = wf.compile()
    assert (plan.timeout_seconds, plan.by_id[first.id].timeout_seconds) == (7_200, 90)
    retry, approval, wait = plan.by_id[first.id].retry, plan.by_id[asked.id].approval, plan.by_id["wait"].wait
    assert retry is not None
    assert approval is not None
    assert wait is not None
    assert retry.backoff == Backoff(base=300, jitter=False)
    assert (approval.timeout_seconds, wait.seconds) == (86_400, "1h")
    assert wf.form().tags == ["monthly"]


def test_arguments_are_checked_as_a_call_is() -> None:
    wf = Workflow("w")
    with pytest.raises(TypeError):
        wf.step(send, fils=[])  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        wf.step(send)  # type: ignore[call-overload]


def test_text_is_data_whatever_braces_it_has() -> None:
    wf = Workflow("w", x="{{ workflow.id }}")
    evil = "{{ input.x }} \\{{ \ue000"
    wf.step("t", text=evil, both=f"{evil} {wf.id}", big=12345678901234567890123, empty=[[], {}])
    plan = wf.compile()
    from boltq.domain.workflow.scope import ReferenceScope
    from boltq.domain.workflow.templates import fill

    filled = json.loads(fill(plan.steps[0].params, ReferenceScope(input=plan.input, workflow={"id": "W"})))
    assert filled == {"text": evil, "both": f"{evil} W", "big": 12345678901234567890123, "empty": [[], {}]}


def test_conditions() -> None:
    wf = Workflow("w", month="x", n=1)
    a = wf.step("t")
    conditions: dict[str, Any] = {
        "steps.t.result.n > 3": a.result["n"] > 3,
        "steps.t.result.n <= 2.5": a.result.n <= 2.5,
        'input.month == "it\'s"': wf.input.month == "it's",
        "(not (steps.t.result.ok == 1)) and (input.n != 2)": ~(a.result.ok == 1) & (wf.input.n != 2),
        "size(steps.t.result) >= 1": size(a.result) >= 1,
        "exists(steps.t.result.x)": exists(a.result["x"]),
        'input.month in ["a", "b"]': is_in(wf.input["month"], ["a", "b"]),
        "steps.t.result.n == input.n": a.result.n == wf.input.n,
        "steps.t.result.ok": a.result.ok,
        "steps.t.result.n > 7": f"{a.result.n} > 7",
    }
    for number, (text, condition) in enumerate(conditions.items()):
        step = wf.options(when=condition).step("t", n=number)
        found = next(s.when for s in wf.form().steps if s.id == step.id)
        assert found == text
    wf.compile()


def test_what_has_no_value_yet_cannot_be_asked_now() -> None:
    wf = Workflow("w")
    a = wf.step("t")
    with pytest.raises(TypeError, match="no value yet"):
        bool(a.result)
    with pytest.raises(TypeError, match="join conditions"):
        _ = (a.result > 1) and (a.result < 3)
    with pytest.raises(TypeError, match="use map"):
        list(a.result)
    with pytest.raises(TypeError, match="formatted"):
        f"{a.result:>10}"
    with pytest.raises(TypeError, match="cannot be a key"):
        wf.step("t", x={f"{a.result}": 1})
    with pytest.raises(TypeError, match="not known yet"):
        _ = a.result == f"x{a.result}"


def test_waiting_retrying_and_workflows_in_workflows() -> None:
    inner = Workflow("inner", n=0)
    inner.step("t", n=inner.input["n"])
    wf = Workflow("outer", queue="q", on_failure_policy="continue")
    first = wf.options(backoff=Backoff(base=3), retry_on=[Category.TIMEOUT], timeout=5, queue="other", priority=0).step(
        "t"
    )
    nap = wf.options(after=[first]).wait(timedelta(minutes=1))
    late = wf.options(after=[nap]).wait(until=datetime(2030, 1, 1, tzinfo=UTC))
    sub = wf.options(after=[late], at_least=1).workflow(inner, n=first.result)
    each = wf.map([1, 2], tolerated_failures=1).workflow(inner, n=item)
    plan = wf.compile()
    assert [plan.by_id[s.id].kind for s in (first, nap, late, sub, each)] == [
        "job",
        "wait",
        "wait",
        "workflow",
        "workflow",
    ]
    assert plan.by_id["t"].retry is not None
    assert plan.by_id["t"].retry.on == [Category.TIMEOUT]
    assert plan.by_id["inner"].params == '{"n":"{{ steps.t.result }}"}'
    assert plan.by_id["inner"].at_least == 1
    assert describe(plan).steps == 7


def test_mistakes_are_those_of_the_form() -> None:
    wf = Workflow("w")
    wf.step("t", x=wf.input["gone"])
    wf.options(timeout=-1).step("t")
    with pytest.raises(InvalidWorkflow) as error:
        wf.compile()
    assert [at for at, _ in error.value.errors] == ["/steps/1/timeout_seconds", "/steps/0/params/x"]


def test_what_belongs_to_another_workflow_is_refused_with_its_name() -> None:
    other, flow = Workflow("other", x=1), Workflow("mine", x=2)
    theirs = other.step("t")
    assert theirs.id == flow.options(id="t").step("t").id
    uses: list[Callable[[], object]] = [
        lambda: flow.options(after=[theirs]).step("t"),
        lambda: flow.step("t", x=theirs.result),
        lambda: flow.step("t", x=[{"y": theirs.result["rows"]}]),
        lambda: flow.step("t", x=f"{theirs.result} and more"),
        lambda: flow.step("t", x=other.input["x"]),
        lambda: flow.options(when=theirs.result > 1),
        lambda: flow.options(when=~(size(theirs.result) > 1) & exists(flow.input["x"])),
        lambda: flow.options(when=is_in(1, theirs.result)),
        lambda: flow.map(theirs.result),
        lambda: flow.map([1]).step("t", x=theirs.state),
        lambda: flow.wait(theirs.result),
        lambda: flow.wait(until=theirs.result),
        lambda: flow.approval(f"{theirs.result}?"),
        lambda: flow.workflow(Workflow("inner"), x=theirs.result),
        lambda: flow.finally_.step("t", x=theirs.error),
        lambda: flow.output({"x": theirs.result}),
    ]
    for use in uses:
        with pytest.raises(InvalidWorkflow, match="is of another workflow, 'other', and cannot be used in 'mine'"):
            use()
    assert len(flow.plain()["steps"]) == 1
