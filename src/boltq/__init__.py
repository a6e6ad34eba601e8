"""BoltQ: a distributed task queue on Valkey and Redis."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from boltq.app import BoltQ, Job, Task, WorkflowRun
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
        StoreFault,
        StoreFull,
        StoreUnavailable,
        StoreUnfit,
        UnknownOutcome,
        WaitTimeout,
        WorkflowCancelled,
        WorkflowFailed,
    )
    from boltq.domain.job import JobRecord, NewJob, Priority
    from boltq.domain.job_error import Category, JobError
    from boltq.domain.outcome import Cancel, DataError, RateLimited, RetryLater, Snooze, TransientError
    from boltq.domain.retry import Backoff, RetryPolicy
    from boltq.domain.states import JobState
    from boltq.domain.workflow.approvals import Verdict
    from boltq.domain.workflow.builder import Step, Workflow
    from boltq.domain.workflow.mistakes import InvalidWorkflow
    from boltq.domain.workflow.refs import exists, failure, is_in, item, size
    from boltq.domain.workflow.rerun import RerunMode
    from boltq.domain.workflow.states import StepState, WorkflowState
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
    "InvalidWorkflow",
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
    "RerunMode",
    "RetryLater",
    "RetryPolicy",
    "Settings",
    "Snooze",
    "Step",
    "StepState",
    "StoreError",
    "StoreFault",
    "StoreFull",
    "StoreUnavailable",
    "StoreUnfit",
    "Task",
    "TransientError",
    "UnknownOutcome",
    "Verdict",
    "WaitTimeout",
    "Worker",
    "Workflow",
    "WorkflowCancelled",
    "WorkflowFailed",
    "WorkflowRun",
    "WorkflowState",
    "current_job",
    "exists",
    "failure",
    "is_in",
    "item",
    "size",
]

# The cheap ones first: a name is looked for in each until it is found, so `boltq --help` need not load a Redis client.
_HOMES = (
    "domain.errors",
    "domain.states",
    "domain.outcome",
    "domain.job_error",
    "domain.context",
    "domain.job",
    "domain.retry",
    "domain.workflow.states",
    "domain.workflow.mistakes",
    "domain.workflow.refs",
    "domain.workflow.approvals",
    "domain.workflow.rerun",
    "domain.workflow.builder",
    "settings",
    "app",
    "worker.worker",
)


def __getattr__(name: str) -> object:
    """A public name, imported when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module 'boltq' has no attribute {name!r}")
    homes = (import_module(f"boltq.{home}") for home in _HOMES)
    found: object = next(vars(home)[name] for home in homes if name in vars(home))
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
