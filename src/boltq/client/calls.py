"""Every call of the API that a client makes, each described once: where it goes, what it says, what it answers.

Both clients make their methods from these, so the parameters and the first lines of their help are written here.
"""

from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any, Final, TypedDict, Unpack

import msgspec

from boltq.client.answers import (
    AuditEntry,
    Batch,
    BulkPreview,
    Checks,
    Counts,
    DryRun,
    Groups,
    JobAfter,
    JobInfo,
    JobSummary,
    JobType,
    KeyInfo,
    Log,
    Meta,
    NewKey,
    OperationInfo,
    Page,
    QueueInfo,
    QueueStanding,
    Ready,
    SubmittedJob,
    System,
    WhoAmI,
    WorkerInfo,
)
from boltq.client.request import Ask, call
from boltq.domain.errors import InvalidJob
from boltq.domain.job import NewJob, Spec
from boltq.domain.options import Seconds, When, seconds_of, unix_ms
from boltq.domain.states import JobState
from boltq.domain.values import as_json

# Submitting


@call("POST", "/api/v1/jobs", "submitJob", repeat=True)  # it has a key, so a repeat is the same job
def submit_job(job: NewJob, key: str | None = None) -> Ask[SubmittedJob]:
    """Submit one job; `key`: an idempotency key for one that has none of its own."""
    return Ask(SubmittedJob, body=form_of(job), headers=given(**{"idempotency-key": key}, **_trace(job)))


@call("POST", "/api/v1/jobs", "submitJob", repeat=True)
def dry_run_job(job: NewJob) -> Ask[DryRun]:
    """What would become of a job, and who would run it; nothing is submitted."""
    return Ask(DryRun, body=form_of(job), query={"dry_run": True})


@call("POST", "/api/v1/jobs/batch", "submitJobs", repeat=True)
def submit_jobs(jobs: Sequence[NewJob], key: str) -> Ask[Batch]:
    """Submit up to 1,000 jobs; those without a key of their own have that and their index."""
    return Ask(Batch, body={"jobs": [form_of(job) for job in jobs]}, headers={"idempotency-key": key})


# Jobs


class WhichInAnyState(TypedDict, total=False):
    """Which jobs: every word that is given must fit; of several types and queues any one, of tags all."""

    type: str | Sequence[str] | None
    queue: str | Sequence[str] | None
    tag: str | Sequence[str] | None
    category: str | None  # of the last error
    fingerprint: str | None  # of the last error
    worker: str | None
    created_after: When | None  # a datetime with a time zone, or unix seconds
    created_before: When | None


class Which(WhichInAnyState, total=False):
    """Which jobs, by their state too: any one of several."""

    state: JobState | str | Sequence[JobState | str] | None


class WhichToList(Which, total=False):
    """Which jobs to list; `workflow`: the id of a workflow, whose steps and items are listed in their order."""

    workflow: str | None


@call("GET", "/api/v1/jobs", "listJobs")
def list_jobs(*, limit: int = 100, cursor: str | None = None, **which: Unpack[WhichToList]) -> Ask[Page[JobSummary]]:
    """A page of the jobs that fit."""
    return Ask(Page[JobSummary], query={**moments(which), "limit": limit, "cursor": cursor})


@call("GET", "/api/v1/jobs/{id}", "getJob")
def get_job(job_id: str, *, wait: float | None = None) -> Ask[JobInfo]:
    """The job with everything; `wait`: when it has ended, or after so many seconds. Raises NotFound."""
    return Ask(JobInfo, {"id": job_id}, query={"wait": wait or None}, patience=wait or 0.0)


@call("GET", "/api/v1/jobs/{id}/logs", "getJobLog")
def get_log(job_id: str, *, after: int = 0, limit: int = 1_000) -> Ask[Log]:
    """The lines that it has written, from line `after` on. Raises NotFound, Forbidden."""
    return Ask(Log, {"id": job_id}, query={"after": after, "limit": limit})


@call("POST", "/api/v1/jobs/{id}/cancel", "cancelJob", repeat=True)
def cancel_job(job_id: str, reason: str | None = None) -> Ask[JobAfter]:
    """Cancel it; a running job is asked to stop, and is "running" until it has. Raises NotFound, Conflict."""
    return Ask(JobAfter, {"id": job_id}, body=given(reason=reason))


@call("POST", "/api/v1/jobs/{id}/retry", "retryJob")
def retry_job(job_id: str, reason: str | None = None) -> Ask[JobAfter]:
    """Queue a dead, cancelled or retrying job now. Raises NotFound, Conflict."""
    return Ask(JobAfter, {"id": job_id}, body=given(reason=reason))


@call("POST", "/api/v1/jobs/{id}/run-now", "runJobNow")
def run_job_now(job_id: str, reason: str | None = None) -> Ask[JobAfter]:
    """Queue a scheduled or retrying job before its time. Raises NotFound, Conflict."""
    return Ask(JobAfter, {"id": job_id}, body=given(reason=reason))


class Edits(TypedDict, total=False):
    """What may be changed of a job that waits."""

    data: Mapping[str, Any]
    priority: str | int
    run_at: When  # a datetime with a time zone, or unix seconds
    delay: Seconds
    tags: list[str]


class ReplayEdits(Edits, total=False):
    """What may be different in a job that is made from one that has ended."""

    queue: str
    expires_in: Seconds
    max_attempts: int
    timeout: Seconds


@call("PATCH", "/api/v1/jobs/{id}", "editJob", repeat=True)
def edit_job(job_id: str, *, reason: str | None = None, **edits: Unpack[Edits]) -> Ask[JobAfter]:
    """Change a scheduled, queued or retrying job; what is left out stays. Raises InvalidJob, NotFound, Conflict."""
    return Ask(JobAfter, {"id": job_id}, body=given(reason=reason, **_in_its_words(edits)))


@call("POST", "/api/v1/jobs/{id}/replay", "replayJob")
def replay_job(
    job_id: str, *, as_new: bool = False, reason: str | None = None, **edits: Unpack[ReplayEdits]
) -> Ask[JobAfter]:
    """Queue a dead or cancelled job again, with all its attempts before it. Raises NotFound, Conflict.

    With edits, or `as_new`, a new job is made from one that has ended; the answer's `id` is the new one's.
    """
    return Ask(JobAfter, {"id": job_id}, body=given(reason=reason, as_new=as_new, **_in_its_words(edits)))


@call("DELETE", "/api/v1/jobs/{id}", "deleteJob")
def delete_job(job_id: str) -> Ask[None]:
    """Delete it for ever; one that runs has to be cancelled first. Raises NotFound, Conflict."""
    return Ask(NoneType, {"id": job_id})


@call("GET", "/api/v1/jobs/counts", "countJobs")
def count_jobs(**which: Unpack[WhichInAnyState]) -> Ask[Counts]:
    """How many jobs fit, by state."""
    return Ask(Counts, query=moments(which))


# Dead letters; listing them is `list_jobs` with the state dead


@call("GET", "/api/v1/dead-letters/groups", "groupDeadLetters")
def group_dead_letters(
    *,
    by: str = "fingerprint",
    since: When | None = None,
    cursor: str | None = None,
    **which: Unpack[WhichInAnyState],
) -> Ask[Groups]:
    """What went wrong with the dead jobs that fit, and how often: by fingerprint, type or queue.

    Of very many jobs it is a portion; `next_cursor` goes on.
    """
    query = {**moments({**which, "since": since}), "by": by, "cursor": cursor}
    return Ask(Groups, query=query)


# Queues


@call("GET", "/api/v1/queues", "listQueues")
def list_queues(*, limit: int = 200, cursor: str | None = None) -> Ask[Page[QueueInfo]]:
    """A page of the queues, by name."""
    return Ask(Page[QueueInfo], query={"limit": limit, "cursor": cursor})


@call("GET", "/api/v1/queues/{queue}", "getQueue")
def get_queue(queue: str) -> Ask[QueueInfo]:
    """One queue. Raises NotFound."""
    return Ask(QueueInfo, {"queue": queue})


@call("PATCH", "/api/v1/queues/{queue}", "limitQueue", repeat=True)
def limit_queue(queue: str, most: int | None) -> Ask[QueueInfo]:
    """Let at most so many jobs wait in a queue; None: no limit."""
    return Ask(QueueInfo, {"queue": queue}, body={"max_depth": most or None})


@call("POST", "/api/v1/queues/{queue}/pause", "pauseQueue", repeat=True)
def pause_queue(queue: str, reason: str | None = None) -> Ask[QueueStanding]:
    """Start no more jobs of a queue until it is resumed; what runs goes on."""
    return Ask(QueueStanding, {"queue": queue}, body=given(reason=reason))


@call("POST", "/api/v1/queues/{queue}/resume", "resumeQueue", repeat=True)
def resume_queue(queue: str, reason: str | None = None) -> Ask[QueueStanding]:
    """Serve a paused queue again."""
    return Ask(QueueStanding, {"queue": queue}, body=given(reason=reason))


@call("POST", "/api/v1/queues/{queue}/purge", "purgeQueue")
def purge_queue(queue: str, states: Sequence[JobState | str], *, reason: str | None = None) -> Ask[OperationInfo]:
    """Delete a queue's jobs that are in these states, for ever: all but running. See `finished`."""
    body = given(states=list(states), confirm=queue, reason=reason)
    return Ask(OperationInfo, {"queue": queue}, body=body)


# Many jobs at once


class BulkWords(Which, total=False):
    """What a bulk operation may be told: which jobs, by ids or by a filter, and how."""

    ids: Sequence[str] | None
    patch: Mapping[str, Any] | None  # of a replay: a JSON merge patch (RFC 7396) on the data of each
    rate_per_s: float | None
    canary: int | None  # do so many, then wait for `continue_operation`
    stop_on_failures: int | None
    expect_count: int | None  # refuse when it is not exactly so many jobs
    reason: str | None


@call("POST", "/api/v1/bulk", "bulk")
def bulk(action: str, **words: Unpack[BulkWords]) -> Ask[OperationInfo]:
    """Cancel, replay, run_now or delete many jobs, in the background: see `finished`. Raises InvalidJob, Conflict."""
    return Ask(OperationInfo, body=_bulk_form(action, words))


@call("POST", "/api/v1/bulk/preview", "previewBulk", repeat=True)
def preview_bulk(action: str, **words: Unpack[BulkWords]) -> Ask[BulkPreview]:
    """Preview a bulk operation; nothing is done. Raises InvalidJob."""
    return Ask(BulkPreview, body=_bulk_form(action, words))


@call("GET", "/api/v1/operations", "listOperations")
def list_operations(
    *, state: str | None = None, limit: int = 50, cursor: str | None = None
) -> Ask[Page[OperationInfo]]:
    """A page of the bulk operations of the last day, the newest first."""
    return Ask(Page[OperationInfo], query={"state": state, "limit": limit, "cursor": cursor})


@call("GET", "/api/v1/operations/{id}", "getOperation")
def get_operation(operation_id: str) -> Ask[OperationInfo]:
    """How far a bulk operation is. Raises NotFound."""
    return Ask(OperationInfo, {"id": operation_id})


@call("POST", "/api/v1/operations/{id}/stop", "stopOperation")
def stop_operation(operation_id: str, reason: str | None = None) -> Ask[OperationInfo]:
    """Do no more of a bulk operation. Raises NotFound, Conflict."""
    return Ask(OperationInfo, {"id": operation_id}, body=given(reason=reason))


@call("POST", "/api/v1/operations/{id}/continue", "continueOperation")
def continue_operation(operation_id: str, reason: str | None = None) -> Ask[OperationInfo]:
    """The canary was fine: do the rest. Raises NotFound, Conflict."""
    return Ask(OperationInfo, {"id": operation_id}, body=given(reason=reason))


# Workers and job types


@call("GET", "/api/v1/workers", "listWorkers")
def list_workers() -> Ask[Page[WorkerInfo]]:
    """The workers."""
    return Ask(Page[WorkerInfo])


@call("GET", "/api/v1/workers/{id}", "getWorker")
def get_worker(worker_id: str) -> Ask[WorkerInfo]:
    """One worker. Raises NotFound."""
    return Ask(WorkerInfo, {"id": worker_id})


@call("POST", "/api/v1/workers/{id}/drain", "drainWorker", repeat=True)
def drain_worker(worker_id: str, reason: str | None = None) -> Ask[WorkerInfo]:
    """Have a worker finish what it runs and claim nothing more. Raises NotFound, Conflict."""
    return Ask(WorkerInfo, {"id": worker_id}, body=given(reason=reason))


@call("POST", "/api/v1/workers/{id}/resume", "resumeWorker", repeat=True)
def resume_worker(worker_id: str, reason: str | None = None) -> Ask[WorkerInfo]:
    """Have a draining worker claim jobs again. Raises NotFound, Conflict."""
    return Ask(WorkerInfo, {"id": worker_id}, body=given(reason=reason))


@call("POST", "/api/v1/workers/{id}/stop", "stopWorker", repeat=True)
def stop_worker(worker_id: str, reason: str | None = None) -> Ask[WorkerInfo]:
    """Have a worker finish what it runs, and end; nobody takes its place. Raises NotFound, Conflict."""
    return Ask(WorkerInfo, {"id": worker_id}, body=given(reason=reason))


@call("GET", "/api/v1/job-types", "listJobTypes")
def list_job_types() -> Ask[Page[JobType]]:
    """The job types that workers have published."""
    return Ask(Page[JobType])


@call("GET", "/api/v1/job-types/{name}", "getJobType")
def get_job_type(name: str) -> Ask[JobType]:
    """One job type, with the JSON Schema of its data. Raises NotFound."""
    return Ask(JobType, {"name": name})


# Keys


@call("GET", "/api/v1/whoami", "whoami")
def whoami() -> Ask[WhoAmI]:
    """Who makes these calls, and what they may do. Raises Unauthorized."""
    return Ask(WhoAmI)


@call("GET", "/api/v1/keys", "listKeys")
def list_keys() -> Ask[Page[KeyInfo]]:
    """The API keys, without their secrets."""
    return Ask(Page[KeyInfo])


@call("POST", "/api/v1/keys", "createKey")
def create_key(name: str, scopes: Sequence[str], *, expires_in: Seconds | None = None) -> Ask[NewKey]:
    """Make an API key; `key` of the answer is told once. Raises InvalidJob, Conflict."""
    seconds = None if expires_in is None else seconds_of(expires_in, "/expires_in_seconds")
    return Ask(NewKey, body=given(name=name, scopes=list(scopes), expires_in_seconds=seconds))


@call("DELETE", "/api/v1/keys/{id}", "revokeKey", repeat=True)
def revoke_key(key_id: str) -> Ask[KeyInfo]:
    """Revoke an API key; it counts no more within a few seconds. Raises NotFound."""
    return Ask(KeyInfo, {"id": key_id})


# The system


@call("GET", "/ready", "ready")
def ready() -> Ask[Ready]:
    """Whether the store answers, and what is wrong with its settings. Raises StoreUnavailable, StoreUnfit."""
    return Ask(Ready)


@call("GET", "/api/v1/system", "getSystem")
def system() -> Ask[System]:
    """The API's process, its store and its settings."""
    return Ask(System)


@call("GET", "/api/v1/system/checks", "checkSystem")
def checks() -> Ask[Checks]:
    """Check the store and who works, as `boltq doctor --quick` does."""
    return Ask(Checks)


@call("GET", "/api/v1/audit", "listAudit")
def list_audit(
    *, by: str | None = None, action: str | None = None, limit: int = 100, cursor: str | None = None
) -> Ask[Page[AuditEntry]]:
    """A page of who changed what, the newest first."""
    return Ask(Page[AuditEntry], query={"by": by, "action": action, "limit": limit, "before": cursor})


@call("GET", "/api/v1/meta", "meta")
def meta() -> Ask[Meta]:
    """What this API is, and what one call may ask for."""
    return Ask(Meta)


# What goes out


_WORD_OF: Final = {"timeout": "timeout_seconds"}
_SAID_OF_SPECS: Final = [name for name in Spec.__struct_fields__ if name not in {"headers", "retry", "step"}]
"""Options that are sent; headers go with the request, and what is only of steps comes with their workflow."""


def form_of(job: NewJob) -> dict[str, Any]:
    """A submission as the API takes it."""
    return given(
        type=job.type,
        data=msgspec.Raw(job.data.encode()),
        queue=job.queue,
        priority=int(job.priority),
        delay_seconds=job.delay / 1_000 or None,
        run_at=job.run_at / 1_000 or None,
        expires_in_seconds=job.expires_in / 1_000 or None,
        expires_at=job.expires_at / 1_000 or None,
        idempotency_key=job.idempotency_key or None,
        tags=job.tags or None,
        **{_WORD_OF.get(name, name): getattr(job.spec, name) for name in _SAID_OF_SPECS},
    )


def _bulk_form(action: str, words: Mapping[str, Any]) -> dict[str, Any]:
    """The body of POST /bulk; what is neither an option nor an id belongs to the filter."""
    rest = given(**words)
    form = {"action": action, **_moved(rest, "reason", "expect_count")}
    if options := _moved(rest, "patch", "rate_per_s", "canary", "stop_on_failures"):
        form["options"] = options
    target = _moved(rest, "ids")
    if rest or not target:
        target["filter"] = _filter_form(rest)
    return {**form, "target": target}


def _moved(words: dict[str, Any], *names: str) -> dict[str, Any]:
    """These of the words, which are taken out."""
    return {name: words.pop(name) for name in names if name in words}


def _filter_form(which: Mapping[str, Any]) -> dict[str, Any]:
    """A filter as the body of POST /bulk has it: every choice a list, every moment a text."""
    found = moments(which)
    for name in ("state", "type", "queue", "tag"):
        if isinstance(found.get(name), str):
            found[name] = found[name].split(",")
    return {name: f"{value:.3f}" if isinstance(value, float) else value for name, value in found.items()}


def _in_its_words(edits: Mapping[str, Any]) -> dict[str, Any]:
    """Edits as the API takes them: durations in seconds, moments in unix seconds, data as JSON."""
    body = dict(edits)
    for name in ("delay", "expires_in", "timeout"):
        if (value := body.pop(name, None)) is not None:
            body[f"{name}_seconds"] = seconds_of(value, f"/{name}_seconds")
    if "data" in body:
        body["data"] = msgspec.Raw(data_json(body["data"]).encode())
    return moments(body)


def moments(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields, with moments as numbers. Raises InvalidJob for one without a time zone."""
    found = dict(fields)
    for name in ("run_at", "created_after", "created_before", "since"):
        if found.get(name) is not None:
            found[name] = unix_ms(found[name], f"/{name}") / 1_000
    return found


def data_json(data: Mapping[str, Any]) -> str:
    """Data as JSON text. Raises InvalidJob."""
    return as_json(data, "/data")


def given(**fields: Any) -> dict[str, Any]:
    """The fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def _trace(job: NewJob) -> dict[str, str]:
    """The trace context; other headers have no way over HTTP."""
    headers = job.spec.headers or {}
    if others := headers.keys() - {"traceparent"}:
        raise InvalidJob([("/headers", f"only traceparent travels over HTTP, not {', '.join(sorted(others))}")])
    return headers
