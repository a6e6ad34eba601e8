"""Where jobs live: what workers and people do to jobs, and the one door by which all calls go to the store."""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any, Final, Self, TypeVar

import msgspec

from boltq.broker import calls
from boltq.broker.call import Call, Row, Stretch
from boltq.broker.calls.jobs import Receipt
from boltq.broker.calls.workers import Beat, Claim, Held, ProgressRow, Reaped, Settlement
from boltq.broker.carrier import Carrier, Clock, at_once
from boltq.broker.connect import connect, connect_sync, let_go
from boltq.broker.history import WENT_BACK, Alarm, History, lost_text, read_alarms
from boltq.broker.knobs import DEFAULT_KNOBS, Knobs
from boltq.broker.layout import Layout
from boltq.broker.marks import NO_MARK, Mark
from boltq.broker.outage import Outage
from boltq.broker.replies import as_mapping, as_text
from boltq.broker.scripts import CALL_ERRORS, Library, Rewrite, translate
from boltq.broker.settling import Settling
from boltq.broker.submission import SubmitResult, chunks_of, result_of
from boltq.broker.verdicts import JobRef, JobVerdict, verdict_of
from boltq.domain import limits
from boltq.domain.errors import (
    BoltQError,
    InvalidJob,
    NotFound,
    StoreUnavailable,
    UnknownOutcome,
)
from boltq.domain.ids import new_id, partition_of
from boltq.domain.job import ClaimedJob, NewJob, Submitted, bad_data, bad_tags, bad_time

log = logging.getLogger(__name__)

T = TypeVar("T")
S = TypeVar("S", bound=Stretch)

_MARKED: Final = (Claim, Settlement, Receipt)
"""Answers that tell where the history of the store stands; so does a Beat, which its thread passes on."""

RETRY_PAUSES = (0.05, 0.2, 0.5)  # seconds between tries of a call that is safe to repeat


_Act = Callable[[int, Sequence[calls.jobs.Fenced]], Call[list[str]]]


class Broker(Carrier):
    """Where jobs live: an asyncio client of the store. Belongs to one event loop.

    `now` and `rewrite` are for tests: a clock of their own, and other texts of the scripts.
    """

    def __init__(
        self,
        address: str,
        *,
        namespace: str = "boltq",
        partitions: int = 1,
        knobs: Knobs | None = None,
        now: Clock | None = None,
        rewrite: Rewrite | None = None,
    ) -> None:
        self.address = address
        self.layout = Layout(namespace, partitions)
        self.knobs = knobs or DEFAULT_KNOBS
        self.now = now
        self.library = Library(rewrite)
        self.redis = connect(address)
        self._execute: Any = self.redis.execute_command  # untyped in redis-py
        self.blocking = connect(address, blocking=True)
        self.outage = Outage()  # what all loops that use this broker say of it
        self.history = History()
        self._errands: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Write the settings and learn the number of partitions, which the namespace's first process decided."""
        knobs = msgspec.structs.asdict(self.knobs).items()
        stored = await self.send(calls.namespace.open_(0, self.layout.partitions, knobs))
        self.layout = Layout(self.layout.namespace, stored)
        for partition in range(1, stored):
            await self.send(calls.namespace.open_(partition, stored, knobs))

    async def look_in(self) -> bool:
        """Learn the number of partitions and write nothing; whether the namespace is there. Raises StoreUnavailable."""
        try:
            stored = await self.redis.hget(f"{self.layout.prefix(0)}partition", "partitions")
        except CALL_ERRORS as error:
            raise translate(error) from error
        if stored:
            self.layout = Layout(self.layout.namespace, int(stored))
        return bool(stored)

    async def close(self) -> None:
        """Close the connections."""
        for errand in self._errands:
            errand.cancel()
        await asyncio.gather(*self._errands, return_exceptions=True)
        await self.redis.aclose()
        await self.blocking.aclose()

    def let_go(self) -> None:
        """Close the connections where the loop that they belong to is closed already."""
        let_go(self.redis)
        let_go(self.blocking)

    # Submitting

    async def submit(self, jobs: Sequence[NewJob]) -> list[SubmitResult]:
        """Store new jobs. The answer has one item for each, in order: a Submitted, or the refusal (not raised).

        Jobs without an id get one. May be repeated after StoreUnavailable with the same objects: an id that is
        there already, or was, is answered with `created` false; one that is older than the store remembers with
        UnknownOutcome (not raised). Raises StoreUnavailable, StoreFull.
        """
        answers: list[SubmitResult] = [Submitted("")] * len(jobs)
        places_by_partition, named = self._places(jobs)
        late: list[int] = []
        for partition, places in places_by_partition.items():
            for chunk in chunks_of(jobs, places):
                batch = [jobs[place] for place in chunk]
                verdicts = (await self.send(calls.jobs.submit(partition, batch))).verdicts
                for place, job in zip(chunk, batch, strict=True):
                    answers[place] = Submitted(job.id)
                for index, word, about in verdicts:
                    answers[chunk[index]] = result_of(word, about, batch[index])
                    if word == "FORGOTTEN" and chunk[index] not in named:
                        late.append(chunk[index])
        if late:
            await self._submit_anew(jobs, late, answers)
        return answers

    async def _submit_anew(self, jobs: Sequence[NewJob], late: Sequence[int], answers: list[SubmitResult]) -> None:
        """Our clock is far behind. Nobody has sent these ids before, so there are no such jobs: they take new ones."""
        for place in late:
            jobs[place].id = new_id(self.layout.of_id(jobs[place].id))
        again = await self.submit([jobs[place] for place in late])
        for place, answer in zip(late, again, strict=True):
            answers[place] = answer

    def _places(self, jobs: Sequence[NewJob]) -> tuple[dict[int, list[int]], set[int]]:
        """Which of the jobs go to which partition, and which had an id before; the others get one here."""
        partition = self.layout.next()
        places: defaultdict[int, list[int]] = defaultdict(list)
        named: set[int] = set()
        for place, job in enumerate(jobs):
            if job.id:
                home = self.layout.of_id(job.id)
                named.add(place)
            else:
                home = self.layout.of_key(job.idempotency_key) if job.idempotency_key else partition
                job.id = new_id(home)
            places[home].append(place)
        return places, named

    # The life of a job, as its worker tells it

    async def register(
        self,
        partition: int,
        worker: str,
        *,
        info: str,
        queues: Sequence[str],
        types: Sequence[str] | None,
        lease_ms: int,
        schemas: Sequence[tuple[str, str]] = (),
        wish: str = "",
    ) -> int:
        """See register.lua and calls.workers.register."""
        call = calls.workers.register(
            partition, worker, info=info, queues=queues, types=types, lease_ms=lease_ms, schemas=schemas, wish=wish
        )
        return await self.send(call)

    async def claim(self, partition: int, worker: str, n: int, start: int = 0, number: int = 0) -> Claim:
        """See claim.lua. A lost answer loses nothing: what was claimed is in `held`."""
        return await self.send(calls.workers.claim(partition, worker, n, start, number))

    async def settle(
        self, partition: int, worker: str, outcomes: Sequence[Settling], n: int = 0, start: int = 0, number: int = 0
    ) -> Settlement:
        """See settle.lua. May be repeated: an outcome that has arrived is refused as LEASE_LOST the second time."""
        return await self.send(calls.workers.settle(partition, worker, outcomes, n, start, number))

    async def extend(self, partition: int, worker: str, lease_ms: int, elapsed_ms: int = 0, vitals: str = "") -> Beat:
        """See extend.lua. Raises UnknownWorker."""
        return await self.send(calls.workers.extend(partition, worker, lease_ms, elapsed_ms, vitals))

    async def reap(self, partition: int, worker: str) -> Reaped:
        """See reap.lua."""
        return await self.send(calls.workers.reap(partition, worker))

    async def retire(self, partition: int, worker: str, *, lost: bool, began: Sequence[str] | None = None) -> int:
        """See retire.lua. Answers how many jobs went back."""
        call, taken, more = calls.workers.retire(partition, worker, lost=lost, began=began), 0, 1
        while more:
            back, more = await self.send(call)
            taken += back
        return taken

    async def begin(self, partition: int, worker: str, job: ClaimedJob) -> None:
        """See begin.lua. Raises LeaseLost."""
        await self.send(calls.workers.begin(partition, worker, job))

    async def held(self, partition: int, worker: str, number: int = 0, where: str = "", counted: int = 0) -> Held:
        """See held.lua: the unread letters, and (id, delivery) of what the worker has; a portion of them."""
        return await self.send(calls.workers.held(partition, worker, number, where, counted))

    async def progress(self, partition: int, worker: str, items: Sequence[ProgressRow]) -> list[Row]:
        """See progress.lua."""
        return await self.send(calls.workers.progress(partition, worker, items))

    # What people do to jobs and queues

    async def cancel(self, ids: Sequence[JobRef], reason: str = "cancelled") -> list[JobVerdict]:
        """Cancel waiting jobs, and ask the workers of running ones to stop them (word "running")."""
        return await self._act(partial(calls.jobs.cancel, reason=reason), ids)

    async def replay(self, ids: Sequence[JobRef]) -> list[JobVerdict]:
        """Queue dead or cancelled jobs again, with all their attempts before them."""
        return await self._act(calls.jobs.replay, ids)

    async def run_now(self, ids: Sequence[JobRef]) -> list[JobVerdict]:
        """Queue scheduled or retrying jobs before their time."""
        return await self._act(calls.jobs.run_now, ids)

    async def delete(self, ids: Sequence[JobRef]) -> list[JobVerdict]:
        """Delete jobs for ever, with their logs and past runs; not running ones.

        The idempotency key of one that has completed stays used; that of any other is free again.
        """
        return await self._act(calls.jobs.delete, ids)

    async def edit(
        self,
        job_id: str,
        *,
        data: str | None = None,
        priority: int | None = None,
        run_at: int | None = None,
        tags: list[str] | None = None,
        by: str = "",
    ) -> JobVerdict:
        """Change what a scheduled, queued or retrying job carries; what is None stays. Raises InvalidJob.

        `data` is JSON text of an object; `run_at` in ms, 0 or a time that is over for now: a queued job with a time
        ahead becomes scheduled. A queued job whose priority changes goes to the tail of the other list. With new data,
        the job is that of `by` from then on ("": nobody in particular, and it stays whose it was).
        """
        _check_edit(data, priority, run_at, tags)
        words = None if tags is None else " ".join(tags)
        change = {"id": job_id, "data": data, "priority": priority, "run_at": run_at, "tags": words}
        item: dict[str, str | int] = {name: value for name, value in change.items() if value is not None}
        if data is not None and by:
            item["by"] = by
        try:
            partition = self.layout.of_id(job_id)
        except NotFound:
            return JobVerdict(job_id, "NOT_FOUND")
        (text,) = await self.send(calls.jobs.edit(partition, [item]))
        return verdict_of(job_id, text)

    async def replay_as(self, job_id: str, new: NewJob, since: int = 0) -> JobVerdict:
        """Make a new job from one that has ended: word "replayed" with the new job's id and state, or a refusal.

        The new job gets an id in the partition of the old one, unless it has one. A repeated call with the same `new`
        answers the same. Raises InvalidJob when `new` has an idempotency key or an id of another partition.
        """
        try:
            partition = self.layout.of_id(job_id)
        except NotFound:
            return JobVerdict(job_id, "NOT_FOUND")
        new.id = new.id or new_id(partition)
        _check_replay(new, partition)
        (text,) = await self.send(calls.jobs.replay_as(partition, [(job_id, since, new)]))
        word, _, state = text.partition(" ")
        if word == "EXISTS":
            return JobVerdict(new.id, "CONFLICT", state)
        return verdict_of(new.id if word == "replayed" else job_id, text)

    async def pause(self, queue: str, by: str = "", reason: str = "") -> None:
        """Claim nothing from this queue until it is resumed; `by` and `reason` are shown. Raises InvalidJob."""
        _check({"/by": limits.bad_text(by, limits.MAX_NAME_CHARS)})
        _check({"/reason": limits.bad_text(reason, limits.MAX_REASON_CHARS)})
        await self.send_everywhere(partial(calls.queues.pause, queue=queue, by=by, reason=reason))

    async def resume(self, queue: str) -> None:
        """Serve a paused queue again."""
        await self.send_everywhere(partial(calls.queues.resume, queue=queue))

    async def tell(self, worker: str, wish: str) -> None:
        """Have a worker drain ("draining"), end ("stopping"), or work again (""). Raises NotFound, Conflict."""
        found = False
        for partition in range(self.layout.partitions):
            with contextlib.suppress(NotFound):
                await self.send(calls.workers.tell(partition, worker, wish))
                found = True
        if not found:
            raise NotFound(f"no worker {worker:.100}: it has left, or its lease ran out")

    async def limit(self, queue: str, most: int) -> None:
        """Let at most so many jobs wait in a queue (spread over its partitions); 0 for no limit."""
        share = -(-most // self.layout.partitions)
        await self.send_everywhere(partial(calls.queues.limit, queue=queue, most=share))

    # Sending

    async def send(self, call: Call[T]) -> T:
        """Run one call's script. Raises the refusal, StoreUnavailable or StoreFull."""
        before = self.history.mark(call.partition)
        answer = await self._carry_out(call)
        if isinstance(answer, _MARKED):
            self.hear(call.partition, before, answer.mark)
        return answer

    async def send_everywhere(self, at: Callable[[int], Call[T]]) -> list[T]:
        """Send a call in each partition, which `at` makes for it; the answers, one for each."""
        return [await self.send(at(partition)) for partition in range(self.layout.partitions)]

    async def walk(self, at: Callable[[str], Call[S]]) -> AsyncIterator[S]:
        """Send a call again and again, which `at` makes for a cursor, until the end; the answers, one for each."""
        cursor = ""
        while True:
            stretch = await self.send(at(cursor))
            yield stretch
            if not (cursor := stretch.following):
                return

    async def listen(self) -> None:
        """Hear whether the store went back in time, where no other call may tell it. Raises StoreUnavailable."""
        for partition in range(self.layout.partitions):
            before = self.history.mark(partition)
            key = f"{self.layout.prefix(partition)}partition"
            try:
                seq, era, alarmed = await self.redis.hmget(key, "seq", "era", "alarmed")
            except CALL_ERRORS as error:
                raise translate(error) from error
            self.hear(partition, before, Mark(int(seq or 0), as_text(era), int(alarmed or 0)))

    async def alarms(self) -> list[Alarm]:
        """What processes have noticed within the last day. Raises StoreUnavailable."""
        found: list[Alarm] = []
        for partition in range(self.layout.partitions):
            found += read_alarms(await self._read_alarms(partition))
        return found

    def alarm(self, partition: int, kind: str, text: str) -> None:
        """Raise an alarm in the store as soon as that can be done; the caller does not wait."""
        if self.history.may_say(kind):
            log.warning(text)
        self._run_errand(self._raise_alarm(partition, kind, text))

    def hear(self, partition: int, before: Mark, mark: Mark) -> None:
        """Take in the mark of an answer; `before`: `history.mark` when its call was sent."""
        lost = self.history.hear(partition, before, mark)
        if lost:
            self.alarm(partition, WENT_BACK, lost_text(lost))
        elif mark.alarmed > before.alarmed and before is not NO_MARK:
            self._run_errand(self._tell_alarms(partition, before.alarmed))

    def _run_errand(self, errand: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(errand)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    async def _raise_alarm(self, partition: int, kind: str, text: str) -> None:
        """Write an alarm, and the settings, which may be lost as well."""
        with contextlib.suppress(BoltQError):
            if kind == WENT_BACK:
                await self.open()
            await self._carry_out(calls.namespace.alarm(partition, kind, text))

    async def _tell_alarms(self, partition: int, since: int) -> None:
        with contextlib.suppress(BoltQError):
            for alarm in self.history.news(await self._read_alarms(partition), since):
                log.warning(alarm.text)

    async def _read_alarms(self, partition: int) -> dict[str, str]:
        try:
            fields = await self.redis.hgetall(f"{self.layout.prefix(partition)}alarms")
        except CALL_ERRORS as error:
            raise translate(error) from error
        return as_mapping(fields)

    async def mail(self, partition: int, worker: str, seconds: float, box: str = "") -> bytes | None:
        """Wait for a letter in a worker's mailbox; None when none came in time. Raises StoreUnavailable."""
        key = f"{self.layout.prefix(partition)}mail:{worker}{box and f':{box}'}"
        try:
            async with asyncio.timeout(seconds * 2 + 1):
                letter: Any = await self.blocking.blpop([key], timeout=seconds)
        except CALL_ERRORS as error:
            raise translate(error) from error
        return letter[1] if letter else None

    async def _act(self, act: _Act, ids: Sequence[JobRef]) -> list[JobVerdict]:
        """Do something to a batch of jobs, each with its fence."""
        fences = dict(item if isinstance(item, tuple) else (item, 0) for item in ids)
        verdicts: dict[str, JobVerdict] = {}
        for partition, homed in self.layout.homes(fences).items():
            for start in range(0, len(homed), limits.MAX_ACTED):
                chunk = homed[start : start + limits.MAX_ACTED]
                while chunk:
                    texts = await self.send(act(partition, [(job_id, fences[job_id]) for job_id in chunk]))
                    verdicts |= {job_id: verdict_of(job_id, text) for job_id, text in zip(chunk, texts, strict=True)}
                    chunk = [job_id for job_id, text in zip(chunk, texts, strict=True) if text == "AGAIN"]
        order = [item[0] if isinstance(item, tuple) else item for item in ids]
        return [verdicts.get(job_id) or JobVerdict(job_id, "NOT_FOUND") for job_id in order]


class SyncBroker(Carrier):
    """The calls that a worker's lease thread and its supervisor make, over a connection of their own."""

    def __init__(self, broker: Broker, *, timeout: float = 5.0) -> None:
        self._redis = connect_sync(broker.address, timeout=timeout)
        self.history = broker.history  # whose loop hears what an answer here tells
        self.library, self.layout, self.now = broker.library, broker.layout, broker.now

    def send(self, call: Call[T]) -> T:
        """Run one call's script. Raises the refusal, StoreUnavailable or StoreFull."""
        return at_once(self._carry_out(call))

    async def _execute(self, *command: Any) -> Any:
        """Wait for nothing but the answer: the thread waits for it too, so that `at_once` can run this."""
        return self._redis.execute_command(*command)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()


async def repeated(call: Callable[[], Awaitable[T]], pauses: Iterable[float] = RETRY_PAUSES) -> T:
    """Make a call that is safe to repeat, again while the store does not answer. Raises StoreUnavailable at the end."""
    for pause in pauses:
        try:
            return await call()
        except UnknownOutcome:
            raise
        except StoreUnavailable:
            await asyncio.sleep(pause)
    return await call()


def _check_edit(data: str | None, priority: int | None, run_at: int | None, tags: list[str] | None) -> None:
    reasons = {
        "/data": None if data is None else bad_data(data),
        "/priority": None if priority in {None, 0, 1, 2} else "use 2, 1 or 0",
        "/run_at": None if run_at is None else bad_time(run_at, absolute=True),
        "/tags": None if tags is None else bad_tags(tags),
    }
    _check(reasons)


def _check(reasons: dict[str, str | None]) -> None:
    if bad := [(pointer, reason) for pointer, reason in reasons.items() if reason]:
        raise InvalidJob(bad)


def _check_replay(new: NewJob, home: int) -> None:
    if new.idempotency_key:
        raise InvalidJob([("/idempotency_key", "a replay is known by its id: it has no key")])
    if partition_of(new.id) != home:
        raise InvalidJob([("/id", "not in the partition of the job that is replayed")])
