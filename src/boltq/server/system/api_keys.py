"""API keys over HTTP: make, list and revoke them; and who one is oneself."""

from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from boltq.broker.api_keys import ApiKeys
from boltq.broker.broker import repeated
from boltq.domain import limits
from boltq.domain.api_keys import ID, MAX_KEYS, MAX_LIFE_SECONDS, MAX_SCOPES, OWN_NAMES, ApiKey
from boltq.domain.errors import NotFound
from boltq.domain.scopes import SCOPE_PATTERN, Scope
from boltq.server.audit_log import note, reason_of
from boltq.server.backend import Backend
from boltq.server.http.answers import json_response
from boltq.server.http.body import read_form
from boltq.server.http.caller import caller_of
from boltq.server.http.calls import ApiCall
from boltq.server.http.moments import rfc3339
from boltq.server.http.query import NoQuery, read_query

# The schemas say what is checked elsewhere, in better words.
ScopeWord = Annotated[
    str,
    msgspec.Meta(
        description=f"one of {', '.join(Scope)}, or submit:QUEUE; * stands for any text",
        extra_json_schema={"pattern": SCOPE_PATTERN},
    ),
]
KeyName = Annotated[
    str,
    msgspec.Meta(
        description="who will use it; jobs and the audit log say it",
        extra_json_schema={"pattern": f"^{limits.NAME.pattern}$", "not": {"enum": sorted(OWN_NAMES)}},
    ),
]


class KeyForm(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /api/v1/keys."""

    name: KeyName
    scopes: Annotated[
        list[ScopeWord],
        msgspec.Meta(description="what it may do", extra_json_schema={"minItems": 1, "maxItems": MAX_SCOPES}),
    ]
    expires_in_seconds: Annotated[float, msgspec.Meta(ge=1, le=MAX_LIFE_SECONDS)] | None = None
    """How long it counts; null: until it is revoked."""


class KeyView(msgspec.Struct, kw_only=True):
    """A key, without its secret."""

    id: Annotated[str, msgspec.Meta(description="the part of the key between its underscores")]
    name: str
    scopes: list[ScopeWord]
    created_by: str
    created_at: str
    expires_at: str | None
    last_used_at: Annotated[str | None, msgspec.Meta(description="to the minute")]
    revoked_at: str | None


class NewKeyView(KeyView, kw_only=True):
    """A key just made."""

    key: Annotated[str, msgspec.Meta(description="the key itself: shown now and never again")]


class KeyList(msgspec.Struct, kw_only=True):
    """All keys, the oldest first; those that ended are listed for 30 days."""

    items: list[KeyView]
    next_cursor: Annotated[str | None, msgspec.Meta(description=f"always null: there are {MAX_KEYS} at most")] = None


class WhoView(msgspec.Struct, kw_only=True):
    """The caller of a request."""

    name: Annotated[str, msgspec.Meta(description="local: nobody has to log in here; token: the server's own token")]
    scopes: list[ScopeWord]
    key_id: str | None
    expires_at: str | None


class ApiKeyCalls:
    """The calls about API keys."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def calls(self) -> list[ApiCall]:
        """The calls of this resource, for the list in app.py."""
        return [
            ApiCall(
                "GET", "/api/v1/keys", "listKeys", "the API keys, without their secrets", self.list,
                scope=Scope.ADMIN, query=NoQuery, answers={200: KeyList}, tag="keys",
            ),
            ApiCall(
                "POST", "/api/v1/keys", "createKey", "make an API key; it is shown once", self.create,
                scope=Scope.ADMIN, query=NoQuery, body=KeyForm, answers={201: NewKeyView},
                problems=("conflict", "store-full"), tag="keys",
            ),
            ApiCall(
                "DELETE", "/api/v1/keys/{id}", "revokeKey", "revoke an API key; it counts no more within 5 s",
                self.revoke, scope=Scope.ADMIN, query=NoQuery, answers={200: KeyView}, tag="keys",
            ),
            ApiCall(
                "GET", "/api/v1/whoami", "whoami", "who this request's caller is, and what they may do", self.whoami,
                query=NoQuery, answers={200: WhoView}, problems=("unauthorized",), tag="keys",
            ),
        ]  # fmt: skip

    async def list(self, request: Request) -> Response:
        """All of them: a few, so there are no pages."""
        read_query(request, NoQuery)
        keys = ApiKeys(self._backend.broker)
        return json_response(KeyList(items=[view_of(key) for key in await repeated(keys.all)]))

    async def create(self, request: Request) -> Response:
        """Make one."""
        read_query(request, NoQuery)
        form, why = await read_form(request, KeyForm), reason_of(request, None)
        key, secret = await ApiKeys(self._backend.broker).create(
            form.name, form.scopes, expires_in=form.expires_in_seconds, created_by=caller_of(request).name
        )
        await note(self._backend, request, "key.create", f"{key.id} {key.name}: {' '.join(key.scopes)}", why)
        return json_response(NewKeyView(**msgspec.structs.asdict(view_of(key)), key=secret.text), 201)

    async def revoke(self, request: Request) -> Response:
        """End one; again is fine."""
        read_query(request, NoQuery)
        key_id: str = request.path_params["id"]
        if not ID.fullmatch(key_id):
            raise NotFound(f"{key_id!r:.60} is not the id of an API key")
        keys, why = ApiKeys(self._backend.broker), reason_of(request, None)
        key = await repeated(lambda: keys.revoke(key_id))
        await note(self._backend, request, "key.revoke", f"{key.id} {key.name}", why)
        return json_response(view_of(key))

    async def whoami(self, request: Request) -> Response:
        """Say who asks. A caller whom nobody knows is told to log in."""
        caller = caller_of(request)
        caller.check_known()
        read_query(request, NoQuery)
        key = caller.key
        return json_response(
            WhoView(
                name=caller.name,
                scopes=[*caller.scopes],
                key_id=key.id if key else None,
                expires_at=rfc3339(key.expires_at or None) if key else None,
            )
        )


def view_of(key: ApiKey) -> KeyView:
    """A key as it is shown."""
    return KeyView(
        id=key.id,
        name=key.name,
        scopes=[*key.scopes],
        created_by=key.created_by,
        created_at=rfc3339(key.created_at) or "",
        expires_at=rfc3339(key.expires_at or None),
        last_used_at=rfc3339(key.last_used_at or None),
        revoked_at=rfc3339(key.revoked_at or None),
    )
