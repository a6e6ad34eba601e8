"""Rows of the reading scripts as records."""

from collections.abc import Sequence
from typing import Any

import msgspec

from boltq.domain.job import NO_SPEC, JobRecord, PastRun, Priority, Spec, StepPlace
from boltq.domain.states import JobState


def record(
    row: Sequence[Any], log: Sequence[str] = (), runs: Sequence[Any] = (), place: Sequence[Any] = ()
) -> JobRecord:
    """A row of lua/lib/reading.lua as a record. A list's row has no payload."""
    job_id, due, state, route, at, since, n, tries, lost, worker, took, error, *rest = row
    reason, cancel, progress, expires, tags, flow, *rest = rest
    spec, data, result, created_by, replay_of, replays, unlogged = rest or [""] * 7
    queue, priority, job_type = route.split(" ")
    standing, moved = JobState(state), int(since)
    ended = moved if standing in _ENDED else None
    share, _, text = progress.partition(" ")
    return JobRecord(
        id=job_id,
        state=standing,
        type=job_type,
        queue=queue,
        priority=Priority(int(priority)),
        data=data,
        spec=msgspec.json.decode(spec, type=Spec) if spec else NO_SPEC,
        created_at=int(at),
        since=moved,
        attempts=int(tries or 0),
        deliveries=int(n or 0),
        losses=int(lost or 0),
        due_at=int(due) or None,
        expires_at=int(expires) if expires else None,
        worker=worker or None,
        started_at=moved if standing is JobState.RUNNING else moved - int(took) if took and ended else None,
        finished_at=ended,
        result=result or None,
        error=error or None,
        cancel_requested=bool(cancel) and standing is JobState.RUNNING,
        reason=reason or None,
        progress=float(share) if share else None,
        progress_text=text or None,
        log=list(log),
        unlogged=int(unlogged or 0),
        tags=tags.split(),
        created_by=created_by or None,
        replay_of=replay_of or None,
        replays=replays.split(),
        runs=msgspec.convert(runs, list[PastRun]),
        workflow_id=flow.partition(" ")[0] or None,
        step=StepPlace(place[0], place[1], place[2] or None) if place else None,
    )


_ENDED = {JobState.COMPLETED, JobState.DEAD, JobState.CANCELLED}
