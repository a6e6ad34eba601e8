"""How commands show jobs."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from boltq.cli import show
from boltq.client.answers import JobInfo, JobSummary
from boltq.domain.job_error import JobError
from boltq.domain.states import TERMINAL, JobState

COLUMNS = ("id", "state", "type", "queue", "attempts", "for", "note")


def list_jobs(jobs: Iterable[JobSummary], now: datetime) -> None:
    """A table of jobs."""
    rows = [
        (j.id, j.state, kind_of(j), place_of(j), j.attempts, show.between(j.since, now), note_of(j, now)) for j in jobs
    ]
    show.table(COLUMNS, rows, right=("attempts", "for"))


def kind_of(job: JobSummary) -> str:
    """A job's type, and its title if it has one."""
    return f"{job.type}: {job.title}" if job.title else job.type


def place_of(job: JobSummary) -> str:
    """A job's queue, and its priority when it is not `normal`."""
    return job.queue if job.priority == "normal" else f"{job.queue} {job.priority}"


def note_of(job: JobSummary, now: datetime) -> str:
    """The most telling fact about a job."""
    if job.error:
        return one_line(job.error)
    if job.run_at:
        return f"due in {show.between(job.run_at, now)}" if job.run_at > now else "due"
    if job.progress is not None and job.state is JobState.RUNNING:
        return f"{job.progress:.0%} {job.progress_text or ''}".rstrip()
    return job.reason or ""


def one_line(error: JobError) -> str:
    """An error in short."""
    message = error.message.split("\n", 1)[0]
    return f"{error.category}: {error.class_name}: {message}"[:160]


def describe(job: JobInfo, now: datetime) -> None:
    """Everything about one job."""
    show.facts(_facts(job, now))
    show.block("data", pretty(job.data_json))
    show.block("result", pretty(job.result_json))
    show.block("log", "\n".join(job.log or ()))
    show.block("past runs", "\n".join(_runs(job)))
    show.block("traceback", job.error.traceback.rstrip() if job.error else "")


def _standing(job: JobInfo, now: datetime) -> str:
    age = show.between(job.since, now)
    stops = ", asked to stop" if job.cancel_requested else ""
    return f"{job.state} {age} ago" if job.state in TERMINAL else f"{job.state} for {age}{stops}"


def _facts(job: JobInfo, now: datetime) -> Sequence[tuple[str, object]]:
    most = f" of {job.max_attempts}" if job.max_attempts else ""
    progress = f"{job.progress:.0%} {job.progress_text or ''}" if job.progress is not None else ""
    return [
        ("id", job.id),
        ("state", _standing(job, now)),
        ("why", job.why.text if job.why else ""),
        ("type", job.type),
        ("title", job.title),
        ("queue", f"{job.queue}, {job.priority}"),
        ("tags", ", ".join(job.tags)),
        ("submitted", _moment(job.created_at, f" by {job.created_by}" if job.created_by else "")),
        ("due", _moment(job.run_at)),
        ("expires", _moment(job.expires_at)),
        ("started", _moment(job.started_at)),
        ("ended", _moment(job.finished_at)),
        ("attempts", f"{job.attempts}{most} (deliveries: {job.deliveries}, lost workers: {job.losses})"),
        ("worker", job.worker),
        ("progress", progress),
        ("reason", job.reason),
        ("error", one_line(job.error) if job.error else ""),
        ("fingerprint", job.error.fingerprint if job.error else ""),
        ("replay of", job.replay_of),
        ("replays", ", ".join(job.replays)),
        ("you can", ", ".join(action.name.replace("_", "-") for action in job.actions if action.allowed)),
    ]


def _moment(moment: datetime | None, more: str = "") -> str:
    return show.moment(show.millis(moment)) + more if moment else ""


def _runs(job: JobInfo) -> Iterable[str]:
    for run in job.runs:
        took = show.span((run.ended_at - run.started_at).total_seconds())
        why = f": {one_line(run.error)}" if run.error else ""
        yield f"{run.attempt}. {_moment(run.started_at)}, {took} on {run.worker}: {run.outcome}{why}"


def pretty(json: bytes) -> str:
    """JSON as it reads best; nothing for null."""
    text = bytes(json)
    return "" if text == b"null" else msgspec.json.format(text, indent=2).decode()
