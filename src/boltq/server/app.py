"""The API as an ASGI application: every call that it has, in one list."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib import metadata
from urllib.parse import unquote_to_bytes

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router, request_response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from boltq.broker.api_keys import ApiKeys
from boltq.broker.broker import Broker
from boltq.broker.store import broker_at
from boltq.server.backend import Backend
from boltq.server.http.announcing import ROUTE
from boltq.server.http.answers import json_response
from boltq.server.http.auth import Gate
from boltq.server.http.body import Gone
from boltq.server.http.caller import caller_of
from boltq.server.http.calls import ApiCall
from boltq.server.http.cors import answer_preflight, is_preflight, shared
from boltq.server.http.docs_page import docs_routes
from boltq.server.http.guard import SECURITY_HEADERS, Guard
from boltq.server.http.held import HELD, give_back
from boltq.server.http.problems import Problem, internal, problem_of
from boltq.server.http.stamps import WRITE_WHOLE, Stamped, request_id_of
from boltq.server.http.token import Token, asks_for_login, token_of
from boltq.server.jobs.actions import JobActionCalls
from boltq.server.jobs.batch import BatchCalls
from boltq.server.jobs.bulk import BulkCalls
from boltq.server.jobs.dead_letters import DeadLetterCalls
from boltq.server.jobs.first_version import FirstVersionCalls
from boltq.server.jobs.job_types import JobTypeCalls
from boltq.server.jobs.operations import OperationCalls
from boltq.server.jobs.reading import JobCalls
from boltq.server.jobs.submit import submissions
from boltq.server.queues.overview import OverviewCalls
from boltq.server.queues.reading import QueueCalls
from boltq.server.system.api_keys import ApiKeyCalls
from boltq.server.system.health import HealthCalls
from boltq.server.system.system import SystemCalls
from boltq.server.system.workers import WorkerCalls
from boltq.server.workflows.actions import WorkflowActionCalls
from boltq.server.workflows.reading import WorkflowCalls
from boltq.settings import Settings, listed

log = logging.getLogger(__name__)


def calls_of(backend: Backend) -> list[ApiCall]:
    """The API: every call that it has, in one list."""
    return [
        *submissions(backend),
        *BatchCalls(backend).calls(),
        *JobCalls(backend).calls(),
        *JobActionCalls(backend).calls(),
        *WorkflowCalls(backend).calls(),
        *WorkflowActionCalls(backend).calls(),
        *QueueCalls(backend).calls(),
        *WorkerCalls(backend).calls(),
        *JobTypeCalls(backend).calls(),
        *DeadLetterCalls(backend).calls(),
        *BulkCalls(backend).calls(),
        *OperationCalls(backend).calls(),
        *ApiKeyCalls(backend).calls(),
        *OverviewCalls(backend).calls(),
        *SystemCalls(backend).calls(),
        *HealthCalls(backend).calls(),
        *FirstVersionCalls(backend).calls(),
    ]


def create_app(settings: Settings, store: str | Broker, token: Token | None = None) -> "Front":
    """The application on a store: its address, or a broker that is not opened yet.

    `token` is the server's own; without one, it finds or makes it where a login is asked for.
    """
    token = token or token_of(settings)
    backend = Backend(broker_at(store, settings) if isinstance(store, str) else store, settings)
    calls = calls_of(backend)

    @asynccontextmanager
    async def lifespan(_app: object) -> AsyncIterator[None]:
        async with backend:
            yield

    router = Router(
        [_index(calls), *docs_routes(calls), *_routes(calls)],
        redirect_slashes=False,
        default=_nothing_here,
        lifespan=lifespan,
    )
    gate = Gate(lambda: ApiKeys(backend.broker), token.text if token else None)
    return Front(_guard(settings), gate, calls, router, backend.closing)


class Front:
    """What every request meets first: the guard, the gate, then the quick calls, then Starlette's router."""

    def __init__(
        self, guard: Guard, gate: Gate, calls: Sequence[ApiCall], router: ASGIApp, closing: asyncio.Event
    ) -> None:
        self.closing = closing  # set it when the server is about to end: requests that wait are answered then
        self._guard = guard
        self._gate = gate
        self._router = router
        self._quick = {(call.method, call.path): (call.quick, call.scope) for call in calls if call.quick}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._other(scope, receive, send)
            return
        method = scope["method"]
        headers = dict(scope["headers"])
        scope["request_id"] = request_id = request_id_of(headers)
        send = Stamped(send, request_id, scope.get(WRITE_WHOLE))
        origin = headers.get(b"origin")
        if invited := origin is not None and self._guard.invites(origin):
            send = shared(send, origin)
        try:
            self._guard.check(method, headers, scope["headers"])
            if invited and is_preflight(method, headers):  # browsers send it without a key
                await answer_preflight(send)
                return
            caller = scope.get("caller")  # said by who calls in this process; nobody can over a connection
            caller = caller or self._gate.known(headers) or await self._gate.admit(headers, scope["client"])
            scope["caller"] = caller
            if (method, scope["path"]) in self._quick:
                scope[ROUTE] = scope["path"]
                quick, right = self._quick[method, scope["path"]]
                if right:
                    caller.check(right)  # before anything is read
                await quick(caller, headers, scope["query_string"], receive, send)
            else:
                _check_path(scope)
                scope["app"] = self  # makes the router raise what it refuses
                await self._router(scope, receive, _secured(send))
        except Gone:
            return
        except Exception as error:  # noqa: BLE001 - the one place
            problem = problem_of(error) or _broken(error, request_id)
            problem.members["request_id"] = request_id
            await problem.response()(scope, receive, _secured(send))
        finally:
            if HELD in scope:
                give_back(scope)

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._router(scope, receive, send)
        else:
            await send({"type": "websocket.close"})


def _guard(settings: Settings) -> Guard:
    names, origins = listed(settings.allowed_hosts), listed(settings.allowed_origins)
    return Guard.of_bind(settings.api_host, names, origins, login=asks_for_login(settings))


def _routes(calls: Sequence[ApiCall]) -> Iterator[Route]:
    """One route for each path, which takes every method: what it has no call for, no other path that fits may take."""
    paths: dict[str, dict[str, ApiCall]] = {}
    for call in calls:
        paths.setdefault(call.path, {})[call.method] = call
    for path, by_method in paths.items():
        yield Route(path, _OfPath(path, by_method))


class _OfPath:
    """The calls of one path. A class, since a route with a function has to name its methods."""

    def __init__(self, path: str, calls: Mapping[str, ApiCall]) -> None:
        self._path = path
        self._calls = calls
        self._app = request_response(self._answer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[ROUTE] = self._path
        await self._app(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        call = self._calls.get("GET" if request.method == "HEAD" else request.method)
        if call is None:
            raise _not_allowed(self._calls)
        if call.endpoint is None:
            raise TypeError("a quick call came to the router")
        if call.scope:
            caller_of(request).check(call.scope)
        return await call.endpoint(request)


def _check_path(scope: Scope) -> None:
    """Raise the Problem of a path that is no text: the server has put signs in place of what it could not read."""
    if "\ufffd" in scope["path"]:
        try:
            unquote_to_bytes(scope["raw_path"]).decode()
        except UnicodeDecodeError:
            raise Problem("bad-request", "the path is not UTF-8: percent-encode its bytes in that encoding") from None


def _not_allowed(methods: Iterable[str]) -> Problem:
    allowed = ", ".join(sorted({*methods, *(["HEAD"] if "GET" in methods else [])}))
    return Problem("method-not-allowed", f"use {allowed}", headers={"Allow": allowed})


async def _nothing_here(scope: Scope, _receive: Receive, _send: Send) -> None:
    raise Problem("not-found", f"there is no {scope['path']:.200}; GET / lists what there is")


def _index(calls: Sequence[ApiCall]) -> Route:
    about = {
        "name": "BoltQ",
        "about": "a distributed task queue on Valkey and Redis",
        "version": metadata.version("boltq"),
        "docs": "/docs",
        "openapi": "/openapi.json",
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


def _broken(error: Exception, request_id: str) -> Problem:
    log.error("request %s failed", request_id, exc_info=error)
    return internal()
