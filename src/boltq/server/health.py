"""Whether this process lives, and whether it can do its work: for probes, load balancers and people."""

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from boltq.broker.inspector import Server, inspect_server
from boltq.domain.errors import StoreError
from boltq.server.answers import json_response
from boltq.server.backend import Backend
from boltq.server.calls import Call
from boltq.server.problems import Problem

ANSWER_SECONDS = 3.0  # a probe does not wait longer


class Health:
    """The calls of probes."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def calls(self) -> list[Call]:
        """What is served here."""
        return [
            Call("GET", "/health", "health", "whether the API's process is alive", self.health, tag="system"),
            Call(
                "GET", "/ready", "ready", "whether the store answers, and what is wrong with its settings", self.ready,
                problems=("store-unfit",), tag="system",
            ),
        ]  # fmt: skip

    async def health(self, _request: Request) -> Response:
        """Say that the process is alive. Asks nobody else: a broken store is no reason to restart the API."""
        return json_response({"status": "ok"})

    async def ready(self, _request: Request) -> Response:
        """Say whether the store answers, what it is, and what is wrong with its settings."""
        server = await self._inspect()
        if server.too_old:
            raise Problem("store-unfit", "; ".join(map(": ".join, server.problems)), store=_store(server))
        _ = self._backend.broker  # raises while it is not open
        return json_response({"status": "ready", "store": _store(server), "warnings": _warnings(server)})

    async def _inspect(self) -> Server:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await inspect_server(self._backend.server)
        except (StoreError, TimeoutError):
            raise Problem("store-unavailable", "the store does not answer") from None


def _store(server: Server) -> dict[str, Any]:
    return {"flavour": server.flavour, "version": server.version}


def _warnings(server: Server) -> list[dict[str, str]]:
    return [{"problem": what, "hint": hint} for what, hint in server.problems]
