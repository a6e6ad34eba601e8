"""What runs again of a workflow: its form with other params, and the steps of a sub-workflow that goes on."""

from collections.abc import Mapping
from typing import Any

import msgspec

from boltq.broker.workflows.plan_rows import wire_again
from boltq.broker.workflows.records import WorkflowRecord
from boltq.domain.workflow.compiler import compile_workflow
from boltq.domain.workflow.form import WorkflowForm, read_form
from boltq.domain.workflow.mistakes import InvalidWorkflow
from boltq.domain.workflow.plan import Plan
from boltq.domain.workflow.rerun import RerunMode, going_on, steps_to_rerun, with_params
from boltq.domain.workflow.states import WorkflowState


def form_of(record: WorkflowRecord) -> WorkflowForm:
    """The form that was asked for with the record. Raises InvalidWorkflow for a sub-workflow, which has none."""
    if record.form is None:
        reason = "a sub-workflow has no form of its own that could be edited: submit it as a workflow"
        raise InvalidWorkflow([("/params", reason)])
    return read_form(record.form)


def size_with(record: WorkflowRecord, params: Mapping[str, msgspec.Raw]) -> int:
    """How large the form is that was asked for with the record, and other params for its steps."""
    return len(record.form or "") + sum(len(bytes(raw)) for raw in params.values())


def recompiled(record: WorkflowRecord, params: Mapping[str, msgspec.Raw]) -> tuple[WorkflowForm, Plan]:
    """The form with other params for its steps, and its plan. Raises InvalidWorkflow."""
    form = with_params(form_of(record), params)
    plan = compile_workflow(form)
    if [step.id for step in plan.steps] != [step.id for step in record.plan.steps]:
        reason = "they refer to other steps than before, which changes the order: submit a new workflow"
        raise InvalidWorkflow([("/params", reason)])
    return form, plan


def rows_to_go_on(record: WorkflowRecord, home: int) -> list[Any] | None:
    """The rows of the steps with which a sub-workflow goes on: none when it runs, None when nothing could run again."""
    if record.state is WorkflowState.RUNNING:
        return []
    chosen = steps_to_rerun(record.plan, record.states, RerunMode.FAILED_ONLY)
    if not chosen or record.state is WorkflowState.COMPLETED:
        return None
    kept = going_on(record.plan, record.states, RerunMode.FAILED_ONLY, chosen)
    return wire_again(record.plan, home, chosen, kept, kept)
