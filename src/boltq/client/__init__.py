"""A BoltQ elsewhere, over HTTP: `Client` for synchronous code, `AsyncClient` for asynchronous code."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from boltq.client.answers import JobInfo, JobSummary
    from boltq.client.async_client import AsyncClient, AsyncJob, AsyncWorkflowRun
    from boltq.client.client import Client, Job, WorkflowRun
    from boltq.client.errors import BadAnswer, Forbidden, ServerUnavailable, Unauthorized
    from boltq.client.workflows.answers import WorkflowInfo, WorkflowSummary

__all__ = [
    "AsyncClient",
    "AsyncJob",
    "AsyncWorkflowRun",
    "BadAnswer",
    "Client",
    "Forbidden",
    "Job",
    "JobInfo",
    "JobSummary",
    "ServerUnavailable",
    "Unauthorized",
    "WorkflowInfo",
    "WorkflowRun",
    "WorkflowSummary",
]


def __getattr__(name: str) -> object:
    """A public name; the HTTP library is loaded when a client is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module 'boltq.client' has no attribute {name!r}")
    from boltq.client import answers, async_client, client, errors  # noqa: PLC0415 - late on purpose
    from boltq.client.workflows import answers as workflow_answers  # noqa: PLC0415 - late on purpose

    homes = (answers, async_client, client, errors, workflow_answers)
    found: object = next(vars(home)[name] for home in homes if name in vars(home))
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
