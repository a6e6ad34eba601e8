"""Rows as a table of plain text."""

import pytest

from boltq import DataError
from boltq.tasks.table import MAX_TABLE_ROWS, table_of


def test_columns_are_as_wide_as_their_cells():
    rows = [{"city": "Ghent", "n": 13}, {"city": "Li", "note": "two\nlines"}, {"n": 1.5, "note": None}]
    assert table_of(rows).splitlines() == [
        "city   n    note",
        "Ghent  13",
        "Li          two lines",
        "       1.5",
    ]


def test_what_is_no_text_is_shown_as_json_and_long_cells_are_cut():
    assert table_of([{"a": {"b": [1, True]}}]) == 'a\n{"b":[1,true]}'
    assert table_of([{"a": "x" * 101}]) == "a\n" + "x" * 99 + "…"


def test_no_rows_are_no_table():
    assert table_of([]) == ""
    assert table_of([{}]) == "\n"


def test_a_large_table_is_refused():
    with pytest.raises(DataError, match="table: at most 1000 rows of 50 fields"):
        table_of([{"a": 1}] * (MAX_TABLE_ROWS + 1))
    with pytest.raises(DataError, match="table: at most"):
        table_of([{f"f{n}": 1 for n in range(51)}])
