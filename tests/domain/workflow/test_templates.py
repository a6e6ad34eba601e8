"""References in JSON text: values take their place, and nothing else changes."""

import json

import pytest
from hypothesis import given, strategies as st

from boltq.domain import limits
from boltq.domain.outcome import DataError
from boltq.domain.workflow.references import Reference, parse_reference
from boltq.domain.workflow.scope import ReferenceScope, StepEnd
from boltq.domain.workflow.states import MapStats, StepState
from boltq.domain.workflow.templates import escape, fill, only_reference, parts_of

BIG = "123456789012345678901234567890"
SCOPE = ReferenceScope(
    input="""{"month": "2026-11", "n": BIG, "f": 1.50, "empty": [], "none": {}, "off": false, "null": null,
        "a b": {"c.d": 1}, "rows": [ {"id": 1}, {"id": BIG, "x":1e400} ], "0": "zero", "text": "say \\"hi\\"\\n"}
    """.replace("BIG", BIG),
    steps={
        "fetch": StepEnd(StepState.COMPLETED, '{"rows":[1,2],"ok":true}'),
        "each": StepEnd(StepState.FAILED, "[1,null]", '{"message":"no"}', MapStats(2, 1, 1)),
        "off": StepEnd(StepState.SKIPPED),
        "a-1_B": StepEnd(StepState.COMPLETED, "7"),
    },
    workflow={"id": "W", "name": "w"},
    item='{"id":9}',
)


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ('{"a": "{{ input.month }}"}', '{"a": "2026-11"}'),
        ('{"a":"{{input.n}}"}', f'{{"a":{BIG}}}'),
        ('"{{ input.f }}"', "1.50"),
        ('"{{ input.empty }}"', "[]"),
        ('"{{ input.none }}"', "{}"),
        ('"{{ input.off }}"', "false"),
        ('"{{ input.null }}"', "null"),
        ('"{{ input.rows[1] }}"', f'{{"id": {BIG}, "x":1e400}}'),
        ('"{{ input.rows.1.id }}"', BIG),
        ('"{{ input[\\"a b\\"][\\"c.d\\"] }}"', "1"),
        ('"{{ input.0 }}"', '"zero"'),
        ('"{{ steps.fetch.result.rows }}"', "[1,2]"),
        ('"{{ steps.a-1_B.result }}"', "7"),
        ('"{{ steps.each.state }}"', '"failed"'),
        ('"{{ steps.each.results }}"', "[1,null]"),
        ('"{{ steps.each.stats.failed }}"', "1"),
        ('"{{ steps.each.stats }}"', '{"total":2,"completed":1,"failed":1,"cancelled":0}'),
        ('"{{ steps.each.error.message }}"', '"no"'),
        ('"{{ steps.off.result }}"', "null"),
        ('"{{ item }}"', '{"id":9}'),
        ('"{{ item.id }}"', "9"),
        ('"{{ workflow.id }}"', '"W"'),
        ('"m={{ input.month }}&n={{ input.n }}!"', f'"m=2026-11&n={BIG}!"'),
        ('"{{ input.f }}{{ input.off }}{{ input.null }}"', '"1.50falsenull"'),
        ('"x {{ input.text }}"', r'"x say \"hi\"\n"'),
        ('"{{ input.text }}"', r'"say \"hi\"\n"'),
        (r'"\\{{ input.month }}"', '"{{ input.month }}"'),
        (r'"\\\\{{ input.month }}"', r'"\\2026-11"'),
        (r'"\\\\\\{{ x }}"', r'"\\{{ x }}"'),
        (r'"\u007b{ input.month }}"', '"2026-11"'),
        ('"{ { input.month } }"', '"{ { input.month } }"'),
        ('{"{{ input.month }}" : "{{ input.month }}"}', '{"{{ input.month }}" : "2026-11"}'),
    ],
)
def test_values_take_the_place_of_references(template: str, filled: str) -> None:
    assert fill(template, SCOPE) == filled


def test_all_other_text_comes_through_to_the_byte() -> None:
    text = f'{{ "b" : [ ], "a":{{}},"n":{BIG}, "f" : 1.0E+2 ,"s":"\\u00e9\\/","x":"{{{{ input.empty }}}}" ,"b":-0 }}'
    assert fill(text, SCOPE) == text.replace('"{{ input.empty }}"', "[]")


def test_what_was_filled_in_is_not_looked_at_again() -> None:
    scope = ReferenceScope(input=r'{"evil":"{{ workflow.id }} \\{{"}', workflow={"id": "secret"})
    assert fill('["{{ input.evil }}","a{{ input.evil }}"]', scope) == (
        r'["{{ workflow.id }} \\{{","a{{ workflow.id }} \\{{"]'
    )


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("input.nothing", "no 'nothing' in input"),
        ("input.rows.7", "input.rows has 2 items"),
        ("input.rows.x", "input.rows is a list"),
        ("input.rows[1].id.x", "input.rows[1].id is a number"),
        ("input.month.x", "input.month is a text"),
        ("input.null.x", "input.null is null"),
        ("steps.gone.result", "the step gone has not run"),
        ("steps.off.result.rows", "the step off is skipped and has no result"),
        ("steps.fetch.stats", "not a map"),
        ("steps.fetch.error.message", "completed and has no error"),
        ("error.step", "no step has failed"),
    ],
)
def test_a_missing_value_is_named(reference: str, reason: str) -> None:
    with pytest.raises(DataError) as error:
        fill(f'"{{{{ {reference} }}}}"', SCOPE)
    assert f"{{{{ {reference.replace('.7', '[7]')} }}}}" in str(error.value)
    assert reason in str(error.value)
    assert not SCOPE.has(parse_reference(reference))


def test_a_list_cannot_become_text() -> None:
    with pytest.raises(DataError, match=r"input\.rows .* is a list"):
        fill('"rows: {{ input.rows }}"', SCOPE)


def test_the_item_is_the_maps_own() -> None:
    inner = ReferenceScope(input="{}").with_item("[1, 2]")
    assert fill('"{{ item[1] }}"', inner) == "2"
    assert fill('"{{ item[1] }}"', inner.with_item("[3,4]")) == "4"
    with pytest.raises(DataError, match="inside of a map"):
        fill('"{{ item }}"', ReferenceScope())


def test_a_small_text_cannot_become_a_huge_one() -> None:
    scope = ReferenceScope(input=json.dumps({"big": "x" * 500_000}))
    for template in ('"{}"'.format("{{ input.big }} " * 10_000), json.dumps(["{{ input.big }}"] * 10_000)):
        with pytest.raises(DataError, match=f"larger than {limits.MAX_DATA_BYTES} bytes"):
            fill(template, scope)


def test_many_references_into_one_large_value_open_it_once() -> None:
    rows = list(range(50_000))
    scope = ReferenceScope(steps={"a": StepEnd(StepState.COMPLETED, json.dumps(rows))})
    template = json.dumps([f"{{{{ steps.a.result[{n}] }}}}" for n in range(2_000)])
    assert json.loads(fill(template, scope)) == rows[:2_000]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{{", "a reference is missing"),
        ("{{ }}", "a reference is missing"),
        ("{{ input.x", "}} must follow"),
        ("{{ input.x | upper }}", "references only"),
        ("{{ input.x() }}", "references only"),
        ("{{ inputs.x }}", "'inputs' is unknown"),
        ("{{ input..x }}", "}} must follow"),
        ("{{ input[-1] }}", "}} must follow"),
        ("{{ steps }}", "say which step"),
        ("{{ steps.a }}", "say what of the step: steps.a.result"),
        ("{{ steps.a.b.c }}", "say what of the step"),
        ("{{ steps.a.state.x }}", "has no parts"),
        ("{{ steps.a.stats.bad }}", "the counts of a map are"),
        ("{{ workflow }}", "say what of the workflow"),
        ("{{ workflow.secret }}", "say what of the workflow"),
        ("{{ input." + "x" * 600 + " }}", "at most 500 characters"),
    ],
)
def test_what_is_no_reference_is_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the reason is looked at below
        parts_of(text)
    assert reason in str(error.value)


def test_a_reference_is_written_as_it_is_read() -> None:
    for text in ("input.a", "input[0].b", 'input["a b"].c', "steps.a-1.result.rows[10]", "item"):
        assert parse_reference(text).text == text
    assert only_reference("{{ input.a }}") == Reference(("input", "a"))
    assert only_reference("x{{ input.a }}") is None


@pytest.mark.parametrize(
    "text", ["\\" * 200_000, "{" * 200_001, "\\" * 100_000 + "{{", " " * 200_000, "{{ " + " " * 200_000]
)
def test_nothing_takes_long(text: str) -> None:
    """Would take minutes if anything in it were quadratic; the test's own time limit says so."""
    try:
        fill(json.dumps(text), SCOPE)
        parts_of(escape(text))
    except (DataError, ValueError):
        pass


_TEXTS = st.lists(st.sampled_from(["{", "{{", "}}", "\\", " ", "a", '"', "é", "input.n", "\n"]), max_size=12).map(
    "".join
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(_TEXTS)
def test_escaped_text_stands_for_itself(text: str) -> None:
    assert json.loads(fill(json.dumps(escape(text)), SCOPE)) == text


@given(_JSON)
def test_any_value_comes_through_a_reference_to_the_byte(value: object) -> None:
    raw = json.dumps(value)
    assert (
        fill('{"a":"{{ steps.a.result }}"}', ReferenceScope(steps={"a": StepEnd(StepState.COMPLETED, raw)}))
        == f'{{"a":{raw}}}'
    )
