"""The language of `when`: values, references, == != < <= > >=, in, and, or, not, size(x), exists(reference).

    either     = both { "or" both }
    both       = negation { "and" negation }
    negation   = "not" negation | comparison
    comparison = operand [ ( "==" | "!=" | "<" | "<=" | ">" | ">=" | [ "not" ] "in" ) operand ]
    operand    = value | reference | "(" either ")" | "[" [ operand { "," operand } ] "]"
               | "size" "(" operand ")" | "exists" "(" reference ")"

Nothing is converted: a number is compared with a number, a text with a text; what is asked for a yes or no must be true
or false. `and` and `or` look at their right side only when they need it.
"""

import operator
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol

from boltq.domain.outcome import DataError
from boltq.domain.workflow.bounds import MAX_EXPRESSION_BYTES, MAX_EXPRESSION_CHARS, MAX_EXPRESSION_DEPTH
from boltq.domain.workflow.lexemes import ExpressionError, Lexeme, lexemes_of
from boltq.domain.workflow.references import Reference
from boltq.domain.workflow.values import kind_of, read_value, same


class ExpressionSource(Protocol):
    """Where the values of references come from."""

    def raw(self, reference: Reference) -> str:
        """The JSON text of a value. Raises DataError that names the reference."""

    def has(self, reference: Reference) -> bool:
        """Whether the reference leads to a value."""


class Node(Protocol):
    """A part of an expression."""

    @property
    def position(self) -> int:
        """The position in the text; 1 is the first character."""

    def value(self, values: "Values") -> Any:
        """The value of this part. Raises DataError."""


class Values:
    """The values that one evaluation looks at: each reference is decoded once, and all looks have a budget together."""

    def __init__(self, source: ExpressionSource) -> None:
        self._source = source
        self._found: dict[Reference, tuple[Any, int]] = {}
        self._left = MAX_EXPRESSION_BYTES
        self.has = source.has

    def of(self, reference: Reference) -> Any:
        """The value. Raises ValueError when it cannot be read, DataError when it is not there or all are too much."""
        if reference not in self._found:
            text = self._source.raw(reference)
            self._spend(len(text), reference)
            self._found[reference] = read_value(text), len(text)
        value, size = self._found[reference]
        self._spend(size, reference)  # the time of any use grows with the size of the value
        return value

    def _spend(self, size: int, reference: Reference) -> None:
        self._left -= size
        if self._left < 0:
            most = f"{MAX_EXPRESSION_BYTES >> 20} MiB"
            raise DataError(f"{reference.text}: the values that it looks at have more than {most}, each look counted")


class Expression(NamedTuple):
    """A parsed expression, and the references in it."""

    root: Node
    references: tuple[Reference, ...]
    asked: frozenset[Reference] = frozenset()  # the references in exists(...)

    def expects(self, reference: Reference) -> bool:
        """Whether the expression needs the value: it does not ask with exists(...) for it, or for what contains it."""
        lengths = range(1, len(reference.path) + 1)
        return not any(Reference(reference.path[:length]) in self.asked for length in lengths)

    def holds(self, source: ExpressionSource) -> bool:
        """Whether the expression is true. Raises DataError with the position of what is wrong."""
        try:
            return _truth(self.root, Values(source))
        except RecursionError:
            raise DataError("a value in it is nested too deeply") from None


def compared_with(node: Any, part: str) -> Iterator[tuple[int, Any]]:
    """Where steps.<id>.<part> is compared, and with which values; `node` is an expression, or a part of one."""
    match node:
        case _Comparison(position, _, left, right):
            sides = (left, right), (right, left)
            for asked, other in sides:
                if isinstance(asked, _Lookup) and asked.reference.path[::2] == ("steps", part):
                    values = other.items if isinstance(other, _Items) else [other]
                    yield from ((position, value.given) for value in values if isinstance(value, _Value))
        case _Junction(_, parts, _):
            for inner in parts:
                yield from compared_with(inner, part)
        case _Negation(_, inner):
            yield from compared_with(inner, part)


@lru_cache(maxsize=256)
def parse_expression(text: str) -> Expression:
    """The expression that a text is. Raises ExpressionError with the position of what is wrong."""
    if len(text) > MAX_EXPRESSION_CHARS:
        raise ExpressionError(MAX_EXPRESSION_CHARS + 1, f"an expression has at most {MAX_EXPRESSION_CHARS} characters")
    lexemes = lexemes_of(text)
    root = _Parser(lexemes).whole()
    asked = {lexemes[at].value for at in range(2, len(lexemes)) if lexemes[at - 2].kind == "exists"}
    return Expression(
        root, tuple(dict.fromkeys(lexeme.value for lexeme in lexemes if lexeme.kind == "reference")), frozenset(asked)
    )


class _Value(NamedTuple):
    position: int
    given: Any

    def value(self, values: Values) -> Any:  # noqa: ARG002 - as every node
        return self.given


class _Lookup(NamedTuple):
    position: int
    reference: Reference

    def value(self, values: Values) -> Any:
        try:
            return values.of(self.reference)
        except ValueError as error:
            raise _wrong(self, f"{self.reference.text}: {error}") from None


class _Items(NamedTuple):
    position: int
    items: list[Node]

    def value(self, values: Values) -> Any:
        return [item.value(values) for item in self.items]


class _Junction(NamedTuple):
    position: int
    parts: list[Node]
    until: bool  # the first such part decides: `or` stops at a true one, `and` at a false one

    def value(self, values: Values) -> Any:
        return self.until if any(_truth(part, values) is self.until for part in self.parts) else not self.until


class _Negation(NamedTuple):
    position: int
    part: Node

    def value(self, values: Values) -> Any:
        return not _truth(self.part, values)


class _Comparison(NamedTuple):
    position: int  # of the sign
    sign: str
    left: Node
    right: Node

    def value(self, values: Values) -> Any:
        left, right = self.left.value(values), self.right.value(values)
        match self.sign:
            case "==":
                return same(left, right)
            case "!=":
                return not same(left, right)
            case "in":
                return self._contains(left, right)
            case "not in":
                return not self._contains(left, right)
            case _:
                return self._ordered(left, right)

    def _contains(self, left: Any, right: Any) -> bool:
        if isinstance(right, list):
            return any(same(left, item) for item in right)
        if isinstance(right, str | dict) and isinstance(left, str):
            return left in right
        raise _wrong(self, f"{kind_of(left)} cannot be in {kind_of(right)}")

    def _ordered(self, left: Any, right: Any) -> bool:
        if kind_of(left) != kind_of(right) or kind_of(left) not in ("a number", "a text"):
            raise _wrong(self, f"{kind_of(left)} and {kind_of(right)} cannot be compared with {self.sign}")
        return _ORDERS[self.sign](left, right)


class _Size(NamedTuple):
    position: int
    part: Node

    def value(self, values: Values) -> Any:
        value = self.part.value(values)
        if isinstance(value, str | list | dict):
            return len(value)
        raise _wrong(self, f"{kind_of(value)} has no size: a text, a list and an object have")


class _Exists(NamedTuple):
    position: int
    reference: Reference

    def value(self, values: Values) -> Any:
        return values.has(self.reference)


_ORDERS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_BEGINNINGS: Final = frozenset({"value", "reference", "(", "[", "size", "exists"})
_COMPARISONS: Final = frozenset({"==", "!=", "in", "not", *_ORDERS})


class _Parser:
    """A recursive-descent parser: one method for each line of the grammar."""

    def __init__(self, lexemes: list[Lexeme]) -> None:
        self._lexemes = lexemes
        self._at = 0
        self._depth = 0

    def whole(self) -> Node:
        """The whole text."""
        root = self._either()
        if self._next.kind != "end":
            raise self._unexpected("only one expression can stand here")
        return root

    def _either(self) -> Node:
        first = self._both()
        parts = [first]
        while self._takes("or"):
            parts.append(self._both())
        return _Junction(first.position, parts, until=True) if len(parts) > 1 else first

    def _both(self) -> Node:
        first = self._negation()
        parts = [first]
        while self._takes("and"):
            parts.append(self._negation())
        return _Junction(first.position, parts, until=False) if len(parts) > 1 else first

    def _negation(self) -> Node:
        position = self._next.position
        if not self._takes("not"):
            return self._comparison()
        self._go_deeper()
        part = self._negation()
        self._depth -= 1
        return _Negation(position, part)

    def _comparison(self) -> Node:
        left = self._operand()
        if self._next.kind not in _COMPARISONS:
            return left
        lexeme = self._taken()
        sign = lexeme.kind
        if sign == "not":
            self._expect("in")
            sign = "not in"
        right = self._operand()
        if self._next.kind in _COMPARISONS:
            raise self._unexpected("comparisons cannot be chained; use and")
        return _Comparison(lexeme.position, sign, left, right)

    def _operand(self) -> Node:
        lexeme = self._next
        if lexeme.kind not in _BEGINNINGS:
            raise self._unexpected("a value or a reference must stand here")
        self._taken()
        match lexeme.kind:
            case "value":
                return _Value(lexeme.position, lexeme.value)
            case "reference":
                return _Lookup(lexeme.position, lexeme.value)
        self._go_deeper()
        node = self._enclosed(lexeme)
        self._depth -= 1
        return node

    def _enclosed(self, lexeme: Lexeme) -> Node:
        if lexeme.kind == "[":
            return _Items(lexeme.position, self._items())
        if lexeme.kind != "(":
            self._expect("(")
        node: Node
        match lexeme.kind:
            case "size":
                node = _Size(lexeme.position, self._operand())
            case "exists":
                node = _Exists(lexeme.position, self._expect("reference").value)
            case _:
                node = self._either()
        self._expect(")")
        return node

    def _items(self) -> list[Node]:
        if self._takes("]"):
            return []
        items = [self._operand()]
        while self._takes(","):
            items.append(self._operand())
        self._expect("]")
        return items

    @property
    def _next(self) -> Lexeme:
        return self._lexemes[self._at]

    def _taken(self) -> Lexeme:
        lexeme = self._next
        self._at = min(self._at + 1, len(self._lexemes) - 1)
        return lexeme

    def _takes(self, kind: str) -> bool:
        if self._next.kind != kind:
            return False
        self._taken()
        return True

    def _expect(self, kind: str) -> Lexeme:
        if self._next.kind != kind:
            raise self._unexpected(f"{kind if kind == 'reference' else repr(kind)} must stand here")
        return self._taken()

    def _unexpected(self, wanted: str) -> ExpressionError:
        return ExpressionError(self._next.position, f"{self._next.text:.60} is not expected: {wanted}")

    def _go_deeper(self) -> None:
        self._depth += 1
        if self._depth > MAX_EXPRESSION_DEPTH:
            raise ExpressionError(self._next.position, f"nested deeper than {MAX_EXPRESSION_DEPTH}")


def _truth(node: Node, values: Values) -> bool:
    value = node.value(values)
    if isinstance(value, bool):
        return value
    raise _wrong(node, f"this is {kind_of(value)}, and must be true or false: compare it, or use size or exists")


def _wrong(node: Node, reason: str) -> DataError:
    return DataError(f"at character {node.position}: {reason}")
