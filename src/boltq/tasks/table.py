"""Rows as a table of plain text, as a mail shows it."""

from typing import Any, Final

import msgspec

from boltq.domain.outcome import DataError

MAX_TABLE_ROWS: Final = 1_000
MAX_COLUMNS: Final = 50
MAX_CELL: Final = 100  # characters that are shown


def table_of(rows: list[dict[str, Any]]) -> str:
    """One line for each row, below one with the names of the fields. Raises DataError when it is too large."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    if len(rows) > MAX_TABLE_ROWS or len(names) > MAX_COLUMNS:
        raise DataError(f"table: at most {MAX_TABLE_ROWS} rows of {MAX_COLUMNS} fields")
    lines = [names, *([_cell(row.get(name)) for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _cell(value: Any) -> str:
    text = value if isinstance(value, str) else "" if value is None else msgspec.json.encode(value).decode()
    text = " ".join(text.split())
    return text if len(text) <= MAX_CELL else f"{text[: MAX_CELL - 1]}…"
