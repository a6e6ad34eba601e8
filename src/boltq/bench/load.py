"""Loads a running API over real HTTP: submits jobs, follows each to its end, and reports what became of them.

A fixed number of callers each submit a job, wait for its end and go on with the next. A caller has one request under
way at a time, so there are never more connections than callers.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import msgspec

from boltq.client import calls, talk
from boltq.client.carry import AsyncExchange, carry_async
from boltq.domain.errors import BoltQError, InvalidJob, StoreUnavailable, WaitTimeout
from boltq.domain.job import NewJob
from boltq.domain.states import JobState

MAX_REASON_CHARS = 200
MAX_REASONS = 50  # different ones that are kept apart
AWAY = 5.0  # seconds without an answer, after which the run ends with what is known


class LoadPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What to load the API with. `timeout`: seconds for which the end of one job is waited for."""

    type: str
    data: str
    queue: str
    jobs: int
    concurrency: int
    timeout: float


class Spread(msgspec.Struct, frozen=True):
    """How long something took, in milliseconds."""

    p50: float
    p95: float
    p99: float
    max: float


class LoadReport(msgspec.Struct, kw_only=True):
    """What a load came to. Times in milliseconds are None when there is nothing to tell of."""

    jobs: int
    concurrency: int
    seconds: float
    submitted: int
    completed: int
    failed: int
    failures: dict[str, int]  # what went wrong, and how often
    unfinished: int  # not submitted, or submitted and not followed to the end
    jobs_per_second: float
    submit_ms: Spread | None
    end_to_end_ms: Spread | None
    interrupted: bool
    stopped: str | None  # why it was given up before its end


class NobodyWorks(BoltQError):
    """No live worker would run these jobs."""


async def check(plan: LoadPlan, exchange: AsyncExchange) -> None:
    """Ask the API whether it would take such a job, and whether a worker would run it; nothing is submitted.

    Raises ServerUnavailable, Unauthorized, Forbidden, InvalidJob, NobodyWorks.
    """
    found = await carry_async(talk.ask(calls.dry_run_job(_job(plan))), exchange)
    if not found.valid:
        raise InvalidJob([(mistake.pointer, mistake.detail) for mistake in found.errors])
    place = found.placement
    if place.workers_for_type == 0 if place else found.warnings:
        why = (place.notes if place else found.warnings) or ["no live worker would run it"]
        raise NobodyWorks(f"{why[0]}: nothing was submitted, since nobody would run it (`boltq worker` starts one)")


class Load:
    """One run. `progress` is called after each job."""

    def __init__(self, plan: LoadPlan, exchange: AsyncExchange, progress: Callable[[], object] = lambda: None) -> None:
        self._plan = plan
        self._exchange = exchange
        self._progress = progress
        self._submits: list[float] = []
        self._ends: list[float] = []
        self._failures: Counter[str] = Counter()
        self._stopped: str | None = None

    async def run(self) -> LoadReport:
        """Carry it out. When it is cancelled, what is known until then is reported."""
        began, interrupted = time.perf_counter(), False
        left = iter(range(self._plan.jobs))
        callers = [asyncio.create_task(self._call(left)) for _ in range(min(self._plan.concurrency, self._plan.jobs))]
        try:
            await asyncio.gather(*callers)
        except asyncio.CancelledError:
            interrupted = True
        except StoreUnavailable as error:
            self._stopped = str(error)
        seconds = time.perf_counter() - began
        for caller in callers:
            caller.cancel()
        await asyncio.wait(callers)
        return self._report(seconds, interrupted=interrupted)

    async def _call(self, left: Iterator[int]) -> None:
        for _ in left:
            try:
                await self._one()
            except StoreUnavailable:
                raise  # it has been tried again and again: the rest would fare no better
            except BoltQError as error:
                self._fail(f"{type(error).__name__}: {error}")
            self._progress()

    async def _one(self) -> None:
        began = time.perf_counter()
        answer = await carry_async(talk.submit(_job(self._plan)), self._exchange)
        self._submits.append(time.perf_counter() - began)
        try:
            job = await carry_async(talk.end_of(answer.id, self._plan.timeout, away=AWAY), self._exchange)
        except WaitTimeout:
            self._fail(f"not ended within {self._plan.timeout:g} s")
            return
        if job.state is JobState.COMPLETED:
            self._ends.append(time.perf_counter() - began)
        else:
            self._fail(f"{job.state}: {job.error.message if job.error else job.reason}")

    def _fail(self, reason: str) -> None:
        reason = reason[:MAX_REASON_CHARS]
        known = reason in self._failures or len(self._failures) < MAX_REASONS
        self._failures[reason if known else "others"] += 1

    def _report(self, seconds: float, *, interrupted: bool) -> LoadReport:
        completed, failed = len(self._ends), self._failures.total()
        return LoadReport(
            jobs=self._plan.jobs,
            concurrency=self._plan.concurrency,
            seconds=round(seconds, 3),
            submitted=len(self._submits),
            completed=completed,
            failed=failed,
            failures=dict(self._failures.most_common()),
            unfinished=self._plan.jobs - completed - failed,
            jobs_per_second=round(completed / seconds, 1) if seconds else 0.0,
            submit_ms=spread(self._submits),
            end_to_end_ms=spread(self._ends),
            interrupted=interrupted,
            stopped=self._stopped,
        )


def spread(seconds: Sequence[float]) -> Spread | None:
    """The percentiles of some durations, each one that was measured (nearest rank), in milliseconds."""
    if not seconds:
        return None
    ordered = sorted(seconds)

    def rank(share: float) -> float:
        return round(ordered[math.ceil(share * len(ordered)) - 1] * 1_000, 3)

    return Spread(rank(0.5), rank(0.95), rank(0.99), rank(1))


def _job(plan: LoadPlan) -> NewJob:
    return NewJob(type=plan.type, data=plan.data, queue=plan.queue)
