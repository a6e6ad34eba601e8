"""Calls about jobs: submit, change, read."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from boltq.broker.call import Call, Row, pack, unpack
from boltq.broker.contract import NewJobRow
from boltq.broker.marks import NO_MARK, Mark
from boltq.domain.job import NO_SPEC, NewJob


class Receipt(msgspec.Struct, array_like=True):
    """What submit.lua answers: (index, word, id) of each job that was not created, and where the history stands."""

    verdicts: list[tuple[int, str, str]]
    mark: Mark = NO_MARK


def submit(partition: int, jobs: Sequence[NewJob]) -> Call[Receipt]:
    """`jobs` have their ids."""
    return Call("submit", partition, (pack([wire(job) for job in jobs]),), _read_receipt)


def wire(job: NewJob) -> NewJobRow:
    """A new job as submit.lua takes it."""
    key = job.idempotency_key
    return NewJobRow(
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
        " ".join(job.tags) or None,
        job.created_by or None,
    )


# Those that act on a batch answer a word for each of its jobs; see JobVerdict. A fence is JobRecord.since, or 0.

Fenced = tuple[str, int]  # id, fence


def cancel(partition: int, items: Sequence[Fenced], reason: str) -> Call[list[str]]:
    """Cancel waiting jobs, and ask the workers of running ones to stop them."""
    return Call("cancel", partition, (pack([(*item, reason) for item in items]),), _read_words)


def replay(partition: int, items: Sequence[Fenced]) -> Call[list[str]]:
    """Queue dead or cancelled jobs again."""
    return Call("replay", partition, (pack(items),), _read_words)


def run_now(partition: int, items: Sequence[Fenced]) -> Call[list[str]]:
    """Queue scheduled or retrying jobs before their time."""
    return Call("run_now", partition, (pack(items),), _read_words)


def delete(partition: int, items: Sequence[Fenced]) -> Call[list[str]]:
    """Delete jobs for ever; not running ones. AGAIN: it was too much for one call."""
    return Call("delete", partition, (pack(items),), _read_words)


def edit(partition: int, changes: Sequence[Mapping[str, str | int]]) -> Call[list[str]]:
    """Change what waiting jobs carry: `id`, and what is to change."""
    return Call("edit", partition, (pack(changes),), _read_words)


def replay_as(partition: int, items: Sequence[tuple[str, int, NewJob]]) -> Call[list[str]]:
    """Make new jobs from others that have ended: (id and fence of the other, new job) each."""
    return Call("replay_as", partition, (pack([(*fenced, wire(new)) for *fenced, new in items]),), _read_words)


def get(partition: int, ids: Sequence[str]) -> Call[list[Row]]:
    """Jobs with all that is kept of them: the arguments of rows.record, or none for an id that is not there.

    Those that are too much for one call are left out at the end.
    """
    return Call("get", partition, (pack(ids),), unpack)


def place(partition: int, job_id: str) -> Call[tuple[int, int, int] | None]:
    """Where a queued job stands: jobs ahead, 1 when there may be more, 1 when it is parked. None: it is not queued."""
    return Call("place", partition, (job_id,), _read_place)


_read_receipt: Final = msgspec.msgpack.Decoder(Receipt).decode
_read_words: Final = msgspec.msgpack.Decoder(list[str]).decode


def _read_place(reply: bytes) -> Any:
    return unpack(reply) or None
