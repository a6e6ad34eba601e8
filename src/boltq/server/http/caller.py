"""Who makes a request, and what they may do."""

from collections.abc import Sequence
from typing import Protocol

import msgspec
from starlette.requests import Request

from boltq.domain.api_keys import ApiKey
from boltq.domain.scopes import Scope
from boltq.server.http.problems import Problem


class Grants(Protocol):
    """The rights of a caller."""

    def allow(self, scope: Scope, queue: str | None = None) -> bool:
        """Whether it has the right, for that queue where one is named."""


class AllGrants:
    """Every right: of whoever can reach a loopback port, and of who holds the server's own token."""

    def allow(self, scope: Scope, queue: str | None = None) -> bool:  # noqa: ARG002 - the protocol's
        """Yes."""
        return True


class NoGrants:
    """No right: of who has not said who they are."""

    def allow(self, scope: Scope, queue: str | None = None) -> bool:  # noqa: ARG002 - the protocol's
        """No."""
        return False


class Caller(msgspec.Struct, frozen=True):
    """Who makes a request. `name` is what the audit log and `created_by` say; of a key, it is the key's."""

    name: str
    grants: Grants
    key: ApiKey | None = None

    def check(self, scope: Scope, queue: str | None = None) -> None:
        """Raise the Problem of a caller without that right."""
        if not self.grants.allow(scope, queue):
            self.check_known()
            where = f" for queue {queue}" if queue else ""
            raise Problem("forbidden", f"this needs the scope {scope}{where}", scope=scope)

    def check_known(self) -> None:
        """Raise the Problem of a caller who has to log in first."""
        if self is NOBODY:
            raise unauthorized("log in: send the header Authorization: Bearer, and a key or this server's token")

    @property
    def author(self) -> str:
        """The caller's name as jobs keep it; empty where nobody has to log in."""
        return "" if self is LOCAL else self.name

    @property
    def scopes(self) -> Sequence[str]:
        """The caller's rights, in the words of API keys."""
        if self.key:
            return self.key.scopes
        return [Scope.ADMIN] if self.grants.allow(Scope.ADMIN) else []


LOCAL = Caller("local", AllGrants())
"""Whoever can reach a server that asks nobody to log in."""

TOKEN = Caller("token", AllGrants())
"""The caller that holds the server's own token."""

NOBODY = Caller("nobody", NoGrants())
"""The caller that has not logged in to a server that asks for it."""


def caller_of(request: Request) -> Caller:
    """The caller of a request."""
    caller: Caller = request.scope["caller"]
    return caller


def unauthorized(detail: str, error: str = "") -> Problem:
    """The Problem of who is not known. `error` is the word of RFC 6750 for it."""
    challenge = f'Bearer realm="boltq", error="{error}"' if error else 'Bearer realm="boltq"'
    return Problem("unauthorized", detail, headers={"WWW-Authenticate": challenge})
