"""Bulk operations over HTTP: how far they are; stop one, or let it go on after its canary."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from boltq.broker.broker import repeated
from boltq.broker.operations import OperationState
from boltq.domain import limits
from boltq.domain.errors import NotFound
from boltq.domain.scopes import Scope
from boltq.server.audit_log import ReasonForm, note, reason_of
from boltq.server.backend import Backend
from boltq.server.http.answers import json_response
from boltq.server.http.body import read_form
from boltq.server.http.calls import ApiCall
from boltq.server.http.query import Cursor, Limit, NoQuery, read_query
from boltq.server.views.operations import OperationView, operation_view


class OperationsQuery(msgspec.Struct, kw_only=True):
    """Which operations to list."""

    state: OperationState | None = None
    limit: Limit = 50
    cursor: Cursor | None = None


class OperationsView(msgspec.Struct, kw_only=True):
    """One page of operations, the newest first; `next_cursor` is null at the end."""

    items: list[OperationView]
    next_cursor: str | None


class OperationCalls:
    """The calls about bulk operations that have begun."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def calls(self) -> list[ApiCall]:
        """The calls of this resource, for the list in app.py."""
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
                "POST", f"{path}/{{id}}/continue", "continueOperation", "the canary was fine: do the rest",
                self.continue_, scope=Scope.OPERATE, body=ReasonForm, answers={202: OperationView},
                problems=("conflict",), tag=tag,
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

    async def continue_(self, request: Request) -> Response:
        """Do the rest of an operation whose canary is done."""
        op_id, reason = await self._read(request)
        operation = await self._backend.runner.operations.continue_(op_id)
        self._backend.runner.begin(op_id)
        await note(self._backend, request, "operation.continue", op_id, reason)
        return json_response(operation_view(operation), 202)

    async def _read(self, request: Request) -> tuple[str, str]:
        op_id, form = _id(request), await read_form(request, ReasonForm)
        _ = self._backend.broker
        return op_id, reason_of(request, form.reason)


def _id(request: Request) -> str:
    op_id: str = request.path_params["id"]
    if not (op_id.startswith("op_") and limits.ID.fullmatch(op_id[3:])):
        raise NotFound(f"{op_id!r:.60} is not the id of an operation")
    return op_id
