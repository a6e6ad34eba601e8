"""The exception for those who wait for the output of a workflow that has failed."""

from boltq.domain.errors import WorkflowFailed
from boltq.domain.job_error import JobError


def failure_of(workflow_id: str, ending: str | None, step: str | None, error: JobError | None) -> WorkflowFailed:
    """The exception. `step` and `error`: for which step it failed, where it did for one, and of what that failed."""
    why = "it ran out of time" if ending == "timed_out" else f"its step {step} failed" if step else "failed"
    detail = f": {error.class_name}: {error.message}" if error else ""
    return WorkflowFailed(f"workflow {workflow_id}: {why}{detail}", step or "", error)
