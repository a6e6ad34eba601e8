"""The language of `when`."""

import pytest

from boltq.domain.outcome import DataError
from boltq.domain.workflow.expression import parse_expression
from boltq.domain.workflow.lexemes import ExpressionError
from boltq.domain.workflow.scope import ReferenceScope, StepEnd
from boltq.domain.workflow.states import MapStats, StepState

SCOPE = ReferenceScope(
    input='{"n": 3, "f": 0.1, "big": 12345678901234567890123, "month": "2026-11", "on": true, "rows": [1, 2],'
    ' "o": {"k": null},'
    ' "one": 1.0, "nested": [[1, {"a": true}]], "far": 1e99999999999999999999}',
    steps={
        "step-1": StepEnd(StepState.COMPLETED, '{"ok":true,"rows":[]}'),
        "each": StepEnd(StepState.FAILED, "[]", None, MapStats(10, 8, 2)),
        "off": StepEnd(StepState.SKIPPED),
    },
)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("true", True),
        ("not true", False),
        ("input.on", True),
        ("input.n == 3", True),
        ("input.n==3", True),
        ("input.n != 3", False),
        ("input.n > 2 and input.n < 4", True),
        ("input.n >= 3.0", True),
        ("input.n<=-1", False),
        ("input.f == 0.1", True),
        ("input.f == 0.10000000000000000001", False),
        ("input.big == 12345678901234567890123", True),
        ("input.big == 12345678901234567890124", False),
        ("input.big > 1e22", True),
        ("input.one == 1", True),
        ("input.on == 1", False),
        ("1 == true", False),
        ("[1] == [true]", False),
        ("input.nested == [[1, input.o]]", False),
        ("input.o.k == null", True),
        ("input.n == '3'", False),
        ("input.month == '2026-11'", True),
        ('input.month > "2026"', True),
        ("input.month in ['2026-11', '2026-12']", True),
        ("input.month not in ['x']", True),
        ("'-1' in input.month", True),
        ("'k' in input.o", True),
        ("2 in input.rows", True),
        ("2.0 in input.rows", True),
        ("true in input.rows", False),
        ("1 in []", False),
        ("size(input.rows) == 2", True),
        ("size(input.o) == 1 and size('äb') == 2 and size([]) == 0", True),
        ("size(steps.step-1.result.rows) == 0", True),
        ("steps.step-1.result.ok", True),
        ("steps.step-1.state == 'completed'", True),
        ("steps.each.stats.failed > 0", True),
        ("steps.off.result == null", True),
        ("exists(steps.off.result)", False),
        ("exists(input.o.k)", True),
        ("exists(input.o.x) and input.o.x > 1", False),
        ("not exists(input.x) or input.x > 1", True),
        ("true or false and false", True),
        ("(true or false) and false", False),
        ("not true or true", True),
        ("not input.n == 4", True),
        ("not not true", True),
        ("'it\\'s' == \"it's\"", True),
        ('\'a"b\' == "a\\"b"', True),
        ("'\\u0041\\n' == \"A\\n\"", True),
        ("input.rows[1] == 2", True),
        ('input["n"] == 3', True),
        ("  true\n", True),
    ],
)
def test_what_holds(text: str, holds: bool) -> None:
    assert parse_expression(text).holds(SCOPE) is holds


@pytest.mark.parametrize(
    ("text", "position", "reason"),
    [
        ("", 1, "the end is not expected: a value or a reference must stand here"),
        ("input.n >", 10, "the end is not expected"),
        ("input.n = 3", 9, "use == to compare"),
        ("input.n == 3 && true", 14, "use and"),
        ("a == 3", 1, "'a' is not a word"),
        ("inputs.x == 3", 1, "'inputs' is unknown"),
        ("steps.a == 3", 1, "say what of the step"),
        ("1 < 2 < 3", 7, "cannot be chained"),
        ("true true", 6, "only one expression"),
        ("(true", 6, "')' must stand here"),
        ("[1, ", 5, "a value or a reference"),
        ("size input.n", 6, "'(' must stand here"),
        ("exists(3)", 8, "reference must stand here"),
        ("{{ input.n }} > 3", 1, "without braces"),
        ("input.n == 'x", 12, "is not expected"),
        ("input.n == '\\q'", 12, "not a text"),
        ("input.n == 01", 12, "is not expected"),
        ("__import__('os')", 1, "is not a word"),
        ("input.n.__class__ == 3 or lambda", 27, "is not a word"),
        ("not " * 33 + "true", 133, "nested deeper than 32"),
        ("(" * 33 + "true" + ")" * 33, 34, "nested deeper than 32"),
        ("true or " * 300 + "true", 2_001, "at most 2000 characters"),
    ],
)
def test_what_cannot_be_understood_is_pointed_at(text: str, position: int, reason: str) -> None:
    with pytest.raises(ExpressionError) as error:
        parse_expression(text)
    assert error.value.position == position
    assert str(error.value).startswith(f"at character {position}: ")
    assert reason in str(error.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("input.n", "at character 1: this is a number, and must be true or false"),
        ("true and 'x'", "at character 10: this is a text"),
        ("not null", "at character 5: this is null"),
        ("input.n > '2'", "at character 9: a number and a text cannot be compared with >"),
        ("input.on > false", "true or false and true or false cannot be compared"),
        ("1 in 2", "a number cannot be in a number"),
        ("1 in 'x'", "a number cannot be in a text"),
        ("size(3) > 1", "a number has no size"),
        ("input.gone > 1", "{{ input.gone }}"),
        ("input.far > 1", "input.far: it cannot be read"),
    ],
)
def test_what_goes_wrong_is_said(text: str, reason: str) -> None:
    with pytest.raises(DataError) as error:
        parse_expression(text).holds(SCOPE)
    assert reason in str(error.value)


def test_thirty_two_levels_and_two_thousand_characters_are_fine() -> None:
    assert parse_expression("(" * 32 + "true" + ")" * 32).holds(SCOPE)
    assert parse_expression("true and " * 221 + "true").holds(SCOPE)


def test_it_knows_its_references() -> None:
    found = parse_expression("input.n > 1 and exists(steps.a.result.x[0]) or input.n in [steps.b.state]").references
    assert [reference.text for reference in found] == ["input.n", "steps.a.result.x[0]", "steps.b.state"]
