"""Doing something to a workflow over HTTP: cancel, pause, resume, rerun, answer for a person, delete."""

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from boltq.broker.workflows.records import WorkflowLine, WorkflowRecord
from boltq.broker.workflows.reruns import form_of, size_with
from boltq.domain import limits
from boltq.domain.errors import Conflict
from boltq.domain.scopes import Scope
from boltq.domain.workflow.approvals import Answer, AnswerWord, Verdict
from boltq.domain.workflow.compiler import named_steps
from boltq.domain.workflow.form import NOTHING, WorkflowForm
from boltq.domain.workflow.mistakes import InvalidWorkflow, escaped, raise_if_any
from boltq.domain.workflow.plan import PlannedStep
from boltq.domain.workflow.rerun import RerunMode, out_of_place, steps_to_rerun, with_params
from boltq.domain.workflow.states import WorkflowState
from boltq.server.audit_log import Reason, ReasonForm, note, read_reason, reason_of
from boltq.server.backend import Backend
from boltq.server.http.answers import json_response
from boltq.server.http.body import read_form
from boltq.server.http.caller import caller_of
from boltq.server.http.calls import ApiCall
from boltq.server.http.problems import Problem
from boltq.server.http.query import NoQuery, read_query
from boltq.server.views.common import Rights
from boltq.server.workflows import views
from boltq.server.workflows.forms import MAX_BYTES, check_raw, check_types, queues_of
from boltq.server.workflows.reading import PATH, workflow_of

T = TypeVar("T")

StepParams = Annotated[
    dict[str, Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": "object"})]],
    msgspec.Meta(description="by the ids of steps that begin anew: their params from now on"),
]
By = Annotated[
    str,
    msgspec.Meta(
        description=f"whose word it is, at most {limits.MAX_NAME_CHARS} characters; left out: the caller's",
        extra_json_schema={"maxLength": limits.MAX_NAME_CHARS},
    ),
]


class RerunForm(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which steps of an ended workflow run again. Handlers always do."""

    mode: RerunMode = RerunMode.FAILED_ONLY
    from_step: Annotated[str, msgspec.Meta(description="for the mode of that name, and required there")] | None = None
    params: StepParams | None = None
    reason: Reason | None = None


class SignalForm(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A person's word for an approval step. The same answer of the same person may come twice."""

    decision: AnswerWord
    data: Annotated[msgspec.Raw, msgspec.Meta(description="JSON, as a part of the step's result")] = msgspec.field(
        default_factory=lambda: NOTHING
    )
    by: By | None = None
    reason: Reason | None = None


class WorkflowActionCalls:
    """The calls that change one workflow. Each is noted in the audit log."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def calls(self) -> list[ApiCall]:
        """The calls of this resource, for the list in app.py."""
        path, stands = f"{PATH}/{{id}}", views.WorkflowStandingView
        usual: dict[str, Any] = {"scope": Scope.OPERATE, "problems": ("conflict",), "tag": "workflows"}
        return [
            ApiCall(
                "POST", f"{path}/cancel", "cancelWorkflow", "cancel what waits of a workflow, and stop what runs",
                self.cancel, body=ReasonForm, answers={200: stands, 202: stands}, **usual,
            ),
            ApiCall(
                "POST", f"{path}/pause", "pauseWorkflow", "begin no more steps of a workflow", self.pause,
                body=ReasonForm, answers={200: stands}, **usual,
            ),
            ApiCall(
                "POST", f"{path}/resume", "resumeWorkflow", "go on with a paused workflow", self.resume,
                body=ReasonForm, answers={200: stands}, **usual,
            ),
            ApiCall(
                "POST", f"{path}/rerun", "rerunWorkflow", "run an ended workflow again, or a part of it", self.rerun,
                body=RerunForm, answers={200: views.RerunView}, **usual | {"problems": ("conflict", "store-full")},
            ),
            ApiCall(
                "POST", f"{path}/signals/{{step}}", "signalWorkflow", "approve or reject a step that asks a person",
                self.signal, body=SignalForm, answers={200: views.SignalledView}, **usual,
            ),
            ApiCall(
                "DELETE", path, "deleteWorkflow", "delete a workflow that has ended, for ever", self.delete,
                answers={204: None}, **usual,
            ),
        ]  # fmt: skip

    async def cancel(self, request: Request) -> Response:
        """Cancel what waits, and have what runs stopped: 202 while something still runs. `finally` steps still run."""
        return await self._steer(request, "cancel")

    async def pause(self, request: Request) -> Response:
        """Begin no step any more; what runs, or waits for its next attempt, goes on."""
        return await self._steer(request, "pause")

    async def resume(self, request: Request) -> Response:
        """Go on after a pause."""
        return await self._steer(request, "resume")

    async def _steer(self, request: Request, verb: str) -> Response:
        workflow_id, reason = workflow_of(request), await read_reason(request)
        flows = self._backend.workflows
        do = {"cancel": flows.cancel, "pause": flows.pause, "resume": flows.resume}[verb]
        await self._allowed(request, workflow_id, do(workflow_id))
        await note(self._backend, request, f"workflow.{verb}", workflow_id, reason)
        found = await self._summary(workflow_id)
        stops = verb == "cancel" and found.state is WorkflowState.RUNNING
        return json_response(views.standing_view(found, _rights(request)), 202 if stops else 200)

    async def rerun(self, request: Request) -> Response:
        """Run a workflow that has ended again: those steps that the mode chooses; the others keep their results.

        Other params take the place of a step's own for good, and need the right to submit to its queue; with a
        sub-workflow, to all queues of that.
        """
        workflow_id, form = workflow_of(request), await read_form(request, RerunForm, MAX_BYTES)
        reason = reason_of(request, form.reason)
        self._backend.check_room()
        if form.params:
            steps = await self._rerun_with(request, workflow_id, form)
        else:
            flows = self._backend.workflows
            steps = await self._allowed(
                request, workflow_id, flows.rerun(workflow_id, form.mode, from_step=form.from_step)
            )
        await note(self._backend, request, "workflow.rerun", workflow_id, reason)
        found = await self._summary(workflow_id)
        view = views.RerunView(id=found.id, state=found.state, generation=found.generation, steps=list(steps))
        return json_response(view)

    async def _rerun_with(self, request: Request, workflow_id: str, form: RerunForm) -> Sequence[str]:
        """With other params, which are checked first. Raises InvalidWorkflow with pointers into this body."""
        params = form.params or {}
        for step_id, raw in params.items():
            check_raw(raw, f"/params/{escaped(step_id)}")
        record = await self._backend.ask(lambda flows: flows.get(workflow_id, form=True))
        if record.state is WorkflowState.RUNNING:
            raise self._conflict(request, record, f"workflow {workflow_id} has not ended")
        begins = steps_to_rerun(record.plan, record.states, form.mode, form.from_step)
        raise_if_any(out_of_place(record.plan, begins, form.mode, params))
        edited, places = await self._backend.aside(size_with(record, params), lambda: _edited(record, params))
        for queue in _queues_of(map(record.plan.by_id.__getitem__, params)):
            caller_of(request).check(Scope.SUBMIT, queue)
        try:
            await check_types(self._backend, edited, places)
            rerun = self._backend.workflows.rerun(workflow_id, form.mode, from_step=form.from_step, params=params)
            return await self._allowed(request, workflow_id, rerun)
        except InvalidWorkflow as error:
            raise _placed(error, places) from None

    async def signal(self, request: Request) -> Response:
        """Approve or reject a step that asks a person.

        The answer is kept when the step does not wait yet, and may be repeated as it was: an answer with another
        decision, other data or of somebody else is refused.
        """
        workflow_id, step_id = workflow_of(request), request.path_params["step"]
        form = await read_form(request, SignalForm)
        reason = reason_of(request, form.reason)
        by = caller_of(request).name if form.by is None else form.by
        answer = Answer(decision=form.decision, data=form.data, by=by)
        told = self._backend.ask(lambda flows: flows.signal(workflow_id, step_id, answer))
        verdict = await self._allowed(request, workflow_id, told)
        about = f"{workflow_id}/{step_id}"
        await note(self._backend, request, f"workflow.{form.decision}", about, reason)
        return json_response(views.SignalledView(id=workflow_id, step=step_id, verdict=_said(verdict)))

    async def delete(self, request: Request) -> Response:
        """Delete a workflow that has ended, with its steps and their jobs."""
        read_query(request, NoQuery)
        workflow_id, reason = workflow_of(request), reason_of(request, None)
        await self._allowed(request, workflow_id, self._backend.workflows.delete(workflow_id))
        await note(self._backend, request, "workflow.delete", workflow_id, reason)
        return Response(status_code=204)

    async def _allowed(self, request: Request, workflow_id: str, action: Awaitable[T]) -> T:
        """The answer to an action. Raises NotFound, or the Problem that says what may be done instead."""
        try:
            return await action
        except Conflict as error:
            found = await self._summary(workflow_id)
            raise self._conflict(request, found, str(error)) from None

    async def _summary(self, workflow_id: str) -> WorkflowLine:
        return await self._backend.ask(lambda flows: flows.summary(workflow_id))

    def _conflict(self, request: Request, found: WorkflowLine | WorkflowRecord, text: str) -> Problem:
        actions = views.workflow_actions(found, _rights(request))
        return Problem("conflict", text, id=found.id, state=found.state, actions=actions)


def _rights(request: Request) -> Rights:
    return Rights.of(caller_of(request))


def _edited(record: WorkflowRecord, params: StepParams) -> tuple[WorkflowForm, dict[str, str]]:
    """A workflow's form with other params for some steps, and the pointers to these steps."""
    own = form_of(record)
    return with_params(own, params), {at: step_id for _, step_id, at, _ in named_steps(own) if step_id in params}


def _queues_of(steps: Iterable[PlannedStep]) -> list[str]:
    """The queues of these steps, and of the steps of their sub-workflows."""
    plans = [(step.queue, queues_of(step.workflow) if step.workflow else []) for step in steps]
    return sorted({queue for own, inner in plans for queue in (own, *inner)})


def _placed(error: InvalidWorkflow, places: Mapping[str, str]) -> InvalidWorkflow:
    """Mistakes with their pointers turned into the body of a rerun."""
    mistakes = list(error.errors)
    for place, step_id in places.items():
        before, after = f"{place}/params", f"/params/{escaped(step_id)}"
        mistakes = [
            (after + at.removeprefix(before) if at == before or at.startswith(f"{before}/") else at, why)
            for at, why in mistakes
        ]
    return InvalidWorkflow(mistakes)


def _said(verdict: Verdict) -> Any:
    return verdict.value
