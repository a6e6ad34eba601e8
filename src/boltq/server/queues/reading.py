"""Queues over HTTP: numbers and rates, what waits, pause and resume, their limit, and emptying one."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from boltq.broker.inspector import Bucket, Inspector, QueueStats, WorkerInfo
from boltq.broker.operations import MAX_ITEMS, Action
from boltq.domain import limits
from boltq.domain.errors import InvalidJob, NotFound
from boltq.domain.filters import JobFilter
from boltq.domain.job import JobRecord
from boltq.domain.scopes import Scope
from boltq.domain.states import JobState
from boltq.server.backend import Backend
from boltq.server.http.answers import json_response
from boltq.server.http.body import read_form
from boltq.server.http.caller import caller_of
from boltq.server.http.calls import ApiCall
from boltq.server.http.query import Cursor, Limit, NoQuery, read_query
from boltq.server.jobs.operations import OperationView, begin
from boltq.server.journal import Reason, ReasonForm, note, reason_of
from boltq.server.system.workers import StateText
from boltq.server.views import jobs as views

MAX_PURGED = MAX_ITEMS  # jobs of one purge
HEAD: Final = 5  # jobs that are shown of what comes next
SAMPLE: Final = 1_000  # waiting jobs whose types are counted
RATE_STEP: Final = 10  # seconds a bucket
RATE_BUCKETS: Final = 7  # the one that is not over yet, and a minute before it

Rate = Annotated[float, msgspec.Meta(description="a second, over the last minute")]


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


class PauseView(msgspec.Struct, kw_only=True):
    """Who paused a queue, why, and when."""

    by: str | None
    reason: str | None
    at: str | None


class DepthView(msgspec.Struct, kw_only=True):
    """How many jobs stand in each state; of those that have ended, how many are kept."""

    blocked: int
    scheduled: int
    queued: int
    running: int
    retrying: int
    completed: int
    dead: int
    cancelled: int


class PriorityView(msgspec.Struct, kw_only=True):
    """The queued jobs by priority; `parked` are those of a type that no worker knew."""

    high: int
    normal: int
    low: int
    parked: int


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


class QueueRow(msgspec.Struct, kw_only=True):
    """A queue."""

    name: str
    state: Annotated[
        Literal["running", "paused", "no_workers"],
        msgspec.Meta(description="no_workers: none is up that serves it"),
    ]
    paused: PauseView | None
    depth: DepthView
    by_priority: PriorityView
    oldest_ms: Annotated[int | None, msgspec.Meta(description="how long its oldest queued job has waited")]
    in_per_s: Rate
    out_per_s: Annotated[Rate, msgspec.Meta(description="jobs completed or dead a second, over the last minute")]
    workers: Annotated[int, msgspec.Meta(description="workers that are up and serve it")]
    slots: Annotated[int, msgspec.Meta(description="of these workers; they may serve other queues, too")]
    limit: Annotated[int | None, msgspec.Meta(description="how many jobs may wait; null: as the settings say")]


class QueuesView(msgspec.Struct, kw_only=True):
    """One page of queues, by name; `next_cursor` is null at the end."""

    items: list[QueueRow]
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


class ServingView(msgspec.Struct, kw_only=True):
    """A worker that serves a queue."""

    id: str
    state: StateText
    slots: int | None
    running: int | None


class QueueDetail(QueueRow, kw_only=True):
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
        """What is served here."""
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
                scope=Scope.OPERATE, body=LimitForm, answers={200: QueueRow}, tag=tag,
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
        world = await look(self._backend, found[:most])
        following = found[most - 1].name if len(found) > most else None
        return json_response(QueuesView(items=[world.row(name) for name in world.stats], next_cursor=following))

    async def stats(self, request: Request) -> Response:
        """Count the jobs of every queue, and of all of them, by state."""
        read_query(request, NoQuery)
        queues = await self._backend.read(Inspector.queues)
        return json_response(StatsView(queues=[_stats(stats) for stats in queues], totals=_totals(queues)))

    async def one(self, request: Request) -> Response:
        """Show a queue: its numbers, what comes next in it, a sample of the types that wait, its workers."""
        read_query(request, NoQuery)
        queue = queue_of(request)
        world = await look_at(self._backend, queue)
        if queue not in world.stats:
            raise NotFound(f"no queue {queue}: nothing was ever submitted to it")
        jobs, complete = await self._sample(queue)
        row = msgspec.structs.asdict(world.row(queue))
        rights = views.Rights.of(caller_of(request))
        head = [views.summary(job, rights) for job in jobs[:HEAD]]
        return json_response(QueueDetail(**row, by_type=_types(jobs, complete), head=head, served_by=world.who(queue)))

    async def limit(self, request: Request) -> Response:
        """Bound how many jobs may wait in a queue; what waits already stays."""
        queue = queue_of(request)
        form = await read_form(request, LimitForm)
        await self._backend.broker.limit(queue, form.max_depth or 0)
        await note(self._backend, request, "queue.limit", queue, reason_of(request, None))
        return json_response((await look_at(self._backend, queue)).row(queue))

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
        return await begin(self._backend, request, Action.DELETE, items[:MAX_PURGED], reason, **how)

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


async def look(backend: Backend, queues: Sequence[QueueStats], workers: Sequence[WorkerInfo] | None = None) -> "World":
    """What else is known of these queues; the workers, unless they are known. Raises StoreUnavailable."""
    if workers is None:
        workers = await backend.read(Inspector.workers)
    stats = {one.name: one for one in queues}
    buckets = await backend.read(lambda it: it.queue_series(list(stats), seconds=RATE_STEP, buckets=RATE_BUCKETS))
    serving = serving_by_queue(workers)
    return World(stats, workers, serving, buckets, await backend.read(Inspector.now_ms))


async def look_at(backend: Backend, queue: str) -> "World":
    """All that is known of one queue; its world is empty when there is none of that name."""
    return await look(backend, await backend.read(lambda inspector: inspector.queues([queue])))


def serving_by_queue(workers: Sequence[WorkerInfo]) -> dict[str, list[WorkerInfo]]:
    """The workers that are up, by the queues that they serve."""
    found: dict[str, list[WorkerInfo]] = {}
    for worker in workers:
        for queue in worker.queues if worker.state == "up" else ():
            found.setdefault(queue, []).append(worker)
    return found


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


class World(NamedTuple):
    """All that is known of some queues at one moment."""

    stats: dict[str, QueueStats]  # by name, in order
    workers: Sequence[WorkerInfo]
    serving: dict[str, list[WorkerInfo]]
    buckets: dict[str, list[Bucket]]
    now: int  # ms

    def row(self, name: str) -> QueueRow:
        """A queue's numbers."""
        stats = self.stats[name]
        serving = self.serving.get(name, [])
        return QueueRow(
            name=name,
            state="paused" if stats.paused else "running" if serving else "no_workers",
            paused=_pause(stats),
            depth=DepthView(**{state.value: getattr(stats, state) for state in JobState}),
            by_priority=PriorityView(high=stats.high, normal=stats.normal, low=stats.low, parked=stats.parked),
            oldest_ms=max(0, self.now - stats.oldest_queued_at) if stats.oldest_queued_at else None,
            in_per_s=self._rate(name, "submitted", "replayed"),
            out_per_s=self._rate(name, "completed", "dead"),
            workers=len(serving),
            slots=sum(worker.info.get("slots", 0) for worker in serving),
            limit=stats.limit,
        )

    def who(self, name: str) -> list[ServingView]:
        """The workers that serve it."""
        return [
            ServingView(id=one.id, state=one.state, slots=one.info.get("slots"), running=one.vitals.get("running"))
            for one in self.workers
            if name in one.queues
        ]

    def _rate(self, name: str, *what: str) -> float:
        seconds = (RATE_BUCKETS - 1) * RATE_STEP + (self.now // 1_000) % RATE_STEP
        number = sum(bucket.counts.get(word, 0) for bucket in self.buckets[name] for word in what)
        return round(number / seconds, 6)


def _pause(stats: QueueStats) -> PauseView | None:
    if not stats.paused:
        return None
    return PauseView(by=stats.paused_by, reason=stats.paused_reason, at=views.rfc3339(stats.paused_at))


def _types(jobs: Sequence[JobRecord], complete: bool) -> TypesView:  # noqa: FBT001 - one call site
    counts = Counter(job.type for job in jobs)
    items = [TypeCount(type=name, queued=number) for name, number in counts.most_common()]
    return TypesView(items=items, examined=len(jobs), complete=complete)


def _stats(stats: QueueStats) -> StatsRow:
    fields = {name: getattr(stats, name) for name in StatsRow.__struct_fields__}
    return StatsRow(**fields | {"oldest_queued_at": views.rfc3339(stats.oldest_queued_at)})


def _totals(queues: list[QueueStats]) -> dict[JobState, int]:
    return {state: sum(getattr(stats, state) for stats in queues) for state in JobState}
