"""By day, checks that take long do a part of what they do at night; `make night` (`pytest --night`) thins nothing."""

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

_is_night = False


def begin() -> None:
    """From now on it is night; conftest.py says so, once and first."""
    global _is_night  # noqa: PLW0603 - one run of the tests is one night
    _is_night = True


def by_day(day: T, night: T) -> T:
    """What fits the time."""
    return night if _is_night else day


def one_in(each: int, items: Sequence[T]) -> Sequence[T]:
    """All at night; by day the first of every so many."""
    return items[:: by_day(each, 1)]
