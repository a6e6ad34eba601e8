"""What `process_data` can do to rows: a fixed set of operations, described by data. Nothing is evaluated."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from boltq.domain.hints import alike
from boltq.tasks.reading import MAX_ROWS

Row = dict[str, Any]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Names = Annotated[list[Name], Meta(min_length=1, max_length=500)]

MAX_CELLS = 2_000_000  # of what an operation makes


class Unfit(ValueError):
    """An operation that cannot be done to these rows; the message says why."""


class Operation(Struct, forbid_unknown_fields=True, tag_field="op", frozen=True):
    """The base of all: takes rows, gives rows, and leaves those that it was given as they are."""

    def run(self, rows: list[Row]) -> list[Row]:
        """The rows that it makes. Raises Unfit."""
        raise NotImplementedError


# --- choosing -------------------------------------------------------------------------------------------------------

Test = Literal[
    "=", "!=", "<", "<=", ">", ">=", "in", "not in", "contains", "starts with", "ends with", "empty", "not empty"
]


class Filter(Operation, frozen=True, tag="filter", rename={"test": "is"}):
    """Keep the rows whose field passes a test. A field that is not there is null: `empty`, `!=` any value, `not in`."""

    field: Name
    test: Test
    value: Any = None

    def run(self, rows: list[Row]) -> list[Row]:
        """The rows that pass."""
        _check_fields(rows, [self.field])
        passes = self._passes()
        return [row for at, row in enumerate(rows, 1) if _at(at, self.field, passes, row.get(self.field))]

    def _passes(self) -> Callable[[Any], bool]:
        wanted = self.value
        if self.test in {"empty", "not empty"}:
            return lambda cell: (cell in ("", None)) is (self.test == "empty")
        if self.test in {"in", "not in"}:
            if not isinstance(wanted, list):
                raise Unfit(f"`value` must be a list for the test `{self.test}`")
            among = _Among(wanted)
            return lambda cell: among.has(cell) is (self.test == "in")
        if self.test in _OF_TEXT:
            if not isinstance(wanted, str):
                raise Unfit(f"`value` must be text for the test `{self.test}`")
            return lambda cell: cell is not None and _OF_TEXT[self.test](_text(cell), wanted)
        if self.test in {"=", "!="}:
            return lambda cell: _equal(cell, wanted) is (self.test == "=")
        if wanted is None:
            raise Unfit(f"`value` must not be null for the test `{self.test}`")
        return lambda cell: cell is not None and _IN_ORDER[self.test](*_comparable(cell, wanted))


class Limit(Operation, frozen=True, tag="limit"):
    """Keep so many rows, after leaving out the first ones."""

    count: Annotated[int, Meta(ge=0)]
    offset: Annotated[int, Meta(ge=0)] = 0

    def run(self, rows: list[Row]) -> list[Row]:
        """A part of the rows."""
        return rows[self.offset : self.offset + self.count]


class Sort(Operation, frozen=True, tag="sort"):
    """Order the rows by fields: numbers before text, and rows without the field at the end."""

    by: Name | Annotated[list[Name], Meta(min_length=1, max_length=20)]
    descending: bool = False

    def run(self, rows: list[Row]) -> list[Row]:
        """The same rows; those that are equal stay in their order."""
        by = [self.by] if isinstance(self.by, str) else self.by
        _check_fields(rows, by)
        for field in reversed(by):
            there = [(_sortable(row, field), row) for row in rows if row.get(field) is not None]
            absent = [row for row in rows if row.get(field) is None]
            there.sort(key=lambda pair: pair[0], reverse=self.descending)
            rows = [*(row for _, row in there), *absent]
        return rows


# --- fields ---------------------------------------------------------------------------------------------------------


class Select(Operation, frozen=True, tag="select"):
    """Keep these fields, in this order; where a row has not got one, it is null."""

    fields: Names

    def run(self, rows: list[Row]) -> list[Row]:
        """Rows with these fields."""
        _check_fields(rows, self.fields)
        _check_size(len(rows) * len(self.fields))
        return [{field: row.get(field) for field in self.fields} for row in rows]


class Rename(Operation, frozen=True, tag="rename"):
    """Give fields other names: old name to new name."""

    fields: Annotated[dict[Name, Name], Meta(min_length=1, max_length=500)]

    def run(self, rows: list[Row]) -> list[Row]:
        """Rows with the new names."""
        _check_fields(rows, self.fields)
        return [self._renamed(at, row) for at, row in enumerate(rows, 1)]

    def _renamed(self, at: int, row: Row) -> Row:
        renamed = {self.fields.get(field, field): cell for field, cell in row.items()}
        if len(renamed) != len(row):
            raise Unfit(f"row {at}: two fields would have one name")
        return renamed


class Convert(Operation, frozen=True, tag="convert"):
    """Make fields numbers, text or booleans: name to kind. Null stays null, and empty text becomes null."""

    fields: Annotated[dict[Name, Literal["number", "text", "boolean"]], Meta(min_length=1, max_length=500)]

    def run(self, rows: list[Row]) -> list[Row]:
        """Rows with these fields converted."""
        _check_fields(rows, self.fields)
        return [row | self._converted(at, row) for at, row in enumerate(rows, 1)]

    def _converted(self, at: int, row: Row) -> Row:
        wanted = [(field, kind) for field, kind in self.fields.items() if row.get(field) is not None]
        return {field: _at(at, field, _CONVERSIONS[kind], row[field]) for field, kind in wanted}


# --- groups ---------------------------------------------------------------------------------------------------------


class Measure(Struct, forbid_unknown_fields=True, frozen=True, rename={"name": "as"}):
    """One figure of a group. `count` needs no field; with one, it counts the rows that have it. Nulls are left out."""

    function: Literal["count", "sum", "avg", "min", "max"]
    field: Name | None = None
    name: Name | None = None

    def __post_init__(self) -> None:
        """Raise ValueError where a field is missing."""
        if self.field is None and self.function != "count":
            raise ValueError(f"`{self.function}` needs a `field`")

    @property
    def called(self) -> str:
        """The name of the figure."""
        return self.name or (f"{self.function}_{self.field}" if self.field else self.function)

    def of(self, rows: Sequence[tuple[int, Row]]) -> Any:
        """The figure of numbered rows."""
        field = self.field
        if field is None:
            return len(rows)
        cells = [(at, row[field]) for at, row in rows if row.get(field) is not None]
        if self.function == "count":
            return len(cells)
        if self.function in {"sum", "avg"}:
            return self._of_numbers([_at(at, field, _number, cell) for at, cell in cells])
        return self._extreme([_at(at, field, _ranked, cell) for at, cell in cells])

    def _of_numbers(self, numbers: list[float]) -> float | None:
        try:
            total = sum(numbers) if all(isinstance(one, int) for one in numbers) else math.fsum(numbers)
            return total if self.function == "sum" else total / len(numbers) if numbers else None
        except OverflowError:
            raise Unfit(f"the {self.function} of `{self.field}` is too large") from None

    def _extreme(self, ranked: list[tuple[int, Any]]) -> Any:
        if len({rank for rank, _ in ranked}) > 1:
            raise Unfit(f"`{self.field}` has numbers and text, so it has no {self.function}")
        return (min if self.function == "min" else max)(ranked, default=(0, None))[1]


class Aggregate(Operation, frozen=True, tag="aggregate"):
    """One row for each group of rows that are equal in some fields, with figures; without `by`, one row for all."""

    measures: Annotated[list[Measure], Meta(min_length=1, max_length=100)]
    by: Annotated[list[Name], Meta(max_length=20)] = []

    def run(self, rows: list[Row]) -> list[Row]:
        """One row a group, in the order in which they first come."""
        _check_fields(rows, [*self.by, *(measure.field for measure in self.measures if measure.field)])
        names = [*self.by, *(measure.called for measure in self.measures)]
        if len(set(names)) != len(names):
            raise Unfit("two of its columns would have one name: give one an `as`")
        groups: dict[Any, list[tuple[int, Row]]] = {} if self.by else {(): []}
        for at, row in enumerate(rows, 1):
            groups.setdefault(tuple(_at(at, field, _key, row.get(field)) for field in self.by), []).append((at, row))
        _check_size(len(groups) * len(names))
        return [self._row(group) for group in groups.values()]

    def _row(self, group: list[tuple[int, Row]]) -> Row:
        shared = {field: group[0][1].get(field) for field in self.by}
        return shared | {measure.called: measure.of(group) for measure in self.measures}


class Join(Operation, frozen=True, tag="join"):
    """Put the fields of other rows beside those that have the same key: rows given here, or an earlier job's result."""

    on: Name | Annotated[dict[Name, Name], Meta(min_length=1, max_length=20)]
    rows: list[Row] | None = None
    from_job: str | None = None
    how: Literal["inner", "left"] = "inner"
    prefix: Annotated[str, Meta(max_length=100)] = ""

    def __post_init__(self) -> None:
        """Raise ValueError unless there is one source."""
        if (self.rows is None) is (self.from_job is None):
            raise ValueError("a join needs either `rows` or `from_job`")

    def run(self, rows: list[Row]) -> list[Row]:
        """Pairs of rows with the same key; with `left`, also the rows that have no partner."""
        others = self.rows or []
        pairs = {self.on: self.on} if isinstance(self.on, str) else self.on
        _check_fields(rows, pairs)
        _check_fields(others, pairs.values(), "row to join with")
        ours = [_keys(at, row, pairs) for at, row in enumerate(rows, 1)]
        theirs = [_keys(at, row, pairs.values()) for at, row in enumerate(others, 1)]
        _check_kinds(ours, theirs)
        return list(_bounded(self._joined(rows, ours, _partners(others, theirs, set(pairs.values())))))

    def _joined(self, rows: list[Row], keys: list[Any], partners: Mapping[Any, list[Row]]) -> Iterator[Row]:
        for row, key in zip(rows, keys, strict=True):
            found = partners.get(key, []) if key is not None else []
            for other in found:
                if clash := next((name for name in other if self.prefix + name in row), None):
                    raise Unfit(f"both sides have the field `{self.prefix + clash}`: give a `prefix`")
                yield row | {self.prefix + name: cell for name, cell in other.items()}
            if not found and self.how == "left":
                yield row


AnyOperation = Filter | Select | Sort | Aggregate | Join | Limit | Rename | Convert


# --- cells ----------------------------------------------------------------------------------------------------------


def _check_fields(rows: Sequence[Row], fields: Iterable[str], what: str = "row") -> None:
    """A field that no row has is a slip, not an empty column."""
    missing = set(fields).difference(rows[0]) if rows else set()
    if missing:
        missing.difference_update(*rows)
    for field in fields:
        if field in missing:
            raise Unfit(f"no {what} has the field `{field}`{_hint(field, rows)}")


def _hint(field: str, rows: Sequence[Row]) -> str:
    """The name that is meant, or how many there are. Not all of them: of a CSV without a head, they are its data."""
    there = list(dict.fromkeys(name for row in rows[:_LOOKED_AT] for name in row))
    close = alike(field, there[:_MOST_NAMES])
    return f"; did you mean `{close}`?" if close else f"; the first rows have {len(there)} others"


_LOOKED_AT = 100
_MOST_NAMES = 1_000


def _check_size(cells: int) -> None:
    if cells > MAX_CELLS:
        raise Unfit(f"makes more than {MAX_CELLS} cells")


def _bounded(rows: Iterable[Row]) -> Iterator[Row]:
    cells = 0
    for at, row in enumerate(rows, 1):
        cells += len(row)
        _check_size(cells)
        if at > MAX_ROWS:
            raise Unfit(f"makes more than {MAX_ROWS} rows")
        yield row


def _at(at: int, field: str, what: Callable[[Any], Any], cell: Any) -> Any:
    """What a function says of a cell; a cell that it does not fit is named."""
    try:
        return what(cell)
    except Unfit as error:
        raise Unfit(f"row {at}, `{field}`: {error}") from None


def _kind(cell: Any) -> str:
    kinds = {bool: "a boolean", int: "a number", float: "a number", str: "text", type(None): "null", list: "a list"}
    return kinds.get(type(cell), "an object")


def _equal(cell: Any, wanted: Any) -> bool:
    if {_kind(cell), _kind(wanted)} == {"a number", "text"}:
        raise Unfit(_MIXED.format(_kind(cell), _kind(wanted)))
    return _kind(cell) == _kind(wanted) and bool(cell == wanted)


class _Among:
    """A list of values in which cells are looked for; as long as one takes, however long the list is."""

    def __init__(self, values: list[Any]) -> None:
        self._kinds = {_kind(value) for value in values}
        self._simple = {(_kind(value), value) for value in values if not isinstance(value, list | dict)}
        self._others = [value for value in values if isinstance(value, list | dict)]
        if len(self._others) > _MOST_OTHERS:
            raise Unfit(f"`value` may have {_MOST_OTHERS} lists and objects in it")

    def has(self, cell: Any) -> bool:
        kind = _kind(cell)
        if isinstance(cell, list | dict):
            return any(_equal(cell, one) for one in self._others)
        if (kind, cell) in self._simple:
            return True
        other = {"a number": "text", "text": "a number"}.get(kind)
        if other in self._kinds:
            raise Unfit(_MIXED.format(kind, other))
        return False


_MOST_OTHERS = 100


def _comparable(cell: Any, wanted: Any) -> tuple[Any, Any]:
    if _kind(cell) != _kind(wanted) or _kind(cell) not in {"a number", "text"}:
        raise Unfit(_MIXED.format(_kind(cell), _kind(wanted)))
    return cell, wanted


_MIXED = "{} cannot be compared with {}; the operation `convert` makes numbers of text"


def _text(cell: Any) -> str:
    if not isinstance(cell, str):
        raise Unfit(f"is {_kind(cell)}, not text")
    return cell


def _number(cell: Any) -> Any:
    if _kind(cell) != "a number":
        raise Unfit(f"is {_kind(cell)}, not a number; the operation `convert` makes numbers of text")
    return cell


def _ranked(cell: Any) -> tuple[int, Any]:
    """A cell with the rank of its kind, so that cells of all kinds can be ordered."""
    rank = {"a boolean": 0, "a number": 1, "text": 2}.get(_kind(cell))
    if rank is None:
        raise Unfit(f"is {_kind(cell)}, which has no order")
    return rank, cell


def _sortable(row: Row, field: str) -> tuple[int, Any]:
    try:
        return _ranked(row[field])
    except Unfit as error:
        raise Unfit(f"`{field}` {error}") from None


def _key(cell: Any) -> tuple[int, Any] | None:
    """A cell as a part of a key: true is not 1."""
    return None if cell is None else _ranked(cell)


def _keys(at: int, row: Row, fields: Iterable[str]) -> tuple[Any, ...] | None:
    """The key of a row; None, which has no partner, where a part of it is null."""
    parts = tuple(_at(at, field, _key, row.get(field)) for field in fields)
    return None if None in parts else parts


def _check_kinds(ours: Iterable[Any], theirs: Iterable[Any]) -> None:
    """Numbers never equal text, so keys of different kinds on the two sides are a slip."""
    here, there = ({tuple(rank for rank, _ in key) for key in keys if key is not None} for keys in (ours, theirs))
    if here and there and not here & there:
        raise Unfit("the keys of the two sides are of different kinds; the operation `convert` makes them alike")


def _partners(others: list[Row], keys: list[Any], key_fields: set[str]) -> dict[Any, list[Row]]:
    """The rows of the other side by their key, without the key's own fields."""
    found: dict[Any, list[Row]] = {}
    for key, row in zip(keys, others, strict=True):
        if key is not None:
            found.setdefault(key, []).append({name: cell for name, cell in row.items() if name not in key_fields})
    return found


def _to_number(cell: Any) -> Any:
    if isinstance(cell, bool):
        return int(cell)
    if isinstance(cell, str):
        text = cell.strip()
        if not text:
            return None
        if _INTEGER.fullmatch(text):
            return int(text)
        if _DECIMAL.fullmatch(text) and math.isfinite(number := float(text)):
            return number
        raise Unfit(f"is {_kind(cell)}, which is not written as a number")
    return _number(cell)


def _to_text(cell: Any) -> str:
    return cell if isinstance(cell, str) else msgspec.json.encode(cell).decode()


def _to_boolean(cell: Any) -> bool | None:
    if isinstance(cell, bool):
        return cell
    word = str(cell).strip().lower()
    if word not in _BOOLEANS:
        raise Unfit(f"is {_kind(cell)}; a boolean is true or false, yes or no, 1 or 0")
    return _BOOLEANS[word]


_INTEGER = re.compile(r"[+-]?\d{1,18}")
_DECIMAL = re.compile(r"[+-]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d{1,3})?")
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False, "": None}
_CONVERSIONS: dict[str, Callable[[Any], Any]] = {"number": _to_number, "text": _to_text, "boolean": _to_boolean}
_OF_TEXT: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda cell, wanted: wanted in cell,
    "starts with": str.startswith,
    "ends with": str.endswith,
}
_IN_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: bool(a < b),
    "<=": lambda a, b: bool(a <= b),
    ">": lambda a, b: bool(a > b),
    ">=": lambda a, b: bool(a >= b),
}
