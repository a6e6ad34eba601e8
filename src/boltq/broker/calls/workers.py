"""Calls about workers: what a worker says and asks, and what people ask about workers."""

from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec

from boltq.broker.call import Call, Portion, Row, pack
from boltq.broker.contract import WorkerRow
from boltq.broker.marks import NO_MARK, Mark
from boltq.broker.scripts import UNCOUNTED
from boltq.broker.settling import Settling
from boltq.domain.job import ClaimedJob

T = TypeVar("T")


class Claim(msgspec.Struct, array_like=True):
    """What a claim brought. `next_due` is in server milliseconds, 0 when nothing waits for its time."""

    jobs: list[ClaimedJob]
    next_due: int
    flag: int
    holds: int = UNCOUNTED  # how many jobs the worker has now, as the store sees it
    mark: Mark = NO_MARK

    @property
    def more(self) -> bool:
        """Whether there is more than one call may look at."""
        return self.flag == 1

    @property
    def suspect(self) -> bool:
        """Whether the last job has lost a worker before: claim no more until it runs."""
        return self.flag == 2  # noqa: PLR2004 - see lua/lib/claims.lua

    @property
    def unknown_worker(self) -> bool:
        """Whether the worker must register again."""
        return self.flag == -1

    @property
    def given_up(self) -> int:
        """The number that the store has heard of since, when this claim was older than that; else 0."""
        return self.next_due if self.flag == -2 else 0  # noqa: PLR2004 - see lua/lib/claims.lua


class Settlement(msgspec.Struct, array_like=True):
    """What a settle answered: the refused outcomes by index and word, then the claim's answer."""

    refused: list[tuple[int, str]]
    jobs: list[ClaimedJob]
    next_due: int
    flag: int
    holds: int = UNCOUNTED
    mark: Mark = NO_MARK

    @property
    def claim(self) -> Claim:
        """The half that a claim would have answered."""
        return Claim(self.jobs, self.next_due, self.flag, self.holds, self.mark)


class Beat(msgspec.Struct, array_like=True):
    """The answer to a heartbeat. Times in server milliseconds."""

    cancelled: list[str]  # running jobs of ours that somebody asked to cancel
    first_end: int  # when the first lease of another worker runs out; 0 when we are alone
    sweep_due: int
    now: int
    wish: str  # "draining" or "stopping" when we were asked to; else ""
    holds: int = UNCOUNTED  # as in a claim
    mark: Mark = NO_MARK
    strange: list[tuple[str, int]] = []


class Held(msgspec.Struct):
    """What a worker has as the store sees it: the unread letters, and (id, delivery) of its jobs; a portion of them."""

    letters: list[bytes]
    runs: list[tuple[str, int]]
    more: str  # where to go on; "" at the end
    known: bool  # whether the store knows the worker


class Reaped(msgspec.Struct, array_like=True):
    """The answer of a reap; `again` is the server time at which to come again, or 0."""

    taken_back: int
    more: int
    again: int


ProgressRow = tuple[str, int, float | str, str, list[str]]
"""What a running job says: its id and delivery, the fraction that is done or "", a text, and lines of its log."""


def claim(partition: int, worker: str, n: int, start: int = 0, number: int = 0) -> Call[Claim]:
    """Up to n jobs for a registered worker; `start` says which of its queues comes first.

    `number` is newer than that of each call before, so that a claim that its worker has given up takes nothing when it
    arrives late; 0 for a caller that gives up none.
    """
    return Call("claim", partition, (worker, n, start, number), _read_claim)


def settle(
    partition: int, worker: str, outcomes: Sequence[Settling], n: int = 0, start: int = 0, number: int = 0
) -> Call[Settlement]:
    """Outcomes of jobs that this worker claimed, and then a claim of up to n jobs, in one round trip."""
    return Call("settle", partition, (worker, pack(outcomes), n, start, number), _read_settlement)


def register(
    partition: int,
    worker: str,
    *,
    info: str,
    queues: Sequence[str],
    types: Sequence[str] | None,
    lease_ms: int,
    schemas: Sequence[tuple[str, str]] = (),
    wish: str = "",
) -> Call[int]:
    """`types` None: the worker takes jobs of every type. `schemas`: (job type, JSON). `wish`: see Broker.tell."""
    known = "*" if types is None else f" {' '.join(types)} "
    args = (worker, info, " ".join(queues), known, lease_ms, pack(schemas), wish)
    return Call("register", partition, args, int)


def extend(
    partition: int,
    worker: str,
    lease_ms: int,
    elapsed_ms: int,
    vitals: str = "",
    sample: Sequence[tuple[str, int]] = (),
) -> Call[Beat]:
    """A heartbeat. `elapsed_ms`: since the last one that was answered, by the worker's own clock; 0 for the first.

    `sample`: jobs that the worker has had for a while, by id and delivery; it is told which are not its own.
    """
    return Call("extend", partition, (worker, lease_ms, elapsed_ms, vitals, pack(sample)), _read_beat)


def reap(partition: int, worker: str) -> Call[Reaped]:
    """Take back what lost workers hold."""
    return Call("reap", partition, (worker,), _read_reaped)


def retire(partition: int, worker: str, *, lost: bool, began: Sequence[str] | None = None) -> Call[tuple[int, int]]:
    """A worker is gone: (jobs taken back, whether to call again). `began`: ids of jobs whose functions it has called.

    None: nobody knows, so it may be all of them.
    """
    return Call("retire", partition, (worker, int(lost), "*" if began is None else pack(began)), tuple)


def begin(partition: int, worker: str, job: ClaimedJob) -> Call[int]:
    """The function of a suspect is about to be called."""
    return Call("begin", partition, (worker, job.id, job.delivery), int)


def held(partition: int, worker: str, number: int = 0, where: str = "", counted: int = 0) -> Call[Held]:
    """What a worker has, as the store sees it. `number`: newer than that of each call before."""
    return Call("held", partition, (worker, number, where, counted), _read_held)


def progress(partition: int, worker: str, items: Sequence[ProgressRow]) -> Call[list[Row]]:
    """How far running jobs are. Answers (index, word) of those that are refused."""
    return Call("progress", partition, (worker, pack(items)), _read_rows)


def tell(partition: int, worker: str, wish: str) -> Call[int]:
    """Have a worker drain ("draining"), end ("stopping"), or work again ("")."""
    return Call("tell", partition, (worker, wish), int)


def workers(partition: int, cursor: str = "") -> Call[Portion[list[WorkerRow]]]:
    """Workers that are registered. One may come twice."""
    return Call("workers", partition, (cursor or "0",), _read_workers)


def types(partition: int, cursor: str = "") -> Call[Portion[list[tuple[str, str]]]]:
    """The job types that workers have published: (type, JSON) each. One may come twice."""
    return Call("types", partition, (cursor or "0",), _read_types)


def published(partition: int, known: Sequence[str]) -> Call[list[Row]]:
    """What workers publish that live: (release, (type, JSON) each) each, but "" for releases that are known."""
    return Call("published", partition, (pack(known),), _read_rows)


_read_claim: Final = msgspec.msgpack.Decoder(Claim).decode
_read_settlement: Final = msgspec.msgpack.Decoder(Settlement).decode
_read_beat: Final = msgspec.msgpack.Decoder(Beat).decode
_read_reaped: Final = msgspec.msgpack.Decoder(Reaped).decode
_read_pairs: Final = msgspec.msgpack.Decoder(list[tuple[str, int]]).decode
_read_rows: Final = msgspec.msgpack.Decoder(list[Row]).decode
_decode_workers: Final = msgspec.msgpack.Decoder(Portion[list[WorkerRow]]).decode
_decode_types: Final = msgspec.msgpack.Decoder(Portion[list[tuple[str, str]]]).decode


def _read_held(reply: Any) -> Held:
    letters, runs, more, known = reply
    return Held(letters, _read_pairs(runs), more.decode(), bool(known))


def _read_workers(reply: bytes) -> Portion[list[WorkerRow]]:
    return _scanned(_decode_workers(reply))


def _read_types(reply: bytes) -> Portion[list[tuple[str, str]]]:
    return _scanned(_decode_types(reply))


def _scanned(portion: Portion[T]) -> Portion[T]:
    """Redis begins and ends a scan with the cursor 0."""
    if portion.following == "0":
        portion.following = ""
    return portion
