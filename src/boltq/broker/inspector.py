"""The reading half: one job, lists by state, counts, queue statistics, workers, recent series. It changes nothing."""

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from boltq.broker.broker import Broker
from boltq.broker.calls import Call, pack
from boltq.broker.connect import without_secret
from boltq.domain import limits
from boltq.domain.errors import InvalidJob, NotFound, StoreUnavailable
from boltq.domain.job import NO_SPEC, JobRecord, Priority, Spec
from boltq.domain.states import JobState


class QueueStats(msgspec.Struct, kw_only=True):
    """One queue: how many jobs stand where, summed over the partitions."""

    name: str
    paused: bool = False
    limit: int | None = None
    queued: int = 0
    high: int = 0
    normal: int = 0
    low: int = 0
    parked: int = 0  # of the queued: of a type that no worker knew
    running: int = 0
    scheduled: int = 0
    retrying: int = 0
    completed: int = 0
    dead: int = 0
    cancelled: int = 0
    completed_total: int = 0  # since the queue began; the above are what is kept
    dead_total: int = 0
    cancelled_total: int = 0
    oldest_queued_at: int | None = None  # ms


class WorkerInfo(msgspec.Struct, kw_only=True):
    """A worker as the store knows it. Times in milliseconds."""

    id: str
    lease_ends_at: int
    since: int
    queues: list[str]
    types: list[str] | None  # None: any type
    info: dict[str, Any]
    vitals: dict[str, Any]


class TaskInfo(msgspec.Struct, kw_only=True):
    """A job type that some worker has published."""

    name: str
    about: dict[str, Any]


class Page(msgspec.Struct):
    """One page of jobs (without payloads); `cursor` None at the end."""

    jobs: list[JobRecord]
    cursor: str | None


class Bucket(msgspec.Struct):
    """What happened in one stretch of time: `counts` is queue -> what -> number (see lua/series.lua)."""

    at: int  # unix seconds
    counts: dict[str, dict[str, int]]


class Inspector:
    """Reads what the broker wrote."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def job(self, job_id: str) -> JobRecord:
        """One job, with payload, result and log lines. Raises NotFound."""
        found = (await self.jobs([job_id]))[0]
        if found is None:
            raise NotFound(f"no job {job_id:.60}: the id is wrong, or the job is older than the history that is kept")
        return found

    async def jobs(self, ids: Sequence[str]) -> list[JobRecord | None]:
        """Jobs by id, None for those that are not there."""
        found: dict[str, JobRecord | None] = {}
        homes: dict[int, list[str]] = {}
        for job_id in ids:
            try:
                homes.setdefault(self._broker.layout.of_id(job_id), []).append(job_id)
            except NotFound:
                found[job_id] = None
        for partition, homed in homes.items():
            for start in range(0, len(homed), limits.MAX_PAGE):
                chunk = homed[start : start + limits.MAX_PAGE]
                rows = await self._read("get", partition, pack(chunk))
                for job_id, row in zip(chunk, rows, strict=True):
                    found[job_id] = _record(row[0], row[1]) if row else None
        return [found[job_id] for job_id in ids]

    async def page(
        self,
        state: JobState | None = None,
        queue: str | None = None,
        *,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page:
        """A page of jobs. Without a state: the live states first, then the history.

        Queued jobs come in the order in which they will run, scheduled and retrying ones the soonest first, all
        others the newest first; over several queues or partitions, each of them in turn.
        """
        limit = min(limit, limits.MAX_PAGE)
        stops = await self._stops(state, queue)
        at, inner = _read_cursor(cursor)
        jobs: list[JobRecord] = []
        while at < len(stops) and len(jobs) < limit:
            partition, name, standing = stops[at]
            args = (name, standing, inner, limit - len(jobs))
            following, rows = await self._read("list", partition, *args)
            jobs += [_record(row, []) for row in rows]
            at, inner = (at, following) if following else (at + 1, "")
        return Page(jobs, _write_cursor(at, inner) if at < len(stops) else None)

    async def _stops(self, state: JobState | None, queue: str | None) -> list[tuple[int, str, str]]:
        """Every index that a listing visits, in order: (partition, queue, state)."""
        queues = [queue] if queue else [stats.name for stats in await self.queues()]
        states = [state] if state else _LISTING_ORDER
        partitions = range(self._broker.layout.partitions)
        return [(p, name, standing) for standing in states for name in queues for p in partitions]

    async def queues(self) -> list[QueueStats]:
        """Every queue that was ever used, by name."""
        found: dict[str, QueueStats] = {}
        for partition in range(self._broker.layout.partitions):
            for row in await self._read("stats", partition):
                _add(found.setdefault(row[0], QueueStats(name=row[0])), row)
        return sorted(found.values(), key=lambda stats: stats.name)

    async def counts(self) -> dict[JobState, int]:
        """How many jobs stand in each state."""
        queues = await self.queues()
        return {state: sum(getattr(stats, state.value) for stats in queues) for state in JobState}

    async def workers(self) -> list[WorkerInfo]:
        """Every worker that is registered; one that serves several partitions is listed once."""
        found: dict[str, WorkerInfo] = {}
        for partition in range(self._broker.layout.partitions):
            rows, _ = await self._read("workers", partition)
            for row in rows:
                found[row[0]] = _worker(row)
        return sorted(found.values(), key=lambda worker: worker.id)

    async def tasks(self) -> list[TaskInfo]:
        """Every job type that a worker has published, with its JSON Schema."""
        _, rows = await self._read("workers", 0)
        return [TaskInfo(name=name, about=msgspec.json.decode(about)) for name, about in sorted(rows)]

    async def series(self, *, seconds: int = 10, buckets: int = 60) -> list[Bucket]:
        """The last buckets of 10 s (an hour is kept) or 60 s (a day is kept), oldest first; empty ones are left out."""
        now = (await self.now_ms()) // 1_000
        last = now - now % seconds
        found: dict[int, dict[str, dict[str, int]]] = {}
        for partition in range(self._broker.layout.partitions):
            args = (seconds, last - (buckets - 1) * seconds, last)
            for at, fields in await self._read("series", partition, *args):
                for field, number in fields:
                    queue, what = field.split(" ")
                    counts = found.setdefault(at, {}).setdefault(queue, {})
                    counts[what] = counts.get(what, 0) + number
        return [Bucket(at, counts) for at, counts in sorted(found.items())]

    async def now_ms(self) -> int:
        """The server's clock (a test's own clock where it has one)."""
        if self._broker.now:
            return self._broker.now()
        seconds, micros = await self._broker.redis.time()
        return int(seconds) * 1_000 + int(micros) // 1_000

    async def _read(self, script: str, partition: int, *args: Any) -> Any:
        return await self._broker.send(Call(script, partition, args, msgspec.msgpack.decode))


_LISTING_ORDER = [
    JobState.RUNNING,
    JobState.QUEUED,
    JobState.RETRYING,
    JobState.SCHEDULED,
    JobState.DEAD,
    JobState.CANCELLED,
    JobState.COMPLETED,
]


def _record(row: Sequence[Any], log: list[str]) -> JobRecord:
    """A row of lua/lib/reading.lua as a record. A list's row has no payload."""
    job_id, due, state, route, at, since, n, tries, lost, worker, took, error, *rest = row
    reason, cancel, progress, expires, *rest = rest
    spec, data, result = rest or ("", "", "")
    queue, priority, job_type = route.split(" ")
    standing, moved = JobState(state), int(since)
    ended = moved if standing in _ENDED else None
    share, _, text = progress.partition(" ")
    return JobRecord(
        id=job_id,
        state=standing,
        type=job_type,
        queue=queue,
        priority=Priority(int(priority)),
        data=data,
        spec=msgspec.json.decode(spec, type=Spec) if spec else NO_SPEC,
        created_at=int(at),
        since=moved,
        attempts=int(tries or 0),
        deliveries=int(n or 0),
        losses=int(lost or 0),
        due_at=int(due) or None,
        expires_at=int(expires) if expires else None,
        worker=worker or None,
        started_at=moved if standing is JobState.RUNNING else moved - int(took) if took and ended else None,
        finished_at=ended,
        result=result or None,
        error=error or None,
        cancel_requested=bool(cancel) and standing is JobState.RUNNING,
        reason=reason or None,
        progress=float(share) if share else None,
        progress_text=text or None,
        log=log,
    )


_ENDED = {JobState.COMPLETED, JobState.DEAD, JobState.CANCELLED}


def _add(stats: QueueStats, row: Sequence[Any]) -> None:
    (_, paused, limit, high, normal, low, parked, running, scheduled, retrying, completed, dead, cancelled, *rest) = row
    completed_total, dead_total, cancelled_total, oldest = rest
    stats.paused = stats.paused or bool(paused)
    stats.limit = (stats.limit or 0) + limit or None
    stats.queued += high + normal + low + parked
    for name, number in (
        ("high", high),
        ("normal", normal),
        ("low", low),
        ("parked", parked),
        ("running", running),
        ("scheduled", scheduled),
        ("retrying", retrying),
        ("completed", completed),
        ("dead", dead),
        ("cancelled", cancelled),
        ("completed_total", completed_total),
        ("dead_total", dead_total),
        ("cancelled_total", cancelled_total),
    ):
        setattr(stats, name, getattr(stats, name) + number)
    if oldest:
        stats.oldest_queued_at = min(stats.oldest_queued_at or oldest, oldest)


def _worker(row: Sequence[Any]) -> WorkerInfo:
    worker, ends, info, queues, types, vitals, since = row
    return WorkerInfo(
        id=worker,
        lease_ends_at=ends,
        since=since,
        queues=queues.split(),
        types=None if types == "*" else types.split(),
        info=msgspec.json.decode(info) if info else {},
        vitals=msgspec.json.decode(vitals) if vitals else {},
    )


def _write_cursor(at: int, inner: str) -> str:
    return base64.urlsafe_b64encode(f"{at}|{inner}".encode()).decode().rstrip("=")


def _read_cursor(cursor: str | None) -> tuple[int, str]:
    if not cursor:
        return 0, ""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except ValueError:
        text = ""
    found = re.fullmatch(r"(\d{1,9})\|([\w .:-]*)", text)
    if not found:
        raise InvalidJob([("/cursor", "not a cursor of ours: begin without one")])
    return int(found[1]), found[2]


class Server(msgspec.Struct):
    """The server behind the store, and what is wrong with it."""

    flavour: str  # "valkey" or "redis"
    version: str
    info: Mapping[str, Any]
    problems: list[tuple[str, str]]  # what is wrong, and what to do

    @property
    def too_old(self) -> bool:
        """Whether BoltQ cannot work on it."""
        return self.flavour == "redis" and int(self.version.split(".")[0]) < 7  # noqa: PLR2004 - first with #!lua flags


async def inspect_server(broker: Broker) -> Server:
    """Version, eviction policy and persistence of the server. Raises StoreUnavailable when it does not answer."""
    from redis import exceptions  # noqa: PLC0415 - the only other place that needs it

    try:
        info = await broker.redis.info()
    except (exceptions.RedisError, OSError) as error:
        raise StoreUnavailable(f"the store at {without_secret(broker.address)} does not answer: {error}") from error
    flavour = "valkey" if "valkey_version" in info else "redis"
    version = str(info.get("valkey_version") or info.get("redis_version") or "0")
    server = Server(flavour, version, info, [])
    if server.too_old:
        server.problems.append((f"Redis {version} is too old", "use Valkey, or Redis 7 or later"))
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction":
        server.problems.append(
            (f"maxmemory-policy is {policy}: under memory pressure the server deletes jobs", "set it to noeviction")
        )
    if not int(info.get("aof_enabled", 0)):
        server.problems.append(
            ("the append-only file is off: a crash of the server loses what came since the last snapshot, or all",
             "set appendonly yes")
        )  # fmt: skip
    return server
