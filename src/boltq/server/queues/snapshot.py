"""All that is known of some queues at one moment, and how it is shown."""

from collections.abc import Sequence
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from boltq.broker.inspector import Bucket, Inspector, QueueStats, WorkerRecord
from boltq.domain.states import JobState
from boltq.server.backend import Backend
from boltq.server.http.moments import rfc3339
from boltq.server.views.common import WorkerStateText

Rate = Annotated[float, msgspec.Meta(description="a second, over the last minute")]


RATE_STEP: Final = 10  # seconds a bucket


RATE_BUCKETS: Final = 7  # the one that is not over yet, and a minute before it


class PauseView(msgspec.Struct, kw_only=True):
    """Who paused a queue, why, and when."""

    by: str | None
    reason: str | None
    at: str | None


class DepthView(msgspec.Struct, kw_only=True):
    """How many jobs stand in each state; of those that have ended, how many are kept."""

    blocked: int
    scheduled: int
    queued: int
    running: int
    retrying: int
    completed: int
    dead: int
    cancelled: int


class PriorityView(msgspec.Struct, kw_only=True):
    """The queued jobs by priority; `parked` are those of a type that no worker knew."""

    high: int
    normal: int
    low: int
    parked: int


class QueueView(msgspec.Struct, kw_only=True):
    """A queue."""

    name: str
    state: Annotated[
        Literal["running", "paused", "no_workers"],
        msgspec.Meta(description="no_workers: none is up that serves it"),
    ]
    paused: PauseView | None
    depth: DepthView
    by_priority: PriorityView
    oldest_ms: Annotated[int | None, msgspec.Meta(description="how long its oldest queued job has waited")]
    in_per_s: Rate
    out_per_s: Annotated[Rate, msgspec.Meta(description="jobs completed or dead a second, over the last minute")]
    workers: Annotated[int, msgspec.Meta(description="workers that are up and serve it")]
    slots: Annotated[int, msgspec.Meta(description="of these workers; they may serve other queues, too")]
    limit: Annotated[int | None, msgspec.Meta(description="how many jobs may wait; null: as the settings say")]


class ServingView(msgspec.Struct, kw_only=True):
    """A worker that serves a queue."""

    id: str
    state: WorkerStateText
    slots: int | None
    running: int | None


class QueuesSnapshot(NamedTuple):
    """All that is known of some queues at one moment."""

    stats: dict[str, QueueStats]  # by name, in order
    workers: Sequence[WorkerRecord]
    serving: dict[str, list[WorkerRecord]]
    buckets: dict[str, list[Bucket]]
    now: int  # ms

    def row(self, name: str) -> QueueView:
        """A queue's numbers."""
        stats = self.stats[name]
        serving = self.serving.get(name, [])
        return QueueView(
            name=name,
            state="paused" if stats.paused else "running" if serving else "no_workers",
            paused=_pause(stats),
            depth=DepthView(**{state.value: getattr(stats, state) for state in JobState}),
            by_priority=PriorityView(high=stats.high, normal=stats.normal, low=stats.low, parked=stats.parked),
            oldest_ms=max(0, self.now - stats.oldest_queued_at) if stats.oldest_queued_at else None,
            in_per_s=self._rate(name, "submitted", "replayed"),
            out_per_s=self._rate(name, "completed", "dead"),
            workers=len(serving),
            slots=sum(worker.info.get("slots", 0) for worker in serving),
            limit=stats.limit,
        )

    def who(self, name: str) -> list[ServingView]:
        """The workers that serve it."""
        return [
            ServingView(id=one.id, state=one.state, slots=one.info.get("slots"), running=one.vitals.get("running"))
            for one in self.workers
            if name in one.queues
        ]

    def _rate(self, name: str, *what: str) -> float:
        seconds = (RATE_BUCKETS - 1) * RATE_STEP + (self.now // 1_000) % RATE_STEP
        number = sum(bucket.counts.get(word, 0) for bucket in self.buckets[name] for word in what)
        return round(number / seconds, 6)


async def read_snapshot(
    backend: Backend, queues: Sequence[QueueStats], workers: Sequence[WorkerRecord] | None = None
) -> QueuesSnapshot:
    """Read the rates of queues, and the workers unless they are given. Raises StoreUnavailable."""
    if workers is None:
        workers = await backend.read(Inspector.workers)
    stats = {one.name: one for one in queues}
    buckets = await backend.read(lambda it: it.queue_series(list(stats), seconds=RATE_STEP, buckets=RATE_BUCKETS))
    serving = serving_by_queue(workers)
    return QueuesSnapshot(stats, workers, serving, buckets, await backend.read(Inspector.now_ms))


async def read_snapshot_of(backend: Backend, queue: str) -> QueuesSnapshot:
    """Read the snapshot of one queue; it is empty when no queue has that name."""
    return await read_snapshot(backend, await backend.read(lambda inspector: inspector.queues([queue])))


def serving_by_queue(workers: Sequence[WorkerRecord]) -> dict[str, list[WorkerRecord]]:
    """The workers that are up, by the queues that they serve."""
    found: dict[str, list[WorkerRecord]] = {}
    for worker in workers:
        for queue in worker.queues if worker.state == "up" else ():
            found.setdefault(queue, []).append(worker)
    return found


def _pause(stats: QueueStats) -> PauseView | None:
    if not stats.paused:
        return None
    return PauseView(by=stats.paused_by, reason=stats.paused_reason, at=rfc3339(stats.paused_at))
