"""Maps: a step that is done once for each item of a list. Items keep their order, whatever order they end in."""

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Final

import msgspec

from boltq.domain import limits
from boltq.domain.job_error import Category, JobError, error_of
from boltq.domain.outcome import DataError
from boltq.domain.portions import portions
from boltq.domain.workflow.bounds import EXPAND_ITEMS, MAX_MAP_ITEMS
from boltq.domain.workflow.states import MapStats


def items_of(text: str) -> list[str]:
    """The items of a JSON list, each as its text. Raises DataError when it is no list, or has too many."""
    try:
        items = msgspec.json.decode(text, type=list[msgspec.Raw])
    except (ValueError, RecursionError):
        raise DataError(f"a map needs a list, not {_KINDS.get(text.lstrip()[:1], 'a number')}") from None
    if len(items) > MAX_MAP_ITEMS:
        raise DataError(f"a map has at most {MAX_MAP_ITEMS} items, not {len(items)}")
    return [str(item, "utf-8") for item in items]


def item_portions(rows: Iterable[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    """The rows of a map's items, in portions that a call to the store may bring."""
    return portions(rows, _bytes_of, most=EXPAND_ITEMS, most_bytes=limits.MAX_CALL_BYTES)


def _bytes_of(row: tuple[str, str]) -> int:
    return sum(len(text.encode()) for text in row)


def tolerated(failures: int | str, total: int) -> int:
    """How many items of a map may fail: a number as it is, a share like "5%" of all its items."""
    if isinstance(failures, int):
        return failures
    return int(Fraction(failures.removesuffix("%")) * total / 100)


def has_lost(stats: MapStats, failures: int | str) -> bool:
    """Whether more items have failed or were cancelled than are tolerated."""
    return stats.failed + stats.cancelled > tolerated(failures, stats.total)


def map_failure(
    stats: MapStats, failures: int | str, errors: Mapping[int, str], numbers: Mapping[str, str]
) -> JobError:
    """The error of a map that has lost more items than it may: it names the first failures, and has their category.

    `errors`: JSON texts of JobError by the items' numbers, which begin with 1. `numbers`: what is counted of the map;
    `category:data` and the like are how many items failed in which way.
    """
    said = [f"{_lost(stats)}; {failures} may"]
    first = sorted(errors.items())
    for number, text in first[:_NAMED]:
        error = error_of(text)
        said.append(f"items[{number - 1}]: {error.class_name}: {error.message[:_MOST_OF_A_MESSAGE]}")
    counts = {name.removeprefix(_CATEGORY): int(n) for name, n in numbers.items() if name.startswith(_CATEGORY)}
    leading = error_of(first[0][1]).category.value if first else ""  # wins among categories that are equally frequent
    usual = max(counts, key=lambda name: (counts[name], name == leading), default=Category.UNKNOWN.value)
    return JobError("MapFailed", "; ".join(said), Category(usual))


def gathered(total: int, results: Mapping[int, str]) -> str:
    """The result of a map: the items' results in the order of the items, null for one that has none. JSON text.

    Raises DataError when it is too large.
    """
    text = f"[{','.join(results.get(number, 'null') for number in range(total))}]"
    if len(text.encode()) > limits.MAX_RESULT_BYTES:
        raise DataError(f"the results of the {total} items have more than {limits.MAX_RESULT_BYTES} bytes together")
    return text


def _lost(stats: MapStats) -> str:
    counts = {"failed": stats.failed, "cancelled": stats.cancelled, "did not begin": stats.total - stats.ended}
    named = ", ".join(f"{count} {how}" for how, count in counts.items() if count)
    return f"{stats.total - stats.completed} of {stats.total} items did not succeed ({named})"


_KINDS: Final = {
    '"': "a text",
    "{": "an object",
    "[": "one that cannot be read",
    "t": "true",
    "f": "false",
    "n": "null",
}
_NAMED: Final = 3
_MOST_OF_A_MESSAGE: Final = 300
_CATEGORY: Final = "category:"
