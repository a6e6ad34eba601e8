"""The options of a job: one set of words for programs, HTTP and the command line."""

import math
from datetime import UTC, datetime, timedelta
from numbers import Real
from typing import Any, TypedDict

import msgspec

from boltq.domain.errors import InvalidJob
from boltq.domain.hints import unknown
from boltq.domain.job import NO_SPEC, CheckedJob, NewJob, Priority, Spec

Seconds = float | timedelta
When = datetime | float


class Options(msgspec.Struct, frozen=True):
    """How a job is to be run. Every None leaves the choice to the task, and then to the settings."""

    queue: str | None = None
    priority: str | int | None = None
    delay: Seconds | None = None
    run_at: When | None = None  # a datetime with a time zone, or unix seconds
    expires_in: Seconds | None = None  # a job that has not started by then is cancelled
    expires_at: When | None = None
    max_attempts: int | None = None
    timeout: Seconds | None = None
    idempotency_key: str | None = None
    headers: dict[str, str] | None = None
    tags: list[str] | None = None
    title: str | None = None  # what people read in lists

    @classmethod
    def of(cls, words: "OptionWords") -> "Options":
        """From keyword arguments. Raises TypeError, with the name that was meant."""
        try:
            return cls(**words)
        except TypeError:
            known = cls.__struct_fields__
            name = next(word for word in words if word not in known)
            raise TypeError(f"{name!r}: {unknown(name, known, 'option')}") from None

    def over(self, defaults: "Options") -> "Options":
        """These options, with the defaults for those that are not set."""
        mine = {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}
        return msgspec.structs.replace(defaults, **mine) if mine else defaults

    def new_job(self, job_type: str, data: str, *, data_is_json: bool = False) -> NewJob:
        """A job with these options, checked. Raises InvalidJob."""
        if self.idempotency_key == "":  # in a NewJob, "" means no key
            raise InvalidJob([("/idempotency_key", "must not be empty")])
        job = CheckedJob(
            type=job_type,
            data=data,
            queue=self.queue if self.queue not in _UNSAID else "default",
            priority=_priority(self.priority),
            delay=_ms(self.delay, "/delay_seconds"),
            run_at=unix_ms(self.run_at, "/run_at"),
            expires_in=_ms(self.expires_in, "/expires_in_seconds"),
            expires_at=unix_ms(self.expires_at, "/expires_at"),
            idempotency_key="" if self.idempotency_key is None else self.idempotency_key,
            tags=_tags(self.tags),
            spec=self._spec(),
        )
        job.check(data_is_json=data_is_json)
        return job

    def _spec(self) -> Spec:
        if self.max_attempts is None and self.timeout is None and not self.headers and self.title in _UNSAID:
            return NO_SPEC
        timeout = None if self.timeout is None else seconds_of(self.timeout, "/timeout_seconds")
        title = None if self.title in _UNSAID else self.title
        return Spec(max_attempts=self.max_attempts, timeout=timeout, headers=self.headers, title=title)


class OptionWords(TypedDict, total=False):
    """The same as keyword arguments: for `**options: Unpack[OptionWords]`."""

    queue: str | None
    priority: str | int | None
    delay: Seconds | None
    run_at: When | None
    expires_in: Seconds | None
    expires_at: When | None
    max_attempts: int | None
    timeout: Seconds | None
    idempotency_key: str | None
    headers: dict[str, str] | None
    tags: list[str] | None
    title: str | None


def seconds_of(value: object, pointer: str = "/seconds") -> float:
    """A duration as a number. Raises InvalidJob with the pointer for what is none, which text, nan and inf are not."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InvalidJob([(pointer, f"must be a number of seconds or a timedelta, not {_article(value)}")])
    return _finite(value, pointer)


def patience(timeout: object) -> float | None:
    """How many seconds somebody waits; None: as long as it takes, as for inf. Raises TypeError, ValueError for nan."""
    if timeout is None:
        return None
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if isinstance(seconds, bool) or not isinstance(seconds, Real):
        raise TypeError(f"timeout: must be a number of seconds, not {_article(timeout)}")
    if math.isnan(seconds):
        raise ValueError("timeout: nan is no number of seconds")
    return None if float(seconds) > _FOR_EVER else float(seconds)


_FOR_EVER = 1e9  # seconds; on some systems, a thread cannot wait longer


def unix_ms(value: object, pointer: str) -> int:
    """A moment in milliseconds since 1970; 0 for none. Raises InvalidJob for one without a time zone, and for none."""
    if value is None:
        return 0
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise InvalidJob([(pointer, "needs a time zone, such as datetime.now(UTC)")])
        return round((value - _EPOCH).total_seconds() * 1_000)
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InvalidJob([(pointer, f"must be a datetime or unix seconds, not {_article(value)}")])
    return round(_finite(value, pointer) * 1_000)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _finite(value: Real, pointer: str) -> float:
    try:
        number = float(value)
    except OverflowError:  # an integer of more than 300 digits
        number = math.inf
    if not abs(number) < _HUGE:
        raise InvalidJob([(pointer, "not a number" if math.isnan(number) else "too large")])
    return number


_UNSAID = (None, "")
_HUGE = 1e15  # seconds; far beyond every bound, and still exact in milliseconds


def _article(value: object) -> str:
    return f"a {type(value).__name__}"


def _tags(value: Any) -> list[str]:
    """The tags as a list. A text is refused: it would be a list of letters."""
    if value is None:
        return []
    found: list[str] = list(value) if isinstance(value, list | tuple | set | frozenset) else value
    return found


def _priority(value: str | int | None) -> int:
    try:
        return Priority.NORMAL if value is None else Priority.parse(value)
    except ValueError as error:
        raise InvalidJob([("/priority", str(error))]) from None


def _ms(value: object, pointer: str) -> int:
    return 0 if value is None else round(seconds_of(value, pointer) * 1_000)
