"""Calls about queues: steer, and read their numbers."""

from collections.abc import Sequence
from typing import Final

import msgspec

from boltq.broker.call import Call, Portion, pack
from boltq.broker.contract import QueueRow


def pause(partition: int, queue: str, by: str, reason: str) -> Call[int]:
    """Claim nothing from this queue until it is resumed."""
    return Call("pause", partition, (queue, by, reason), int)


def resume(partition: int, queue: str) -> Call[int]:
    """Serve a paused queue again."""
    return Call("resume", partition, (queue,), int)


def limit(partition: int, queue: str, most: int) -> Call[int]:
    """Let at most so many jobs wait in a queue of the partition; 0 for no limit."""
    return Call("limit", partition, (queue, most), int)


def stats(partition: int, names: Sequence[str], after: str, most: int) -> Call[Portion[list[QueueRow]]]:
    """The numbers of these queues; without names, of the next ones behind a name, which is what it goes on from."""
    return Call("stats", partition, (pack(names), after, most), _read_portion)


def series(
    partition: int, seconds: int, first: int, last: int, fields: Sequence[str]
) -> Call[list[tuple[int, list[tuple[str, int]]]]]:
    """Counts by buckets of so many seconds, from one to another (unix seconds): (bucket, (field, number) each) each."""
    return Call("series", partition, (seconds, first, last, pack(fields)), _read_series)


_read_portion: Final = msgspec.msgpack.Decoder(Portion[list[QueueRow]]).decode
_read_series: Final = msgspec.msgpack.Decoder(list[tuple[int, list[tuple[str, int]]]]).decode
