"""Queues, and who serves them: numbers, pause and resume, workers, job types."""

from starlette.requests import Request
from starlette.responses import Response

from boltq.broker.inspector import Inspector, QueueStats
from boltq.domain import limits
from boltq.domain.errors import InvalidJob
from boltq.domain.scopes import Scope
from boltq.domain.states import JobState
from boltq.server import shapes
from boltq.server.answers import json_response
from boltq.server.backend import Backend
from boltq.server.calls import Call
from boltq.server.query import NoQuery, read_query


class Queues:
    """The calls about queues."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def calls(self) -> list[Call]:
        """What is served here."""
        return [
            Call(
                "GET",
                "/api/v1/queues/stats",
                "queueStats",
                "how many jobs stand where",
                self.stats,
                scope=Scope.READ,
                tag="queues",
            ),
            Call(
                "POST",
                "/api/v1/queues/{queue}/pause",
                "pauseQueue",
                "start no more jobs of a queue",
                self.pause,
                scope=Scope.OPERATE,
                tag="queues",
            ),
            Call(
                "POST",
                "/api/v1/queues/{queue}/resume",
                "resumeQueue",
                "serve a paused queue again",
                self.resume,
                scope=Scope.OPERATE,
                tag="queues",
            ),
        ]

    async def stats(self, request: Request) -> Response:
        """Count the jobs of every queue, and of all of them, by state."""
        read_query(request, NoQuery)
        queues = await self._backend.read(Inspector.queues)
        return json_response({"queues": [shapes.queue_view(stats) for stats in queues], "totals": _totals(queues)})

    async def pause(self, request: Request) -> Response:
        """Start no more jobs of a queue until it is resumed; what runs goes on."""
        queue = _queue(request)
        await self._backend.broker.pause(queue)
        return json_response({"queue": queue, "paused": True})

    async def resume(self, request: Request) -> Response:
        """Serve a paused queue again."""
        queue = _queue(request)
        await self._backend.broker.resume(queue)
        return json_response({"queue": queue, "paused": False})


class Workers:
    """The calls about workers, and what they can do."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def calls(self) -> list[Call]:
        """What is served here."""
        return [
            Call(
                "GET",
                "/api/v1/workers",
                "listWorkers",
                "the workers, and their last signs of life",
                self.all,
                scope=Scope.READ,
                tag="workers",
            ),
            Call(
                "GET",
                "/api/v1/job-types",
                "listJobTypes",
                "the job types that workers have published",
                self.job_types,
                scope=Scope.READ,
                tag="workers",
            ),
        ]

    async def all(self, request: Request) -> Response:
        """List the workers, each with its queues, its types and its last sign of life."""
        read_query(request, NoQuery)
        workers = await self._backend.read(Inspector.workers)
        return json_response({"workers": [shapes.worker_view(worker) for worker in workers]})

    async def job_types(self, request: Request) -> Response:
        """List the job types that workers have published, with the JSON Schema of their data."""
        read_query(request, NoQuery)
        tasks = await self._backend.read(Inspector.tasks)
        return json_response({"job_types": [{"name": task.name, **task.about} for task in tasks]})


def _queue(request: Request) -> str:
    name: str = request.path_params["queue"]
    if bad := limits.bad_name(name):
        raise InvalidJob([("/queue", bad)])
    return name


def _totals(queues: list[QueueStats]) -> dict[str, int]:
    return {state: sum(getattr(stats, state) for stats in queues) for state in JobState}
