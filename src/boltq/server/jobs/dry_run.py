"""What would become of a submission, without making it: its mistakes, its options, and what it would find."""

import time
from typing import Annotated

import msgspec

from boltq.domain.job import NewJob, Priority
from boltq.domain.scopes import Scope
from boltq.server.backend import Backend
from boltq.server.http.caller import Caller
from boltq.server.http.mistakes import Mistakes, MistakeView
from boltq.server.http.moments import rfc3339
from boltq.server.views.jobs import AsSubmittedView, as_submitted
from boltq.server.why import Surroundings, surroundings_of


class ResolvedView(AsSubmittedView, kw_only=True):
    """A submission's options after all defaults: its own, then its type's, then the settings'."""

    type: str
    queue: str
    priority: str
    run_at: str | None
    expires_at: str | None
    max_attempts: int
    timeout_seconds: float
    idempotency_key: str | None
    data_bytes: int


class PlacementView(msgspec.Struct, kw_only=True):
    """What a job would find in its queue."""

    queue: str
    paused: bool
    workers_for_type: Annotated[int, msgspec.Meta(description="live workers that serve the queue and know the type")]
    ahead: Annotated[int, msgspec.Meta(description="queued jobs of the same or a higher priority")]
    starts_in_seconds: Annotated[float | None, msgspec.Meta(description="an estimate; null: nobody can tell")]
    notes: list[str]


class DryRunView(msgspec.Struct, kw_only=True):
    """What would become of a submission. Nothing was written."""

    valid: bool
    errors: list[MistakeView] = []
    warnings: list[str] = []
    resolved: ResolvedView | None = None
    placement: Annotated[PlacementView | None, msgspec.Meta(description="null without the scope read")] = None


def refused(mistakes: Mistakes) -> DryRunView:
    """Of a submission with mistakes."""
    return DryRunView(valid=False, errors=[MistakeView(pointer, reason) for pointer, reason in mistakes])


async def accepted(backend: Backend, caller: Caller, job: NewJob, warnings: list[str]) -> DryRunView:
    """Of one that would be accepted."""
    sees = caller.grants.allow(Scope.READ)
    return DryRunView(
        valid=True,
        warnings=warnings,
        resolved=_resolve(backend, job),
        placement=await _place(backend, job) if sees else None,
    )


def _resolve(backend: Backend, job: NewJob) -> ResolvedView:
    published, settings = backend.types.get(job.type), backend.settings
    about = published.about if published else {}
    now = round(time.time() * 1_000)
    expires_at = job.expires_at or (now + job.expires_in if job.expires_in else 0)
    return ResolvedView(
        type=job.type,
        queue=job.queue,
        priority=Priority(job.priority).word,
        run_at=rfc3339(job.run_at or (now + job.delay if job.delay else None)),
        expires_at=rfc3339(expires_at or None),
        max_attempts=job.spec.max_attempts or about.get("max_attempts") or settings.max_attempts,
        timeout_seconds=job.spec.timeout or about.get("timeout_seconds") or settings.job_timeout,
        idempotency_key=job.idempotency_key or None,
        **as_submitted(job.tags, job.spec),
        data_bytes=len(job.data.encode()),
    )


async def _place(backend: Backend, job: NewJob) -> PlacementView:
    around = await backend.read(lambda inspector: surroundings_of(inspector, job.queue))
    rate = await backend.read(lambda inspector: inspector.recent_rate(job.queue))
    wait = max(0.0, job.delay / 1_000, job.run_at / 1_000 - time.time() if job.run_at else 0.0)
    ahead = sum(getattr(around.queue, p.word) for p in Priority if p >= job.priority)
    obstacles = around.obstacles(job.type)
    notes = [obstacle.text for obstacle in obstacles]
    if wait:
        notes.append(f"it waits for its time, {wait:.0f} s from now")
    if full := _full(around, backend.settings.max_queue_depth):
        notes.append(full)
    return PlacementView(
        queue=job.queue,
        paused=around.queue.paused,
        workers_for_type=len(around.knowing(job.type)),
        ahead=ahead,
        starts_in_seconds=None if obstacles or full else _estimate(ahead, rate, wait),
        notes=notes,
    )


def _full(around: Surroundings, usual_limit: int) -> str | None:
    limit, waiting = around.queue.limit or usual_limit, around.queue.queued + around.queue.scheduled
    if limit and waiting >= limit:
        return f"queue {around.queue.name} is full: {waiting} jobs wait, and at most {limit} may"
    return None


def _estimate(ahead: int, rate: float, wait: float) -> float | None:
    """Seconds until it starts: those ahead go at the pace of late. Jobs that wait for their time are not in a line."""
    if wait or not ahead:
        return round(wait, 3)
    return round(ahead / rate, 3) if rate else None
