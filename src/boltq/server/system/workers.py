"""Workers over HTTP: who is here, what they run; have one drain, work again, or stop."""

from typing import Annotated, Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from boltq.broker.inspector import Inspector, WorkerRecord
from boltq.broker.scripts import UNCOUNTED
from boltq.domain.errors import NotFound
from boltq.domain.filters import JobFilter
from boltq.domain.job import JobRecord
from boltq.domain.scopes import Scope
from boltq.domain.states import JobState
from boltq.server.audit_log import ReasonForm, note, reason_of
from boltq.server.backend import Backend
from boltq.server.http.answers import json_response
from boltq.server.http.body import read_form
from boltq.server.http.caller import caller_of
from boltq.server.http.calls import ApiCall
from boltq.server.http.moments import rfc3339
from boltq.server.http.query import NoQuery, read_query
from boltq.server.views import jobs as views
from boltq.server.views.common import Rights, WorkerStateText

MAX_RUNNING: Final = 100  # jobs of a worker that are shown
_MAX_CHARS: Final = 200  # of a worker's id
_MAX_PAGES: Final = 10  # that are looked through for a worker's running jobs


class WorkerView(msgspec.Struct, kw_only=True):
    """A worker. What it did not say of itself is null."""

    id: str
    state: WorkerStateText
    since: Annotated[str, msgspec.Meta(description="when it registered")]
    lease_ends_at: Annotated[str, msgspec.Meta(description="when it is believed dead unless it is heard of before")]
    queues: list[str]
    types: Annotated[list[str] | None, msgspec.Meta(description="the job types that it knows; null: it takes any")]
    host: str | None
    pid: int | None
    version: Annotated[str | None, msgspec.Meta(description="of BoltQ")]
    slots: Annotated[int | None, msgspec.Meta(description="how many jobs it runs at once")]
    running: Annotated[int | None, msgspec.Meta(description="how many ran at its last sign of life")]
    waiting: Annotated[int | None, msgspec.Meta(description="claimed, and not begun yet")]
    held: Annotated[
        int | None,
        msgspec.Meta(description="how many jobs it has as the store sees it: waiting, running, or on their way"),
    ]
    done: Annotated[int | None, msgspec.Meta(description="runs that ended, since it started")]


class WorkerDetail(WorkerView, kw_only=True):
    """A worker, and what it runs."""

    running_jobs: Annotated[list[views.JobSummary], msgspec.Meta(description=f"{MAX_RUNNING} of them at most")]
    running_jobs_complete: bool


class WorkersView(msgspec.Struct, kw_only=True):
    """All workers, by id, at most 1,000 of each partition; there is but one page."""

    items: list[WorkerView]
    next_cursor: None = None


class WorkerCalls:
    """The calls about workers."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def calls(self) -> list[ApiCall]:
        """The calls of this resource, for the list in app.py."""
        path = "/api/v1/workers"
        change: dict[str, Any] = {
            "scope": Scope.OPERATE, "body": ReasonForm, "answers": {202: WorkerView}, "problems": ("conflict",),
            "tag": "workers",
        }  # fmt: skip
        return [
            ApiCall(
                "GET", path, "listWorkers", "the workers, and their last signs of life", self.all,
                scope=Scope.READ, answers={200: WorkersView}, tag="workers",
            ),
            ApiCall(
                "GET", f"{path}/{{id}}", "getWorker", "a worker, and the jobs that it runs", self.one,
                scope=Scope.READ, answers={200: WorkerDetail}, tag="workers",
            ),
            ApiCall(
                "POST", f"{path}/{{id}}/drain", "drainWorker", "have a worker claim nothing more, and stay",
                self.drain, **change,
            ),
            ApiCall(
                "POST", f"{path}/{{id}}/resume", "resumeWorker", "have a draining worker claim jobs again",
                self.resume, **change,
            ),
            ApiCall(
                "POST", f"{path}/{{id}}/stop", "stopWorker",
                "have a worker finish what it runs, and end; nobody takes its place", self.stop, **change,
            ),
        ]  # fmt: skip

    async def all(self, request: Request) -> Response:
        """List the workers, each with its state, its queues, its types and its last sign of life."""
        read_query(request, NoQuery)
        workers = await self._backend.read(Inspector.workers)
        return json_response(WorkersView(items=[worker_view(worker) for worker in workers]))

    async def one(self, request: Request) -> Response:
        """Show a worker, and what it runs as the store sees it: that may be more than it said of itself."""
        read_query(request, NoQuery)
        worker = await self._find(_id(request))
        jobs, complete = await self._running(worker)
        rights = Rights.of(caller_of(request))
        summaries = [views.summary(job, rights) for job in jobs]
        view = msgspec.structs.asdict(worker_view(worker))
        return json_response(WorkerDetail(**view, running_jobs=summaries, running_jobs_complete=complete))

    async def drain(self, request: Request) -> Response:
        """Have a worker hand back what it has not begun, finish what it runs, and claim nothing more."""
        return await self._tell(request, "drain", "draining")

    async def resume(self, request: Request) -> Response:
        """Have a draining worker claim jobs again. One that was told to stop cannot be called back (409)."""
        return await self._tell(request, "resume", "")

    async def stop(self, request: Request) -> Response:
        """Have a worker drain, and end as it does after SIGTERM. Its supervisor puts no other in its place."""
        return await self._tell(request, "stop", "stopping")

    async def _tell(self, request: Request, action: str, wish: str) -> Response:
        worker_id = _id(request)
        reason = reason_of(request, (await read_form(request, ReasonForm)).reason)
        await self._backend.broker.tell(worker_id, wish)
        await note(self._backend, request, f"worker.{action}", worker_id, reason)
        return json_response(worker_view(await self._find(worker_id)), 202)

    async def _find(self, worker_id: str) -> WorkerRecord:
        workers = await self._backend.read(Inspector.workers)
        found = next((worker for worker in workers if worker.id == worker_id), None)
        if found is None:
            raise NotFound(f"no worker {worker_id:.100}: it has left, or its lease ran out")
        return found

    async def _running(self, worker: WorkerRecord) -> tuple[list[JobRecord], bool]:
        what = JobFilter(states=(JobState.RUNNING,), worker=worker.id)
        jobs: list[JobRecord] = []
        cursor: str | None = None
        for _ in range(_MAX_PAGES):
            at, most = cursor, MAX_RUNNING - len(jobs)
            page = await self._backend.read(lambda inspector: inspector.page(what, cursor=at, limit=most))  # noqa: B023
            jobs, cursor = jobs + page.jobs, page.cursor
            if cursor is None or len(jobs) >= MAX_RUNNING:
                break
        return jobs, cursor is None


def worker_view(worker: WorkerRecord) -> WorkerView:
    """A worker as it is shown."""
    info, vitals = worker.info, worker.vitals
    return WorkerView(
        id=worker.id,
        state=worker.state,
        since=rfc3339(worker.since),
        lease_ends_at=rfc3339(worker.lease_ends_at),
        queues=worker.queues,
        types=worker.types,
        host=info.get("host"),
        pid=info.get("pid"),
        version=info.get("version"),
        slots=info.get("slots"),
        running=vitals.get("running"),
        waiting=vitals.get("waiting"),
        held=None if worker.holds == UNCOUNTED else worker.holds,
        done=vitals.get("done"),
    )


def _id(request: Request) -> str:
    worker_id: str = request.path_params["id"]
    if len(worker_id) > _MAX_CHARS or not worker_id.isprintable():
        raise NotFound(f"{worker_id!r:.60} is not the id of a worker")
    return worker_id
