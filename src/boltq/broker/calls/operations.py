"""Calls about bulk operations. Their scripts begin with `op_`."""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from boltq.broker.call import Call, Row, pack
from boltq.broker.replies import as_text

_HOME: Final = 0  # the partition


class Taken(msgspec.Struct, array_like=True):
    """What op_take.lua answers."""

    word: str  # what to do
    wait: int  # ms
    done: int  # how many are done
    rows: list[str]  # the next jobs: "id since"


def fill(op_id: str, start: int, rows: Sequence[str], keep: int) -> Call[int]:
    """A stretch of the jobs of an operation that has not begun: "id since" each. Answers how many are there now.

    `keep`: seconds until it is forgotten.
    """
    return Call("op_fill", _HOME, (op_id, start, pack(rows), keep), int)


def start(op_id: str, total: int, fields: Sequence[str], most_known: int, keep: int) -> Call[str]:
    """An operation begins. Answers its state. `fields`: name, text, name, text and so on; `keep` in seconds."""
    return Call("op_start", _HOME, (op_id, total, pack(fields), most_known, keep), as_text)


def read(ids: Sequence[str]) -> Call[list[tuple[list[str], list[Row]]]]:
    """Operations as they stand, or the newest, without ids: (fields, errors) each; see `start`, an id comes first."""
    return Call("op_read", _HOME, (pack(ids),), _read_operations)


def take(op_id: str, owner: str, lease: int, most: int, keep: int) -> Call[Taken]:
    """The next jobs of an operation, for the only one that runs it. `lease` in milliseconds, `keep` in seconds."""
    return Call("op_take", _HOME, (op_id, owner, lease, most, keep), _read_taken)


def record(
    op_id: str, owner: str, done: int, counts: Sequence[int], errors: Sequence[object], keep_errors: int
) -> Call[str]:
    """What became of the jobs that were taken: how many are ok, failed and skipped. Answers the operation's state."""
    args = (op_id, owner, done, pack(counts), pack(errors), keep_errors)
    return Call("op_record", _HOME, args, as_text)


def steer(op_id: str, verb: Literal["stop", "continue"]) -> Call[str]:
    """An operation shall stop, or go on after its canary. Answers its state."""
    return Call("op_steer", _HOME, (op_id, verb), as_text)


_read_operations: Final = msgspec.msgpack.Decoder(list[tuple[list[str], list[Row]]]).decode
_read_taken: Final = msgspec.msgpack.Decoder(Taken).decode
