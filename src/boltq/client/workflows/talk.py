"""How a client talks with the API about workflows: submitting one, and waiting for its output. Pure, as talk.py."""

import time
from collections.abc import Callable
from typing import Any

from boltq.client.errors import Forbidden
from boltq.client.talk import Talk, ask, until_ended
from boltq.client.workflows import calls
from boltq.client.workflows.answers import WorkflowInfo, WorkflowSubmitted
from boltq.domain.errors import WorkflowCancelled, WorkflowFailed
from boltq.domain.ids import new_id
from boltq.domain.outcome import DataError
from boltq.domain.workflow.builder import AnyWorkflow
from boltq.domain.workflow.failure import failure_of
from boltq.domain.workflow.plan import Group
from boltq.domain.workflow.states import StepState, WorkflowState


def submit_workflow(workflow: AnyWorkflow, idempotency_key: str | None = None) -> Talk[WorkflowSubmitted]:
    """Submit a workflow. One without an idempotency key gets one, so that a repeat after a lost answer is the same."""
    has_key = bool(idempotency_key or calls.key_of(workflow))
    answer = yield from ask(calls.submit_workflow(workflow, idempotency_key if has_key else new_id()))
    if not has_key:
        answer.created = True  # nobody else has that key
    return answer


def output_of(workflow_id: str, timeout: float | None = None) -> Talk[Any]:
    """What a workflow resulted in. Raises what `outcome` and `ask` raise, and WaitTimeout."""
    return outcome((yield from end_of_workflow(workflow_id, timeout)))


def end_of_workflow(
    workflow_id: str, timeout: float | None = None, clock: Callable[[], float] = time.monotonic
) -> Talk[WorkflowInfo]:
    """A workflow once it has ended; the server holds the answer back until then. Raises NotFound, WaitTimeout."""
    return until_ended(
        lambda wait: calls.get_workflow(workflow_id, wait=wait), _has_ended, f"workflow {workflow_id}", timeout, clock
    )


def outcome(workflow: WorkflowInfo) -> Any:
    """The output of a workflow that has ended. Raises WorkflowFailed, WorkflowCancelled, DataError, Forbidden."""
    if workflow.state is WorkflowState.CANCELLED:
        raise WorkflowCancelled(f"workflow {workflow.id} was cancelled")
    if workflow.state is WorkflowState.FAILED:
        raise _failure(workflow)
    if workflow.hidden:
        raise Forbidden(f"workflow {workflow.id} has completed, but its output needs the right `payload`")
    if workflow.output_error:
        raise DataError(workflow.output_error)
    return workflow.output


def _failure(workflow: WorkflowInfo) -> WorkflowFailed:
    failed = [step for step in workflow.steps if step.state is StepState.FAILED and not step.allow_failure]
    causes = [step for group in (Group.STEPS, Group.FINALLY) for step in failed if step.group == group]
    step = causes[0] if causes else None
    return failure_of(workflow.id, workflow.ending, step.id if step else None, step.error if step else None)


def _has_ended(workflow: WorkflowInfo) -> bool:
    return workflow.has_ended
