"""A call of a script as data: which script, its arguments, how to read the reply."""

from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec

T = TypeVar("T")

Row = Sequence[Any]
"""What a script answers about one thing, as it answers it; files named rows.py make records of rows."""

pack: Final = msgspec.msgpack.Encoder().encode
unpack: Final = msgspec.msgpack.Decoder().decode


class Call(msgspec.Struct, Generic[T], frozen=True):
    """One call of one script on one partition."""

    script: str
    partition: int
    args: tuple[Any, ...]
    read: Callable[[Any], T]


class Stretch(Protocol):
    """The answer to one of several calls, each of which goes on where the one before ended."""

    following: str  # the cursor for the next call; "" at the end


class Portion(msgspec.Struct, Generic[T], array_like=True):
    """A stretch of rows."""

    following: str
    found: T
