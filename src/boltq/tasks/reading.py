"""Turns the bytes of an answer into rows, JSON or text."""

import codecs
import csv
import io
import math
import re
from typing import Any, Literal

import msgspec

from boltq.domain.outcome import DataError

Format = Literal["auto", "json", "csv", "text"]

MAX_ROWS = 100_000
MAX_COLUMNS = 10_000


def format_of(content_type: str, path: str) -> Literal["json", "csv", "text"]:
    """What an answer is: by its type, and by the end of its path where the type says nothing."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        return "json"
    if kind in {"text/csv", "application/csv", "text/tab-separated-values"}:
        return "csv"
    if kind in {"", "text/plain", "application/octet-stream", "binary/octet-stream", "application/vnd.ms-excel"}:
        ends: dict[str, Literal["json", "csv"]] = {"json": "json", "csv": "csv", "tsv": "csv"}
        return ends.get(path.lower().rpartition(".")[2], "text")
    return "text"


def text_of(body: bytes, content_type: str, encoding: str | None) -> str:
    """The text: by its byte order mark, the encoding that was asked for or announced, else UTF-8. Raises DataError."""
    name = encoding or _announced(content_type) or "utf-8"
    for mark, marked in _MARKS:
        if body.startswith(mark):
            body, name = body[len(mark) :], marked
            break
    try:
        known = codecs.lookup(name).name
        return body.decode(known if _TEXT_CODEC.match(known) else "unknown")
    except UnicodeDecodeError as error:
        raise DataError(f"the answer is not {name}: byte {error.start} cannot stand there") from None
    except (LookupError, ValueError):
        raise DataError("encoding: the name of this one is not known") from None


def json_of(text: str) -> Any:
    """The value. Raises DataError that says where it is wrong."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise DataError(f"the answer is not JSON: {error}") from None


def rows_of(text: str, delimiter: str, *, numbers: bool) -> list[dict[str, Any]]:
    """One object for each line of a CSV text, named by its first line. Raises DataError that names the line.

    Cells are text; with `numbers`, those that are written as JSON writes numbers are numbers, so "007" stays text.
    """
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        head = _head(next(lines, []))
        rows = []
        for cells in lines:
            if not cells:
                continue
            if len(cells) != len(head):
                raise DataError(f"CSV: line {lines.line_num} has {len(cells)} cells, but the first one {len(head)}")
            rows.append(dict(zip(head, map(_number, cells) if numbers else cells, strict=True)))
            if len(rows) > MAX_ROWS:
                raise DataError(f"CSV: more than {MAX_ROWS} rows")
    except csv.Error as error:
        raise DataError(f"CSV: line {lines.line_num}: {error}") from None
    return rows


def _head(cells: list[str]) -> list[str]:
    names = [cell.strip() or f"column_{at}" for at, cell in enumerate(cells, 1)]
    if not names:
        raise DataError("CSV: there is no first line with names")
    if len(names) > MAX_COLUMNS:
        raise DataError(f"CSV: {len(names)} columns; at most {MAX_COLUMNS}")
    first: dict[str, int] = {}
    for at, name in enumerate(names, 1):
        if first.setdefault(name, at) != at:
            raise DataError(f"CSV: in the first line, columns {first[name]} and {at} have one name")
    return names


def _number(cell: str) -> Any:
    if not _NUMBER.fullmatch(cell):
        return cell
    number = float(cell) if re.search("[.eE]", cell) else int(cell)
    return number if abs(number) < _LARGEST and not math.isinf(number) else cell


def _announced(content_type: str) -> str | None:
    found = re.search(r"charset\s*=\s*\"?([\w.:-]{1,40})", content_type, re.IGNORECASE)
    return found[1] if found else None


_MARKS = [(codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")]
_TEXT_CODEC = re.compile(r"utf-(8|16|32)|ascii|iso|cp\d|koi8|gb|big5|euc|shift_jis|mac")  # none that is slow or no text
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,19})(\.\d{1,20})?([eE][+-]?\d{1,3})?")
_LARGEST = 2**53  # beyond it a number loses digits in many languages
