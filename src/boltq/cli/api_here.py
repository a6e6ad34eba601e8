"""An API in this process, for commands that have the store at hand: no port, no login, and gone when they end."""

import asyncio
import getpass
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from starlette.types import ASGIApp

from boltq.broker.broker import Broker
from boltq.broker.knobs import knobs_of
from boltq.client.carry import AsyncExchange
from boltq.client.request import Request
from boltq.client.talk import Lost, Reply
from boltq.server.app import create_app
from boltq.server.http.caller import AllGrants, Caller
from boltq.settings import Settings

Message = MutableMapping[str, Any]


@asynccontextmanager
async def own_api(settings: Settings, address: str, *, begin: bool) -> AsyncIterator[AsyncExchange]:
    """Yields the function that sends a request to an API of this process. `begin`: make the namespace if there is none.

    Raises StoreError.
    """
    broker = _Guest(settings, address, begin=begin)
    try:
        await broker.open()
        app = create_app(replace(settings, api_host="127.0.0.1", auth=""), broker)
        async with _living(app):
            yield lambda request: _exchange(app, request)
    finally:
        await broker.close()


class _Guest(Broker):
    """Writes no settings into a namespace that is there: an operator's environment is not the workers'."""

    def __init__(self, settings: Settings, address: str, *, begin: bool) -> None:
        super().__init__(
            address, namespace=settings.namespace, partitions=settings.partitions, knobs=knobs_of(settings)
        )
        self._begin = begin

    async def open(self) -> None:
        if not await self.look_in() and self._begin:
            await super().open()


@asynccontextmanager
async def _living(app: ASGIApp) -> AsyncIterator[None]:
    """The application between its startup and its shutdown (ASGI's lifespan)."""
    told: asyncio.Queue[Message] = asyncio.Queue()
    said: asyncio.Queue[Message] = asyncio.Queue()
    living = asyncio.ensure_future(app({"type": "lifespan", "asgi": {"version": "3.0"}}, told.get, said.put))
    told.put_nowait({"type": "lifespan.startup"})
    starting = asyncio.ensure_future(said.get())
    await asyncio.wait({living, starting}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await living  # raises why it did not start
    try:
        yield
    finally:
        told.put_nowait({"type": "lifespan.shutdown"})
        await living


async def _exchange(app: ASGIApp, request: Request[Any]) -> Reply | Lost:
    """One request and its answer (ASGI's http)."""
    pending: list[Message] = [{"type": "http.request", "body": request.content or b"", "more_body": False}]
    answer: list[Message] = []

    async def receive() -> Message:
        if not pending:
            await asyncio.Event().wait()  # for ever: we never leave
        return pending.pop()

    async def send(message: Message) -> None:
        answer.append(message)

    await app(_scope(request), receive, send)
    start, *bodies = answer
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in start["headers"]}
    return Reply(start["status"], headers, b"".join(message.get("body", b"") for message in bodies))


def _scope(request: Request[Any]) -> dict[str, Any]:
    path, _, query = request.target.partition("?")
    headers = {"host": "localhost", "content-length": str(len(request.content or b"")), **request.headers}
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.route.method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "caller": Caller(_me(), AllGrants()),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
        "client": None,
        "server": None,
    }


def _me() -> str:
    """The name of the user at this terminal, as far as the system knows."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):  # a container's user without a name
        return "cli"
