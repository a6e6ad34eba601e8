"""Searching the store for jobs: pages, counts, the ids for a bulk operation, dead jobs by what went wrong.

State and queue have an index; all else that a filter names is looked up in the records, by the scripts, in bounded
steps. So no payload crosses the wire, and no call holds up the server.
"""

import functools
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple

import msgspec
from redis import exceptions as redis_errors

from boltq.broker import calls
from boltq.broker.broker import Broker
from boltq.broker.call import Portion
from boltq.broker.calls.search import GroupBy
from boltq.broker.contract import FailureGroupRow, QueueRow
from boltq.broker.cursors import unwrapped, wrapped
from boltq.broker.rows import record
from boltq.broker.scripts import translate
from boltq.domain import failure_groups, limits
from boltq.domain.errors import InvalidJob
from boltq.domain.failure_groups import OTHER
from boltq.domain.filters import JobFilter
from boltq.domain.job import JobRecord
from boltq.domain.states import JobState

MAX_EXAMINED: Final = 1_000  # records that one call of a script, and one page, looks at
STATS_AT_A_TIME: Final = 100  # queues whose numbers one call reads
MAX_COUNTED: Final = 20_000  # records that a count looks at
MAX_SNAPSHOT: Final = 100_000
MAX_GROUPS: Final = 500
GROUPED_AT_A_TIME: Final = 1_000
MAX_GROUPED: Final = 20_000  # dead jobs of one portion
RECENT_MS: Final = 3_600_000


class JobPage(msgspec.Struct):
    """One page of jobs (without payloads); `cursor` None at the end. It may be empty and not the end."""

    jobs: list[JobRecord]
    cursor: str | None
    examined: int = 0  # records that were looked at

    @property
    def complete(self) -> bool:
        """Whether the end was reached."""
        return self.cursor is None


class DeadJobGroup(msgspec.Struct, kw_only=True):
    """Dead jobs with something in common; what is said of the error is the newest one's. Times in milliseconds."""

    key: str  # the fingerprint, type or queue that they share; "other" for those beyond MAX_GROUPS
    fingerprint: str
    class_name: str
    message: str
    category: str
    types: dict[str, int]
    queues: dict[str, int]
    count: int
    count_1h: int  # of the last hour
    first_at: int
    last_at: int
    sample_job_id: str


class FailurePortion(msgspec.Struct):
    """Groups of some dead jobs; `cursor` None at the end."""

    groups: list[DeadJobGroup]
    cursor: str | None
    examined: int


class Search:
    """Finds jobs by a filter."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def page(
        self,
        what: JobFilter | JobState | None = None,
        queue: str | None = None,
        *,
        cursor: str | None = None,
        limit: int = 50,
    ) -> JobPage:
        """A page of jobs: those that fit a filter, or those of a state and a queue. Live states come first.

        Queued jobs come in the order in which they will run, scheduled and retrying ones the soonest first, all
        others the newest first; over several queues or partitions, each of them in turn. At most MAX_EXAMINED records
        are looked at: an empty page with a cursor says that nothing was found so far.
        """
        chosen = what if isinstance(what, JobFilter) else JobFilter.of(what, queue)
        limit = min(limit, limits.MAX_PAGE)
        page = JobPage([], None)
        start, inner = _read_cursor(cursor) if cursor else ((0, "", 0), "")
        async for stop in self._stops(chosen, start):
            at = inner if stop[:3] == start else ""
            if len(page.jobs) >= limit or page.examined >= MAX_EXAMINED:
                page.cursor = _write_cursor(stop, "")
                break
            most = (MAX_EXAMINED - page.examined, limit - len(page.jobs))
            call = calls.search.list_(stop.partition, stop.queue, stop.state, at, chosen, *most)
            stretch = await self._broker.send(call)
            page.jobs += [record(row) for row in stretch.found]
            page.examined += stretch.examined
            if stretch.following:
                page.cursor = _write_cursor(stop, stretch.following)
                break
        return page

    async def count(self, what: JobFilter) -> tuple[dict[JobState, int], bool]:
        """How many jobs fit, by state; and whether that is approximate: MAX_COUNTED were not enough to see them all.

        A filter of states and queues is counted exactly. An approximate number is a lower bound.
        """
        stops = [stop async for stop in self._stops(what)]
        found = dict.fromkeys(what.states or JobState, 0)
        if not what.looks_inside:
            for stop in stops:
                found[stop.state] += stop.size
            return found, False
        left, approximate = MAX_COUNTED, False
        for nth, state in enumerate(sorted(found, key=lambda state: _size(stops, state))):
            share = left // (len(found) - nth)  # small states leave more for the others
            seen, found[state], cut = await self._count([s for s in stops if s.state is state], what, share)
            left, approximate = left - seen, approximate or cut
        return found, approximate

    async def _count(self, stops: Sequence["_Stop"], what: JobFilter, most: int) -> tuple[int, int, bool]:
        """How many records were looked at, how many fit, and whether there are more than `most`."""
        examined, fitting = 0, 0
        for stop in stops:
            cursor = ""
            while True:
                if examined >= most:
                    return examined, fitting, True
                look_at = min(MAX_EXAMINED, most - examined)
                call = calls.search.count(stop.partition, stop.queue, stop.state, cursor, what, look_at)
                stretch = await self._broker.send(call)
                examined, fitting = examined + stretch.examined, fitting + stretch.found
                if not (cursor := stretch.following):
                    break
        return examined, fitting, False

    async def snapshot(
        self, what: JobFilter, most: int = MAX_SNAPSHOT, *, partial: bool = False
    ) -> list[tuple[str, int]]:
        """Every job that fits now, as (id, since when it stands where it stands).

        Raises InvalidJob when they are more than `most`; with `partial`, answers so many of them.
        """
        found = dict[str, int]()
        async for stop in self._stops(what):
            where = (stop.partition, stop.queue, stop.state)
            pick = functools.partial(calls.search.pick, *where, what=what, look_at=MAX_EXAMINED)
            async for stretch in self._broker.walk(pick):
                found.update(stretch.found)
                if len(found) > most and partial:
                    return list(found.items())[:most]
                if len(found) > most:
                    raise InvalidJob([("", f"more than {most} jobs: narrow the filter")])
        return list(found.items())

    async def failure_groups(self, what: JobFilter, by: GroupBy = "fingerprint") -> list[DeadJobGroup]:
        """All dead jobs that fit, by what they share, most first; beyond MAX_GROUPS the rest is one group "other"."""
        found, cursor = list[DeadJobGroup](), None
        while True:
            portion = await self.failure_portion(what, by, cursor=cursor)
            found, cursor = merged_groups([*found, *portion.groups]), portion.cursor
            if cursor is None:
                return found

    async def failure_portion(
        self, what: JobFilter, by: GroupBy = "fingerprint", *, cursor: str | None = None, most: int = MAX_GROUPED
    ) -> "FailurePortion":
        """Groups of so many dead jobs, from a cursor on: queue after queue, the newest jobs first."""
        recent = await self.now_ms() - RECENT_MS
        start, inner = _read_cursor(cursor) if cursor else ((0, "", 0), "")
        found, examined = list[DeadJobGroup](), 0
        async for stop in self._stops(msgspec.structs.replace(what, states=(JobState.DEAD,)), start):
            at, begun = inner if stop[:3] == start else "", False
            while at or not begun:
                if examined >= most:
                    return FailurePortion(merged_groups(found), _write_cursor(stop, at), examined)
                args = (stop.partition, stop.queue, at, what, GROUPED_AT_A_TIME, by, recent)
                stretch = await self._broker.send(calls.search.failures(*args))
                found = merged_groups([*found, *(_group(stop.queue, row) for row in stretch.found)])
                at, examined, begun = stretch.following, examined + stretch.examined, True
        return FailurePortion(found, None, examined)

    async def now_ms(self) -> int:
        """The server's clock (a test's own clock where it has one). Raises StoreUnavailable."""
        if self._broker.now:
            return self._broker.now()
        try:
            seconds, micros = await self._broker.redis.time()
        except (redis_errors.RedisError, OSError) as error:
            raise translate(error) from error
        return int(seconds) * 1_000 + int(micros) // 1_000

    async def _stops(self, what: JobFilter, start: "_Place | None" = None) -> AsyncIterator["_Stop"]:
        """Every index that has something and may have what fits, in the order of a listing, from a place on.

        Queues are looked at in portions, and only so many as are asked for.
        """
        rank, queue, partition = start or (0, "", 0)
        numbers = Numbers(self, what.queues)
        for at in range(rank, len(_LISTING_ORDER)):
            if what.states and _LISTING_ORDER[at] not in what.states:
                continue
            async for name, home, row in numbers.rows(queue if at == rank else ""):
                stop = _Stop(at, name, home, getattr(row, _LISTING_ORDER[at]))
                if stop.size > 0 and stop[:3] >= (rank, queue, partition):
                    yield stop

    @property
    def partitions(self) -> int:
        """How many the namespace has."""
        return self._broker.layout.partitions

    async def stats(self, partition: int, names: Sequence[str], after: str) -> Portion[list[QueueRow]]:
        """The numbers of these queues or of the next ones behind a name; the name behind which to go on."""
        return await self._broker.send(calls.queues.stats(partition, names, after, STATS_AT_A_TIME))


_LISTING_ORDER: Final = (
    JobState.RUNNING,
    JobState.QUEUED,
    JobState.RETRYING,
    JobState.SCHEDULED,
    JobState.BLOCKED,
    JobState.DEAD,
    JobState.CANCELLED,
    JobState.COMPLETED,
)


class _Stop(NamedTuple):
    """One index that a search visits; stops sort as a listing visits them."""

    rank: int
    queue: str
    partition: int
    size: int

    @property
    def state(self) -> JobState:
        return _LISTING_ORDER[self.rank]


_Place = tuple[int, str, int]  # rank, queue, partition
_Standing = tuple[str, int, QueueRow]  # queue, partition, its numbers


class Numbers:
    """The numbers of queues, read in portions as they are asked for, and each portion once for one walk."""

    def __init__(self, search: Search, queues: Sequence[str] = ()) -> None:
        self._search = search
        self._queues = sorted(set(queues))
        self._portions: dict[str, tuple[list[_Standing], str]] = {}  # by the name behind which it begins

    async def rows(self, first: str) -> AsyncIterator[_Standing]:
        """By name and partition, from a name on."""
        after = _just_before(first)
        while True:
            if after not in self._portions:
                self._portions[after] = await self._read(after)
            rows, following = self._portions[after]
            for row in rows:
                yield row
            if not following:
                return
            after = following

    async def _read(self, after: str) -> tuple[list[_Standing], str]:
        """The next queues of all partitions, and the name up to which that is all of them; "" at the end."""
        found, ends = list[_Standing](), list[str]()
        named = [name for name in self._queues if name > after][:STATS_AT_A_TIME]
        if self._queues and not named:
            return [], ""
        for partition in range(self._search.partitions):
            portion = await self._search.stats(partition, named, after)
            found += [(row.name, partition, row) for row in portion.found]
            ends += [portion.following] if portion.following else []
        until = named[-1] if named else min(ends, default="")
        return sorted((row for row in found if not until or row[0] <= until), key=itemgetter(0, 1)), until


def _just_before(name: str) -> str:
    """What sorts before a name and behind all names that are less."""
    return f"{name[:-1]}{chr(ord(name[-1]) - 1)}~" if name else ""


def _size(stops: Sequence[_Stop], state: JobState) -> int:
    return sum(stop.size for stop in stops if stop.state is state)


# Cursors: the index in which a page ended, and what its script said of the place in it.


def _write_cursor(stop: _Stop, inner: str) -> str:
    return wrapped(f"{stop.state}|{stop.queue}|{stop.partition}|{inner}")


_CURSOR: Final = re.compile(r"([a-z]{1,20})\|([A-Za-z0-9._-]{1,100})\|(\d{1,4})\|([\w .:-]{0,250})", re.ASCII)


def _read_cursor(cursor: str) -> tuple[tuple[int, str, int], str]:
    try:
        text = unwrapped(cursor)
    except ValueError:
        text = ""
    found = _CURSOR.fullmatch(text)
    if not found or found[1] not in set(JobState):
        raise InvalidJob([("/cursor", "not a cursor of ours: begin without one")])
    return (_LISTING_ORDER.index(JobState(found[1])), found[2], int(found[3])), found[4]


# Groups


def _group(queue: str, values: Sequence[Any]) -> DeadJobGroup:
    row = msgspec.convert(values, FailureGroupRow)
    error = msgspec.json.decode(row.error)
    return DeadJobGroup(
        key=row.key,
        fingerprint=error.get("fingerprint", ""),
        class_name=error.get("class", ""),
        message=error.get("message", ""),
        category=error.get("category", ""),
        types=row.types,
        queues={queue: row.count},
        count=row.count,
        count_1h=row.recent,
        first_at=row.first_at,
        last_at=row.last_at,
        sample_job_id=row.sample,
    )


def merged_groups(groups: Iterable[DeadJobGroup]) -> list[DeadJobGroup]:
    """Groups with one key as one, most first; beyond MAX_GROUPS the rest is one group "other"."""
    ordered = failure_groups.merged(groups)
    told = [group for group in ordered if group.key != OTHER][:MAX_GROUPS]
    return told + _rest(ordered[len(told) :])


def _rest(groups: Sequence[DeadJobGroup]) -> list[DeadJobGroup]:
    """The groups beyond the bound, as one group."""
    if not groups:
        return []
    rest = functools.reduce(failure_groups.merged_two, groups)
    rest.key = rest.fingerprint = OTHER
    rest.class_name = rest.message = rest.category = ""
    return [rest]
