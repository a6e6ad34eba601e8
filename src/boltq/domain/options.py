"""How a job is to be run: the words of whoever submits it, in a program, over HTTP and on the command line."""

from datetime import UTC, datetime, timedelta
from typing import TypedDict

import msgspec

from boltq.domain.errors import InvalidJob
from boltq.domain.job import NO_SPEC, NewJob, Priority, Spec

Seconds = float | timedelta
When = datetime | float


class Options(msgspec.Struct, frozen=True):
    """How a job is to be run. Every None leaves the choice to the task, and then to the settings."""

    queue: str | None = None
    priority: str | int | None = None
    delay: Seconds | None = None
    run_at: When | None = None  # a datetime with a time zone, or unix seconds
    expires_in: Seconds | None = None  # not started by then: cancelled
    expires_at: When | None = None
    max_attempts: int | None = None
    timeout: Seconds | None = None
    idempotency_key: str | None = None
    headers: dict[str, str] | None = None
    tags: list[str] | None = None

    def over(self, defaults: "Options") -> "Options":
        """These options where they are set, else the defaults."""
        mine = {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}
        return msgspec.structs.replace(defaults, **mine) if mine else defaults

    def new_job(self, job_type: str, data: str) -> NewJob:
        """A job with these options, checked. Raises InvalidJob."""
        job = NewJob(
            type=job_type,
            data=data,
            queue=self.queue or "default",
            priority=_priority(self.priority),
            delay=_ms(self.delay),
            run_at=unix_ms(self.run_at, "/run_at"),
            expires_in=_ms(self.expires_in),
            expires_at=unix_ms(self.expires_at, "/expires_at"),
            idempotency_key=self.idempotency_key or "",
            tags=list(self.tags or ()),
            spec=self._spec(),
        )
        job.check()
        return job

    def _spec(self) -> Spec:
        if self.max_attempts is None and self.timeout is None and not self.headers:
            return NO_SPEC
        timeout = None if self.timeout is None else seconds_of(self.timeout)
        return Spec(max_attempts=self.max_attempts, timeout=timeout, headers=self.headers)


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


def seconds_of(value: Seconds) -> float:
    """A duration as a number."""
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def unix_ms(value: When | None, pointer: str) -> int:
    """A moment in milliseconds since 1970; 0 for none. Raises InvalidJob for one without a time zone."""
    if value is None:
        return 0
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise InvalidJob([(pointer, "needs a time zone, such as datetime.now(UTC)")])
        return round(value.astimezone(UTC).timestamp() * 1_000)
    return round(value * 1_000)


def _priority(value: str | int | None) -> int:
    try:
        return Priority.NORMAL if value is None else Priority.parse(value)
    except ValueError as error:
        raise InvalidJob([("/priority", str(error))]) from None


def _ms(value: Seconds | None) -> int:
    return 0 if value is None else round(seconds_of(value) * 1_000)
