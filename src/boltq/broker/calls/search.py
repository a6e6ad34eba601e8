"""Calls that look for jobs, stretch by stretch, in one index: the jobs of a queue in one state.

Cursors are "" to begin with. `look_at`: at how many records at most.
"""

from typing import Final, Generic, Literal, TypeVar

import msgspec

from boltq.broker.call import Call, Row, pack
from boltq.domain.filters import JobFilter
from boltq.domain.states import JobState

T = TypeVar("T")

GroupBy = Literal["fingerprint", "type", "queue"]


class Searched(msgspec.Struct, Generic[T], array_like=True):
    """A stretch of an index."""

    following: str
    examined: int  # records that were looked at
    found: T


def list_(
    partition: int, queue: str, state: JobState, cursor: str, what: JobFilter, look_at: int, most: int
) -> Call[Searched[list[Row]]]:
    """The rows of the jobs that fit, in the order of the index."""
    return Call("list", partition, (queue, state, cursor, pack(what.marks()), look_at, most), _read_rows)


def count(
    partition: int, queue: str, state: JobState, cursor: str, what: JobFilter, look_at: int
) -> Call[Searched[int]]:
    """How many jobs fit."""
    return Call("count", partition, (queue, state, cursor, pack(what.marks()), look_at), _read_count)


def pick(
    partition: int, queue: str, state: JobState, cursor: str, what: JobFilter, look_at: int
) -> Call[Searched[list[tuple[str, int]]]]:
    """The jobs that fit: id, and since when each stands where it stands."""
    return Call("pick", partition, (queue, state, cursor, pack(what.marks()), look_at), _read_picked)


def failures(
    partition: int, queue: str, cursor: str, what: JobFilter, look_at: int, by: GroupBy, recent_since: int
) -> Call[Searched[list[Row]]]:
    """The dead jobs that fit, as rows of groups; those that died at `recent_since` (ms) or later count as recent."""
    args = (queue, cursor, pack(what.marks()), look_at, by, recent_since)
    return Call("failures", partition, args, _read_rows)


_read_rows: Final = msgspec.msgpack.Decoder(Searched[list[Row]]).decode
_read_count: Final = msgspec.msgpack.Decoder(Searched[int]).decode
_read_picked: Final = msgspec.msgpack.Decoder(Searched[list[tuple[str, int]]]).decode
