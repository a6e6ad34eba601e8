"""Every error that BoltQ raises on purpose.

BoltQError
├── InvalidJob          the submission is wrong; `errors` says which field and why
│   └── InvalidWorkflow   the same of a workflow (`workflow/mistakes.py`)
├── Refused             the store said no, and nothing was changed
│   ├── NotFound        no such job, queue or workflow (or it has been pruned)
│   ├── Conflict        the job's state, or an earlier use of the key, does not allow it
│   ├── LeaseLost       this run of the job is not the worker's any more
│   ├── UnknownWorker   the worker's lease ran out, or it never registered
│   └── QueueFull       the queue has reached its limit
│       └── TooManyQueues   the queue would be new, and there are as many as there may be
├── StoreError          the store cannot do its work now
│   ├── StoreUnavailable  not reachable, or it did not answer: the call may have been carried out
│   │   └── UnknownOutcome  an earlier try of a submission may have been carried out, and the store cannot know any more
│   ├── StoreFull       out of memory: nothing was written
│   ├── StoreUnfit      too old, evicts keys, does not persist, or does not let us in
│   └── StoreFault      an answer that it never should give: a bug
├── JobFailed           `job.result()`: the job ended dead
├── JobCancelled        `job.result()`: the job was cancelled
├── WorkflowFailed      `run.result()`: the workflow failed
├── WorkflowCancelled   `run.result()`: the workflow was cancelled
└── WaitTimeout         `job.result(timeout=…)`: the job goes on, the waiting ended

What a task raises to say how its run ends is in `outcome.py`.
"""

from collections.abc import Sequence

from boltq.domain.job_error import JobError


class BoltQError(Exception):
    """The root of all errors that BoltQ raises on purpose."""


class InvalidJob(BoltQError, ValueError):
    """A submission that cannot be accepted; `errors` has a JSON pointer and a reason for each bad field."""

    def __init__(self, errors: Sequence[tuple[str, str]]) -> None:
        self.errors = list(errors)
        super().__init__("; ".join(f"{pointer or '/'}: {reason}" for pointer, reason in self.errors))


class Refused(BoltQError):
    """The store said no, and nothing was changed."""


class NotFound(Refused):
    """There is no such thing, or it has been pruned."""


class Conflict(Refused):
    """The job's state, or an earlier use of the idempotency key, does not allow it."""


class LeaseLost(Refused):
    """This run of the job is not the worker's any more."""


class UnknownWorker(Refused):
    """The worker's lease ran out, or it never registered."""


class QueueFull(Refused):
    """The queue has reached its limit."""


class TooManyQueues(QueueFull):
    """The queue would be new, and there are as many as there may be."""

    def __init__(self, queue: str) -> None:
        super().__init__(
            f"there are as many queues as there may be, and {queue} would be a new one:"
            " use one that is there, or raise BOLTQ_MAX_QUEUES"
        )


class StoreError(BoltQError):
    """The store cannot do its work now."""


class StoreUnavailable(StoreError):
    """The store is not reachable or did not answer: the call may or may not have been carried out."""


class UnknownOutcome(StoreUnavailable):
    """A submission was repeated whose id is older than the store remembers: its job may have run, and be gone since.

    Nothing was done now. Look whether it was done; an idempotency key is kept for longer than an id.
    """


class StoreFull(StoreError):
    """The store is out of memory: nothing was written."""


class StoreUnfit(StoreError):
    """The server is too old, evicts keys, does not persist, or refuses our login: somebody must change that."""


class StoreFault(StoreError):
    """The store gave an answer that it never should: a bug in BoltQ, or keys of its that somebody else has written."""


class JobFailed(BoltQError):
    """The job ended dead; `error` is the stored error, None when there is none."""

    def __init__(self, message: str, error: JobError | None = None) -> None:
        super().__init__(message)
        self.error = error


class JobCancelled(BoltQError):
    """The job was cancelled."""


class WorkflowFailed(BoltQError):
    """The workflow failed; `step` is the first step that failed, `error` its stored error, None when there is none."""

    def __init__(self, message: str, step: str = "", error: JobError | None = None) -> None:
        super().__init__(message)
        self.step = step
        self.error = error


class WorkflowCancelled(BoltQError):
    """The workflow was cancelled."""


class WaitTimeout(BoltQError, TimeoutError):
    """The waiting ended before the job did; the job goes on."""
