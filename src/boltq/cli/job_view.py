"""How commands show jobs."""

from collections.abc import Iterable, Sequence

import msgspec

from boltq.cli import show
from boltq.domain.job import JobRecord, Priority
from boltq.domain.outcome import JobError, error_of
from boltq.domain.states import JobState, actions

COLUMNS = ("id", "state", "type", "queue", "attempts", "for", "note")


def list_jobs(jobs: Iterable[JobRecord], now: int) -> None:
    """A table of jobs."""
    rows = [(j.id, j.state, j.type, place_of(j), j.attempts, show.age(j.since, now), note_of(j, now)) for j in jobs]
    show.table(COLUMNS, rows, right=("attempts", "for"))


def place_of(job: JobRecord) -> str:
    """Its queue, and its priority when that is not the usual one."""
    return job.queue if job.priority is Priority.NORMAL else f"{job.queue} {job.priority.word}"


def note_of(job: JobRecord, now: int) -> str:
    """The most telling fact about a job."""
    if job.error:
        return one_line(error_of(job.error))
    if job.due_at:
        return f"due in {show.age(job.due_at, now)}" if job.due_at > now else "due"
    if job.progress is not None and job.state is JobState.RUNNING:
        return f"{job.progress:.0%} {job.progress_text or ''}".rstrip()
    return job.reason or ""


def one_line(error: JobError) -> str:
    """An error in short."""
    message = error.message.split("\n", 1)[0]
    return f"{error.category}: {error.class_name}: {message}"[:160]


def describe(job: JobRecord, now: int) -> None:
    """Everything about one job."""
    error = error_of(job.error) if job.error else None
    show.facts(_facts(job, error, now))
    _block("data", pretty(job.data))
    _block("result", pretty(job.result))
    _block("log", "\n".join(job.log))
    _block("traceback", error.traceback.rstrip() if error else "")


def _facts(job: JobRecord, error: JobError | None, now: int) -> Sequence[tuple[str, object]]:
    most = f" of {job.spec.max_attempts}" if job.spec.max_attempts else ""
    progress = f"{job.progress:.0%} {job.progress_text or ''}" if job.progress is not None else ""
    return [
        ("id", job.id),
        ("state", f"{job.state} for {show.age(job.since, now)}{', asked to stop' if job.cancel_requested else ''}"),
        ("type", job.type),
        ("queue", f"{job.queue}, {job.priority.word}"),
        ("submitted", show.moment(job.created_at)),
        ("due", show.moment(job.due_at)),
        ("expires", show.moment(job.expires_at)),
        ("started", show.moment(job.started_at)),
        ("ended", show.moment(job.finished_at)),
        ("attempts", f"{job.attempts}{most} (deliveries: {job.deliveries}, lost workers: {job.losses})"),
        ("worker", job.worker),
        ("progress", progress),
        ("reason", job.reason),
        ("error", one_line(error) if error else ""),
        ("fingerprint", error.fingerprint if error else ""),
        ("you can", ", ".join(action.replace("_", "-") for action in actions(job.state))),
    ]


def _block(name: str, text: str) -> None:
    if text:
        print(f"\n{name}:")
        for line in show.clean_lines(text).splitlines():
            print(f"  {line}")


def pretty(text: str | None) -> str:
    """JSON text as it reads best."""
    return msgspec.json.format(text, indent=2) if text else ""
