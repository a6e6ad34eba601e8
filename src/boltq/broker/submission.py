"""New jobs on their way to the store: so many in one call; and what became of each."""

from collections.abc import Iterable, Sequence
from typing import Final

from boltq.domain import limits
from boltq.domain.errors import BoltQError, Conflict, QueueFull, Refused, TooManyQueues, UnknownOutcome
from boltq.domain.ids import catch_up
from boltq.domain.job import NewJob, Submitted

SubmitResult = Submitted | Refused | UnknownOutcome
"""What became of one job of a batch."""

_NEW_ROUTE: Final = 4  # a job that is unlike those before it costs the store about three times as much


def chunks_of(jobs: Sequence[NewJob], places: Sequence[int]) -> Iterable[Sequence[int]]:
    """Places by calls: at most MAX_CALL jobs and MAX_CALL_BYTES of data; fewer jobs where many differ in type."""
    chunk: list[int] = []
    size, weight, routes = 0, 0, set[tuple[str, str, int]]()
    for place in places:
        job = jobs[place]
        length, route = len(job.data), (job.queue, job.type, job.priority)
        cost = 1 if route in routes else _NEW_ROUTE
        if chunk and (weight + cost > limits.MAX_CALL or size + length > limits.MAX_CALL_BYTES):
            yield chunk
            chunk, size, weight, cost, routes = [], 0, 0, _NEW_ROUTE, set()
        chunk.append(place)
        routes.add(route)
        size, weight = size + length, weight + cost
    if chunk:
        yield chunk


def result_of(word: str, about: str, job: NewJob) -> SubmitResult:
    """`about`: the id of the job that is there; the store's time, for an id that it has forgotten."""
    if word in {"EXISTS", "DUPLICATE"}:
        return Submitted(about, created=False)
    if word == "FULL":
        return QueueFull(f"queue {job.queue} is full")
    if word == "QUEUES":
        return TooManyQueues(job.queue)
    if word == "FORGOTTEN":
        return forgotten(f"job {job.id}", int(about))
    return Conflict(f"idempotency key {job.idempotency_key!r} was used for another job ({about})")


def forgotten(what: str, now: int) -> UnknownOutcome:
    """Why the repeat of an old submission is refused; ids that are made from now on are young enough."""
    catch_up(now)
    return UnknownOutcome(
        f"{what} was submitted too long ago to know whether it was there before: look whether it was done,"
        " and repeat submissions with an idempotency key"
    )


def raise_if_refused(answer: SubmitResult) -> Submitted:
    """The answer, or its refusal raised."""
    if isinstance(answer, BoltQError):
        raise answer
    return answer
