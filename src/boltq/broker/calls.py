"""Every call of a script as data: which script, its arguments, how to read the reply. Two brokers send them."""

from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

from boltq.broker.scripts import UNCOUNTED
from boltq.domain.job import NO_SPEC, ClaimedJob, NewJob
from boltq.domain.outcome import Cancelled, Completed, Failed, Outcome, Released, Snoozed

T = TypeVar("T")

pack: Final = msgspec.msgpack.Encoder().encode


class Call(msgspec.Struct, Generic[T], frozen=True):
    """One call of one script on one partition."""

    script: str
    partition: int
    args: tuple[Any, ...]
    read: Callable[[Any], T]


class Mark(msgspec.Struct, array_like=True, frozen=True):
    """Where the history of a partition stands: see lua/lib/history.lua."""

    seq: int  # the number of the last call that moved a job
    era: str  # which run of which server, since when, and the number after which it began
    alarmed: int  # when the last alarm was raised, in server ms

    @property
    def began_after(self) -> int:
        """The number after which its era began."""
        return int(self.era.rpartition(" ")[2] or 0)


NO_MARK: Final = Mark(0, "", 0)


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


class Receipt(msgspec.Struct, array_like=True):
    """What submit.lua answers: (index, word, id) of each job that was not created, and where the history stands."""

    verdicts: list[tuple[int, str, str]]
    mark: Mark = NO_MARK


class Settling(msgspec.Struct, array_like=True):
    """One outcome on its way to the store. `took` in milliseconds."""

    id: str
    delivery: int
    verb: str
    took: int
    number: int = 0
    text: str = ""
    data: str = ""  # of a step: with its references filled in


def settling(job: ClaimedJob, outcome: Outcome, took: int, retry_in: float | None) -> Settling:
    """An outcome in the store's terms; `retry_in` is what the retry policy says of a failure (None: dead)."""
    data = job.data if job.filled else ""
    if isinstance(outcome, Completed):
        return Settling(job.id, job.delivery, "completed", took, 0, outcome.result, data)
    found = _unsuccessful(job, outcome, took, retry_in)
    found.data = data
    return found


def _unsuccessful(
    job: ClaimedJob, outcome: Failed | Snoozed | Released | Cancelled, took: int, retry_in: float | None
) -> Settling:
    match outcome:
        case Snoozed(delay):
            return Settling(job.id, job.delivery, "snoozed", took, round(delay * 1_000))
        case Released(began):
            return Settling(job.id, job.delivery, "released", took, 0, "handed_back" if began else "")
        case Cancelled(reason, began):
            verb = "cancelled" if began else "dropped"
            return Settling(job.id, job.delivery, verb, took, 0, reason or "cancelled")
        case failed:
            error = msgspec.json.encode(failed.error).decode()
            if retry_in is None:
                return Settling(job.id, job.delivery, "dead", took, 0, error)
            return Settling(job.id, job.delivery, "retrying", took, round(retry_in * 1_000), error)


def submit(jobs: Sequence[NewJob], partition: int) -> Call[Receipt]:
    """`jobs` have their ids."""
    return Call("submit", partition, (pack([wire(job) for job in jobs]),), _read_receipt)


def wire(job: NewJob) -> tuple[str | int, ...]:
    """A new job as submit.lua takes it."""
    key = job.idempotency_key
    extras = (" ".join(job.tags), job.created_by) if job.tags or job.created_by else ()
    return (
        job.id,
        f"{job.queue} {int(job.priority)} {job.type}",
        job.data,
        "" if job.spec == NO_SPEC else msgspec.json.encode(job.spec).decode(),
        job.delay,
        job.run_at,
        job.expires_in,
        job.expires_at,
        key,
        job.digest() if key else "",
        *extras,
    )


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
    args = (worker, info, " ".join(queues), known, lease_ms, pack(list(schemas)), wish)
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
    return Call("extend", partition, (worker, lease_ms, elapsed_ms, vitals, pack(list(sample))), _read_beat)


def reap(partition: int, worker: str) -> Call[Reaped]:
    """Take back what lost workers hold."""
    return Call("reap", partition, (worker,), _read_reaped)


def retire(partition: int, worker: str, *, lost: bool, began: Sequence[str] | None = None) -> Call[tuple[int, int]]:
    """A worker is gone: (jobs taken back, whether to call again). `began`: ids of jobs whose functions it has called.

    None: nobody knows, so it may be all of them.
    """
    return Call("retire", partition, (worker, int(lost), "*" if began is None else pack(list(began))), tuple)


def begin(partition: int, worker: str, job: ClaimedJob) -> Call[int]:
    """The function of a suspect is about to be called."""
    return Call("begin", partition, (worker, job.id, job.delivery), int)


def held(partition: int, worker: str, number: int = 0, where: str = "", counted: int = 0) -> Call[Held]:
    """What a worker has, as the store sees it. `number`: newer than that of each call before."""
    return Call("held", partition, (worker, number, where, counted), _read_held)


def alarm(partition: int, kind: str, text: str) -> Call[int]:
    """Tell all processes, and whoever asks within a day, what was noticed: went_back or unknown_worker."""
    return Call("alarm", partition, (kind, text), int)


def progress(
    partition: int, worker: str, items: Sequence[tuple[str, int, float | str, str, list[str]]]
) -> Call[list[Any]]:
    """(id, delivery, fraction or "", text, log lines) of running jobs."""
    return Call("progress", partition, (worker, pack(list(items))), msgspec.msgpack.decode)


def many(script: str, partition: int, items: Sequence[object]) -> Call[list[str]]:
    """A script that takes a batch and answers a word for each: cancel, delete, replay and the like."""
    return Call(script, partition, (pack(list(items)),), _read_words)


_read_receipt = msgspec.msgpack.Decoder(Receipt).decode
_read_claim = msgspec.msgpack.Decoder(Claim).decode
_read_settlement = msgspec.msgpack.Decoder(Settlement).decode
_read_beat = msgspec.msgpack.Decoder(Beat).decode
_read_reaped = msgspec.msgpack.Decoder(Reaped).decode
_read_pairs = msgspec.msgpack.Decoder(list[tuple[str, int]]).decode


def _read_held(reply: Any) -> Held:
    letters, runs, more, known = reply
    return Held(letters, _read_pairs(runs), more.decode(), bool(known))


_read_words = msgspec.msgpack.Decoder(list[str]).decode
