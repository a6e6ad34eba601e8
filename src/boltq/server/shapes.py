"""What comes in and what goes out, as msgspec structs: the body of a submission, and jobs as they are shown."""

import difflib
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec

from boltq.broker.inspector import QueueStats, WorkerInfo
from boltq.domain import limits
from boltq.domain.errors import InvalidJob
from boltq.domain.job import NO_SPEC, JobRecord, NewJob, Priority, Spec
from boltq.domain.states import JobState, actions
from boltq.server.body import BOM, check_depth, malformed, pointed, repeated_key
from boltq.server.guard import Headers

Mistakes = list[tuple[str, str]]  # (JSON pointer, what is wrong)
Seconds = int | float
Moment = int | float | str  # unix seconds, or RFC 3339

NO_DATA: Final = msgspec.Raw(b"{}")
MAX_MISTAKES: Final = 30  # that are named at once
MAX_REMEMBERED: Final = 1_000  # names of job types and queues


class JobForm(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /api/v1/jobs. `data` is kept as it was written: key order and big numbers survive."""

    type: str
    data: msgspec.Raw = NO_DATA
    queue: str = "default"
    priority: int | str = 1  # Priority.NORMAL
    delay_seconds: Seconds | None = None
    run_at: Moment | None = None
    expires_in_seconds: Seconds | None = None
    expires_at: Moment | None = None
    max_attempts: int | None = None
    timeout_seconds: Seconds | None = None
    idempotency_key: str | None = None


class FirstJobForm(JobForm, kw_only=True):
    """The body of POST /submit: the same, but the data is called `payload`."""

    data: msgspec.Raw = msgspec.field(default=NO_DATA, name="payload")


class FormReader:
    """Turns a body into a NewJob, or says everything that is wrong with it."""

    def __init__(self, form: type[JobForm]) -> None:
        fields = msgspec.structs.fields(form)
        self._decode = msgspec.json.Decoder(form).decode
        self._form = form
        self._fields = {field.encode_name: (field.name, msgspec.json.Decoder(field.type)) for field in fields}
        self._data = next(field.encode_name for field in fields if field.name == "data")
        self._names: set[str] = set()  # that were found good; bounded

    def read(self, body: bytes, headers: Headers) -> NewJob:
        """The job that is asked for. Raises InvalidJob, or Problem for what is no JSON."""
        body = body.removeprefix(BOM)
        check_depth(body)
        mistakes: Mistakes = []
        form = self._decoded(body, mistakes)
        self._check_repeats(body, form, mistakes)
        data = _data(form.data, mistakes)
        if not mistakes and (plain := self._plain(form, data, headers)):
            return plain
        job = self._job(form, data, headers, mistakes)
        try:
            job.check()
        except InvalidJob as error:
            known = {pointer for pointer, _ in mistakes}
            mistakes += [mistake for mistake in error.errors if mistake[0] not in known]
        if mistakes:
            raise InvalidJob([(_DATA_POINTER.sub(f"/{self._data}", at), why) for at, why in mistakes])
        self._remember(job)
        return job

    def _plain(self, form: JobForm, data: str, headers: Headers) -> NewJob | None:
        """The job, when it is of the usual kind and its names have been checked before; None: look at it closely."""
        if (
            form.type in self._names
            and form.queue in self._names
            and not form.delay_seconds
            and form.run_at is None
            and form.expires_in_seconds is None
            and form.expires_at is None
            and form.max_attempts is None
            and form.timeout_seconds is None
            and form.idempotency_key is None
            and b"idempotency-key" not in headers
            and b"traceparent" not in headers
            and (priority := _PRIORITIES.get(form.priority)) is not None
            and len(data) <= limits.MAX_DATA_BYTES >> 2  # so it is no more in bytes either
        ):
            return NewJob(type=form.type, data=data, queue=form.queue, priority=priority)
        return None

    def _remember(self, job: NewJob) -> None:
        if len(self._names) < MAX_REMEMBERED:
            self._names.update((job.type, job.queue))

    def _decoded(self, body: bytes, mistakes: Mistakes) -> JobForm:
        try:
            return self._decode(body)
        except msgspec.ValidationError:
            return self._piecewise(body, mistakes)
        except ValueError as error:  # no JSON, or no UTF-8
            raise malformed(error, body) from None

    def _piecewise(self, body: bytes, mistakes: Mistakes) -> JobForm:
        """What is right of a body with mistakes, so that all of them can be named at once."""
        try:
            pieces = _PIECES.decode(body)
        except msgspec.ValidationError as error:
            raise InvalidJob([pointed(error)]) from None
        except ValueError as error:
            raise malformed(error, body) from None
        good: dict[str, Any] = {"type": "?"}
        for key, piece in pieces.items():
            if len(mistakes) >= MAX_MISTAKES:
                break
            if known := self._fields.get(key):
                _take(piece, key, known, good, mistakes)
            else:
                mistakes.append((f"/{_escaped(key)}", self._unknown(key)))
        if "type" not in pieces:
            mistakes.append(("/type", "required: the job type"))
        return self._form(**good)

    def _unknown(self, key: str) -> str:
        close = {"data": self._data, "payload": self._data}.get(key)
        close = close or next(iter(difflib.get_close_matches(key, self._fields, n=1, cutoff=0.5)), None)
        return f"unknown field; did you mean {close}?" if close else f"unknown field; known: {', '.join(self._fields)}"

    def _check_repeats(self, body: bytes, form: JobForm, mistakes: Mistakes) -> None:
        around = body if form.data is NO_DATA else body.replace(form.data, b"", 1)
        if (key := repeated_key(body, around)) is not None:
            mistakes.append((f"/{_escaped(key)}", "given more than once"))

    def _job(self, form: JobForm, data: str, headers: Headers, mistakes: Mistakes) -> NewJob:
        return NewJob(
            type=form.type,
            data=data,
            queue=form.queue,
            priority=_priority(form.priority, mistakes),
            delay=_span(form.delay_seconds, "/delay_seconds", mistakes),
            run_at=_moment(form.run_at, "/run_at", mistakes),
            expires_in=_span(form.expires_in_seconds, "/expires_in_seconds", mistakes, least=1),
            expires_at=_moment(form.expires_at, "/expires_at", mistakes),
            idempotency_key=_key(form, headers, mistakes),
            spec=_spec(form, headers),
        )


_PIECES: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_DATA: Final = msgspec.json.Decoder(dict[str, Any])
_DATA_POINTER: Final = re.compile(r"^/data(?=/|$)")
_RFC3339 = Annotated[datetime, msgspec.Meta(tz=True)]
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PRIORITIES: Final[dict[int | str, int]] = {key: int(p) for p in Priority for key in (p.value, p.word)}
_FAR: Final = 1e15  # seconds: beyond every limit, and still a number that can be multiplied
_TRACEPARENT: Final = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def _take(
    piece: msgspec.Raw, key: str, known: tuple[str, msgspec.json.Decoder[Any]], good: dict[str, Any], mistakes: Mistakes
) -> None:
    name, decoder = known
    try:
        good[name] = decoder.decode(piece)
    except ValueError as error:
        mistakes.append((f"/{key}", pointed(error)[1]))


def _data(raw: msgspec.Raw, mistakes: Mistakes) -> str:
    """The text of the data. What its worker could not read is refused here."""
    if raw is NO_DATA:
        return "{}"
    try:
        _DATA.decode(raw)
        return str(raw, "utf-8")
    except msgspec.ValidationError as error:
        at, why = pointed(error)
        mistakes.append((f"/data{at}", "must be a JSON object" if why.startswith("expected object") else why))
    except UnicodeDecodeError:
        mistakes.append(("/data", "not UTF-8"))
    return "{}"


def _priority(value: int | str, mistakes: Mistakes) -> int:
    try:
        return Priority.parse(value)
    except ValueError as error:
        mistakes.append(("/priority", str(error)))
        return Priority.NORMAL


def _span(seconds: Seconds | None, pointer: str, mistakes: Mistakes, least: int = 0) -> int:
    """Seconds as milliseconds; a little is not nothing."""
    if seconds is None:
        return 0
    if not seconds and least:
        mistakes.append((pointer, "must be more than 0"))
    millis = round(max(-_FAR, min(seconds, _FAR)) * 1_000)
    return max(millis, 1) if seconds > 0 else millis


def _moment(value: Moment | None, pointer: str, mistakes: Mistakes) -> int:
    """A moment as milliseconds since 1970."""
    if value is None:
        return 0
    if not isinstance(value, str):
        return round(max(-_FAR, min(value, _FAR)) * 1_000)
    try:
        return (msgspec.convert(value, _RFC3339) - _EPOCH) // timedelta(milliseconds=1)
    except (msgspec.ValidationError, OverflowError):
        mistakes.append((pointer, "give a time with its zone, such as 2030-01-31T09:30:00Z, or unix seconds"))
        return 0


def _key(form: JobForm, headers: Headers, mistakes: Mistakes) -> str:
    """The idempotency key: of the header, or of the body; never of both when they differ."""
    stated = headers.get(b"idempotency-key")
    if stated is None and form.idempotency_key is None:
        return ""
    header = None if stated is None else _unquoted(stated.decode("latin-1"))
    if None not in {header, form.idempotency_key} and header != form.idempotency_key:
        mistakes.append(("/idempotency_key", "differs from the Idempotency-Key header"))
    key = (form.idempotency_key if header is None else header) or ""
    if not key:
        mistakes.append(("/idempotency_key", "must not be empty"))
    return key


def _unquoted(text: str) -> str:
    """Without the quotes that the header's draft standard asks for."""
    quoted = len(text) > 1 and text[0] == text[-1] == '"'
    return text[1:-1] if quoted else text


def _spec(form: JobForm, headers: Headers) -> Spec:
    trace = headers.get(b"traceparent")
    if trace is not None and not _TRACEPARENT.fullmatch(trace):
        trace = None  # W3C Trace Context: as if it were not there
    if trace is None and form.max_attempts is None and form.timeout_seconds is None:
        return NO_SPEC
    return Spec(form.max_attempts, form.timeout_seconds, {"traceparent": trace.decode()} if trace else None)


def _escaped(key: str) -> str:
    """A key as a step of a JSON pointer (RFC 6901)."""
    return key[:100].replace("~", "~0").replace("/", "~1")


# What goes out


class SubmittedView(msgspec.Struct, kw_only=True):
    """The answer to a submission. `created` is false when the job was there already."""

    id: str
    type: str
    queue: str
    priority: str
    state: str
    created: bool


class FirstSubmittedView(msgspec.Struct, kw_only=True):
    """The answer to a submission in the first version's words."""

    job_id: str
    id: str
    status: str
    created: bool


class JobSummary(msgspec.Struct, kw_only=True):
    """A job as a list shows it: without what may be large."""

    id: str
    type: str
    queue: str
    priority: str
    state: JobState
    since: str
    created_at: str
    run_at: str | None
    expires_at: str | None
    started_at: str | None
    finished_at: str | None
    attempt: int  # the number of the run that runs, or of the last one; 0 before the first
    attempts: int  # runs that counted
    max_attempts: int | None
    timeout_seconds: float | None
    deliveries: int
    losses: int
    worker: str | None
    progress: float | None
    progress_text: str | None
    cancel_requested: bool
    reason: str | None
    error: msgspec.Raw | None
    traceparent: str | None
    actions: list[str]


class JobView(JobSummary, kw_only=True):
    """A job with everything."""

    data: msgspec.Raw
    result: msgspec.Raw | None
    log: list[str]


class FirstJobView(JobView, kw_only=True):
    """A job in the first version's words, and ours."""

    job_id: str
    status: str


class StandingView(msgspec.Struct):
    """Where a job stands after something was done to it."""

    id: str
    state: JobState
    cancel_requested: bool
    actions: list[str]


class PageView(msgspec.Struct):
    """One page of jobs; `next_cursor` is null at the end."""

    items: list[JobSummary]
    next_cursor: str | None


class WorkerView(msgspec.Struct, kw_only=True):
    """A worker; `types` is null when it takes any."""

    id: str
    since: str
    lease_ends_at: str
    queues: list[str]
    types: list[str] | None
    info: dict[str, Any]
    vitals: dict[str, Any]


def summary(job: JobRecord) -> JobSummary:
    """A job for a list."""
    return JobSummary(**_common(job))


def view(job: JobRecord) -> JobView:
    """A job with everything."""
    return JobView(**_common(job), **_large(job))


def first_view(job: JobRecord) -> FirstJobView:
    """A job for /status."""
    return FirstJobView(job_id=job.id, status=job.state, **_common(job), **_large(job))


def queue_view(stats: QueueStats) -> dict[str, Any]:
    """A queue's numbers."""
    return msgspec.structs.asdict(stats) | {"oldest_queued_at": rfc3339(stats.oldest_queued_at)}


def worker_view(worker: WorkerInfo) -> WorkerView:
    """A worker with its times as text."""
    fields = msgspec.structs.asdict(worker)
    times = {name: rfc3339(fields[name]) for name in ("since", "lease_ends_at")}
    return WorkerView(**fields | times)


def rfc3339(millis: int | None) -> Any:
    """Milliseconds since 1970 as text in UTC; None stays None."""
    if millis is None:
        return None
    return (_EPOCH + timedelta(milliseconds=millis)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _common(job: JobRecord) -> dict[str, Any]:
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
        "progress_text": job.progress_text,
        "cancel_requested": job.cancel_requested,
        "reason": job.reason,
        "error": _raw(job.error),
        "traceparent": (job.spec.headers or {}).get("traceparent"),
        "actions": actions(job.state),
    }


def _large(job: JobRecord) -> dict[str, Any]:
    return {"data": msgspec.Raw(job.data), "result": _raw(job.result), "log": job.log}


def _raw(text: str | None) -> msgspec.Raw | None:
    return None if text is None else msgspec.Raw(text)
