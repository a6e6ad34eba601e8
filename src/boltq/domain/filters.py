"""A filter of jobs, as a value."""

from typing import Any

import msgspec

from boltq.domain import limits
from boltq.domain.errors import InvalidJob
from boltq.domain.job import JobRecord
from boltq.domain.job_error import Category, error_of
from boltq.domain.states import JobState

MAX_CHOICES = 50  # values of one field


class JobFilter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Which jobs: every field that is given must fit. Of states, types and queues any one; of tags all.

    Times in milliseconds, by the server's clock; `created_after` is the first that fits, `created_before` the first
    that does not.
    """

    states: tuple[JobState, ...] = ()
    types: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    created_after: int | None = None
    created_before: int | None = None
    fingerprint: str | None = None  # of the last error
    category: str | None = None  # of the last error
    worker: str | None = None  # the worker that runs the job, or ran it last

    @classmethod
    def of(cls, state: JobState | None = None, queue: str | None = None) -> "JobFilter":
        """All jobs, or those of one state, of one queue."""
        return cls(states=(state,) if state else (), queues=(queue,) if queue else ())

    @property
    def looks_inside(self) -> bool:
        """Whether jobs' records must be read to apply the filter; states and queues have an index."""
        return bool(self.marks())

    def marks(self) -> dict[str, Any]:
        """The conditions on a record, as lua/lib/search.lua takes them; empty when state and queue are enough."""
        wanted = {
            "types": list(self.types),
            "tags": list(self.tags),
            "after": self.created_after,
            "before": self.created_before,
            "fingerprint": self.fingerprint,
            "category": self.category,
            "worker": self.worker,
        }
        return {name: value for name, value in wanted.items() if value is not None and value != []}

    def matches(self, job: JobRecord) -> bool:
        """Whether the filter accepts this job."""
        return (
            _is_in(job.state, self.states)
            and _is_in(job.type, self.types)
            and _is_in(job.queue, self.queues)
            and set(self.tags) <= set(job.tags)
            and (self.created_after is None or job.created_at >= self.created_after)
            and (self.created_before is None or job.created_at < self.created_before)
            and self.worker in {None, job.worker}
            and self._fits_error(job.error)
        )

    def _fits_error(self, stored: str | None) -> bool:
        if self.fingerprint is None and self.category is None:
            return True
        if not stored:
            return False
        error = error_of(stored)
        return self.fingerprint in {None, error.fingerprint} and self.category in {None, error.category}

    def check(self) -> None:
        """Raise InvalidJob with every field that is wrong."""
        errors = [
            (f"/{field}/{index}", bad)
            for field in ("types", "queues", "tags")
            for index, name in enumerate(getattr(self, field)[:MAX_CHOICES])
            if (bad := limits.bad_name(name))
        ]
        errors += [
            (f"/{field}", f"at most {MAX_CHOICES} of them")
            for field in ("states", "types", "queues", "tags")
            if len(getattr(self, field)) > MAX_CHOICES
        ]
        errors += [
            (f"/{field}", "must not be negative")
            for field in ("created_after", "created_before")
            if (getattr(self, field) or 0) < 0
        ]
        if self.category is not None and self.category not in set(Category):
            errors.append(("/category", f"no category; one of {', '.join(Category)}"))
        if errors:
            raise InvalidJob(errors)


def _is_in(value: str, wanted: tuple[str, ...]) -> bool:
    return not wanted or value in wanted
