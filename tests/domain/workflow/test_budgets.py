"""What a step's expressions and references may cost: each value is read once, and there is an end to it."""

import pytest

from boltq.domain.outcome import DataError
from boltq.domain.workflow.bounds import MAX_EXPRESSION_BYTES
from boltq.domain.workflow.expression import parse_expression
from boltq.domain.workflow.references import Reference
from boltq.domain.workflow.scope import ReferenceScope, StepEnd
from boltq.domain.workflow.states import StepState

LARGE = "[" + ",".join("1" for _ in range(500_000)) + "]"  # about 1 MB


class Counting(ReferenceScope):
    """Counts how often a value is asked for."""

    asked = 0

    def raw(self, reference: Reference) -> str:
        self.asked += 1
        return super().raw(reference)


def test_a_value_is_read_once_however_often_it_is_named() -> None:
    scope = Counting(input='{"x":5,"y":"a"}')
    assert parse_expression(" and ".join(["input.x == 5"] * 60)).holds(scope)
    assert scope.asked == 1


@pytest.mark.parametrize(
    "term", ["input.x != input.x", "input.x in [1, 2]", "size(input.x) == 1", "1 in input.x and false"]
)
def test_an_expression_over_large_values_ends_with_an_error_that_names_them(term: str) -> None:
    scope = ReferenceScope(input=f'{{"x":{LARGE}}}')
    text = " or ".join([term] * 60)
    with pytest.raises(DataError, match=r"input\.x: the values that it looks at have more than 8 MiB"):
        parse_expression(text).holds(scope)


def test_a_few_looks_at_a_large_value_are_fine() -> None:
    scope = ReferenceScope(input=f'{{"x":{LARGE}}}')
    assert len(LARGE) * 4 < MAX_EXPRESSION_BYTES
    assert parse_expression("input.x == input.x").holds(scope)
    assert parse_expression("size(input.x) > 1000 and exists(input.x[4])").holds(scope)


def test_what_is_not_of_the_item_is_opened_once_for_all_items() -> None:
    scope = ReferenceScope(
        input=f'{{"x":{LARGE},"y":7}}', steps={"a": StepEnd(StepState.COMPLETED, result='{"b":[1]}')}
    )
    first = scope.with_item("1")
    assert first.raw(Reference(("input", "y"))) == "7"
    opened = scope.with_item("2")._shared.opened
    assert opened.keys() == {("input",)}
    parts = opened["input",]
    assert [scope.with_item(f"{n}").raw(Reference(("item",))) for n in range(3)] == ["0", "1", "2"]
    for n in range(2_000):
        one = scope.with_item(f'{{"n":{n}}}')
        assert one.raw(Reference(("input", "y"))) == "7"
        assert one.raw(Reference(("item", "n"))) == f"{n}"
        assert one.raw(Reference(("steps", "a", "result", "b", "0"))) == "1"
    assert scope._own.opened == {}
    assert opened["input",] is parts
