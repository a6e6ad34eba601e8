"""What a person changes is noted in the audit log, with the reason that they gave."""

import logging
from typing import Annotated

import msgspec
from starlette.requests import Request

from boltq.broker.audit_log import AuditLog
from boltq.domain import limits
from boltq.domain.errors import InvalidJob, StoreError
from boltq.server.backend import Backend
from boltq.server.http.body import read_form
from boltq.server.http.caller import caller_of

log = logging.getLogger(__name__)

Reason = Annotated[
    str, msgspec.Meta(description=f"why, for the audit log: at most {limits.MAX_REASON_CHARS} characters")
]


class ReasonForm(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a change that needs nothing but, if you like, a reason."""

    reason: Reason | None = None


def reason_of(request: Request, stated: str | None) -> str:
    """The reason that the body states, or else the header X-BoltQ-Reason; "" for none. Raises InvalidJob."""
    header = _stated(request)
    for reason in (stated, header):
        if reason and (bad := limits.bad_text(reason, limits.MAX_REASON_CHARS)):
            raise InvalidJob([("/reason", bad)])
    return header if stated is None else stated


def _stated(request: Request) -> str:
    """The text of a header, read as UTF-8: clients that write more than ASCII write that."""
    try:
        return request.headers.get("x-boltq-reason", "").encode("latin-1").decode()
    except UnicodeDecodeError:
        raise InvalidJob([("/reason", "the header X-BoltQ-Reason is not UTF-8")]) from None


async def read_reason(request: Request) -> str:
    """The reason for a change whose body says nothing else. Raises InvalidJob and Problem."""
    return reason_of(request, (await read_form(request, ReasonForm)).reason)


async def note(backend: Backend, request: Request, action: str, target: str, reason: str = "") -> None:
    """Note who did what to what, now that it is done. When the store has gone meanwhile, the log says it instead."""
    who, request_id = caller_of(request).name, request.scope["request_id"]
    try:
        await AuditLog(backend.broker).note(who, action, target, reason, request_id)
    except StoreError as error:
        log.warning("not in the audit log: %s did %s to %s (%s): %s", who, action, target, reason, error)
