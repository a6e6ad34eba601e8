"""The auditor: is every job in exactly one place, does its record say so, do all counts agree? It changes nothing.

It reads page by page and not at one instant, so on a live system a job may move between two reads. What looks wrong is
looked at again, twice, after a pause; only what is wrong in the same way each time is reported, of a job that has not
moved meanwhile: one that goes round and round may be met between two places each time. A count is judged only if
nothing moved while it was taken. All ids of one partition are kept in memory at once: about 0.3 GB a million jobs.

Legal, though it may look wrong: a queue's set of idle workers may name workers that are gone or awake (whoever asks
them drops them); a running job may be held by a worker that is gone while a sweep is under way (`sweep` is set).
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from redis import exceptions as redis_errors

from boltq.broker.broker import Broker
from boltq.broker.replies import as_mapping, as_pairs, as_text
from boltq.broker.scripts import translate
from boltq.broker.workflows.consistency import audit_workflows
from boltq.domain.job import Spec
from boltq.domain.states import JobState

PAUSES: Final = (0.3, 1.0)  # seconds before each further look
_PAGE: Final = 1_000
_TOLD: Final = 20_000  # after each so many jobs `tell` hears how far the look is
LONG_PAGE: Final = 10_000  # ids: jobs that leave the head of a list between two pages hide as many from the second
_UNDER_WAY: Final = 1_000  # ms that a job may be on its way to its worker
_STEP_BACK: Final = 10_000  # ms: a clock that was set back by more may disorder the history (see lua/lib/clock.lua)


class Finding(msgspec.Struct, frozen=True, order=True):
    """Something that is wrong: what kind, in which key or queue, with which job (or ""), in words."""

    code: str
    place: str
    id: str
    text: str


async def audit(
    broker: Broker, *, pauses: Sequence[float] = PAUSES, tell: Callable[[str], None] = lambda _: None
) -> list[Finding]:
    """What is wrong in this namespace; `tell` hears how far the first look is. Raises StoreUnavailable."""
    found = await _look(broker, tell)
    for pause in pauses:
        if not found:
            break
        await asyncio.sleep(pause)
        again = {identity for identity, _ in await _look(broker)}
        found = [(identity, finding) for identity, finding in found if identity in again]
    return sorted(finding for _, finding in found)


_Identity = tuple[str, str, str, str]  # code, place, job and where it stands: what is the same in each look


async def _look(broker: Broker, tell: Callable[[str], None] = lambda _: None) -> list[tuple[_Identity, Finding]]:
    partitions = range(broker.layout.partitions)
    try:
        looks = await asyncio.gather(*(_Partition(broker, partition, tell).look() for partition in partitions))
    except (redis_errors.RedisError, OSError) as error:
        raise translate(error) from error
    return [finding for look in looks for finding in look]


_FIELDS: Final = ("state", "route", "worker", "parked", "ghost", "n", "tries", "lost", "since", "spec")
_NEWEST: Final = ("XREVRANGE", "events", "+", "-", "COUNT", 1)
_READY: Final = ("ready:2", "ready:1", "ready:0")
_SORTED: Final = ("blocked", "scheduled", "retrying", "dead", "cancelled")

_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_KNOWN: Final = re.compile(
    rf"partition|queues|workers|types|releases|events|audit|ops|api_keys|job:\w+|log:\w+|runs:\w+|queue:{_NAME}"
    rf"|queue:{_NAME}:(?:ready:[012]|parked|parked:{_NAME}|running|blocked|scheduled|retrying|completed|dead|cancelled)"
    rf"|workflows:(?:all|ended|due|gone|asking)|workflow:\w+(?::[a-z]+(?::\d+(?::[a-z]+)?)?)?"
    rf"|idle:{_NAME}|worker:.+|cancels:.+|mail:.+"
)
_PASSING: Final = re.compile(r"series:\d+:\d+(?::all)?|gone:\w+|idem:.+|op:op_\w+(?::items)?|alarms", re.DOTALL)


class _Record(msgspec.Struct):
    """What the auditor reads of a job."""

    state: str
    route: str
    worker: str
    parked: bool
    ghosts: Counter[str]  # lists in which its id stands though it does not wait there
    n: int
    tries: int
    lost: int
    since: int
    spec: str

    @property
    def queue(self) -> str:
        return self.route.split(" ")[0]

    @property
    def list(self) -> str:
        """The list in which the job stands when it is queued."""
        _, priority, job_type = self.route.split(" ")
        return f"parked:{job_type}" if self.parked else f"ready:{priority}"


class _Partition:
    """One look at one partition."""

    def __init__(self, broker: Broker, partition: int, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self.redis = broker.redis
        self.prefix = broker.layout.prefix(partition)
        self.found: list[Finding] = []
        self.records: dict[str, _Record] = {}
        self.places: dict[str, list[tuple[str, str, str]]] = {}  # id -> (queue, index, held by or score)
        self.keys: set[str] = set()
        self.workers: dict[str, int] = {}

    async def look(self) -> list[tuple[_Identity, Finding]]:
        await self._read_keys()
        (partition, ends, names, newest) = await self._pipeline(
            ("HGETALL", "partition"), ("ZRANGE", "workers", 0, -1, "WITHSCORES"), ("ZRANGE", "queues", 0, -1), _NEWEST
        )
        self.partition = as_mapping(partition)
        self.workers = {as_text(name): int(end) for name, end in as_pairs(ends)}
        self.queues = sorted(as_text(name) for name in names)
        await self._read_queues()
        await self._read_records()
        self.steady = await self._is_steady(newest)
        self._check_jobs()
        self._check_workers()
        await self._check_agreement()
        await self._check_sleepers()
        states = {job_id: record.state for job_id, record in self.records.items()}
        await audit_workflows(self.keys, states, self._pipeline, self._report)
        return [((one.code, one.place, one.id, self._standing(one.id)), one) for one in self.found]

    def _standing(self, job_id: str) -> str:
        """What differs as soon as a job has moved."""
        record = self.records.get(job_id)
        return f"{record.n} {record.since}" if record else ""

    def _report(self, code: str, place: str, job_id: str, text: str) -> None:
        self.found.append(Finding(code, self.prefix + place, job_id, text))

    async def _pipeline(self, *commands: tuple[Any, ...]) -> list[Any]:
        """The answers to many reads in one round trip; the second word of each is a key without the prefix."""
        answers: list[Any] = []
        for start in range(0, len(commands), _PAGE):
            pipeline = self.redis.pipeline(transaction=False)
            for verb, key, *rest in commands[start : start + _PAGE]:
                # By its bare name: redis-py would turn some replies into other types.
                pipeline.execute_command(verb, self.prefix + key, *rest, NEVER_DECODE=True)
            answers += await pipeline.execute()
        return answers

    # Keys

    async def _read_keys(self) -> None:
        cursor = 0
        pattern = re.sub(r"([*?\[\]\\])", r"\\\1", self.prefix) + "*"
        while True:
            cursor, page = await self.redis.scan(cursor, match=pattern, count=_PAGE)
            self.keys.update(as_text(key)[len(self.prefix) :] for key in page)
            if not cursor:
                break
        passing = [key for key in self.keys if _PASSING.fullmatch(key)]
        for key, seconds in zip(passing, await self._pipeline(*(("TTL", key) for key in passing)), strict=True):
            if seconds == -1:
                self._report("no-expiry", key, "", "this key should expire by itself and does not")
        for key in self.keys:
            if not _KNOWN.fullmatch(key) and not _PASSING.fullmatch(key):
                self._report("unknown-key", key, "", "no key of ours has this name")

    # Queues

    async def _read_queues(self) -> None:
        parked = await self._pipeline(*((("ZRANGE", f"queue:{queue}:parked", 0, -1)) for queue in self.queues))
        self.lists = {
            queue: [*_READY, *sorted(f"parked:{as_text(name)}" for name in types)]
            for queue, types in zip(self.queues, parked, strict=True)
        }
        plan: list[tuple[str, str, tuple[Any, ...]]] = []
        for queue in self.queues:
            place = f"queue:{queue}"
            plan += [(queue, "", ("HGETALL", place))]
            lists = [*self.lists[queue], "completed"]
            plan += [(queue, name, ("LRANGE", f"{place}:{name}", 0, LONG_PAGE - 1)) for name in lists]
            plan += [(queue, "running", ("SSCAN", f"{place}:running", 0, "COUNT", _PAGE))]
            plan += [(q, s, ("ZRANGE", f"{place}:{s}", 0, _PAGE - 1, "WITHSCORES")) for q, s in _each(queue, _SORTED)]
        answers = await self._pipeline(*(command for _, _, command in plan))
        self.facts: dict[str, dict[str, str]] = {}
        self.history: dict[str, list[str]] = {}
        self.parked_lists = [(queue, name) for queue, names in self.lists.items() for name in names[len(_READY) :]]
        for (queue, name, _), answer in zip(plan, answers, strict=True):
            if name == "":
                self.facts[queue] = as_mapping(answer)
            else:
                await self._take_index(queue, name, answer)

    async def _is_steady(self, newest: Any) -> bool:
        """Whether nothing has moved since the look began: no event, and no ghost dropped, which makes none."""
        commands = [("HGETALL", f"queue:{queue}") for queue in self.queues]
        last, *facts = await self._pipeline(_NEWEST, *commands)
        return bool(last == newest and [as_mapping(answer) for answer in facts] == list(self.facts.values()))

    async def _take_index(self, queue: str, name: str, first: Any) -> None:
        key = f"queue:{queue}:{name}"
        if name == "running":
            cursor, page = first
            ids = set(page)  # a scan may show a member twice
            while int(cursor):
                cursor, page = (await self._pipeline(("SSCAN", key, int(cursor), "COUNT", _PAGE)))[0]
                ids.update(page)
            self._place(queue, name, [(member, b"") for member in ids])
            return
        verb, size, tail = ("ZRANGE", _PAGE, ("WITHSCORES",)) if name in _SORTED else ("LRANGE", LONG_PAGE, ())
        start, page = 0, first
        while page:
            rows = as_pairs(page) if name in _SORTED else [(member, b"") for member in page]
            self._place(queue, name, rows)
            if name == "completed":
                self.history.setdefault(queue, []).extend(as_text(member) for member, _ in rows)
            start += size
            if len(rows) < size:
                break
            page = (await self._pipeline((verb, key, start, start + size - 1, *tail)))[0]

    def _place(self, queue: str, name: str, rows: Sequence[tuple[Any, Any]]) -> None:
        for member, value in rows:
            self.places.setdefault(as_text(member), []).append((queue, name, as_text(value)))

    async def _read_records(self) -> None:
        ids = sorted({*self.places, *(key[4:] for key in self.keys if key.startswith("job:"))})
        for start in range(0, len(ids), _TOLD):
            portion = ids[start : start + _TOLD]
            rows = await self._pipeline(*(("HMGET", f"job:{job_id}", *_FIELDS) for job_id in portion))
            for job_id, row in zip(portion, rows, strict=True):
                self._take_record(job_id, row)
            self._tell(f"audit: {start + len(portion):,} of {len(ids):,} jobs read …")

    def _take_record(self, job_id: str, row: Sequence[Any]) -> None:
        if row[1] is not None:
            state, route, worker, parked, ghost, n, tries, lost, since, spec = (as_text(value) for value in row)
            counts = (int(n or 0), int(tries or 0), int(lost or 0), int(since or 0))
            self.records[job_id] = _Record(state, route, worker, bool(parked), Counter(ghost.split()), *counts, spec)

    # Jobs

    def _check_jobs(self) -> None:
        ghosts: Counter[tuple[str, str]] = Counter()
        for job_id, places in self.places.items():
            record = self.records.get(job_id)
            strays = _strays(record, places)
            ghosts.update(strays)
            self._check_ghosts(job_id, record, strays)
            standing = [place for place in places if not _is_list(place[1])]
            standing += [(queue, name, "") for queue, name in (_lists(places) - strays).elements()]
            self._check_standing(job_id, record, standing)
        for job_id, record in self.records.items():
            if job_id not in self.places:
                self._report("nowhere", f"job:{job_id}", job_id, f"{record.state}, and in no index of its queue")
            self._check_record(job_id, record)
        for key in sorted(self.keys):
            kind, _, job_id = key.partition(":")
            if kind in {"log", "runs"} and job_id not in self.records:
                self._report("orphan", key, job_id, "of a job that is gone")
        self._check_counts(ghosts)

    def _check_ghosts(self, job_id: str, record: _Record | None, strays: Counter[tuple[str, str]]) -> None:
        if record is None:
            return  # of a job that is gone: the claim that comes upon it drops it
        marked = Counter({(record.queue, name): times for name, times in record.ghosts.items()})
        for queue, name in strays - marked:
            self._report("ghost", f"queue:{queue}:{name}", job_id, f"{record.state}, and its id stands in this list")
        for _, name in marked - strays:
            self._report("ghost", f"job:{job_id}", job_id, f"marked as a ghost in {name}, which does not have it")

    def _check_standing(self, job_id: str, record: _Record | None, places: list[tuple[str, str, str]]) -> None:
        if len(places) > 1:
            names = ", ".join(f"{queue}:{name}" for queue, name, _ in places)
            self._report("two-places", f"queue:{places[0][0]}", job_id, f"stands in {names}")
        for queue, name, value in places:
            key = f"queue:{queue}:{name}"
            if record is None:
                self._report("no-record", key, job_id, "in this index, and there is no such job")
            elif record.queue != queue or (record.list if record.state == "queued" else record.state) != name:
                where = f"{record.state} in {record.queue}, list {record.list}"
                self._report("wrong-place", key, job_id, f"in this index; its record says {where}")
            elif name == "running":
                self._check_holder(job_id, record, key)
            elif name in _SORTED:
                self._check_score(job_id, record, key, value)
        if record is not None and not places and job_id in self.places:
            self._report("nowhere", f"job:{job_id}", job_id, f"{record.state}, and only its ghost is left")

    def _check_holder(self, job_id: str, record: _Record, key: str) -> None:
        if record.worker not in self.workers and not self.partition.get("sweep"):
            holder = record.worker or "nobody"
            self._report("unheld", key, job_id, f"held by {holder}, which is not here, and no sweep is under way")

    def _check_score(self, job_id: str, record: _Record, key: str, score: str) -> None:
        if not score.isdigit():
            self._report("score", key, job_id, f"its time is {score}, not whole milliseconds")
        elif key.endswith((":dead", ":cancelled")) and int(score) != record.since:
            self._report("score", key, job_id, f"ended at {score}; its record says {record.since}")

    def _check_record(self, job_id: str, record: _Record) -> None:
        key = f"job:{job_id}"
        if record.state not in set(JobState):
            self._report("state", key, job_id, f"{record.state or 'no state'} is no state")
            return
        if record.queue not in self.lists:
            self._report("queue", key, job_id, f"its queue {record.queue} is not among the queues")
        if record.parked and record.state not in {"queued", "cancelled"}:
            self._report("parked", key, job_id, f"{record.state}, and marked as parked")
        if record.tries + record.lost > record.n or min(record.n, record.tries, record.lost) < 0:
            text = f"{record.n} deliveries, {record.tries} attempts, {record.lost} losses"
            self._report("attempts", key, job_id, text)
        most = msgspec.json.decode(record.spec, type=Spec).max_attempts if record.spec else None
        if most is not None and record.tries > most:
            self._report("attempts", key, job_id, f"{record.tries} attempts of at most {most}")
        limit = max(2, int(self.partition.get("poison_limit", 3)))  # a first loss buries nothing
        if record.lost >= limit and record.state not in {"dead", "cancelled"}:
            self._report("poison", key, job_id, f"{record.lost} lost workers, and {record.state}")

    def _check_counts(self, ghosts: Counter[tuple[str, str]]) -> None:
        jobs = self.records.values()
        self.parked_jobs = Counter(record.queue for record in jobs if record.parked and record.state == "queued")
        here = Counter((queue, name) for places in self.places.values() for queue, name, _ in places)
        for queue, facts in self.facts.items() if self.steady else ():
            lists = {*self.lists[queue], *(field[7:] for field in facts if field.startswith("ghosts:"))}
            for name in sorted(lists):
                counted = int(facts.get(f"ghosts:{name}", 0))
                if counted != ghosts[queue, name]:
                    text = f"counts {counted} ghosts and has {ghosts[queue, name]}"
                    self._report("ghosts", f"queue:{queue}:{name}", "", text)
            self._check_parked(queue, int(facts.get("parked", 0)))
            for state in ("completed", "dead", "cancelled"):
                if int(facts.get(state, 0)) < here[queue, state]:
                    text = f"{here[queue, state]} are here, and {facts.get(state, 0)} ever were"
                    self._report("totals", f"queue:{queue}:{state}", "", text)
            self._check_history(queue)
        for queue, name in self.parked_lists:
            if not here[queue, name]:
                self._report("parked", f"queue:{queue}:{name}", "", "named in the parked set, and empty")
        for key in self.keys:
            queue, _, job_type = key.partition(":parked:")
            if job_type and key.startswith("queue:") and (queue[6:], f"parked:{job_type}") not in self.parked_lists:
                self._report("parked", key, "", "not named in the parked set")

    def _check_parked(self, queue: str, counted: int) -> None:
        waiting = self.parked_jobs[queue]
        if counted != waiting:
            self._report("parked", f"queue:{queue}:parked", "", f"counts {counted} parked jobs and has {waiting}")

    def _check_history(self, queue: str) -> None:
        before = 0
        for job_id in self.history.get(queue, ()):
            since = self.records[job_id].since if job_id in self.records else before
            if before - _STEP_BACK < since < before:
                self._report("order", f"queue:{queue}:completed", job_id, "completed before the job ahead of it")
            before = since

    # Workers

    def _check_workers(self) -> None:
        for key in sorted(self.keys):
            kind, _, worker = key.partition(":")
            if kind == "mail" and worker not in self.workers:
                worker = worker.rpartition(":")[0]  # of an older mailbox
            if kind in {"worker", "mail", "cancels"} and worker not in self.workers:
                self._report("worker", key, "", "this worker is not registered")
        for worker in self.workers:
            if f"worker:{worker}" not in self.keys:
                self._report("worker", f"worker:{worker}", "", "registered, and nothing is known of it")

    async def _check_agreement(self) -> None:
        """What a worker has as the store sees it, it must know: it told so at its last beat.

        Only what it had well before that beat counts, and only whoever beats may be asked: a letter takes its time.
        """
        workers = sorted(self.workers)
        fields = ("vitals", "beat_at", "holds", "box")
        answers = await self._pipeline(*(("HMGET", f"worker:{worker}", *fields) for worker in workers))
        self.mailboxes: dict[str, str] = {}
        for worker, (vitals, beat_at, holds, box) in zip(workers, answers, strict=True):
            if box:
                self.mailboxes[worker] = f"mail:{worker}:{as_text(box)}"
            its = [job for job, record in self.records.items() if record.state == "running" and record.worker == worker]
            if holds is not None and self.steady and int(holds) != len(its):
                self._report("holds", f"worker:{worker}", "", f"counts {as_text(holds)} jobs and has {len(its)}")
            known = msgspec.json.decode(vitals).get("known") if vitals else None
            before = int(beat_at or 0) - _UNDER_WAY
            old = sorted(job for job in its if self.records[job].since < before)
            if known is not None and len(old) > known:
                for job_id in old if known == 0 else old[:1]:
                    text = f"runs at {worker}, which knows {known} of the {len(old)} jobs that it has for the store"
                    self._report("unknown-to-worker", f"worker:{worker}", job_id, text)

    async def _check_sleepers(self) -> None:
        """A worker that sleeps can be found from all its queues, and no job that it could run waits."""
        workers = sorted(self.workers)
        answers = await self._pipeline(
            *(("HMGET", f"worker:{worker}", "queues", "types", "idle", "missed") for worker in workers),
            *(("LLEN", self.mailboxes.get(worker, f"mail:{worker}")) for worker in workers),
            *(("SMEMBERS", f"idle:{queue}") for queue in self.queues),
        )
        fields, answers = answers[: len(workers)], answers[len(workers) :]
        mail, idle = answers[: len(workers)], answers[len(workers) :]
        sleepers = {queue: {as_text(name) for name in names} for queue, names in zip(self.queues, idle, strict=True)}
        now = int(self.partition.get("clock", 0))
        for worker, (queues, types, is_idle, missed), letters in zip(workers, fields, mail, strict=True):
            if is_idle is None or letters:
                continue
            served = as_text(queues).split()
            for queue in served:
                if worker not in sleepers.get(queue, ()):
                    self._report("sleeper", f"idle:{queue}", "", f"{worker} sleeps, and is not among the sleepers")
            if self.workers[worker] >= now and missed is None:  # else its next beat tells it
                self._check_work(worker, served, as_text(types))

    def _check_work(self, worker: str, served: list[str], types: str) -> None:
        for job_id, record in self.records.items():
            if record.state != "queued" or record.queue not in served:
                continue
            knows = types == "*" or f" {record.route.split(' ')[2]} " in types
            if knows and self.facts[record.queue].get("paused") != "1":
                self._report("asleep", f"worker:{worker}", job_id, "it sleeps, and this job waits for it")


def _strays(record: _Record | None, places: Sequence[tuple[str, str, str]]) -> Counter[tuple[str, str]]:
    """The (queue, list)s in which this id stands as a ghost."""
    lists = _lists(places)
    if record is None or record.state != "queued":
        return lists
    marked = {(record.queue, name) for name in record.ghosts}
    alive = Counter({(record.queue, record.list): 1})
    return Counter({place: times for place, times in (lists - alive).items() if place in marked})


def _lists(places: Sequence[tuple[str, str, str]]) -> Counter[tuple[str, str]]:
    return Counter((queue, name) for queue, name, _ in places if _is_list(name))


def _is_list(name: str) -> bool:
    return name.startswith(("ready:", "parked:"))


def _each(queue: str, names: Sequence[str]) -> list[tuple[str, str]]:
    return [(queue, name) for name in names]
