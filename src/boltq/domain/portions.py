"""Divides what is sent into portions that are small enough: so many things, and so many bytes."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def portions(things: Iterable[T], size: Callable[[T], int], *, most: int, most_bytes: int) -> Iterator[list[T]]:
    """The things in order, in portions of at most so many, and so many bytes; one that is larger goes alone.

    Jobs on their way to the store have a rule of their own, since kinds of jobs cost it differently: see broker.py.
    """
    portion, filled = list[T](), 0
    for thing in things:
        more = size(thing)
        if portion and (len(portion) >= most or filled + more > most_bytes):
            yield portion
            portion, filled = [], 0
        portion.append(thing)
        filled += more
    if portion:
        yield portion
