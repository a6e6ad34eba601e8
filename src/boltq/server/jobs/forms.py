"""What a submission says: its body as a struct, and the reader that makes a job of it or names every mistake."""

import re
from collections.abc import Iterable
from operator import attrgetter
from typing import Annotated, Any, Final, NamedTuple

import msgspec

from boltq.domain import limits
from boltq.domain.errors import InvalidJob
from boltq.domain.hints import unknown
from boltq.domain.job import NO_SPEC, NewJob, Priority, Spec
from boltq.domain.values import out_of_range
from boltq.server.http.body import BOM, check_readable, malformed, pointed, repeated_in, repeated_key
from boltq.server.http.guard import Headers
from boltq.server.http.mistakes import MAX_MISTAKES, Mistakes
from boltq.server.http.moments import MomentText, read_moment, read_span
from boltq.server.http.problems import escaped
from boltq.server.http.submissions import Key, read_key

# The schemas say what is checked elsewhere, in better words and all mistakes at once.
WordText = Annotated[
    str, msgspec.Meta(description=limits.NAME_RULE, extra_json_schema={"pattern": f"^{limits.NAME.pattern}$"})
]
Delay = Annotated[
    int | float,
    msgspec.Meta(description="seconds", extra_json_schema={"minimum": 0, "maximum": limits.MAX_DELAY_SECONDS}),
]
Expiry = Annotated[
    int | float,
    msgspec.Meta(
        description="seconds until nobody wants it any more: what has not been started by then is cancelled",
        extra_json_schema={"exclusiveMinimum": 0, "maximum": limits.MAX_DELAY_SECONDS},
    ),
]
Timeout = Annotated[
    int | float,
    msgspec.Meta(
        description="seconds that a run may take", extra_json_schema={"exclusiveMinimum": 0, "maximum": 7 * 86_400}
    ),
]
Attempts = Annotated[
    int, msgspec.Meta(description="runs", extra_json_schema={"minimum": 1, "maximum": limits.MAX_ATTEMPTS})
]
PriorityWord = Annotated[
    int | str,
    msgspec.Meta(
        description="high, normal, low (or 2, 1, 0)", extra_json_schema={"enum": ["high", "normal", "low", 2, 1, 0]}
    ),
]
Data = Annotated[
    msgspec.Raw,
    msgspec.Meta(description="a JSON object, kept as it was written", extra_json_schema={"type": "object"}),
]
TagsList = Annotated[
    list[WordText],
    msgspec.Meta(
        description="names to find the job by", extra_json_schema={"maxItems": limits.MAX_TAGS, "uniqueItems": True}
    ),
]

Title = Annotated[
    str,
    msgspec.Meta(
        description="one line for people, shown in lists; nothing is done by it",
        extra_json_schema={"maxLength": limits.MAX_TITLE_CHARS},
    ),
]

NO_DATA: Final = msgspec.Raw(b"{}")
MAX_REMEMBERED: Final = 1_000  # names of job types and queues
MAX_ITEMS: Final = 10_000  # of one array, and keys of one object, in the data


class JobForm(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /api/v1/jobs. `data` is kept as it was written: key order and big numbers survive."""

    type: WordText
    data: Data = msgspec.field(default_factory=lambda: NO_DATA)  # a default that OpenAPI can show
    queue: WordText = "default"
    priority: PriorityWord = 1  # Priority.NORMAL
    delay_seconds: Delay | None = None
    run_at: MomentText | None = None
    expires_in_seconds: Expiry | None = None
    expires_at: MomentText | None = None
    max_attempts: Attempts | None = None
    timeout_seconds: Timeout | None = None
    idempotency_key: Key | None = None
    tags: TagsList = []
    title: Title | None = None


class FirstJobForm(JobForm, kw_only=True):
    """The body of POST /submit: the same, but the data is called `payload`."""

    data: Data = msgspec.field(default_factory=lambda: NO_DATA, name="payload")


class AskedJob(NamedTuple):
    """What a body asks for: the job, and its data as values."""

    job: NewJob
    values: dict[str, Any]


class FormReader:
    """Turns a body into a NewJob, or says everything that is wrong with it."""

    def __init__(self, form: type[JobForm] = JobForm) -> None:
        fields = msgspec.structs.fields(form)
        self._decode = msgspec.json.Decoder(form).decode
        self._form = form
        self._fields = {field.encode_name: (field.name, msgspec.json.Decoder(field.type)) for field in fields}
        self.data_name = next(field.encode_name for field in fields if field.name == "data")
        self._names: set[str] = set()  # that were found good; bounded

    def read(self, body: bytes, headers: Headers) -> AskedJob:
        """The job that is asked for. Raises InvalidJob, or Problem for what is no JSON."""
        body = body.removeprefix(BOM)
        check_readable(body)
        mistakes: Mistakes = []
        form = self._decoded(body, mistakes)
        self._check_repeats(body, form, mistakes)
        of_data: Mistakes = []
        data, values = read_data(form.data, of_data)
        if of_data:
            mistakes += self._named(of_data)
        if not mistakes and (plain := self._plain(form, data, headers)):
            return AskedJob(plain, values)
        job = self._job(form, data, headers, mistakes)
        try:
            job.check(data_is_json=True)
        except InvalidJob as error:
            known = {pointer for pointer, _ in mistakes}
            mistakes += [mistake for mistake in self._named(error.errors) if mistake[0] not in known]
        if mistakes:
            raise InvalidJob(mistakes)
        self._remember(job)
        return AskedJob(job, values)

    def _named(self, mistakes: Iterable[tuple[str, str]]) -> Mistakes:
        """Mistakes of a job, at the place where its data stand in this form."""
        return [(_DATA_POINTER.sub(f"/{self.data_name}", at), why) for at, why in mistakes]

    def _plain(self, form: JobForm, data: str, headers: Headers) -> NewJob | None:
        """The job, when it is of the usual kind and its names have been checked before; None: look at it closely."""
        if (
            form.type in self._names
            and form.queue in self._names
            and _special(form) == _UNSAID
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
        """The good fields of a body with mistakes, so that all mistakes are named at once."""
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
                mistakes.append((f"/{escaped(key)}", unknown(key, self._fields)))
        if "type" not in pieces:
            mistakes.append(("/type", "required: the job type"))
        return self._form(**good)

    def _check_repeats(self, body: bytes, form: JobForm, mistakes: Mistakes) -> None:
        around = body if form.data is NO_DATA else body.replace(form.data, b"0", 1)
        if (at := repeated_key(around)) is not None:
            mistakes.append((at, "given more than once"))

    def _job(self, form: JobForm, data: str, headers: Headers, mistakes: Mistakes) -> NewJob:
        return NewJob(
            type=form.type,
            data=data,
            queue=form.queue,
            priority=read_priority(form.priority, mistakes),
            delay=read_span(form.delay_seconds, "/delay_seconds", mistakes),
            run_at=read_moment(form.run_at, "/run_at", mistakes),
            expires_in=read_span(form.expires_in_seconds, "/expires_in_seconds", mistakes, least=1),
            expires_at=read_moment(form.expires_at, "/expires_at", mistakes),
            idempotency_key=read_key(form.idempotency_key, headers, mistakes),
            tags=form.tags,
            spec=_spec(form, headers),
        )


_USUAL: Final = frozenset(
    {"type", "data", "queue", "priority"}
)  # what a usual job says; the rest is as it is by itself
_special: Final = attrgetter(*(field for field in JobForm.__struct_fields__ if field not in _USUAL))
_UNSAID: Final = _special(JobForm(type="?"))
_PIECES: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_DATA: Final = msgspec.json.Decoder(dict[str, Any])
_DATA_POINTER: Final = re.compile(r"^/data(?=/|$)")
_PRIORITIES: Final[dict[int | str, int]] = {key: int(p) for p in Priority for key in (p.value, p.word)}
_TRACEPARENT: Final = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def read_data(raw: msgspec.Raw, mistakes: Mistakes) -> tuple[str, dict[str, Any]]:
    """The data as text and as values. What its worker could not read is refused here."""
    if raw is NO_DATA:
        return "{}", {}
    try:
        values = _DATA.decode(raw)
        text = str(raw, "utf-8")
        if text.count(",") >= MAX_ITEMS and (at := _crowded(values)) is not None:
            mistakes.append((f"/data{at}", f"more than {MAX_ITEMS} items"))
        if (at := repeated_in(bytes(raw), values)) is not None:
            mistakes.append((f"/data{at}", "given more than once"))
        return text, values
    except msgspec.ValidationError as error:
        if far := out_of_range(bytes(raw), "/data"):
            mistakes += far
            return "{}", {}
        at, why = pointed(error)
        mistakes.append((f"/data{at}", "must be a JSON object" if why.startswith("expected object") else why))
    except UnicodeDecodeError:
        mistakes.append(("/data", "not UTF-8"))
    return "{}", {}


def read_priority(value: int | str, mistakes: Mistakes) -> int:
    """The number of a priority."""
    try:
        return Priority.parse(value)
    except ValueError as error:
        mistakes.append(("/priority", str(error)))
        return Priority.NORMAL


def _take(
    piece: msgspec.Raw, key: str, known: tuple[str, msgspec.json.Decoder[Any]], good: dict[str, Any], mistakes: Mistakes
) -> None:
    name, decoder = known
    try:
        good[name] = decoder.decode(piece)
    except ValueError as error:
        mistakes.append((f"/{key}", pointed(error)[1]))


def _spec(form: JobForm, headers: Headers) -> Spec:
    trace = headers.get(b"traceparent")
    if trace is not None and not _TRACEPARENT.fullmatch(trace):
        trace = None  # W3C Trace Context: as if it were not there
    if trace is None and form.max_attempts is None and form.timeout_seconds is None and not form.title:
        return NO_SPEC
    carried = {"traceparent": trace.decode()} if trace else None
    return Spec(form.max_attempts, form.timeout_seconds, carried, title=form.title or None)


def _crowded(values: dict[str, Any]) -> str | None:
    """The place of an array or object with too many items; it is looked for only where there are enough commas."""
    waiting: list[tuple[str, Any]] = [("", values)]
    while waiting:
        at, value = waiting.pop()
        if len(value) > MAX_ITEMS:
            return at
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        waiting += [(f"{at}/{escaped(str(key))}", item) for key, item in inner if isinstance(item, dict | list)]
    return None
