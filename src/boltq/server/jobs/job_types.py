"""Job types over HTTP: what workers have published of what they can do."""

from typing import Annotated, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from boltq.broker.inspector import Inspector, TaskInfo, WorkerRecord
from boltq.domain.errors import NotFound
from boltq.domain.scopes import Scope
from boltq.server.backend import Backend
from boltq.server.http.answers import json_response
from boltq.server.http.calls import ApiCall
from boltq.server.http.query import NoQuery, read_query

Schema = Annotated[dict[str, Any], msgspec.Meta(description="the JSON Schema (2020-12) of the data")]


class DefaultsView(msgspec.Struct, kw_only=True):
    """What holds for a job whose submission says nothing else; null: the settings decide."""

    queue: str
    executor: Annotated[str, msgspec.Meta(description="async, thread or process")]
    max_attempts: int | None
    timeout_seconds: float | None


class JobTypeView(msgspec.Struct, kw_only=True):
    """A job type."""

    name: str
    description: str
    queue: str
    defaults: DefaultsView
    schema: Schema
    workers: Annotated[int, msgspec.Meta(description="how many workers that are up take such jobs")]


class JobTypesView(msgspec.Struct, kw_only=True):
    """All job types, by name; there is but one page."""

    items: list[JobTypeView]
    next_cursor: None = None


class JobTypeCalls:
    """The calls about job types."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def calls(self) -> list[ApiCall]:
        """The calls of this resource, for the list in app.py."""
        return [
            ApiCall(
                "GET", "/api/v1/job-types", "listJobTypes", "the job types that workers have published", self.all,
                scope=Scope.READ, answers={200: JobTypesView}, tag="job types",
            ),
            ApiCall(
                "GET", "/api/v1/job-types/{name}", "getJobType", "a job type, with the JSON Schema of its data",
                self.one, scope=Scope.READ, answers={200: JobTypeView}, tag="job types",
            ),
        ]  # fmt: skip

    async def all(self, request: Request) -> Response:
        """List the job types that workers have published; a type stays when its workers have gone."""
        read_query(request, NoQuery)
        return json_response(JobTypesView(items=await self._types()))

    async def one(self, request: Request) -> Response:
        """Show one of them."""
        read_query(request, NoQuery)
        name = request.path_params["name"]
        found = next((one for one in await self._types() if one.name == name), None)
        if found is None:
            raise NotFound(f"no worker has published the job type {name!r:.110}")
        return json_response(found)

    async def _types(self) -> list[JobTypeView]:
        workers = await self._backend.read(Inspector.workers)
        return [_view(task, workers) for task in await self._backend.read(Inspector.tasks)]


def _view(task: TaskInfo, workers: list[WorkerRecord]) -> JobTypeView:
    about = task.about
    defaults = DefaultsView(
        queue=about.get("queue", "default"),
        executor=about.get("executor", "async"),
        max_attempts=about.get("max_attempts"),
        timeout_seconds=about.get("timeout_seconds"),
    )
    return JobTypeView(
        name=task.name,
        description=about.get("description", ""),
        queue=defaults.queue,
        defaults=defaults,
        schema=about.get("schema", {"type": "object"}),
        workers=sum(worker.state == "up" and worker.takes(task.name) for worker in workers),
    )
