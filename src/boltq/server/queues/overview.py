"""The whole system at a glance: totals, rates and times of a window, the queues that need a look, the workers."""

import heapq
import math
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from boltq.broker.inspector import Bucket, Inspector, QueueStats, WorkerRecord
from boltq.domain.scopes import Scope
from boltq.domain.states import JobState
from boltq.server.backend import Backend
from boltq.server.http.answers import json_response
from boltq.server.http.calls import ApiCall
from boltq.server.http.moments import rfc3339
from boltq.server.http.query import read_query
from boltq.server.queues.snapshot import QueuesSnapshot, QueueView, read_snapshot, serving_by_queue

WORST: Final = 8  # queues that are shown

Window = Literal["5m", "15m", "1h", "6h"]

_BUCKETS: Final[dict[Window, tuple[int, int]]] = {"5m": (10, 30), "15m": (10, 90), "1h": (10, 360), "6h": (60, 360)}
"""Seconds a bucket, and how many buckets."""

PerSecond = Annotated[float, msgspec.Meta(description="a second, over the window")]
Millis = Annotated[float | None, msgspec.Meta(description="ms, estimated within a factor of two; null: nothing ran")]


class OverviewQuery(msgspec.Struct, kw_only=True):
    """How far to look back."""

    window: Window = "15m"


class RatesView(msgspec.Struct, kw_only=True):
    """What happened a second."""

    in_per_s: PerSecond
    out_per_s: PerSecond
    fail_per_s: Annotated[PerSecond, msgspec.Meta(description="runs that failed a second")]


class PercentilesView(msgspec.Struct, kw_only=True):
    """How long something took."""

    p50: Millis
    p95: Millis
    p99: Millis


class SeriesView(msgspec.Struct, kw_only=True):
    """What happened in each bucket of time, the oldest first; the last one is not over yet."""

    t0: Annotated[int, msgspec.Meta(description="unix seconds at which the first bucket begins")]
    step_s: int
    submitted: list[int]
    completed: list[int]
    failed: Annotated[list[int], msgspec.Meta(description="runs that failed")]
    dead: list[int]


class WorkersCount(msgspec.Struct, kw_only=True):
    """How many workers stand where; slots and running jobs of those that are up."""

    up: int
    draining: int
    stopping: int
    stale: int
    slots: int
    running: int


class FirstRunView(msgspec.Struct, kw_only=True):
    """How far somebody has come who has just installed BoltQ."""

    worker_seen: Annotated[bool, msgspec.Meta(description="one is here now")]
    job_seen: bool
    job_done: bool


class OverviewView(msgspec.Struct, kw_only=True):
    """The whole system at a glance."""

    server_time: str
    window_seconds: int
    totals: dict[JobState, int]
    rates: RatesView
    wait_ms: Annotated[PercentilesView, msgspec.Meta(description="from being ready to being claimed")]
    run_ms: PercentilesView
    series: SeriesView
    queues: Annotated[list[QueueView], msgspec.Meta(description=f"{WORST} at most, those that need a look first")]
    workers: WorkersCount
    first_run: FirstRunView


class OverviewCalls:
    """The call for the first page of a dashboard."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def calls(self) -> list[ApiCall]:
        """The calls of this resource, for the list in app.py."""
        return [
            ApiCall(
                "GET", "/api/v1/overview", "overview", "totals, rates, times, worst queues and workers", self.overview,
                scope=Scope.READ, query=OverviewQuery, answers={200: OverviewView}, tag="system",
            ),
        ]  # fmt: skip

    async def overview(self, request: Request) -> Response:
        """Show how the whole system is doing, over a window of time."""
        query = read_query(request, OverviewQuery)
        step, number = _BUCKETS[query.window]
        stats = await self._backend.read(Inspector.queues)
        workers = await self._backend.read(Inspector.workers)
        snapshot = await read_snapshot(self._backend, _worst(stats, workers), workers)
        buckets = await self._backend.read(lambda inspector: inspector.series(seconds=step, buckets=number))
        return json_response(_overview(stats, snapshot, buckets, step, number))


def _worst(queues: Sequence[QueueStats], workers: Sequence[WorkerRecord]) -> list[QueueStats]:
    """The worst queues: first those whose jobs wait for a worker that is not there, then those that wait longest."""
    serving = serving_by_queue(workers)

    def need(queue: QueueStats) -> tuple[bool, float, str]:
        forlorn = queue.queued > 0 and not queue.paused and queue.name not in serving
        return not forlorn, queue.oldest_queued_at or math.inf, queue.name

    return heapq.nsmallest(WORST, queues, key=need)


def _overview(
    queues: Sequence[QueueStats], snapshot: QueuesSnapshot, buckets: Sequence[Bucket], step: int, number: int
) -> OverviewView:
    totals = {state: sum(getattr(stats, state) for stats in queues) for state in JobState}
    last = snapshot.now // 1_000 // step * step
    series = _series(buckets, last - (number - 1) * step, step, number)
    seconds = (number - 1) * step + snapshot.now // 1_000 % step
    ever = sum(stats.completed_total for stats in queues)
    return OverviewView(
        server_time=rfc3339(snapshot.now),
        window_seconds=number * step,
        totals=totals,
        rates=RatesView(
            in_per_s=round(sum(series.submitted) / seconds, 6),
            out_per_s=round((sum(series.completed) + sum(series.dead)) / seconds, 6),
            fail_per_s=round(sum(series.failed) / seconds, 6),
        ),
        wait_ms=_percentiles(buckets, "wait"),
        run_ms=_percentiles(buckets, "run"),
        series=series,
        queues=[snapshot.row(name) for name in snapshot.stats],
        workers=_workers(snapshot.workers),
        first_run=FirstRunView(
            worker_seen=bool(snapshot.workers), job_seen=ever > 0 or any(totals.values()), job_done=ever > 0
        ),
    )


def _series(buckets: Sequence[Bucket], t0: int, step: int, number: int) -> SeriesView:
    by_time = {bucket.at: bucket for bucket in buckets}

    def row(what: str) -> list[int]:
        times = (t0 + place * step for place in range(number))
        return [by_time[at].counts.get(what, 0) if at in by_time else 0 for at in times]

    return SeriesView(
        t0=t0,
        step_s=step,
        submitted=row("submitted"),
        completed=row("completed"),
        failed=row("failed"),
        dead=row("dead"),
    )


def _percentiles(buckets: Sequence[Bucket], what: str) -> PercentilesView:
    """From counts in powers of two: `wait:n` took less than 2^n ms, and no less than half of that."""
    counts: Counter[int] = Counter()
    for bucket in buckets:
        for word, number in bucket.counts.items():
            kind, _, exponent = word.partition(":")
            if kind == what:
                counts[int(exponent)] += number
    return PercentilesView(p50=_percentile(counts, 0.5), p95=_percentile(counts, 0.95), p99=_percentile(counts, 0.99))


def _percentile(counts: Counter[int], share: float) -> float | None:
    """Within a bucket, times are taken to be spread evenly."""
    left = counts.total() * share
    for exponent, number in sorted(counts.items()):
        if number >= left:
            low, high = (0.0 if exponent == 0 else 2.0 ** (exponent - 1)), 2.0**exponent
            return round(low + (high - low) * left / number, 1)
        left -= number
    return None


def _workers(workers: Sequence[WorkerRecord]) -> WorkersCount:
    states = Counter(worker.state for worker in workers)
    up = [worker for worker in workers if worker.state == "up"]
    return WorkersCount(
        up=states["up"],
        draining=states["draining"],
        stopping=states["stopping"],
        stale=states["stale"],
        slots=sum(worker.info.get("slots", 0) for worker in up),
        running=sum(worker.vitals.get("running", 0) for worker in up),
    )
