"""Queues over HTTP: numbers and rates, what waits, pause and resume, their limit, and emptying one."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from boltq.broker.inspector import Inspector, QueueStats
from boltq.broker.operations import MAX_ITEMS, BulkAction
from boltq.domain import limits
from boltq.domain.errors import InvalidJob, NotFound
from boltq.domain.filters import JobFilter
from boltq.domain.job import JobRecord
from boltq.domain.scopes import Scope
from boltq.domain.states import JobState
from boltq.server.audit_log import Reason, ReasonForm, note, reason_of
from boltq.server.backend import Backend
from boltq.server.http.answers import json_response
from boltq.server.http.body import read_form
from boltq.server.http.caller import caller_of
from boltq.server.http.calls import ApiCall
from boltq.server.http.moments import rfc3339
from boltq.server.http.query import Cursor, Limit, NoQuery, read_query
from boltq.server.operations import begin
from boltq.server.queues.snapshot import QueueView, ServingView, read_snapshot, read_snapshot_of
from boltq.server.views import jobs as views
from boltq.server.views.common import Rights
from boltq.server.views.operations import OperationView

MAX_PURGED = MAX_ITEMS  # jobs of one purge
HEAD: Final = 5  # jobs that are shown of what comes next
SAMPLE: Final = 1_000  # waiting jobs whose types are counted


class QueuesQuery(msgspec.Struct, kw_only=True):
    """Which queues to list."""

    limit: Limit = limits.MAX_PAGE
    cursor: Cursor | None = None


class LimitForm(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a change to a queue."""

    max_depth: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=10**12)] | None,
        msgspec.Meta(
            description="how many jobs may wait in it (rounded up to a multiple of the partitions); null: any"
        ),
    ]


class PurgeForm(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a purge."""

    states: Annotated[
        list[JobState],
        msgspec.Meta(min_length=1, max_length=len(JobState), description="all but running: cancel those first"),
    ]
    confirm: Annotated[str, msgspec.Meta(description="the name of the queue, once more")]
    reason: Reason | None = None


class StatsRow(msgspec.Struct, kw_only=True):
    """How many jobs of a queue stand where; of those that have ended, how many are kept."""

    name: str
    paused: bool
    limit: int | None
    queued: int
    high: int
    normal: int
    low: int
    parked: Annotated[int, msgspec.Meta(description="of the queued: of a type that no worker knew")]
    running: int
    blocked: int
    scheduled: int
    retrying: int
    completed: int
    dead: int
    cancelled: int
    completed_total: Annotated[int, msgspec.Meta(description="since the queue began")]
    dead_total: int
    cancelled_total: int
    oldest_queued_at: str | None


class StatsView(msgspec.Struct, kw_only=True):
    """The numbers of every queue, and of all of them."""

    queues: list[StatsRow]
    totals: dict[JobState, int]


class QueuesView(msgspec.Struct, kw_only=True):
    """One page of queues, by name; `next_cursor` is null at the end."""

    items: list[QueueView]
    next_cursor: str | None


class TypeCount(msgspec.Struct, kw_only=True):
    """How many queued jobs are of a type."""

    type: str
    queued: int


class TypesView(msgspec.Struct, kw_only=True):
    """The queued jobs by type: a sample, of those that run next."""

    items: list[TypeCount]
    examined: Annotated[int, msgspec.Meta(description=f"jobs that were looked at, at most {SAMPLE}")]
    complete: Annotated[bool, msgspec.Meta(description="whether these are all")]


class QueueDetail(QueueView, kw_only=True):
    """A queue, what waits in it, and who serves it."""

    by_type: TypesView
    head: Annotated[list[views.JobSummary], msgspec.Meta(description=f"the {HEAD} jobs that come next")]
    served_by: list[ServingView]


class PausedView(msgspec.Struct, kw_only=True):
    """Whether a queue is paused."""

    queue: str
    paused: bool


class QueueCalls:
    """The calls about queues."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def calls(self) -> list[ApiCall]:
        """The calls of this resource, for the list in app.py."""
        path, tag = "/api/v1/queues", "queues"
        return [
            ApiCall(
                "GET", path, "listQueues", "the queues: what waits, how fast it goes, who serves them", self.all,
                scope=Scope.READ, query=QueuesQuery, answers={200: QueuesView}, tag=tag,
            ),
            ApiCall(
                "GET", f"{path}/stats", "queueStats", "how many jobs stand where", self.stats,
                scope=Scope.READ, answers={200: StatsView}, tag=tag,
            ),
            ApiCall(
                "GET", f"{path}/{{queue}}", "getQueue", "a queue, what waits in it, and who serves it", self.one,
                scope=Scope.READ, answers={200: QueueDetail}, tag=tag,
            ),
            ApiCall(
                "PATCH", f"{path}/{{queue}}", "limitQueue", "bound how many jobs may wait in a queue", self.limit,
                scope=Scope.OPERATE, body=LimitForm, answers={200: QueueView}, tag=tag,
            ),
            ApiCall(
                "POST", f"{path}/{{queue}}/pause", "pauseQueue", "start no more jobs of a queue", self.pause,
                scope=Scope.OPERATE, body=ReasonForm, answers={200: PausedView}, tag=tag,
            ),
            ApiCall(
                "POST", f"{path}/{{queue}}/resume", "resumeQueue", "serve a paused queue again", self.resume,
                scope=Scope.OPERATE, body=ReasonForm, answers={200: PausedView}, tag=tag,
            ),
            ApiCall(
                "POST", f"{path}/{{queue}}/purge", "purgeQueue", "delete jobs of a queue for ever", self.purge,
                scope=Scope.OPERATE, body=PurgeForm, answers={202: OperationView}, problems=("conflict",), tag=tag,
            ),
        ]  # fmt: skip

    async def all(self, request: Request) -> Response:
        """List the queues that were ever used, each with its numbers."""
        query = read_query(request, QueuesQuery)
        after, most = query.cursor or "", query.limit
        if after and limits.bad_name(after):
            raise InvalidJob([("/cursor", "not a cursor of ours")])
        found = await self._backend.read(lambda inspector: inspector.queues_after(after, most + 1))
        snapshot = await read_snapshot(self._backend, found[:most])
        following = found[most - 1].name if len(found) > most else None
        return json_response(QueuesView(items=[snapshot.row(name) for name in snapshot.stats], next_cursor=following))

    async def stats(self, request: Request) -> Response:
        """Count the jobs of every queue, and of all of them, by state."""
        read_query(request, NoQuery)
        queues = await self._backend.read(Inspector.queues)
        return json_response(StatsView(queues=[_stats(stats) for stats in queues], totals=_totals(queues)))

    async def one(self, request: Request) -> Response:
        """Show a queue: its numbers, what comes next in it, a sample of the types that wait, its workers."""
        read_query(request, NoQuery)
        queue = queue_of(request)
        snapshot = await read_snapshot_of(self._backend, queue)
        if queue not in snapshot.stats:
            raise NotFound(f"no queue {queue}: nothing was ever submitted to it")
        jobs, complete = await self._sample(queue)
        row = msgspec.structs.asdict(snapshot.row(queue))
        rights = Rights.of(caller_of(request))
        head = [views.summary(job, rights) for job in jobs[:HEAD]]
        return json_response(
            QueueDetail(**row, by_type=_types(jobs, complete), head=head, served_by=snapshot.who(queue))
        )

    async def limit(self, request: Request) -> Response:
        """Bound how many jobs may wait in a queue; what waits already stays."""
        queue = queue_of(request)
        form = await read_form(request, LimitForm)
        await self._backend.broker.limit(queue, form.max_depth or 0)
        await note(self._backend, request, "queue.limit", queue, reason_of(request, None))
        return json_response((await read_snapshot_of(self._backend, queue)).row(queue))

    async def pause(self, request: Request) -> Response:
        """Start no more jobs of a queue until it is resumed; what runs goes on."""
        queue = queue_of(request)
        reason = reason_of(request, (await read_form(request, ReasonForm)).reason)
        await self._backend.broker.pause(queue, caller_of(request).name, reason)
        await note(self._backend, request, "queue.pause", queue, reason)
        return json_response(PausedView(queue=queue, paused=True))

    async def resume(self, request: Request) -> Response:
        """Serve a paused queue again."""
        queue = queue_of(request)
        reason = reason_of(request, (await read_form(request, ReasonForm)).reason)
        await self._backend.broker.resume(queue)
        await note(self._backend, request, "queue.resume", queue, reason)
        return json_response(PausedView(queue=queue, paused=False))

    async def purge(self, request: Request) -> Response:
        """Delete for ever the jobs of a queue that stand in these states now; those that run are never deleted.

        A bulk operation does it: see /operations. It takes 100,000 jobs; when there are more, it is `partial`: ask
        again for the rest.
        """
        queue, form = queue_of(request), await read_form(request, PurgeForm)
        reason = reason_of(request, form.reason)
        _check_purge(queue, form)
        what = JobFilter(states=tuple(form.states), queues=(queue,))
        items = await self._backend.read(lambda inspector: inspector.snapshot(what, MAX_PURGED + 1, partial=True))
        how: dict[str, Any] = {"chosen_by": what, "partial": len(items) > MAX_PURGED}
        return await begin(self._backend, request, BulkAction.DELETE, items[:MAX_PURGED], reason, **how)

    async def _sample(self, queue: str) -> tuple[list[JobRecord], bool]:
        """The queued jobs that come next, and whether these are all."""
        what, jobs, cursor = JobFilter.of(JobState.QUEUED, queue), list[JobRecord](), None
        while len(jobs) < SAMPLE:
            at: str | None = cursor
            page = await self._backend.read(lambda inspector: inspector.page(what, cursor=at, limit=limits.MAX_PAGE))  # noqa: B023
            jobs, cursor = jobs + page.jobs, page.cursor
            if cursor is None:
                break
        return jobs, cursor is None


def queue_of(request: Request) -> str:
    """The queue that the path names. Raises InvalidJob."""
    name: str = request.path_params["queue"]
    if bad := limits.bad_name(name):
        raise InvalidJob([("/queue", bad)])
    return name


def _check_purge(queue: str, form: PurgeForm) -> None:
    mistakes = []
    if JobState.RUNNING in form.states:
        mistakes.append(("/states", "running jobs cannot be deleted: cancel them first"))
    if form.confirm != queue:
        mistakes.append(("/confirm", f"must be the name of the queue: {queue}"))
    if mistakes:
        raise InvalidJob(mistakes)


def _types(jobs: Sequence[JobRecord], complete: bool) -> TypesView:  # noqa: FBT001 - one call site
    counts = Counter(job.type for job in jobs)
    items = [TypeCount(type=name, queued=number) for name, number in counts.most_common()]
    return TypesView(items=items, examined=len(jobs), complete=complete)


def _stats(stats: QueueStats) -> StatsRow:
    fields = {name: getattr(stats, name) for name in StatsRow.__struct_fields__}
    return StatsRow(**fields | {"oldest_queued_at": rfc3339(stats.oldest_queued_at)})


def _totals(queues: list[QueueStats]) -> dict[JobState, int]:
    return {state: sum(getattr(stats, state) for stats in queues) for state in JobState}
