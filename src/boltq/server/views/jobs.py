"""What goes out, as msgspec structs: jobs, queues and workers as they are shown."""

from functools import cache
from typing import Annotated, Any

import msgspec

from boltq.domain.job import RUN_ENDS, JobRecord, PastRun, Spec, StepPlace
from boltq.domain.job_error import JobError, error_of
from boltq.domain.states import TERMINAL, JobState, action_reasons
from boltq.server.http.moments import rfc3339
from boltq.server.views.common import ALL_RIGHTS, NO_RIGHT, ActionView, Rights, WhyView, raw_or_none


class SubmittedView(msgspec.Struct, kw_only=True):
    """The answer to a submission."""

    id: str
    type: str
    queue: str
    priority: str
    state: Annotated[JobState | None, msgspec.Meta(description="null: it was there already, and is no longer kept")]
    created: Annotated[bool, msgspec.Meta(description="false: the job was there already")]
    warnings: list[str] = []


class FirstSubmittedView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The answer to a submission in the first version's words."""

    job_id: str
    id: str
    status: str
    created: bool
    warnings: list[str] = []


class RunView(msgspec.Struct, kw_only=True):
    """A past run that did not complete its job."""

    attempt: int
    delivery: int
    worker: str
    started_at: str
    ended_at: str
    run_ms: int
    outcome: Annotated[str, msgspec.Meta(description=" | ".join(RUN_ENDS))]
    category: Annotated[str | None, msgspec.Meta(description="of the error")]
    error: JobError | None


class AsSubmittedView(msgspec.Struct, kw_only=True):
    """The options that have no default but none, and that nothing else changes: shown as they were submitted."""

    tags: list[str]
    title: str | None


def as_submitted(tags: list[str], spec: Spec) -> dict[str, Any]:
    """The fields of an AsSubmittedView."""
    return {"tags": tags, "title": spec.title}


class JobSummary(msgspec.Struct, kw_only=True):
    """A job as a list shows it: without what may be large."""

    id: str
    type: str
    title: str | None
    queue: str
    priority: str
    state: JobState
    since: str
    created_at: str
    run_at: str | None
    expires_at: str | None
    started_at: str | None
    finished_at: str | None
    attempt: Annotated[int, msgspec.Meta(description="the number of the run that runs, or of the last one")]
    attempts: Annotated[int, msgspec.Meta(description="runs that counted")]
    max_attempts: int | None
    timeout_seconds: float | None
    deliveries: int
    losses: int
    worker: str | None
    progress: float | None
    progress_text: str | None
    cancel_requested: bool
    reason: str | None
    error: Annotated[JobError | None, msgspec.Meta(description="of the last failed run; lists leave the traceback out")]
    traceparent: str | None
    tags: list[str]
    actions: list[ActionView]
    hidden: Annotated[bool, msgspec.Meta(description="true: what was submitted and said needs the scope payload")]


class JobStepView(msgspec.Struct, kw_only=True):
    """The step of a workflow that a job is."""

    id: Annotated[str, msgspec.Meta(description="of the workflow")]
    step: str
    item: Annotated[int | None, msgspec.Meta(description="of its map, from 1")]


class JobView(JobSummary, kw_only=True):
    """A job with everything."""

    data: msgspec.Raw | None
    result: msgspec.Raw | None
    log: list[str] | None
    created_by: str | None
    replay_of: Annotated[str | None, msgspec.Meta(description="the job that this one was made from")]
    replays: Annotated[list[str], msgspec.Meta(description="the newest jobs that were made from this one")]
    runs: list[RunView]
    workflow: Annotated[JobStepView | None, msgspec.Meta(description="where it is a step of a workflow")]
    why: WhyView | None


class FirstJobView(JobView, kw_only=True):
    """A job in the first version's words, and ours."""

    job_id: str
    status: str


class StandingView(msgspec.Struct):
    """Where a job stands after something was done to it."""

    id: str
    state: JobState
    cancel_requested: bool
    actions: list[ActionView]


class ScanView(msgspec.Struct):
    """How far a search has come."""

    examined: Annotated[int, msgspec.Meta(description="jobs that were looked at for this page")]
    complete: Annotated[bool, msgspec.Meta(description="whether there are no more; an empty page need not be the last")]


class PageView(msgspec.Struct):
    """One page of jobs; `next_cursor` is null at the end."""

    items: list[JobSummary]
    next_cursor: str | None
    scan: ScanView | None = None


class CountsView(msgspec.Struct):
    """How many jobs stand where."""

    by_state: dict[JobState, int]
    approximate: Annotated[bool, msgspec.Meta(description="true: too many to look at, so there are at least so many")]


class LogLine(msgspec.Struct):
    """A line of a job's log."""

    n: int
    text: str


class LogView(msgspec.Struct):
    """A piece of a job's log; `next_after` is null at the end of what there is now."""

    items: list[LogLine]
    next_after: int | None


def summary(job: JobRecord, rights: Rights = ALL_RIGHTS) -> JobSummary:
    """A job for a list."""
    error = msgspec.structs.replace(error_of(job.error), traceback="") if job.error and rights.payload else None
    return JobSummary(**_common(job, rights), error=error)


def view(job: JobRecord, rights: Rights = ALL_RIGHTS, why: WhyView | None = None) -> JobView:
    """A job with everything that one may see."""
    return JobView(**_everything(job, rights), why=why)


def first_view(job: JobRecord, rights: Rights = ALL_RIGHTS, why: WhyView | None = None) -> FirstJobView:
    """A job for /status."""
    return FirstJobView(job_id=job.id, status=job.state, **_everything(job, rights), why=why)


@cache
def action_views(state: JobState, operate: bool = True) -> list[ActionView]:  # noqa: FBT001, FBT002 - it is a cache's key
    """The actions on a job by its state, each allowed or with the reason why not."""
    return [
        ActionView(name=name, allowed=allowed and operate, reason=reason or (None if operate else NO_RIGHT))
        for name, allowed, reason in action_reasons(state)
    ]


def actions_of(state: JobState, workflow_id: str | None, *, operate: bool = True) -> list[ActionView]:
    """The actions on a job; a workflow's step is run again, and deleted, with its workflow."""
    actions = action_views(state, operate)
    if not workflow_id:
        return actions
    belongs = f"it is a step of workflow {workflow_id}: "
    refused = {"replay": f"{belongs}rerun that"}
    if state not in TERMINAL:
        refused["delete"] = f"{belongs}cancel that"
    return [ActionView(name=a.name, allowed=False, reason=refused[a.name]) if a.name in refused else a for a in actions]


def _common(job: JobRecord, rights: Rights) -> dict[str, Any]:
    return {
        "id": job.id,
        "type": job.type,
        "queue": job.queue,
        "priority": job.priority.word,
        "state": job.state,
        "since": rfc3339(job.since),
        "created_at": rfc3339(job.created_at),
        "run_at": rfc3339(job.due_at),
        "expires_at": rfc3339(job.expires_at),
        "started_at": rfc3339(job.started_at),
        "finished_at": rfc3339(job.finished_at),
        "attempt": job.attempts + (job.state is JobState.RUNNING),
        "attempts": job.attempts,
        "max_attempts": job.spec.max_attempts,
        "timeout_seconds": job.spec.timeout,
        "deliveries": job.deliveries,
        "losses": job.losses,
        "worker": job.worker,
        "progress": job.progress,
        "progress_text": job.progress_text if rights.payload else None,
        "cancel_requested": job.cancel_requested,
        "reason": job.reason,
        "traceparent": (job.spec.headers or {}).get("traceparent"),
        **as_submitted(job.tags, job.spec),
        "actions": actions_of(job.state, job.workflow_id, operate=rights.operate),
        "hidden": not rights.payload,
    }


def _everything(job: JobRecord, rights: Rights) -> dict[str, Any]:
    seen = rights.payload
    return _common(job, rights) | {
        "data": msgspec.Raw(job.data) if seen else None,
        "result": raw_or_none(job.result) if seen else None,
        "error": raw_or_none(job.error) if seen else None,
        "log": job.log if seen else None,
        "created_by": job.created_by,
        "replay_of": job.replay_of,
        "replays": job.replays,
        "runs": [_run(run, seen) for run in job.runs],
        "workflow": _workflow(job.step),
    }


def _workflow(place: StepPlace | None) -> JobStepView | None:
    return JobStepView(id=place.workflow_id, step=place.step, item=place.item) if place else None


def _run(run: PastRun, seen: bool) -> RunView:  # noqa: FBT001 - the one call is above
    error: Any = raw_or_none(run.error or None) if seen else None
    return RunView(
        attempt=run.attempt,
        delivery=run.delivery,
        worker=run.worker,
        started_at=rfc3339(run.started_at),
        ended_at=rfc3339(run.ended_at),
        run_ms=run.ended_at - run.started_at,
        outcome=run.outcome,
        category=error_of(run.error).category if run.error else None,
        error=error,
    )
