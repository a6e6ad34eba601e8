"""Outcomes on their way to the store, as settle.lua takes them."""

import msgspec

from boltq.domain.job import ClaimedJob
from boltq.domain.outcome import Cancelled, Completed, Failed, Outcome, Released, Snoozed


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
