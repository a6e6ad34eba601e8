"""Who makes a request, and what they may do."""

from typing import Protocol

import msgspec
from starlette.requests import Request

from boltq.domain.scopes import Scope
from boltq.server.problems import Problem


class Grants(Protocol):
    """The rights of a caller."""

    def allow(self, scope: Scope, queue: str | None = None) -> bool:
        """Whether it has the right, for that queue where one is named."""


class AllGrants:
    """Every right: of whoever can reach a loopback port, and of who holds the server's own token."""

    def allow(self, scope: Scope, queue: str | None = None) -> bool:  # noqa: ARG002 - the protocol's
        """Yes."""
        return True


class Caller(msgspec.Struct, frozen=True):
    """Who makes a request. `name` is what the audit log and `created_by` say."""

    name: str
    grants: Grants

    def check(self, scope: Scope, queue: str | None = None) -> None:
        """Raise the Problem of a caller without that right."""
        if not self.grants.allow(scope, queue):
            where = f" for queue {queue}" if queue else ""
            raise Problem("forbidden", f"this needs the scope {scope}{where}", scope=scope)


LOCAL = Caller("local", AllGrants())
"""Whoever can reach a server that is bound to loopback."""


def caller_of(request: Request) -> Caller:
    """Who makes this request."""
    caller: Caller = request.scope["caller"]
    return caller
