"""Job ids: ULIDs (github.com/ulid/spec) whose last two characters name the partition."""

import itertools
import os
import secrets
import time
from threading import Lock

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
PARTITION_CODES = [a + b for a, b in itertools.product(ALPHABET, ALPHABET)]
MAX_PARTITIONS = len(PARTITION_CODES)  # 1,024

_TRIPLES = [a + b + c for a, b, c in itertools.product(ALPHABET, repeat=3)]
_PARTITION_OF = {code: number for number, code in enumerate(PARTITION_CODES)}


class IdMaker:
    """Makes ids that rise within one process: 48 bits of milliseconds, 40 of chance, 30 of counter, 10 of partition.

    Within one millisecond the random part stays and the counter rises, so that ids sort as they were made.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._millisecond = -1
        self._head = ""
        self._count = 0

    def make(self, partition: int = 0) -> str:
        """A new id in the given partition."""
        with self._lock:
            now = time.time_ns() // 1_000_000
            if now > self._millisecond or self._count >= 1 << 30:
                self._begin(max(now, self._millisecond + (self._count >= 1 << 30)))
            count = self._count
            self._count = count + 1
        return f"{self._head}{_TRIPLES[count >> 15]}{_TRIPLES[count & 0x7FFF]}{PARTITION_CODES[partition]}"

    def catch_up(self, millisecond: int) -> None:
        """Make ids only of later times than that: the clock of this process is behind the store's."""
        with self._lock:
            if millisecond >= self._millisecond:
                self._begin(millisecond + 1)

    def _begin(self, millisecond: int) -> None:
        self._millisecond = millisecond
        self._head = _encode(millisecond, 10) + _encode(secrets.randbits(40), 8)
        self._count = secrets.randbits(29)


def _encode(number: int, length: int) -> str:
    return "".join(ALPHABET[(number >> (5 * place)) & 31] for place in reversed(range(length)))


_maker = IdMaker()
new_id = _maker.make
catch_up = _maker.catch_up
if hasattr(os, "register_at_fork"):  # a forked child must not repeat its parent's ids
    os.register_at_fork(after_in_child=_maker.__init__)  # type: ignore[misc]


def partition_of(job_id: str) -> int:
    """The partition that an id names. Raises ValueError for a text that is no BoltQ id."""
    if len(job_id) != 26 or (number := _PARTITION_OF.get(job_id[-2:])) is None:  # noqa: PLR2004 - a ULID
        raise ValueError(f"{job_id!r:.60} is not a job id")
    return number
