"""Whether this process lives, and whether it can do its work: for probes, load balancers and people."""

import asyncio
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from boltq.broker.inspector import StoreServer, inspect_server
from boltq.domain.errors import StoreError
from boltq.domain.scopes import Scope
from boltq.server.backend import Backend
from boltq.server.http.answers import json_response
from boltq.server.http.caller import caller_of
from boltq.server.http.calls import ApiCall
from boltq.server.http.problems import Problem

ANSWER_SECONDS = 3.0  # a probe does not wait longer


class HealthView(msgspec.Struct):
    """The process is alive."""

    status: Literal["ok"]


class ServerView(msgspec.Struct):
    """The server behind the store."""

    flavour: str
    version: str


class WarningView(msgspec.Struct):
    """What is wrong with the store's settings, and what to do."""

    problem: str
    hint: str


class ReadyView(msgspec.Struct, kw_only=True):
    """The store answers; a caller that may read also sees which store it is and what is wrong with its settings."""

    status: Literal["ready"]
    store: ServerView | UnsetType = UNSET
    warnings: list[WarningView] | UnsetType = UNSET


class HealthCalls:
    """The calls of probes."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def calls(self) -> list[ApiCall]:
        """The calls of this resource, for the list in app.py."""
        return [
            ApiCall(
                "GET", "/health", "health", "whether the API's process is alive", self.health,
                answers={200: HealthView}, tag="system",
            ),
            ApiCall(
                "GET", "/ready", "ready", "whether the store answers, and what is wrong with its settings", self.ready,
                answers={200: ReadyView}, problems=("store-unfit",), tag="system",
            ),
        ]  # fmt: skip

    async def health(self, _request: Request) -> Response:
        """Say that the process is alive. Asks nobody else: a broken store is no reason to restart the API."""
        return json_response(HealthView("ok"))

    async def ready(self, request: Request) -> Response:
        """Say whether the store answers, and to who may read what it is and what is wrong with its settings."""
        server = await self._inspect()
        details = caller_of(request).grants.allow(Scope.READ)
        if server.too_old:
            if not details:
                raise Problem("store-unfit", "the store cannot be used")
            raise Problem("store-unfit", "; ".join(map(": ".join, server.problems)), store=_store(server))
        _ = self._backend.broker  # raises while it is not open
        if not details:
            return json_response(ReadyView(status="ready"))
        return json_response(ReadyView(status="ready", store=_store(server), warnings=_warnings(server)))

    async def _inspect(self) -> StoreServer:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await inspect_server(self._backend.server)
        except (StoreError, TimeoutError):
            raise Problem("store-unavailable", "the store does not answer") from None


def _store(server: StoreServer) -> ServerView:
    return ServerView(server.flavour, server.version)


def _warnings(server: StoreServer) -> list[WarningView]:
    return [WarningView(what, hint) for what, hint in server.problems]
