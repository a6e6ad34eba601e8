"""A bulk operation as it is shown."""

import time
from typing import Annotated

import msgspec

from boltq.broker.operations import MAX_ERRORS, BulkAction, BulkItemError, BulkOperation, OperationState
from boltq.server.http.moments import rfc3339


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


def operation_view(operation: BulkOperation) -> OperationView:
    """An operation as it is shown."""
    edited = operation.action is BulkAction.REPLAY_AS
    return OperationView(
        id=operation.id,
        action=BulkAction.REPLAY if edited else operation.action,
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
        started_at=rfc3339(operation.started_at),
        finished_at=rfc3339(operation.finished_at),
    )


def _error(error: BulkItemError) -> ItemErrorView:
    return ItemErrorView(id=error.id, code=error.code, message=error.message)


def _eta(operation: BulkOperation) -> int | None:
    """Milliseconds for the rest: at the rate that was asked for, or as fast as it went so far."""
    left = operation.total - operation.done
    if operation.state is not OperationState.RUNNING:
        return None
    if operation.rate_per_s:
        return round(left * 1_000 / operation.rate_per_s)
    spent = time.time() * 1_000 - operation.started_at
    return round(left * spent / operation.done) if operation.done and spent > 0 else None
