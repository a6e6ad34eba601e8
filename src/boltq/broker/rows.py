"""Jobs as the reading scripts say them, as records."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from boltq.broker.contract import JobRow, WholeJobRow, of_a_record
from boltq.domain.job import NO_SPEC, JobRecord, Priority, Spec, StepPlace
from boltq.domain.states import TERMINAL, JobState


def record(values: Sequence[Any], **more: Any) -> JobRecord:
    """A job of a list, which has no payload; `more`: what else is known of it."""
    row = of_a_record(values, JobRow)
    queue, priority, job_type = row.route.split(" ")
    ended = row.since if row.state in TERMINAL else None
    share, _, text = (row.progress or "").partition(" ")
    known: dict[str, Any] = {name: getattr(row, name) for name in _AS_IT_IS}
    counts: dict[str, Any] = {name: getattr(row, name) or 0 for name in _COUNTS}
    return JobRecord(
        **known,
        **counts,
        type=job_type,
        queue=queue,
        priority=Priority(int(priority)),
        data=row.data or "",
        spec=msgspec.json.decode(row.spec, type=Spec) if row.spec else NO_SPEC,
        started_at=_start_of(row),
        finished_at=ended,
        cancel_requested=bool(row.cancel) and row.state is JobState.RUNNING,
        progress=float(share) if share else None,
        progress_text=text or None,
        tags=(row.tags or "").split(),
        replays=(row.replays or "").split(),
        workflow_id=(row.flow or "").partition(" ")[0] or None,
        **more,
    )


def whole_record(values: Sequence[Any]) -> JobRecord:
    """A job with its payload, result, log lines and past runs."""
    row = msgspec.convert(values, WholeJobRow)
    workflow_id, step, item = row.place or ("", "", 0)
    place = StepPlace(workflow_id, step, item or None) if workflow_id else None
    return record(row.job, log=row.log, runs=row.runs, step=place)


def _start_of(row: JobRow) -> int | None:
    if row.state is JobState.RUNNING:
        return row.since
    return row.since - row.took if row.state in TERMINAL and row.took is not None else None


_COUNTS: Final = ("attempts", "deliveries", "losses", "unlogged")
_AS_IT_IS: Final = sorted(
    set(JobRow.__struct_fields__)
    & set(JobRecord.__struct_fields__) - {*_COUNTS, "data", "spec", "progress", "tags", "replays"}
)
