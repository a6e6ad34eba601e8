"""Workflows over HTTP: submit them, list them, look at one with its steps, and ask why it stands where it stands."""

from typing import Annotated, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from boltq.broker.workflows.own_id import OwnId
from boltq.broker.workflows.records import StepData, WorkflowPage, WorkflowRecord
from boltq.domain import limits
from boltq.domain.errors import InvalidJob, NotFound, StoreUnavailable
from boltq.domain.job import Submitted
from boltq.domain.outcome import DataError
from boltq.domain.scopes import Scope
from boltq.domain.workflow.form import WorkflowForm, as_json
from boltq.domain.workflow.mistakes import is_within, raise_if_any
from boltq.domain.workflow.plan import Plan, all_steps
from boltq.domain.workflow.states import StepState, WorkflowState
from boltq.server.backend import Backend
from boltq.server.http.answers import json_response
from boltq.server.http.body import BOM, read_body
from boltq.server.http.caller import Caller, caller_of
from boltq.server.http.calls import ApiCall
from boltq.server.http.mistakes import Mistakes
from boltq.server.http.moments import Since, read_since
from boltq.server.http.problems import UNKNOWN_OUTCOME, Problem
from boltq.server.http.query import Cursor, Limit, NoQuery, WorkflowId, read_query
from boltq.server.http.submissions import NO_LONGER_KEPT, SUBMIT_PROBLEMS, SubmitQuery
from boltq.server.http.waiters import Wait
from boltq.server.views.common import Rights
from boltq.server.workflows import views
from boltq.server.workflows.dry_run import (
    WorkflowDryRunView,
    accepted_workflow,
    refused_workflow,
    unserved_of,
    warnings_of,
)
from boltq.server.workflows.forms import MAX_BYTES, misfits_of, queues_of, read_workflow
from boltq.server.workflows.why import WorkflowWhyView, explain_workflow

PATH = "/api/v1/workflows"


class WorkflowsQuery(msgspec.Struct, kw_only=True):
    """Which workflows to list: every parameter that is given must fit."""

    state: Annotated[list[WorkflowState], msgspec.Meta(max_length=len(WorkflowState), description="any of these")] = []
    name: Annotated[str, msgspec.Meta(max_length=limits.MAX_NAME_CHARS, description="its whole name")] | None = None
    created_after: Since | None = None
    created_before: Since | None = None
    nested: (
        Annotated[bool, msgspec.Meta(description="true: only sub-workflows; false: only those that are none")] | None
    ) = None
    within: (
        Annotated[WorkflowId, msgspec.Meta(description="only the sub-workflows of this workflow, in no order")] | None
    ) = None
    limit: Limit = 50
    cursor: Cursor | None = None


Generation = Annotated[
    int,
    msgspec.Meta(ge=1, le=1 << 31, description="as that run of it ended; the last ten before the present one are kept"),
]


class WorkflowQuery(msgspec.Struct, kw_only=True):
    """How to look at a workflow."""

    wait: Wait = 0
    form: Annotated[bool, msgspec.Meta(description="show the form, too, as it was submitted")] = False
    generation: Generation | None = None


class ApprovalsQuery(msgspec.Struct, kw_only=True):
    """Which approval steps to list."""

    state: Literal["waiting"] = "waiting"
    limit: Limit = 50
    cursor: Cursor | None = None


class StepQuery(msgspec.Struct, kw_only=True):
    """Which items of a step's map to show."""

    state: Annotated[list[StepState], msgspec.Meta(max_length=len(StepState), description="any of these")] = []
    generation: Generation | None = None
    limit: Limit = 50
    cursor: Cursor | None = None


class WorkflowCalls:
    """The calls that submit workflows and look at them."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def calls(self) -> list[ApiCall]:
        """The calls of this resource, for the list in app.py."""
        tag = "workflows"
        submitted = views.WorkflowSubmittedView
        return [
            ApiCall(
                "POST", PATH, "submitWorkflow", "submit a workflow",
                self.submit, scope=Scope.SUBMIT, query=SubmitQuery, body=WorkflowForm,
                answers={201: submitted, 200: submitted}, problems=SUBMIT_PROBLEMS, tag=tag,
            ),
            ApiCall(
                "POST", f"{PATH}/dry-run", "dryRunWorkflow", "what would become of a workflow; nothing is written",
                self.dry_run, scope=Scope.SUBMIT, body=WorkflowForm, answers={200: WorkflowDryRunView},
                problems=("too-large",), tag=tag,
            ),
            ApiCall(
                "GET", PATH, "listWorkflows", "list workflows, without their steps", self.page,
                scope=Scope.READ, query=WorkflowsQuery, answers={200: views.WorkflowsView}, problems=("not-found",),
                tag=tag,
            ),
            ApiCall(
                "GET", "/api/v1/approvals", "listApprovals", "steps of all workflows that wait for a person",
                self.approvals, scope=Scope.READ, query=ApprovalsQuery, answers={200: views.ApprovalsView}, tag=tag,
            ),
            ApiCall(
                "GET", f"{PATH}/{{id}}", "getWorkflow", "a workflow with all its steps; with wait, once it has ended",
                self.one, scope=Scope.READ, query=WorkflowQuery, answers={200: views.WorkflowView},
                problems=("too-many-waiters",), tag=tag,
            ),
            ApiCall(
                "GET", f"{PATH}/{{id}}/steps/{{step}}", "getWorkflowStep",
                "a step of a workflow, with the items of its map", self.step,
                scope=Scope.READ, query=StepQuery, answers={200: views.StepPageView}, tag=tag,
            ),
            ApiCall(
                "GET", f"{PATH}/{{id}}/explain", "explainWorkflow", "why a workflow and its steps stand where they do",
                self.explain, scope=Scope.READ, answers={200: WorkflowWhyView}, tag=tag,
            ),
        ]  # fmt: skip

    async def submit(self, request: Request) -> Response:
        """Submit a workflow: steps that depend on each other, each of them a job.

        The right to submit is needed for the queue of every step.
        """
        wish, caller = read_query(request, SubmitQuery), caller_of(request)
        headers = dict(request.scope["headers"])
        body = await read_body(headers, request.receive, MAX_BYTES)
        if wish.dry_run:
            return json_response(await self._dry_run(caller, body, headers))
        form, plan = await self._read(caller, body, headers)
        found = await self._store(form, plan, body.removeprefix(BOM).decode(), caller.author)
        unserved = await unserved_of(self._backend, plan) if found.created else []
        state = WorkflowState.RUNNING if found.created else await self._state(found.id)
        view = views.WorkflowSubmittedView(
            id=found.id,
            name=form.name,
            state=state,
            created=found.created,
            steps=len(all_steps(plan)),
            warnings=[*warnings_of(unserved), *([NO_LONGER_KEPT] if state is None else [])],
        )
        answer = json_response(view, 201 if found.created else 200)
        answer.headers["Location"] = f"{PATH}/{found.id}"
        return answer

    async def dry_run(self, request: Request) -> Response:
        """Say what would become of a workflow: its mistakes, or its levels, its longest path, and what nobody takes."""
        read_query(request, NoQuery)
        headers = dict(request.scope["headers"])
        body = await read_body(headers, request.receive, MAX_BYTES)
        return json_response(await self._dry_run(caller_of(request), body, headers))

    async def _read(self, caller: Caller, body: bytes, headers: dict[bytes, bytes]) -> tuple[WorkflowForm, Plan]:
        """The workflow that a body asks for. Raises InvalidJob with every mistake, and Problem."""
        found = await self._backend.aside(len(body), lambda: read_workflow(body, headers))
        for queue in queues_of(found.plan) if found.plan else ():
            caller.check(Scope.SUBMIT, queue)
        taken = [at for at, _ in found.mistakes]
        more = await misfits_of(self._backend, found.form) if found.form else []
        raise_if_any([*found.mistakes, *(one for one in more if not is_within(one[0], taken))])
        assert found.form is not None and found.plan is not None  # noqa: S101, PT018 - or there were mistakes
        return found.form, found.plan

    async def _dry_run(self, caller: Caller, body: bytes, headers: dict[bytes, bytes]) -> WorkflowDryRunView:
        try:
            _, plan = await self._read(caller, body, headers)
        except InvalidJob as error:
            return refused_workflow(error)
        return await accepted_workflow(self._backend, caller, plan)

    async def _store(self, form: WorkflowForm, plan: Plan, text: str, by: str) -> Submitted:
        """Safe to repeat, since it has an id before it is stored."""
        self._backend.check_room()
        layout, key = self._backend.broker.layout, form.idempotency_key or ""
        own, means = OwnId(layout.of_key(key) if key else layout.next()), as_json(form) if key else ""
        try:
            return await self._backend.ask(lambda flows: own.submit(flows, plan, text, key=key, means=means, by=by))
        except StoreUnavailable:
            raise Problem("store-unavailable", UNKNOWN_OUTCOME, id=own.id) from None

    async def _state(self, workflow_id: str) -> WorkflowState | None:
        """Where a workflow stands that was there already; None: it is gone again, and nobody knows how it ended."""
        try:
            return (await self._backend.ask(lambda flows: flows.summary(workflow_id))).state
        except NotFound:
            return None

    async def page(self, request: Request) -> Response:
        """List workflows, in each partition the newest first; sub-workflows are among them.

        A page looks at a bounded number of workflows, so it may have fewer items than it could, or none, and not be
        the last one.
        """
        query, rights = read_query(request, WorkflowsQuery), Rights.of(caller_of(request))
        mistakes: Mistakes = []
        after = read_since(query.created_after, "/created_after", mistakes)
        before = read_since(query.created_before, "/created_before", mistakes)
        if query.within is not None:
            mistakes += _bad_within(query.within, query, after, before)
        if mistakes:
            raise InvalidJob(mistakes)
        page = await self._listed(query, after, before)
        return json_response(views.WorkflowsView([views.summary_view(w, rights) for w in page.workflows], page.cursor))

    async def _listed(self, query: WorkflowsQuery, after: int | None, before: int | None) -> WorkflowPage:
        if query.within is not None:
            own = query.within
            return await self._backend.ask(lambda flows: flows.children(own, limit=query.limit, cursor=query.cursor))
        return await self._backend.ask(
            lambda flows: flows.list(
                states=query.state,
                name=query.name or "",
                created_after=after,
                created_before=before,
                nested=query.nested,
                limit=query.limit,
                cursor=query.cursor,
            )
        )

    async def approvals(self, request: Request) -> Response:
        """List the steps of all workflows that wait for a person, in each partition those that wait longest first.

        They are answered with `POST /api/v1/workflows/{id}/signals/{step}`.
        """
        query, rights = read_query(request, ApprovalsQuery), Rights.of(caller_of(request))
        page = await self._backend.ask(lambda flows: flows.approvals(limit=query.limit, cursor=query.cursor))
        items = [views.approval_view(one, rights) for one in page.approvals]
        return json_response(views.ApprovalsView(items, page.cursor))

    async def one(self, request: Request) -> Response:
        """Show a workflow with all its steps: where each stands, what it was given and from where, what it gave.

        With `wait`, the answer comes when the workflow has ended, or after so many seconds as it stands then. Inputs
        and results have 4 MiB together: of a step whose data do not fit, they are left out, and it is `truncated`.
        """
        workflow_id, query = workflow_of(request), read_query(request, WorkflowQuery)
        rights = Rights.of(caller_of(request))
        if query.wait:
            _ = self._backend.broker  # raises while the store has never answered
            watch = self._backend.watch
            await self._backend.waiters.wait(request, lambda: watch.end_of_workflow(workflow_id, query.wait))
        shows_form = query.form and rights.payload
        record = await self._backend.ask(
            lambda flows: flows.get(workflow_id, form=shows_form, generation=query.generation or 0)
        )
        data: dict[str, StepData] = {}
        output: tuple[str | None, str | None] = (None, None)
        if rights.payload:
            data = await self._backend.ask(lambda flows: flows.data(record))
            output = await self._output(record)
        whys = {step.id: step.text for step in (await explain_workflow(self._backend, record, rights)).steps}
        return json_response(views.workflow_view(record, data, whys, output, rights))

    async def step(self, request: Request) -> Response:
        """Show a step with everything, and of a map which items there are: with state, job and error.

        Items come in the order of the list; with `state`, only those that stand so. A page looks at a bounded number of
        items that have not ended, so it may have fewer than it could, or none, and not be the last one. The items of an
        earlier run are not kept.
        """
        workflow_id, query = workflow_of(request), read_query(request, StepQuery)
        step_id, rights = request.path_params["step"], Rights.of(caller_of(request))
        record = await self._backend.ask(lambda flows: flows.get(workflow_id, generation=query.generation or 0))
        page = await self._backend.ask(
            lambda flows: flows.items(record, step_id, states=query.state, limit=query.limit, cursor=query.cursor)
        )
        data: dict[str, StepData] = {}
        if rights.payload:
            data = await self._backend.ask(lambda flows: flows.data(record, only=step_id))
        found = data.get(step_id) or StepData()
        why = (await explain_workflow(self._backend, record, rights, only=step_id)).steps
        own, text = record.step(step_id), why[0].text if why else None
        return json_response(views.step_page_view(record, own, found, text, page, rights))

    async def _output(self, record: WorkflowRecord) -> tuple[str | None, str | None]:
        """What a workflow results in that has ended well, or why there is no such thing."""
        if record.state is not WorkflowState.COMPLETED:
            return None, None
        try:
            return await self._backend.ask(lambda flows: flows.output(record)), None
        except DataError as error:
            return None, str(error)

    async def explain(self, request: Request) -> Response:
        """Say why a workflow stands where it stands, and the same of its steps: those that have not ended well."""
        read_query(request, NoQuery)
        workflow_id = workflow_of(request)
        record = await self._backend.ask(lambda flows: flows.get(workflow_id))
        return json_response(await explain_workflow(self._backend, record, Rights.of(caller_of(request))))


def _bad_within(workflow_id: str, query: WorkflowsQuery, after: int | None, before: int | None) -> Mistakes:
    given = {
        "state": query.state, "name": query.name, "nested": query.nested, "created_after": after,
        "created_before": before,
    }  # fmt: skip
    mistakes = [(f"/{name}", "not together with within") for name, value in given.items() if value]
    if not limits.ID.fullmatch(workflow_id):
        mistakes.append(("/within", "not the id of a workflow"))
    return mistakes


def workflow_of(request: Request) -> str:
    """The workflow that the address names. Raises NotFound for what is no id."""
    workflow_id: str = request.path_params["id"]
    if not limits.ID.fullmatch(workflow_id):
        raise NotFound(f"{workflow_id!r:.60} is not the id of a workflow")
    return workflow_id
