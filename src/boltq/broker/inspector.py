"""The reading half: one job, queue statistics, workers, recent series; lists are in `search.py`. It changes nothing."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Literal

import msgspec

from boltq.broker import calls
from boltq.broker.broker import Broker
from boltq.broker.connect import without_secret
from boltq.broker.contract import QueueRow, WorkerRow
from boltq.broker.rows import whole_record
from boltq.broker.scripts import UNCOUNTED
from boltq.broker.search import Numbers, Search
from boltq.domain import limits
from boltq.domain.errors import NotFound, StoreUnavailable
from boltq.domain.job import CONTROL_TYPE, JobRecord
from boltq.domain.states import JobState


class QueueStats(msgspec.Struct, kw_only=True):
    """One queue: how many jobs stand where, summed over the partitions."""

    name: str
    paused: bool = False
    paused_by: str | None = None
    paused_reason: str | None = None
    paused_at: int | None = None  # ms
    limit: int | None = None
    queued: int = 0
    high: int = 0
    normal: int = 0
    low: int = 0
    parked: int = 0  # of the queued: of a type that no worker knew
    running: int = 0
    blocked: int = 0
    scheduled: int = 0
    retrying: int = 0
    completed: int = 0
    dead: int = 0
    cancelled: int = 0
    completed_total: int = 0  # since the queue began; the above are what is kept
    dead_total: int = 0
    cancelled_total: int = 0
    oldest_queued_at: int | None = None  # ms


WorkerState = Literal["up", "draining", "stopping", "stale"]
"""Draining and stopping: it was asked to. Stale: its lease has run out."""


class WorkerRecord(msgspec.Struct, kw_only=True):
    """A worker as the store knows it. Times in milliseconds."""

    id: str
    lease_ends_at: int
    since: int
    queues: list[str]
    types: list[str] | None  # None: any type
    info: dict[str, Any]
    vitals: dict[str, Any]
    state: WorkerState = "up"
    holds: int = UNCOUNTED  # how many jobs it has, as the store sees it

    def takes(self, job_type: str) -> bool:
        """Whether it knows that type of job. What workflows need by themselves every worker does."""
        return self.types is None or job_type in self.types or job_type == CONTROL_TYPE


class TaskInfo(msgspec.Struct, kw_only=True):
    """A job type that some worker has published."""

    name: str
    about: dict[str, Any]


class Published(msgspec.Struct, kw_only=True):
    """What workers have published: by all that ever were here, and by those that live."""

    types: list[TaskInfo]  # each as it was published last
    releases: dict[str, dict[str, str] | None]  # digest -> job type -> JSON of it; None: the caller knows it


class Bucket(msgspec.Struct):
    """What happened in one stretch of time: `counts` is what -> number (see lua/series.lua)."""

    at: int  # unix seconds
    counts: dict[str, int]


class QueuePlace(msgspec.Struct, frozen=True):
    """Where a queued job stands in its queue's line of its partition. Lower classes may get a turn before it, too."""

    ahead: int  # jobs that come before it
    at_least: bool = False  # there are more than one call looks at
    parked: bool = False  # no worker knew its type; it comes first as soon as one does


class Inspector(Search):
    """Reads what the broker wrote."""

    async def job(self, job_id: str) -> JobRecord:
        """One job, with payload, result and log lines. Raises NotFound."""
        found = (await self.jobs([job_id]))[0]
        if found is None:
            raise NotFound(f"no job {job_id:.60}: the id is wrong, or the job is older than the history that is kept")
        return found

    async def jobs(self, ids: Sequence[str]) -> list[JobRecord | None]:
        """Jobs by id, None for those that are not there."""
        found: dict[str, JobRecord | None] = {}
        for partition, homed in self._broker.layout.homes(ids).items():
            at = 0
            while at < len(homed):  # what is too much for one call is left out at its end
                rows = await self._broker.send(calls.jobs.get(partition, homed[at : at + limits.MAX_PAGE]))
                for job_id, row in zip(homed[at:], rows, strict=False):
                    found[job_id] = whole_record(row) if row else None
                at += len(rows)
        return [found.get(job_id) for job_id in ids]

    async def queues(self, names: Sequence[str] = ()) -> list[QueueStats]:
        """Queues by name: these, those of them that there are; without names all of them, in portions."""
        found: dict[str, QueueStats] = {}
        async for name, _, row in Numbers(self, names).rows(""):
            _add(found.setdefault(name, QueueStats(name=name)), row)
        return list(found.values())

    async def queues_after(self, name: str, limit: int) -> list[QueueStats]:
        """The next queues in the order of their names, at most so many; the first ones after ""."""
        found: dict[str, QueueStats] = {}
        async for queue, _, row in Numbers(self).rows(name):
            if queue != name and queue not in found and len(found) == limit:
                break
            if queue != name:
                _add(found.setdefault(queue, QueueStats(name=queue)), row)
        return list(found.values())

    async def counts(self) -> dict[JobState, int]:
        """How many jobs stand in each state."""
        queues = await self.queues()
        return {state: sum(getattr(stats, state.value) for stats in queues) for state in JobState}

    async def workers(self) -> list[WorkerRecord]:
        """Every worker that is registered; one that serves several partitions is listed once."""
        found: dict[str, WorkerRecord] = {}
        for partition in range(self._broker.layout.partitions):
            async for portion in self._broker.walk(partial(calls.workers.workers, partition)):
                found |= {worker.id: worker for worker in map(_worker, portion.found)}
        return sorted(found.values(), key=lambda worker: worker.id)

    async def tasks(self) -> list[TaskInfo]:
        """Every job type that a worker has published, with its JSON Schema."""
        types: dict[str, str] = {}
        async for portion in self._broker.walk(partial(calls.workers.types, 0)):
            types |= dict(portion.found)
        return [TaskInfo(name=name, about=msgspec.json.decode(about)) for name, about in sorted(types.items())]

    async def published(self, known: Iterable[str]) -> Published:
        """The job types that workers have published, and what those publish that live; only what is not `known`."""
        releases = await self._broker.send(calls.workers.published(0, sorted(known)))
        return Published(
            types=await self.tasks(),
            releases={release: None if about == "" else dict(about) for release, about in releases},
        )

    async def series(self, *, seconds: int = 10, buckets: int = 60) -> list[Bucket]:
        """The last buckets of 10 s (an hour is kept) or 60 s (a day is kept), oldest first; empty ones are left out.

        Of all queues together: counts, and how many waited or ran for how long.
        """
        return await self._series(seconds, buckets, range(self._broker.layout.partitions), ())

    async def queue_series(
        self, queues: Sequence[str], *, seconds: int = 10, buckets: int = 60
    ) -> dict[str, list[Bucket]]:
        """The last buckets of some queues, by their names; only the counts."""
        if not queues:
            return {}
        fields = [f"{queue} {what}" for queue in queues for what in _COUNTED_WHAT]
        found: dict[str, list[Bucket]] = {queue: [] for queue in queues}
        for bucket in await self._series(seconds, buckets, range(self._broker.layout.partitions), fields):
            counts: dict[str, dict[str, int]] = {}
            for field, number in bucket.counts.items():
                queue, what = field.split(" ")
                counts.setdefault(queue, {})[what] = number
            for queue, of_it in counts.items():
                found[queue].append(Bucket(bucket.at, of_it))
        return found

    async def _series(
        self, seconds: int, buckets: int, partitions: Iterable[int], fields: Sequence[str]
    ) -> list[Bucket]:
        now = (await self.now_ms()) // 1_000
        last = now - now % seconds
        first = last - (buckets - 1) * seconds
        found: dict[int, dict[str, int]] = {}
        step = max(1, _FIELDS_AT_A_TIME // max(len(fields), _FIELDS_OF_ALL))  # buckets a call
        for partition in partitions:
            for begin in range(first, last + 1, step * seconds):
                end = min(last, begin + (step - 1) * seconds)
                for at, row in await self._broker.send(calls.queues.series(partition, seconds, begin, end, fields)):
                    counts = found.setdefault(at, {})
                    for field, number in row:
                        counts[field] = counts.get(field, 0) + number
        return [Bucket(at, counts) for at, counts in sorted(found.items())]

    async def place(self, job: JobRecord) -> QueuePlace | None:
        """How many jobs stand ahead of a queued one; None when it is not queued (any more). Raises NotFound."""
        place = await self._broker.send(calls.jobs.place(self._broker.layout.of_id(job.id), job.id))
        if place is None:
            return None
        ahead, at_least, parked = place
        return QueuePlace(ahead, bool(at_least), bool(parked))

    async def recent_rate(self, queue: str, partition: int | None = None) -> float:
        """Runs a second that ended lately in a queue (or in one partition of it, which is what a place counts in).

        Of the last five minutes, or of the time since the first run in them ended; 0 when none did.
        """
        now = (await self.now_ms()) // 1_000
        homes = range(self._broker.layout.partitions) if partition is None else (partition,)
        fields = [f"{queue} completed", f"{queue} failed"]
        found = await self._series(_RATE_STEP, _RATE_SECONDS // _RATE_STEP + 1, homes, fields)
        ended = sum(sum(bucket.counts.values()) for bucket in found)
        first = found[0].at if found else now
        return ended / max(now - first, _RATE_STEP)


_COUNTED_WHAT: Final = ("submitted", "completed", "failed", "dead", "cancelled", "replayed")
_FIELDS_AT_A_TIME: Final = 10_000  # fields of one call, over all of its buckets
_FIELDS_OF_ALL: Final = 60  # of a bucket: six counts, and two kinds of times
_RATE_STEP: Final = 10  # seconds a bucket
_RATE_SECONDS: Final = 300


_SUMMED: Final = [field.name for field in msgspec.structs.fields(QueueStats) if field.type is int]


def _add(stats: QueueStats, row: QueueRow) -> None:
    stats.paused = stats.paused or bool(row.paused)
    stats.paused_by = stats.paused_by or row.paused_by or None
    stats.paused_reason = stats.paused_reason or row.paused_reason or None
    stats.paused_at = stats.paused_at or row.paused_at or None
    stats.limit = (stats.limit or 0) + row.limit or None
    for name in _SUMMED:
        setattr(stats, name, getattr(stats, name) + getattr(row, name))
    if row.oldest_queued_at:
        stats.oldest_queued_at = min(stats.oldest_queued_at or row.oldest_queued_at, row.oldest_queued_at)


def _worker(row: WorkerRow) -> WorkerRecord:
    return WorkerRecord(
        id=row.id,
        lease_ends_at=row.lease_ends_at,
        since=row.since,
        queues=row.queues.split(),
        types=None if row.types == "*" else [name for name in row.types.split() if name != CONTROL_TYPE],
        info=msgspec.json.decode(row.info) if row.info else {},
        vitals=msgspec.json.decode(row.vitals) if row.vitals else {},
        state=msgspec.convert(row.state, WorkerState),
        holds=row.holds,
    )


class StoreServer(msgspec.Struct):
    """The server behind the store, and what is wrong with it."""

    flavour: str  # "valkey" or "redis"
    version: str
    info: Mapping[str, Any]
    problems: list[tuple[str, str]]  # what is wrong, and what to do

    @property
    def too_old(self) -> bool:
        """Whether BoltQ cannot work on it."""
        return self.flavour == "redis" and int(self.version.split(".")[0]) < 7  # noqa: PLR2004 - first with #!lua flags

    @property
    def forgets(self) -> bool:
        """Whether it has no append-only file. While it reads one, at its start, it says that it has none."""
        return not int(self.info.get("aof_enabled", 0)) and not int(self.info.get("loading", 0))


async def inspect_server(broker: Broker) -> StoreServer:
    """Version, eviction policy and persistence of the server. Raises StoreUnavailable when it does not answer."""
    from redis import exceptions  # noqa: PLC0415 - the only other place that needs it

    try:
        info = await broker.redis.info()
    except (exceptions.RedisError, OSError) as error:
        raise StoreUnavailable(f"the store at {without_secret(broker.address)} does not answer: {error}") from error
    flavour = "valkey" if "valkey_version" in info else "redis"
    version = str(info.get("valkey_version") or info.get("redis_version") or "0")
    server = StoreServer(flavour, version, info, [])
    if server.too_old:
        server.problems.append((f"Redis {version} is too old", "use Valkey, or Redis 7 or later"))
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction":
        server.problems.append(
            (f"maxmemory-policy is {policy}: under memory pressure the server deletes jobs", "set it to noeviction")
        )
    if server.forgets:
        server.problems.append(
            ("the append-only file is off: a crash of the server loses what came since the last snapshot, or all",
             "set appendonly yes")
        )  # fmt: skip
    return server
