"""Queues, and who serves them: numbers, pause and resume, workers, job types."""

from starlette.requests import Request
from starlette.responses import Response

from boltq.broker.inspector import Inspector, QueueStats
from boltq.domain import limits
from boltq.domain.errors import InvalidJob
from boltq.domain.states import JobState
from boltq.server import shapes
from boltq.server.answers import json_response
from boltq.server.backend import Backend
from boltq.server.query import Query


class Queues:
    """The calls about queues."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def stats(self, request: Request) -> Response:
        """Count the jobs of every queue, and of all of them, by state."""
        Query(request).check()
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

    async def all(self, request: Request) -> Response:
        """List the workers, each with its queues, its types and its last sign of life."""
        Query(request).check()
        workers = await self._backend.read(Inspector.workers)
        return json_response({"workers": [shapes.worker_view(worker) for worker in workers]})

    async def job_types(self, request: Request) -> Response:
        """List the job types that workers have published, with the JSON Schema of their data."""
        Query(request).check()
        tasks = await self._backend.read(Inspector.tasks)
        return json_response({"job_types": [{"name": task.name, **task.about} for task in tasks]})


def _queue(request: Request) -> str:
    name: str = request.path_params["queue"]
    if bad := limits.bad_name(name):
        raise InvalidJob([("/queue", bad)])
    return name


def _totals(queues: list[QueueStats]) -> dict[str, int]:
    return {state: sum(getattr(stats, state) for stats in queues) for state in JobState}
