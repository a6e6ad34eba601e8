"""The API as an ASGI application: every call that it has, in one list."""

import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib import metadata

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from boltq.broker.broker import Broker
from boltq.broker.store import broker_at
from boltq.server.answers import json_response
from boltq.server.backend import Backend
from boltq.server.body import Gone
from boltq.server.caller import LOCAL, caller_of
from boltq.server.calls import Call, Endpoint
from boltq.server.first_version import FirstVersion
from boltq.server.guard import SECURITY_HEADERS, Guard
from boltq.server.health import Health
from boltq.server.jobs import Jobs
from boltq.server.problems import Problem, internal, problem_of
from boltq.server.queues import Queues, Workers
from boltq.server.submit import submissions
from boltq.settings import Settings

log = logging.getLogger(__name__)


def calls_of(backend: Backend) -> list[Call]:
    """The API: every call that it has, in one list."""
    return [
        *submissions(backend),
        *Jobs(backend).calls(),
        *Queues(backend).calls(),
        *Workers(backend).calls(),
        *Health(backend).calls(),
        *FirstVersion(backend).calls(),
    ]


def create_app(settings: Settings, store: str | Broker) -> ASGIApp:
    """The application on a store: its address, or a broker that is not opened yet."""
    backend = Backend(broker_at(store, settings) if isinstance(store, str) else store)
    calls = calls_of(backend)

    @asynccontextmanager
    async def lifespan(_app: object) -> AsyncIterator[None]:
        async with backend:
            yield

    router = Router([_index(calls), *_routes(calls)], redirect_slashes=False, default=_nothing_here, lifespan=lifespan)
    return Front(Guard.of_bind(settings.api_host), calls, router)


class Front:
    """What every request meets first: the guard, then the quick calls, then Starlette's router."""

    def __init__(self, guard: Guard, calls: Sequence[Call], router: ASGIApp) -> None:
        self._check = guard.check
        self._router = router
        self._quick = {(call.method, call.path): call.quick for call in calls if call.quick}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._other(scope, receive, send)
            return
        method = scope["method"]
        headers = dict(scope["headers"])
        try:
            self._check(method, headers, scope["headers"])
            quick = self._quick.get((method, scope["path"]))
            scope["caller"] = caller = LOCAL
            if quick:
                await quick(caller, headers, scope["query_string"], receive, send)
            else:
                scope["app"] = self  # makes the router raise what it refuses
                await self._router(scope, receive, _secured(send))
        except Gone:
            return
        except Exception as error:  # noqa: BLE001 - the one place
            problem = problem_of(error) or _broken(error)
            await problem.response()(scope, receive, _secured(send))

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._router(scope, receive, send)
        else:
            await send({"type": "websocket.close"})


def _routes(calls: Sequence[Call]) -> Iterator[Route]:
    """One route for each path, so that a 405 can say which methods there are."""
    paths: dict[str, dict[str, Call]] = {}
    for call in calls:
        paths.setdefault(call.path, {})[call.method] = call
    for path, by_method in paths.items():
        yield Route(path, _by_method(by_method), methods=list(by_method))


def _by_method(calls: Mapping[str, Call]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        call = calls["GET" if request.method == "HEAD" else request.method]
        if call.endpoint is None:
            raise TypeError("a quick call came to the router")
        if call.scope:
            caller_of(request).check(call.scope)
        return await call.endpoint(request)

    return endpoint


async def _nothing_here(scope: Scope, _receive: Receive, _send: Send) -> None:
    raise Problem("not-found", f"there is no {scope['path']:.200}; GET / lists what there is")


def _index(calls: Sequence[Call]) -> Route:
    about = {
        "name": "BoltQ",
        "about": "a distributed task queue on Valkey and Redis",
        "version": metadata.version("boltq"),
        "calls": [{"method": call.method, "path": call.path, "about": call.about} for call in calls],
    }

    async def index(_request: Request) -> Response:
        return json_response(about)

    return Route("/", index, methods=["GET"])


def _secured(send: Send) -> Send:
    """Adds the security headers that an answer does not have."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            there = {name for name, _ in message["headers"]}
            message["headers"] += [header for header in SECURITY_HEADERS if header[0] not in there]
        await send(message)

    return sending


def _broken(error: Exception) -> Problem:
    log.error("a request failed", exc_info=error)
    return internal()
