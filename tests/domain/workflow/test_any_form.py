"""Whatever JSON comes, it is a plan or it is refused with places that are in it; and never slowly."""

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from boltq.domain.workflow import bounds
from boltq.domain.workflow.compiler import compile_workflow
from boltq.domain.workflow.form import BackoffForm, MapForm, RetryForm, StepForm, WorkflowForm, as_json, read_form
from boltq.domain.workflow.mistakes import InvalidWorkflow
from boltq.domain.workflow.plan import Plan

STRUCTS = (WorkflowForm, StepForm, MapForm, RetryForm, BackoffForm)
NAMES = sorted({name for struct in STRUCTS for name in struct.__struct_encode_fields__})
WORDS = ["a", "b", "job", "wait", "approval", "workflow", "fixed", "item", "at_least", "1h", "90s", "5%", "all_done"]
TEXTS = ["{{ item }}", "{{ steps.a.result.x }}", "x{{ input.n }}", "{{", "{{ steps.b.stats.failed }}", "\\{{", "%s{{ a"]
EXPRESSIONS = ["input.n > 1", "steps.a.state == 'failed'", "item == 1", "size(", "exists(steps.b.result)", "((((true"]

scalars = (
    st.none() | st.booleans() | st.integers(-3, 10**20) | st.floats(allow_nan=False, allow_infinity=False) | st.text()
    | st.sampled_from([*WORDS, *TEXTS, *EXPRESSIONS])
)  # fmt: skip
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=20,
)


def likely(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A workflow with mostly the right kind of value for each field."""
    data = st.dictionaries(st.text(max_size=3), st.sampled_from(TEXTS) | scalars, max_size=3)
    durations = st.sampled_from(["1h", "90s", "", "1d2h", "soon", 5, 0, -1, 1.5, "{{ input.n }}", 10**18])
    retry = st.fixed_dictionaries(
        {},
        optional={
            "max_attempts": st.integers(-1, 3),
            "backoff": st.sampled_from(["fixed", "exponential", {}, {"base_seconds": "9m"}, {"cap_seconds": 0}]),
            "base": durations,
            "max": durations,
            "jitter": st.booleans(),
        },
    )
    step = st.fixed_dictionaries(
        {},
        optional={
            "id": st.sampled_from(["a", "b", "c", "a.b"]),
            "type": st.sampled_from(["job", "wait", "approval", "workflow"]),
            "job_type": st.sampled_from(["t", "no spaces"]),
            "params": data,
            "input": data,
            "depends_on": st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=3),
            "run_if": st.sampled_from(["all_done", "one_failed", {"at_least": 1}, {"at_least": 3}]),
            "when": st.sampled_from(EXPRESSIONS),
            "map": st.fixed_dictionaries(
                {"over": st.sampled_from(TEXTS) | st.lists(scalars, max_size=2)},
                optional={
                    "as": st.just("item"),
                    "tolerate_failures": scalars,
                    "tolerated_failures": st.integers(-1, 3),
                },
            ),
            "timeout": durations,
            "timeout_seconds": durations,
            "retry": retry,
            "for": durations,
            "until": durations,
            "wait": st.fixed_dictionaries({}, optional={"seconds": durations, "until": durations}),
            "prompt": st.sampled_from(TEXTS),
            "approval": st.fixed_dictionaries({}, optional={"prompt": st.sampled_from(TEXTS)}),
            "workflow": inner,
        },
    )
    steps = st.lists(step, max_size=4)
    return st.fixed_dictionaries(
        {"name": st.just("w"), "steps": steps},
        optional={
            "input": data, "timeout": durations, "finally": steps, "on_failure": steps, "output": data,
        },
    )  # fmt: skip


workflows = st.recursive(st.none(), likely, max_leaves=3)


times = st.sampled_from(["1h", "90s", "1d2h", 5, 1.5, "250ms"])
waits = st.sampled_from([{"base": "2s"}, {"backoff": "fixed", "jitter": True}, {"backoff": {"cap_seconds": "1h"}}, {}])
inner = {"name": "inner", "input": {"x": 1}, "steps": [{"job_type": "t", "params": {"x": "{{ input.x }}"}}]}
data = st.dictionaries(st.text(max_size=3), scalars.filter(lambda v: "{{" not in str(v)) | st.just("{{ input.n }}"))
maps = st.sampled_from([{"over": [1, {}], "as": "item"}, {"over": "{{ input.n }}", "tolerate_failures": "5%"}])
good_steps = st.lists(
    st.fixed_dictionaries(
        {"job_type": st.just("t")},
        optional={"params": data, "timeout": times, "retry": waits, "map": maps, "when": st.just("input.n > 1")},
    )
    | st.fixed_dictionaries({"type": st.just("wait"), "for": times | st.just("{{ input.n }}")})
    | st.fixed_dictionaries({"wait": st.fixed_dictionaries({"until": st.sampled_from([5, "2030-01-31T09:30:00Z"])})})
    | st.fixed_dictionaries(
        {"approval": st.sampled_from([{}, {"prompt": "{{ input.n }}"}])}, optional={"timeout": times}
    )
    | st.fixed_dictionaries({"workflow": st.just(inner)}, optional={"input": data, "timeout": times, "map": maps}),
    min_size=1,
    max_size=6,
)


def compiled(body: str) -> Plan | list[tuple[str, str]]:
    """What becomes of a body: a plan, or its mistakes."""
    try:
        return compile_workflow(read_form(body))
    except InvalidWorkflow as error:
        return error.errors


def is_in(value: Any, pointer: str) -> bool:
    """Whether a pointer leads to a value, or to a field that an object does not have."""
    *parts, last = (part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])
    for part in parts:
        value = value[int(part)] if isinstance(value, list) else value[part]
    return isinstance(value, dict) or (isinstance(value, list) and int(last) < len(value))


@given(anything | st.builds(lambda steps: {"name": "w", "steps": steps}, st.lists(anything, max_size=3)))
def test_any_json_is_a_plan_or_refused(value: Any) -> None:
    compiled(json.dumps(value))


@given(workflows)
def test_every_mistake_of_a_form_points_into_it(value: Any) -> None:
    found = compiled(json.dumps(value))
    if isinstance(found, list):
        assert found
        assert len(found) <= bounds.MAX_MISTAKES + 1
        assert [at for at, _ in found if at and not is_in(value, at)] == []


@given(good_steps)
def test_what_is_accepted_reads_back_as_the_same_plan(steps: list[dict[str, Any]]) -> None:
    form = read_form(json.dumps({"name": "w", "steps": steps, "input": {"n": 1}}))
    plan = compile_workflow(form)
    assert len(plan.steps) == len(steps)
    assert compile_workflow(read_form(as_json(form))) == plan


IDS = [f"{n:x}" for n in range(bounds.MAX_STEPS)]


@pytest.mark.parametrize(
    "parents",
    [
        [IDS[max(0, n - 150) : n] for n in range(1_000)],  # about as many edges as 1 MiB holds
        [[IDS[(n + k) % 1_000] for k in range(1, 130)] for n in range(1_000)],  # nothing but cycles
        [[f"no{k}" for k in range(100)] for _ in range(1_000)],
        [IDS for _ in range(1_000)],  # larger than a workflow may be
    ],
    ids=["dense", "cycles", "unknown", "too-large"],
)
def test_the_worst_of_a_megabyte_is_compiled_or_refused(parents: list[list[str]]) -> None:
    """A second or less each where it was measured; what grows with the cube of the steps would take minutes."""
    steps = [{"id": IDS[n], "job_type": "t", "depends_on": before} for n, before in enumerate(parents)]
    compiled(json.dumps({"name": "w", "steps": steps}))
