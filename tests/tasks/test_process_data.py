"""`process_data`: what each operation makes of rows, and what it says when it cannot."""

import json

import pytest

from boltq import BoltQ, DataError
from boltq.tasks import add_to, operations
from boltq.tasks.process_data import process
from boltq.tasks.reading import MAX_ROWS

SALES = [
    {"city": "Ghent", "kind": "tea", "amount": 3},
    {"city": "Lille", "kind": "tea", "amount": 4.5},
    {"city": "Ghent", "kind": "oil", "amount": 10},
    {"city": "Bruges", "kind": "oil", "amount": None},
]


def task():
    app = BoltQ()
    add_to(app)
    return app.tasks["process_data"]


def read(*steps, rows=SALES):
    """Rows and operations as the worker reads them from a job's data."""
    data = json.dumps({"rows": rows, "operations": steps})
    (rows, _, operations, _), _ = task().parameters.unpack(data)
    return rows, operations


def run(*steps, rows=SALES):
    return process(*read(*steps, rows=rows))


def rows_after(*steps, rows=SALES):
    found = run(*steps, rows=rows)
    assert found["count"] == len(found["rows"])
    return found["rows"]


def amounts(*steps, rows=SALES):
    return [row["amount"] for row in rows_after(*steps, rows=rows)]


# --- operations -----------------------------------------------------------------------------------------------------


async def test_without_operations_the_rows_are_as_they_came():
    """As the first documents ask for it: {"operation": "transform"}."""
    assert await task()(rows=SALES, operation="transform") == {"rows": SALES, "count": 4}
    assert await task()(rows=[]) == {"rows": [], "count": 0}


@pytest.mark.parametrize(
    ("test", "value", "passing"),
    [
        ("=", 3, [3]),
        ("=", None, [None]),
        ("!=", 3, [4.5, 10, None]),
        ("<", 4.5, [3]),
        ("<=", 4.5, [3, 4.5]),
        (">", 3, [4.5, 10]),
        (">=", 10, [10]),
        ("in", [3, 10, None], [3, 10, None]),
        ("not in", [3, 10], [4.5, None]),
        ("empty", None, [None]),
        ("not empty", None, [3, 4.5, 10]),
    ],
)
def test_filter_by_numbers(test, value, passing):
    assert amounts({"op": "filter", "field": "amount", "is": test, "value": value}) == passing


@pytest.mark.parametrize(
    ("test", "value", "passing"),
    [
        ("=", "Ghent", [3, 10]),
        (">", "Ghent", [4.5]),
        ("contains", "il", [4.5]),
        ("starts with", "Br", [None]),
        ("ends with", "t", [3, 10]),
    ],
)
def test_filter_by_text(test, value, passing):
    assert amounts({"op": "filter", "field": "city", "is": test, "value": value}) == passing


def test_true_is_not_one():
    rows = [{"amount": True}, {"amount": 1}, {"amount": None}]
    assert amounts({"op": "filter", "field": "amount", "is": "=", "value": 1}, rows=rows) == [1]
    assert amounts({"op": "filter", "field": "amount", "is": "=", "value": True}, rows=rows) == [True]
    by_amount = {"op": "aggregate", "by": ["amount"], "measures": [{"function": "count"}]}
    assert [row["count"] for row in rows_after(by_amount, rows=rows)] == [1, 1, 1]


def test_sort_by_several_fields_keeps_the_order_of_equals():
    assert amounts({"op": "sort", "by": "amount"}) == [3, 4.5, 10, None]
    assert amounts({"op": "sort", "by": "amount", "descending": True}) == [10, 4.5, 3, None]
    assert amounts({"op": "sort", "by": ["kind", "city"]}) == [None, 10, 3, 4.5]
    mixed = [{"amount": x} for x in ("b", 2, True, "a", 1)]
    assert amounts({"op": "sort", "by": "amount"}, rows=mixed) == [True, 1, 2, "a", "b"]


def test_select_rename_and_limit():
    assert rows_after({"op": "select", "fields": ["amount", "city"]}, {"op": "limit", "count": 1, "offset": 3}) == [
        {"amount": None, "city": "Bruges"}
    ]
    assert rows_after({"op": "rename", "fields": {"city": "town"}}, {"op": "limit", "count": 1}) == [
        {"town": "Ghent", "kind": "tea", "amount": 3}
    ]
    swap = {"op": "rename", "fields": {"city": "kind", "kind": "city"}}
    assert rows_after(swap, {"op": "limit", "count": 1}) == [{"kind": "Ghent", "city": "tea", "amount": 3}]
    ragged = [{"a": 1}, {"a": 2, "b": 3}]
    assert rows_after({"op": "select", "fields": ["b"]}, rows=ragged) == [{"b": None}, {"b": 3}]


def test_aggregate_by_groups():
    measures = [
        {"function": "count"},
        {"function": "count", "field": "amount"},
        {"function": "sum", "field": "amount", "as": "total"},
        {"function": "avg", "field": "amount"},
        {"function": "min", "field": "amount"},
        {"function": "max", "field": "kind"},
    ]
    found = run({"op": "aggregate", "by": ["city"], "measures": measures})
    assert found["summary"] == {"rows": 4, "groups": 3}
    assert [list(row.values()) for row in found["rows"]] == [
        ["Ghent", 2, 2, 13, 6.5, 3, "tea"],
        ["Lille", 1, 1, 4.5, 4.5, 4.5, "tea"],
        ["Bruges", 1, 0, 0, None, None, "oil"],
    ]
    assert list(found["rows"][0]) == ["city", "count", "count_amount", "total", "avg_amount", "min_amount", "max_kind"]


def test_aggregate_all_rows_into_one_also_when_there_is_none():
    everything = {"op": "aggregate", "measures": [{"function": "count"}, {"function": "sum", "field": "amount"}]}
    assert rows_after(everything) == [{"count": 4, "sum_amount": 17.5}]
    assert rows_after(everything, rows=[]) == [{"count": 0, "sum_amount": 0}]


def test_join_with_rows():
    towns = [{"name": "Ghent", "people": 265}, {"name": "Lille", "people": 236}, {"name": "Paris", "people": 2_100}]
    join = {"op": "join", "on": {"city": "name"}, "rows": towns}
    assert [row.get("people") for row in rows_after(join)] == [265, 236, 265]
    assert [row.get("people") for row in rows_after(join | {"how": "left"})] == [265, 236, 265, None]
    assert rows_after(join | {"prefix": "town_"})[0] == SALES[0] | {"town_people": 265}
    twice = [{"city": "Lille", "n": 1}, {"city": "Lille", "n": 2}, {"city": None, "n": 3}]
    assert [row["n"] for row in rows_after({"op": "join", "on": "city", "rows": twice})] == [1, 2]


def test_convert():
    rows = [{"n": " 12 ", "d": "-2.5e1", "b": "Yes", "t": 1.5}, {"n": "", "d": None, "b": "0", "t": [1]}]
    kinds = {"n": "number", "d": "number", "b": "boolean", "t": "text"}
    assert rows_after({"op": "convert", "fields": kinds}, rows=rows) == [
        {"n": 12, "d": -25.0, "b": True, "t": "1.5"},
        {"n": None, "d": None, "b": False, "t": "[1]"},
    ]


def test_the_rows_that_are_given_are_not_changed():
    before = json.dumps(SALES)
    process(SALES, read({"op": "convert", "fields": {"amount": "text"}}, {"op": "rename", "fields": {"city": "x"}})[1])
    assert json.dumps(SALES) == before


# --- what cannot be done --------------------------------------------------------------------------------------------

COUNT = {"function": "count"}


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (
            {"op": "filter", "field": "town", "is": "=", "value": 1},
            r"no row has the field `town`; the first rows have 3 others",
        ),
        ({"op": "sort", "by": "amuont"}, r"no row has the field `amuont`; did you mean `amount`\?"),
        (
            {"op": "filter", "field": "city", "is": "=", "value": 1},
            r"row 1, `city`: text cannot be compared with a number.*convert",
        ),
        ({"op": "filter", "field": "city", "is": ">", "value": 1}, r"row 1, `city`: text cannot be compared"),
        ({"op": "filter", "field": "amount", "is": ">", "value": None}, "must not be null"),
        (
            {"op": "filter", "field": "amount", "is": ">", "value": [1]},
            r"a number cannot be compared with a list",
        ),
        ({"op": "filter", "field": "amount", "is": "in", "value": 3}, "must be a list"),
        ({"op": "filter", "field": "city", "is": "contains", "value": 3}, "must be text"),
        (
            {"op": "filter", "field": "amount", "is": "contains", "value": "3"},
            r"row 1, `amount`: is a number, not",
        ),
        ({"op": "sort", "by": ["city", "town"]}, "no row has the field `town`"),
        ({"op": "select", "fields": ["town"]}, "no row has the field `town`"),
        ({"op": "rename", "fields": {"town": "x"}}, "no row has the field `town`"),
        ({"op": "rename", "fields": {"city": "kind"}}, "row 1: two fields would have one name"),
        (
            {"op": "convert", "fields": {"city": "number"}},
            r"row 1, `city`: is text, which is not written",
        ),
        ({"op": "convert", "fields": {"amount": "boolean"}}, "row 1, `amount`: is a number"),
        ({"op": "aggregate", "measures": [{"function": "sum", "field": "city"}]}, "row 1, `city`: is text"),
        ({"op": "aggregate", "measures": [COUNT, COUNT]}, "two of its columns would have one name"),
        ({"op": "aggregate", "by": ["count"], "measures": [COUNT]}, "no row has the field `count`"),
        ({"op": "join", "on": "city", "rows": [{"name": "x"}]}, "no row to join with has the field `city`"),
        ({"op": "join", "on": {"amount": "city"}, "rows": [{"city": "3"}]}, "of different kinds"),
        ({"op": "join", "on": "city", "rows": [{"city": "Ghent", "kind": 1}]}, "both sides have the field `kind`"),
    ],
)
def test_an_operation_that_cannot_be_done_is_named_with_the_reason(step, reason):
    with pytest.raises(DataError, match=rf"^operations\[1\] \({step['op']}\): .*{reason}"):
        run({"op": "limit", "count": 4}, step)


@pytest.mark.parametrize("cell", [[1], {"a": 1}])
@pytest.mark.parametrize(
    "step",
    [
        {"op": "sort", "by": "x"},
        {"op": "aggregate", "by": ["x"], "measures": [COUNT]},
        {"op": "aggregate", "measures": [{"function": "max", "field": "x"}]},
        {"op": "join", "on": "x", "rows": [{"x": 1}]},
    ],
)
def test_lists_and_objects_have_no_order(cell, step):
    with pytest.raises(DataError, match="has no order"):
        run(step, rows=[{"x": cell}])


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ({"op": "eval", "code": "1"}, r"Invalid value - at `\$.operations\[0\].op`"),
        ({"field": "a"}, r"missing required field `op` - at `\$.operations\[0\]`"),
        ({"op": "filter", "field": "a"}, r"missing required field `is` - at `\$.operations\[0\]`"),
        ({"op": "filter", "field": "a", "is": "~"}, r"Invalid enum value - at `\$.operations\[0\].is`"),
        ({"op": "filter", "field": "", "is": "="}, r"length >= 1 - at `\$.operations\[0\].field`"),
        ({"op": "sort", "by": []}, r"length >= 1 - at `\$.operations\[0\].by`"),
        ({"op": "select", "fields": ["a"], "where": "x"}, "unknown field `where`"),
        ({"op": "limit", "count": -1}, r">= 0 - at `\$.operations\[0\].count`"),
        ({"op": "aggregate", "measures": []}, r"\$.operations\[0\].measures"),
        (
            {"op": "aggregate", "measures": [{"function": "median", "field": "a"}]},
            r"Invalid enum value - at `\$.operations\[0\].measures\[0\].function`",
        ),
        ({"op": "aggregate", "measures": [{"function": "sum"}]}, r"`sum` needs a `field` - at `\$.operations\[0\]"),
        ({"op": "join", "on": "a"}, "either `rows` or `from_job`"),
        ({"op": "join", "on": "a", "rows": [], "from_job": "x"}, "either `rows` or `from_job`"),
    ],
)
def test_an_operation_that_is_none_is_refused_with_its_place(step, reason):
    with pytest.raises(DataError, match=reason):
        read(step)


async def test_rows_have_one_source():
    for given, reason in (({}, "give `rows` or `from_job`, or"), ({"rows": [], "from_job": "x"}, "not both")):
        with pytest.raises(DataError, match=reason):
            await task()(**given)
    with pytest.raises(DataError, match=r"\$.operation`"):
        task().parameters.unpack('{"rows": [], "operation": "explode"}')
    with pytest.raises(DataError, match=r"\$.rows\[0\]"):
        task().parameters.unpack('{"rows": [1]}')


def test_there_is_an_end_to_everything():
    with pytest.raises(DataError, match="rows: more than 100000"):
        process([{}] * (MAX_ROWS + 1), [])
    same = [{"k": 1, "n": n} for n in range(400)]
    other = [{"k": 1, "m": n} for n in range(400)]
    with pytest.raises(DataError, match="makes more than 100000 rows"):
        run({"op": "join", "on": "k", "rows": other}, rows=same)
    wide = [{"k": 1, **{f"f{n}": n for n in range(5_000)}}]
    with pytest.raises(DataError, match="makes more than 2000000 cells"):
        run({"op": "join", "on": "k", "rows": wide}, rows=same + same)
    names = [f"f{n}" for n in range(500)]
    many = [dict.fromkeys(names), *({} for _ in range(5_000))]
    with pytest.raises(DataError, match="makes more than 2000000 cells"):
        run({"op": "select", "fields": names}, rows=many)
    with pytest.raises(DataError, match="length <= 50"):
        read(*[{"op": "limit", "count": 1}] * 51)


def test_numbers_that_are_too_large_are_said_so():
    huge = [{"x": 1.7e308}, {"x": 1.7e308}]
    with pytest.raises(DataError, match="too large"):
        run({"op": "aggregate", "measures": [{"function": "sum", "field": "x"}]}, rows=huge)


def test_the_schema_has_every_operation():
    schema = task().parameters.schema()
    named = {kind["properties"]["op"]["enum"][0] for kind in schema["$defs"].values() if "op" in kind["properties"]}
    assert named == {kind.__struct_config__.tag for kind in operations.Operation.__subclasses__()}
    assert all(kind["description"] for kind in schema["$defs"].values())
    assert schema["properties"]["operations"]["examples"]


def test_names_that_may_be_data_are_not_repeated():
    """Of a CSV without a head, they are the values of its first line."""
    with pytest.raises(DataError) as caught:
        process([{"Jane": "John", "4111111111111111": "5"}], read({"op": "sort", "by": "name"})[1])
    assert "4111" not in str(caught.value)
    assert "Jane" not in str(caught.value)
