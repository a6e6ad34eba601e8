"""Begins the bulk operations that are asked for over HTTP."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from boltq.broker.operations import BulkAction, Items
from boltq.server.audit_log import note
from boltq.server.backend import Backend
from boltq.server.http.answers import json_response
from boltq.server.http.caller import caller_of
from boltq.server.views.operations import operation_view


async def begin(
    backend: Backend, request: Request, action: BulkAction, items: Items, reason: str, **how: Any
) -> Response:
    """Store a bulk operation, and carry it out in the background; `how`: see Operations.create. Raises InvalidJob."""
    _ = backend.broker  # raises while it is not open
    caller = caller_of(request).name
    operation = await backend.runner.operations.create(action, items, by=caller, reason=reason, **how)
    backend.runner.begin(operation.id)
    await note(backend, request, f"bulk.{action}", f"{operation.id}: {operation.total} jobs", reason)
    answer = json_response(operation_view(operation), 202)
    answer.headers["Location"] = f"/api/v1/operations/{operation.id}"
    return answer
