"""BoltQ: a distributed task queue on Valkey and Redis."""

from boltq.app import BoltQ, Job, Task
from boltq.domain.context import JobContext, current_job
from boltq.domain.errors import (
    BoltQError,
    Conflict,
    InvalidJob,
    JobCancelled,
    JobFailed,
    NotFound,
    QueueFull,
    Refused,
    StoreError,
    StoreFull,
    StoreUnavailable,
    StoreUnfit,
    WaitTimeout,
)
from boltq.domain.job import JobRecord, NewJob, Priority
from boltq.domain.outcome import (
    Cancel,
    Category,
    DataError,
    JobError,
    RateLimited,
    RetryLater,
    Snooze,
    TransientError,
)
from boltq.domain.retry import Backoff, RetryPolicy
from boltq.domain.states import JobState
from boltq.settings import Settings
from boltq.worker.worker import Worker

__all__ = [
    "Backoff",
    "BoltQ",
    "BoltQError",
    "Cancel",
    "Category",
    "Conflict",
    "DataError",
    "InvalidJob",
    "Job",
    "JobCancelled",
    "JobContext",
    "JobError",
    "JobFailed",
    "JobRecord",
    "JobState",
    "NewJob",
    "NotFound",
    "Priority",
    "QueueFull",
    "RateLimited",
    "Refused",
    "RetryLater",
    "RetryPolicy",
    "Settings",
    "Snooze",
    "StoreError",
    "StoreFull",
    "StoreUnavailable",
    "StoreUnfit",
    "Task",
    "TransientError",
    "WaitTimeout",
    "Worker",
    "current_job",
]
