"""Counts what the bodies of all requests of a server take in memory: all senders together have a bound, as each has."""

from typing import Any, Final

from starlette.types import Scope

MAX_HELD_BYTES: Final = 64 << 20  # of all bodies together; beyond it a request is refused, and may come again
FREE_BYTES: Final = 16 << 10  # of each body, which are not counted: small requests get through whatever others send
HELD: Final = "boltq.held"  # where a request's scope has its share


class Bodies:
    """The room that a server has for bodies."""

    def __init__(self, most: int = MAX_HELD_BYTES) -> None:
        self.most = most
        self.held = 0

    def take(self, scope: Any, size: int) -> bool:
        """Note that a request's body takes so many bytes more, until its `give_back`; False when there is no room."""
        if self.held + size > self.most:
            return False
        share = scope.setdefault(HELD, _Share(self))
        share.size += size
        self.held += size
        return True


class _Share:
    """The part of the memory that one request takes."""

    __slots__ = ("_bodies", "size")

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self.size = 0

    def give_back(self) -> None:
        self._bodies.held -= self.size
        self.size = 0


def give_back(scope: Scope) -> None:
    """A request is over: what its body took is free again."""
    share = scope.get(HELD)
    if share is not None:
        share.give_back()
