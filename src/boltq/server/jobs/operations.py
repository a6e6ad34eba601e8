"""Bulk operations over HTTP: how far they are; stop one, or let it go on after its canary."""

import time
from typing import Annotated, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from boltq.broker.broker import repeated
from boltq.broker.operations import MAX_ERRORS, Action, ItemError, Items, Operation, OperationState
from boltq.domain import limits
from boltq.domain.errors import NotFound
from boltq.domain.scopes import Scope
from boltq.server.backend import Backend
from boltq.server.http.answers import json_response
from boltq.server.http.body import read_form
from boltq.server.http.caller import caller_of
from boltq.server.http.calls import ApiCall
from boltq.server.http.query import Cursor, Limit, NoQuery, read_query
from boltq.server.journal import ReasonForm, note, reason_of
from boltq.server.views import jobs as views


class OperationsQuery(msgspec.Struct, kw_only=True):
    """Which operations to list."""

    state: OperationState | None = None
    limit: Limit = 50
    cursor: Cursor | None = None


class ItemErrorView(msgspec.Struct, kw_only=True):
    """A job on which the action failed."""

    id: str
    code: Annotated[str, msgspec.Meta(description="NOT_FOUND, CONFLICT, FULL or INVALID")]
    message: str


class OperationView(msgspec.Struct, kw_only=True):
    """A bulk operation. `done` is `ok`, `failed` and `skipped` together."""

    id: str
    action: Annotated[str, msgspec.Meta(description="cancel, replay, run_now or delete")]
    edited: Annotated[bool, msgspec.Meta(description="whether a replay makes new jobs with edited data")]
    state: Annotated[
        OperationState,
        msgspec.Meta(
            description="canary: the first few are done, and it waits for `continue`. stopped: by somebody, or by too"
            " many failures. failed: its list of jobs is gone"
        ),
    ]
    total: int
    partial: Annotated[
        bool,
        msgspec.Meta(description="of a purge: there were more jobs than one operation takes; ask again for the rest"),
    ]
    done: int
    ok: int
    failed: int
    skipped: Annotated[int, msgspec.Meta(description="they had moved since they were chosen, and were left alone")]
    errors: Annotated[list[ItemErrorView], msgspec.Meta(description=f"the first {MAX_ERRORS} at most")]
    rate_per_s: Annotated[float | None, msgspec.Meta(description="null: as fast as it goes")]
    canary: Annotated[int | None, msgspec.Meta(description="how many are done before it waits")]
    stop_on_failures: int | None
    eta_ms: Annotated[int | None, msgspec.Meta(description="until it is done, at its pace; null when unknown")]
    by: str
    reason: str
    started_at: str
    finished_at: str | None


class OperationsView(msgspec.Struct, kw_only=True):
    """One page of operations, the newest first; `next_cursor` is null at the end."""

    items: list[OperationView]
    next_cursor: str | None


class OperationCalls:
    """The calls about bulk operations that have begun."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def calls(self) -> list[ApiCall]:
        """What is served here."""
        path, tag = "/api/v1/operations", "bulk"
        return [
            ApiCall(
                "GET", path, "listOperations", "the bulk operations of the last day", self.all,
                scope=Scope.READ, query=OperationsQuery, answers={200: OperationsView}, tag=tag,
            ),
            ApiCall(
                "GET", f"{path}/{{id}}", "getOperation", "how far a bulk operation is", self.one,
                scope=Scope.READ, answers={200: OperationView}, tag=tag,
            ),
            ApiCall(
                "POST", f"{path}/{{id}}/stop", "stopOperation", "do no more of a bulk operation", self.stop,
                scope=Scope.OPERATE, body=ReasonForm, answers={200: OperationView}, problems=("conflict",), tag=tag,
            ),
            ApiCall(
                "POST", f"{path}/{{id}}/continue", "continueOperation", "the canary was fine: do the rest", self.go_on,
                scope=Scope.OPERATE, body=ReasonForm, answers={202: OperationView}, problems=("conflict",), tag=tag,
            ),
        ]  # fmt: skip

    async def all(self, request: Request) -> Response:
        """List the bulk operations that are known, the newest first. They are forgotten a day after their last step."""
        query = read_query(request, OperationsQuery)
        _ = self._backend.broker  # raises while it is not open
        found = await repeated(lambda: self._backend.runner.operations.list(query.state))
        ids = [operation.id for operation in found]
        start = ids.index(query.cursor) + 1 if query.cursor in ids else 0
        page = found[start : start + query.limit]
        following = page[-1].id if start + query.limit < len(found) else None
        return json_response(OperationsView(items=[operation_view(one) for one in page], next_cursor=following))

    async def one(self, request: Request) -> Response:
        """Show how far a bulk operation is, and the first errors."""
        read_query(request, NoQuery)
        op_id = _id(request)
        _ = self._backend.broker
        return json_response(operation_view(await repeated(lambda: self._backend.runner.operations.get(op_id))))

    async def stop(self, request: Request) -> Response:
        """Do no more of it; the few jobs of the step that is on its way may still follow."""
        op_id, reason = await self._read(request)
        operation = await self._backend.runner.operations.stop(op_id)
        await note(self._backend, request, "operation.stop", op_id, reason)
        return json_response(operation_view(operation))

    async def go_on(self, request: Request) -> Response:
        """Do the rest of an operation whose canary is done."""
        op_id, reason = await self._read(request)
        operation = await self._backend.runner.operations.go_on(op_id)
        self._backend.runner.begin(op_id)
        await note(self._backend, request, "operation.continue", op_id, reason)
        return json_response(operation_view(operation), 202)

    async def _read(self, request: Request) -> tuple[str, str]:
        op_id, form = _id(request), await read_form(request, ReasonForm)
        _ = self._backend.broker
        return op_id, reason_of(request, form.reason)


async def begin(backend: Backend, request: Request, action: Action, items: Items, reason: str, **how: Any) -> Response:
    """Store a bulk operation, and carry it out in the background; `how`: see Operations.create. Raises InvalidJob."""
    _ = backend.broker  # raises while it is not open
    caller = caller_of(request).name
    operation = await backend.runner.operations.create(action, items, by=caller, reason=reason, **how)
    backend.runner.begin(operation.id)
    await note(backend, request, f"bulk.{action}", f"{operation.id}: {operation.total} jobs", reason)
    answer = json_response(operation_view(operation), 202)
    answer.headers["Location"] = f"/api/v1/operations/{operation.id}"
    return answer


def operation_view(operation: Operation) -> OperationView:
    """An operation as it is shown."""
    edited = operation.action is Action.REPLAY_AS
    return OperationView(
        id=operation.id,
        action=Action.REPLAY if edited else operation.action,
        edited=edited,
        state=operation.state,
        total=operation.total,
        partial=operation.partial,
        done=operation.done,
        ok=operation.ok,
        failed=operation.failed,
        skipped=operation.skipped,
        errors=[_error(error) for error in operation.errors],
        rate_per_s=operation.rate_per_s or None,
        canary=operation.canary or None,
        stop_on_failures=operation.stop_on_failures or None,
        eta_ms=_eta(operation),
        by=operation.by,
        reason=operation.reason,
        started_at=views.rfc3339(operation.started_at),
        finished_at=views.rfc3339(operation.finished_at),
    )


def _error(error: ItemError) -> ItemErrorView:
    return ItemErrorView(id=error.id, code=error.code, message=error.message)


def _eta(operation: Operation) -> int | None:
    """Milliseconds for the rest: at the rate that was asked for, or as fast as it went so far."""
    left = operation.total - operation.done
    if operation.state is not OperationState.RUNNING:
        return None
    if operation.rate_per_s:
        return round(left * 1_000 / operation.rate_per_s)
    spent = time.time() * 1_000 - operation.started_at
    return round(left * spent / operation.done) if operation.done and spent > 0 else None


def _id(request: Request) -> str:
    op_id: str = request.path_params["id"]
    if not (op_id.startswith("op_") and limits.ID.fullmatch(op_id[3:])):
        raise NotFound(f"{op_id!r:.60} is not the id of an operation")
    return op_id
