"""Every call of the API about workflows, described as those in calls.py."""

from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any, Final, TypedDict, Unpack

import msgspec

from boltq.client.answers import Page
from boltq.client.calls import given, moments
from boltq.client.request import Ask, call
from boltq.client.workflows.answers import (
    ApprovalInfo,
    StepPage,
    WorkflowDryRun,
    WorkflowExplanation,
    WorkflowInfo,
    WorkflowRerun,
    WorkflowSignal,
    WorkflowStanding,
    WorkflowSubmitted,
    WorkflowSummary,
)
from boltq.domain.errors import InvalidJob
from boltq.domain.options import When
from boltq.domain.values import json_bytes
from boltq.domain.workflow.approvals import AnswerWord
from boltq.domain.workflow.builder import AnyWorkflow, Workflow
from boltq.domain.workflow.mistakes import InvalidWorkflow
from boltq.domain.workflow.rerun import RerunMode, RerunWord
from boltq.domain.workflow.states import StepState, WorkflowState

_PATH: Final = "/api/v1/workflows"


@call("POST", _PATH, "submitWorkflow", repeat=True)  # it has a key, so a repeat is the same workflow
def submit_workflow(workflow: AnyWorkflow, idempotency_key: str | None = None) -> Ask[WorkflowSubmitted]:
    """Submit a workflow; `idempotency_key` is for one that has none of its own."""
    headers = given(**{"idempotency-key": idempotency_key})
    return Ask(WorkflowSubmitted, body=form_of(workflow), headers=headers, mistakes=InvalidWorkflow)


@call("POST", f"{_PATH}/dry-run", "dryRunWorkflow", repeat=True)
def dry_run_workflow(workflow: AnyWorkflow) -> Ask[WorkflowDryRun]:
    """What would become of a workflow: every mistake, its levels, job types that nobody runs. Nothing is done."""
    return Ask(WorkflowDryRun, body=form_of(workflow), mistakes=InvalidWorkflow)


class WhichWorkflows(TypedDict, total=False):
    """Which workflows: every word that is given must fit; of several states any one."""

    state: WorkflowState | str | Sequence[WorkflowState | str] | None
    name: str | None
    created_after: When | None  # a datetime with a time zone, or unix seconds
    created_before: When | None
    nested: bool | None  # only sub-workflows, or only those that are none
    within: str | None  # only the sub-workflows of this workflow; with nothing else


@call("GET", _PATH, "listWorkflows")
def list_workflows(
    *, limit: int = 100, cursor: str | None = None, **which: Unpack[WhichWorkflows]
) -> Ask[Page[WorkflowSummary]]:
    """A page of the workflows that fit, in each partition the newest first."""
    return Ask(Page[WorkflowSummary], query={**moments(which), "limit": limit, "cursor": cursor})


@call("GET", "/api/v1/approvals", "listApprovals")
def list_approvals(*, limit: int = 100, cursor: str | None = None) -> Ask[Page[ApprovalInfo]]:
    """A page of the steps of all workflows that wait for a person, in each partition those that wait longest first."""
    return Ask(Page[ApprovalInfo], query={"limit": limit, "cursor": cursor})


@call("GET", f"{_PATH}/{{id}}", "getWorkflow")
def get_workflow(
    workflow_id: str, *, wait: float | None = None, form: bool = False, generation: int | None = None
) -> Ask[WorkflowInfo]:
    """The workflow with every step; `wait`: when it has ended, or after so many seconds. Raises NotFound.

    `generation`: as that earlier run of it ended; 1 is the first.
    """
    query = {"wait": wait or None, "form": form or None, "generation": generation}
    return Ask(WorkflowInfo, {"id": workflow_id}, query=query, patience=wait or 0.0)


@call("GET", f"{_PATH}/{{id}}/steps/{{step}}", "getWorkflowStep")
def get_workflow_step(
    workflow_id: str,
    step: str,
    *,
    state: StepState | str | Sequence[StepState | str] | None = None,
    limit: int = 100,
    cursor: str | None = None,
    generation: int | None = None,
) -> Ask[StepPage]:
    """A step with a page of its map's items, which may be those of some states only. Raises NotFound.

    `generation`: as that earlier run of it ended, without items.
    """
    names = {"id": workflow_id, "step": step}
    query = {"state": state, "limit": limit, "cursor": cursor, "generation": generation}
    return Ask(StepPage, names, query=query)


@call("GET", f"{_PATH}/{{id}}/explain", "explainWorkflow")
def explain_workflow(workflow_id: str) -> Ask[WorkflowExplanation]:
    """Why it stands where it stands, and each step that has not ended or went wrong. Raises NotFound."""
    return Ask(WorkflowExplanation, {"id": workflow_id})


@call("POST", f"{_PATH}/{{id}}/cancel", "cancelWorkflow", repeat=True)
def cancel_workflow(workflow_id: str, reason: str | None = None) -> Ask[WorkflowStanding]:
    """Cancel what waits and stop what runs; it is "running" until that has ended. Raises NotFound, Conflict."""
    return Ask(WorkflowStanding, {"id": workflow_id}, body=given(reason=reason))


@call("POST", f"{_PATH}/{{id}}/pause", "pauseWorkflow", repeat=True)
def pause_workflow(workflow_id: str, reason: str | None = None) -> Ask[WorkflowStanding]:
    """Begin no step of it any more; what runs goes on. Raises NotFound, Conflict."""
    return Ask(WorkflowStanding, {"id": workflow_id}, body=given(reason=reason))


@call("POST", f"{_PATH}/{{id}}/resume", "resumeWorkflow", repeat=True)
def resume_workflow(workflow_id: str, reason: str | None = None) -> Ask[WorkflowStanding]:
    """Go on after a pause. Raises NotFound, Conflict."""
    return Ask(WorkflowStanding, {"id": workflow_id}, body=given(reason=reason))


@call("POST", f"{_PATH}/{{id}}/rerun", "rerunWorkflow")
def rerun_workflow(
    workflow_id: str,
    mode: RerunMode | RerunWord = "failed_only",
    *,
    from_step: str | None = None,
    params: Mapping[str, Mapping[str, Any]] | None = None,
    reason: str | None = None,
) -> Ask[WorkflowRerun]:
    """Run it again; `params`: new params by step. Raises NotFound, Conflict, InvalidWorkflow."""
    edited = None if params is None else _raw(params, "/params")
    body = given(mode=mode, from_step=from_step, params=edited, reason=reason)
    return Ask(WorkflowRerun, {"id": workflow_id}, body=body, mistakes=InvalidWorkflow)


@call("POST", f"{_PATH}/{{id}}/signals/{{step}}", "signalWorkflow", repeat=True)  # the same answer counts once
def signal_workflow(
    workflow_id: str,
    step: str,
    decision: AnswerWord,
    *,
    data: Any = None,
    by: str | None = None,
    reason: str | None = None,
) -> Ask[WorkflowSignal]:
    """A person's word for an approval step; it may come before the step waits. Raises NotFound, Conflict."""
    said = None if data is None else _raw(data, "/data")
    body = given(decision=decision, data=said, by=by, reason=reason)
    return Ask(WorkflowSignal, {"id": workflow_id, "step": step}, body=body, mistakes=InvalidWorkflow)


@call("DELETE", f"{_PATH}/{{id}}", "deleteWorkflow")
def delete_workflow(workflow_id: str) -> Ask[None]:
    """Delete it and its jobs for ever; one that runs has to be cancelled first. Raises NotFound, Conflict."""
    return Ask(NoneType, {"id": workflow_id})


def form_of(workflow: AnyWorkflow) -> msgspec.Raw:
    """The JSON text that goes out; the server says what is wrong with it. Raises InvalidWorkflow when it is no JSON."""
    if isinstance(workflow, str):
        return msgspec.Raw(workflow.encode())
    return _raw(workflow.plain() if isinstance(workflow, Workflow) else workflow, "")


def key_of(workflow: AnyWorkflow) -> str | None:
    """The idempotency key that a workflow has of its own."""
    try:
        return msgspec.json.decode(form_of(workflow), type=_Key).idempotency_key
    except (ValueError, RecursionError):  # the server says what is wrong with it
        return None


class _Key(msgspec.Struct):
    idempotency_key: str | None = None


def _raw(value: Any, pointer: str) -> msgspec.Raw:
    try:
        return msgspec.Raw(json_bytes(value, pointer))
    except InvalidJob as error:
        raise InvalidWorkflow(error.errors) from None
