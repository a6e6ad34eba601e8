"""The API as an ASGI application: every call that it has, in one list."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from importlib import metadata
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from boltq.broker.broker import Broker
from boltq.broker.store import broker_at
from boltq.domain.errors import BoltQError
from boltq.server import first_version, jobs
from boltq.server.answers import json_response
from boltq.server.backend import Backend
from boltq.server.body import Gone
from boltq.server.first_version import FirstVersion
from boltq.server.guard import SECURITY_HEADERS, Guard, Headers
from boltq.server.health import Health
from boltq.server.jobs import Jobs, SubmitJob
from boltq.server.problems import Problem, internal, problem_of, respond, respond_broken
from boltq.server.queues import Queues, Workers
from boltq.server.shapes import FirstJobForm, JobForm
from boltq.settings import Settings

log = logging.getLogger(__name__)

Endpoint = Callable[[Request], Awaitable[Response]]
QuickEndpoint = Callable[[Headers, Receive, Send], Awaitable[None]]


class Call(NamedTuple):
    """One call of the API. Its endpoint's docstring says what it does."""

    method: str
    path: str
    endpoint: Endpoint


class QuickCall(NamedTuple):
    """A call whose path has no parameters and which is served without Starlette, for speed."""

    method: str
    path: str
    endpoint: QuickEndpoint
    about: str


def calls_of(backend: Backend) -> tuple[list[QuickCall], list[Call]]:
    """The API."""
    job, queue, worker, probe, first = (kind(backend) for kind in (Jobs, Queues, Workers, Health, FirstVersion))
    submit = SubmitJob(backend, JobForm, jobs.submitted)
    first_submit = SubmitJob(backend, FirstJobForm, first_version.submitted)
    return [
        QuickCall("POST", "/api/v1/jobs", submit, "Submit a job."),
        QuickCall("POST", "/submit", first_submit, "Submit a job, in the first version's words."),
    ], [
        Call("GET", "/api/v1/jobs", job.page),
        Call("GET", "/api/v1/jobs/{id}", job.one),
        Call("POST", "/api/v1/jobs/{id}/cancel", job.cancel),
        Call("POST", "/api/v1/jobs/{id}/replay", job.replay),
        Call("POST", "/api/v1/jobs/{id}/run-now", job.run_now),
        Call("GET", "/api/v1/queues/stats", queue.stats),
        Call("POST", "/api/v1/queues/{queue}/pause", queue.pause),
        Call("POST", "/api/v1/queues/{queue}/resume", queue.resume),
        Call("GET", "/api/v1/workers", worker.all),
        Call("GET", "/api/v1/job-types", worker.job_types),
        Call("GET", "/status", first.status),
        Call("GET", "/health", probe.health),
        Call("GET", "/ready", probe.ready),
    ]
