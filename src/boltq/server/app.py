"""The API as an ASGI application: every call that it has, in one list."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib import metadata
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from boltq.broker.broker import Broker
from boltq.broker.store import broker_at
from boltq.server import first_version, jobs
from boltq.server.answers import json_response
from boltq.server.backend import Backend
from boltq.server.body import Gone
from boltq.server.first_version import FirstVersion
from boltq.server.guard import SECURITY_HEADERS, Guard
from boltq.server.health import Health
from boltq.server.jobs import Jobs, SubmitJob
from boltq.server.problems import Problem, internal, problem_of
from boltq.server.queues import Queues, Workers
from boltq.server.shapes import FirstJobForm, JobForm
from boltq.settings import Settings

log = logging.getLogger(__name__)

Endpoint = Callable[[Request], Awaitable[Response]]


class Call(NamedTuple):
    """One call of the API."""

    method: str
    path: str
    endpoint: Endpoint | SubmitJob
    about: str


def calls_of(backend: Backend) -> list[Call]:
    """The API."""
    job, queue, worker = Jobs(backend), Queues(backend), Workers(backend)
    first, probe = FirstVersion(backend), Health(backend)
    submit = SubmitJob(backend, JobForm, jobs.submitted)
    first_submit = SubmitJob(backend, FirstJobForm, first_version.submitted)
    return [
        Call("POST", "/api/v1/jobs", submit, "submit a job"),
        Call("GET", "/api/v1/jobs", job.page, "list jobs; parameters: state, queue, limit, cursor"),
        Call("GET", "/api/v1/jobs/{id}", job.one, "a job with its data, result, error, progress and log"),
        Call("POST", "/api/v1/jobs/{id}/cancel", job.cancel, "cancel a job, or ask its worker to stop it"),
        Call("POST", "/api/v1/jobs/{id}/replay", job.replay, "queue a dead or cancelled job again"),
        Call("POST", "/api/v1/jobs/{id}/run-now", job.run_now, "queue a scheduled or retrying job before its time"),
        Call("GET", "/api/v1/queues/stats", queue.stats, "how many jobs stand where"),
        Call("POST", "/api/v1/queues/{queue}/pause", queue.pause, "start no more jobs of a queue"),
        Call("POST", "/api/v1/queues/{queue}/resume", queue.resume, "serve a paused queue again"),
        Call("GET", "/api/v1/workers", worker.all, "the workers, and their last signs of life"),
        Call("GET", "/api/v1/job-types", worker.job_types, "the job types that workers have published"),
        Call("GET", "/health", probe.health, "whether the API's process is alive"),
        Call("GET", "/ready", probe.ready, "whether the store answers, and what is wrong with its settings"),
        Call("POST", "/submit", first_submit, "submit a job, in the first version's words"),
        Call("GET", "/status", first.status, "a job, in the first version's words; parameter: id"),
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
        self._quick = {(c.method, c.path): c.endpoint for c in calls if isinstance(c.endpoint, SubmitJob)}

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
            if quick:
                await quick(headers, receive, send)
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
    paths: dict[str, dict[str, Endpoint | SubmitJob]] = {}
    for call in calls:
        paths.setdefault(call.path, {})[call.method] = call.endpoint
    for path, endpoints in paths.items():
        yield Route(path, _by_method(endpoints), methods=list(endpoints))


def _by_method(endpoints: Mapping[str, Endpoint | SubmitJob]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        chosen = endpoints["GET" if request.method == "HEAD" else request.method]
        if isinstance(chosen, SubmitJob):
            raise TypeError("a quick call came to the router")
        return await chosen(request)

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
