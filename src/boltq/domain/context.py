"""What a running function may see of its job, and do: progress, log lines, whether it shall stop, what came before."""

import math
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from boltq.domain.job_error import clean
from boltq.domain.limits import MAX_LOG_LINE_CHARS, MAX_MESSAGE_CHARS
from boltq.domain.outcome import Cancel, DataError

Tell = Callable[[float | None, str, str | None], None]  # fraction, text, log line


class Parents(Protocol):
    """Reads the results of the steps that a job's step depends on: JSON text of an object."""

    async def read(self) -> str:
        """The results, for coroutines."""
        raise NotImplementedError

    def wait(self) -> str:
        """The results, for plain functions, which wait for them."""
        raise NotImplementedError


class JobContext:
    """The job that a function is running for. Its methods may be called from any thread; only `parents` waits."""

    def __init__(
        self,
        job_id: str,
        job_type: str,
        queue: str,
        attempt: int,
        max_attempts: int,
        tell: Tell,
        parents: Parents | None = None,
    ) -> None:
        self.job_id = job_id
        self.job_type = job_type
        self.queue = queue
        self.attempt = attempt  # 1 is the first
        self.max_attempts = max_attempts
        self.cancel_requested = False  # somebody asked to cancel, or the worker shuts down
        self._tell = tell
        self._parents = parents

    def progress(self, fraction: float, text: str = "") -> None:
        """Say how far the job is, from 0 to 1, and optionally what it does now. Raises DataError for nan and inf."""
        if not math.isfinite(fraction):
            raise DataError(f"progress: {float(fraction)} is not a part of anything: give a number from 0 to 1")
        self._tell(min(1.0, max(0.0, float(fraction))), clean(str(text))[:MAX_MESSAGE_CHARS], None)

    def log(self, message: str) -> None:
        """Add a line to the job's log; the last 1,000 are kept."""
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._tell(None, "", f"{stamp} {clean(str(message))[:MAX_LOG_LINE_CHARS]}")

    def check_cancelled(self) -> None:
        """Raise Cancel when the job shall stop: for plain functions, which nobody can interrupt."""
        if self.cancel_requested:
            raise Cancel("cancelled")

    async def parents(self) -> dict[str, Any]:
        """In a workflow: the results of the steps that this one depends on, by their ids. Else empty.

        Read from the store now; at most 8 MiB together. None for a step that has no result: it was skipped, did not
        succeed, or has not ended. Raises DataError, NotFound, StoreUnavailable.
        """
        return _object(await self._parents.read()) if self._parents else {}

    def parents_sync(self) -> dict[str, Any]:
        """`parents` for plain functions. Raises RuntimeError in a coroutine."""
        return _object(self._parents.wait()) if self._parents else {}


def _object(text: str) -> dict[str, Any]:
    return msgspec.json.decode(text, type=dict[str, Any])


_current: ContextVar["Callable[[], JobContext] | None"] = ContextVar("boltq_job", default=None)
enter_job = _current.set


def current_job() -> JobContext | None:
    """The context of the job that this code runs for; None outside of a job."""
    found = _current.get()
    return found() if found else None
