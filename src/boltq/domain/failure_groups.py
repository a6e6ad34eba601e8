"""Groups of dead jobs that were found portion by portion: those with one key are made one."""

from collections.abc import Iterable, Mapping
from copy import copy
from typing import Any, Final, Protocol, TypeVar

OTHER: Final = "other"  # the key of the groups that are too many to be told one by one


class FailureCounts(Protocol):
    """What every group has: how many jobs, of which types and queues, from when to when."""

    key: str
    types: dict[str, int]
    queues: dict[str, int]
    count: int
    count_1h: int
    first_at: Any  # whatever the group's times are: milliseconds, datetime
    last_at: Any


G = TypeVar("G", bound=FailureCounts)


def merged(groups: Iterable[G]) -> list[G]:
    """Groups with one key as one, most jobs first, and "other" last."""
    by_key: dict[str, G] = {}
    for group in groups:
        by_key[group.key] = merged_two(by_key[group.key], group) if group.key in by_key else group
    return sorted(by_key.values(), key=lambda group: (group.key == OTHER, -group.count, group.key))


def merged_two(one: G, other: G) -> G:
    """Two groups as one; what is said of the error is the newer one's."""
    newer, older = (one, other) if one.last_at >= other.last_at else (other, one)
    both = copy(newer)
    both.types = _summed(newer.types, older.types)
    both.queues = _summed(newer.queues, older.queues)
    both.count = newer.count + older.count
    both.count_1h = newer.count_1h + older.count_1h
    both.first_at = min(newer.first_at, older.first_at)
    return both


def _summed(counts: Mapping[str, int], others: Mapping[str, int]) -> dict[str, int]:
    total = dict(counts)
    for name, number in others.items():
        total[name] = total.get(name, 0) + number
    return total
