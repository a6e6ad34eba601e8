"""How a client talks with the API: what is sent again and when, waiting for results, batches. Pure: others send.

A talk is a generator. It yields a Request to be sent or a Pause to be slept, is sent a Reply or Lost for a request, and
returns what was wanted. The synchronous and the asynchronous client carry out the same talks.
"""

import math
import random
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar, Unpack

from boltq.client import calls
from boltq.client.answers import BatchItem, JobInfo, OperationInfo, SubmittedJob
from boltq.client.errors import BadAnswer, ServerUnavailable, error_of, of_kind
from boltq.client.request import Request
from boltq.domain import limits
from boltq.domain.errors import BoltQError, JobCancelled, JobFailed, StoreUnavailable, WaitTimeout
from boltq.domain.ids import new_id
from boltq.domain.job import NewJob
from boltq.domain.options import Options, OptionWords, patience
from boltq.domain.portions import portions
from boltq.domain.states import JobState

T = TypeVar("T")


class Reply(NamedTuple):
    """An answer; the names of the headers in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class Lost(NamedTuple):
    """No answer. `sent` false: the request has not left, so nothing was done."""

    why: str
    sent: bool


class Pause(NamedTuple):
    """Wait so many seconds."""

    seconds: float


Talk = Generator[Request[Any] | Pause, Reply | Lost | None, T]

PAUSES: Final = (0.1, 0.4, 1.0, 2.0)  # seconds between the tries of a call that is safe to repeat
MAX_PAUSE: Final = 10.0  # a server that wants more than that gets no further try
MAX_WAIT: Final = 30.0  # seconds that one request waits for a job's end
LONGEST_AWAY: Final = 60.0  # seconds without an answer, for one who waits without a timeout
LOOK_AGAIN: Final = 0.5  # seconds, after an answer that came too early
MIN_LOOK: Final = 0.1  # seconds between two looks at a bulk operation ...
MAX_LOOK: Final = 1.0

_AROUND: Final = 2_048  # bytes that a job of a batch has beside its data, at most
_PASSING: Final = StoreUnavailable  # may be over soon; a full store or a full queue is not


def ask(request: Request[T]) -> Talk[T]:
    """Make one call. It is sent again, at most four times, when that is safe and the trouble may pass."""
    for pause in (*PAUSES, None):
        reply = yield request
        match reply:
            case Reply(status=status) if status < 300:  # noqa: PLR2004 - the successes
                return _read(request, reply)
            case Reply():
                error = error_of(reply.status, reply.content, request.ask.mistakes)
                again = request.route.repeat and isinstance(error, _PASSING)
                least = _seconds(reply.headers.get("retry-after", ""))
            case _:
                error, again, least = _unheard(reply), request.route.repeat or not (reply and reply.sent), 0.0
        if pause is None or not again or least > MAX_PAUSE:
            raise error
        yield Pause(max(pause * random.uniform(0.5, 1.5), least))  # noqa: S311 - spreads the clients, no secret
    raise AssertionError("the last pause is None")


def job_of(type: str, data: Mapping[str, Any] | None = None, **options: Unpack[OptionWords]) -> NewJob:
    """A job, not submitted yet. Raises InvalidJob."""
    return Options.of(options).new_job(type, calls.data_json({} if data is None else data), data_is_json=True)


def submit(job: NewJob) -> Talk[SubmittedJob]:
    """Submit a job. One without an idempotency key gets one, so that a repeat after a lost answer is the same job."""
    answer = yield from ask(calls.submit_job(job, None if job.idempotency_key else new_id()))
    if not job.idempotency_key:
        answer.created = True  # nobody else has that key
    return answer


def submit_many(jobs: Sequence[NewJob]) -> Talk[list[SubmittedJob]]:
    """Submit many jobs. Raises the first refusal; all others that were in a call with it, or before, are submitted."""
    answers: list[SubmittedJob] = []
    for start, batch in batches(jobs):
        for answer in (yield from submit_batch(batch, start)):
            if isinstance(answer, BoltQError):
                raise answer
            answers.append(answer)
    return answers


def submit_batch(batch: Sequence[NewJob], start: int = 0) -> Talk[list[SubmittedJob | BoltQError]]:
    """Submit up to 1,000 jobs with one call; for each what became of it. Pointers count from `start`."""
    answer = yield from ask(calls.submit_jobs(batch, new_id()))
    if len(answer.items) != len(batch):
        raise BadAnswer(f"the server answered {len(answer.items)} of {len(batch)} jobs: is it of another version?")
    return [
        SubmittedJob(id=item.id, created=item.created or not job.idempotency_key) if item.id else _refusal(item, start)
        for job, item in zip(batch, answer.items, strict=True)
    ]


def result_of(job_id: str, timeout: float | None = None) -> Talk[Any]:
    """What a job's function returned. Raises JobFailed, JobCancelled, WaitTimeout and what `ask` raises."""
    return outcome((yield from end_of(job_id, timeout)))


def end_of(
    job_id: str, timeout: float | None = None, clock: Callable[[], float] = time.monotonic, away: float | None = None
) -> Talk[JobInfo]:
    """A job once it has ended; the server holds the answer back until then. Raises NotFound, WaitTimeout."""
    return until_ended(lambda wait: calls.get_job(job_id, wait=wait), _has_ended, f"job {job_id}", timeout, clock, away)


def until_ended(
    look: Callable[[float], Request[T]],
    has_ended: Callable[[T], bool],
    what: str,
    timeout: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    away: float | None = None,
) -> Talk[T]:
    """Look until what is looked at has ended; `look` is told for how many seconds the server may hold its answer back.

    It is asked through an outage: for `away` seconds; else for the whole timeout, or for a minute where there is none.
    """
    timeout = patience(timeout)
    if away is None:
        away = LONGEST_AWAY if timeout is None else math.inf
    end = None if timeout is None else clock() + timeout
    heard, why = clock(), ""
    while True:
        began = clock()
        left = MAX_WAIT if end is None else end - began
        try:
            found = yield from ask(look(round(max(0.0, min(MAX_WAIT, left)), 3)))
        except _PASSING as error:
            if clock() - heard >= away:
                raise
            why = f" ({error})"
        else:
            heard, why = clock(), ""
            if has_ended(found):
                return found
        if end is not None and clock() >= end:
            raise WaitTimeout(f"{what} has not ended within {timeout:g} s; it goes on{why}")
        if clock() - began < LOOK_AGAIN:
            yield Pause(LOOK_AGAIN if end is None else max(0.0, min(LOOK_AGAIN, end - clock())))


def end_of_operation(
    operation_id: str, timeout: float | None = None, clock: Callable[[], float] = time.monotonic
) -> Talk[OperationInfo]:
    """A bulk operation once nothing more is done of it, or it waits for somebody. Raises NotFound, WaitTimeout."""
    timeout = patience(timeout)
    end = None if timeout is None else clock() + timeout
    while True:
        operation = yield from ask(calls.get_operation(operation_id))
        if operation.state != "running":
            return operation
        if end is not None and clock() >= end:
            raise WaitTimeout(f"operation {operation_id} has not ended within {timeout:g} s; it goes on")
        yield Pause(min(MAX_LOOK, max(MIN_LOOK, (operation.eta_ms or 0) / 1_000)))


def outcome(job: JobInfo) -> Any:
    """The result of a job that has ended. Raises JobFailed, JobCancelled."""
    if job.state is JobState.COMPLETED:
        return job.result
    if job.state is JobState.CANCELLED:
        raise JobCancelled(f"job {job.id} was cancelled: {job.reason}")
    error = job.error
    raise JobFailed(f"job {job.id} is dead: {error.class_name}: {error.message}" if error else job.id, error)


def _has_ended(job: JobInfo) -> bool:
    return job.ended


def _unheard(lost: Lost | None) -> BoltQError:
    if lost is None:
        return BadAnswer("nobody sent the request")
    done = "the outcome is unknown" if lost.sent else "nothing was done"
    return ServerUnavailable(f"no answer from the API at {lost.why}; {done}")


def _read(request: Request[T], reply: Reply) -> T:
    try:
        return request.read(reply.content)
    except (ValueError, RecursionError) as error:
        path = request.route.path
        raise BadAnswer(f"the answer of {path} cannot be read: {error}: is the server of another version?") from None


def _seconds(text: str) -> float:
    """Of Retry-After; a date counts as nothing."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0.0  # noqa: PLR2004 - 31 years


def batches(jobs: Iterable[NewJob]) -> Iterator[tuple[int, list[NewJob]]]:
    """The jobs in batches that are small enough, each with the index of its first one."""
    start = 0
    for batch in portions(jobs, _bytes_of, most=limits.MAX_BATCH, most_bytes=limits.MAX_BATCH_BYTES):
        yield start, batch
        start += len(batch)


def _bytes_of(job: NewJob) -> int:
    return len(job.data.encode()) + _AROUND


def _refusal(item: BatchItem, start: int) -> BoltQError:
    """What to raise for a job of a batch; its pointers count from the first job of all batches."""
    here, there = f"/jobs/{item.index}", f"/jobs/{start + item.index}"
    errors = [(there + mistake.pointer.removeprefix(here), mistake.detail) for mistake in item.errors]
    return of_kind(item.code, "; ".join(f"{pointer}: {reason}" for pointer, reason in errors), errors)
