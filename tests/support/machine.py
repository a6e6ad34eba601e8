"""The broker's scripts on a real server, driven step by step in virtual time beside an independent model of a queue.

`World` has one method for each thing that can happen. Each calls the broker, works out in plain Python what must
follow, and then compares the whole store with that. What the store may do by itself (promote what is due, expire,
prune, hand jobs to a sleeping worker) is not predicted but watched: every change must be one that is allowed just now.
`Machine` draws sequences of such steps; the scripted scenarios call them in a chosen order.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
import redis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from boltq.broker.broker import Broker, Item, Knobs, Verdict
from boltq.broker.calls import Claim, Settling
from boltq.broker.consistency import audit
from boltq.broker.inspector import Inspector
from boltq.broker.scripts import Rewrite
from boltq.domain.errors import Conflict, LeaseLost, QueueFull, Refused, UnknownWorker
from boltq.domain.ids import PARTITION_CODES
from boltq.domain.job import ClaimedJob, NewJob, Submitted
from boltq.domain.limits import MAX_REPLAYS, MAX_RUNS

T = TypeVar("T")

REACHED: Counter[str] = Counter()
"""Every move, refusal and step that the model has seen happen, over all worlds of this run."""

LEASE = 15_000
HOLD = 10_000  # a clock that goes back by less is held
KNOBS = Knobs(
    keep_completed=4,
    keep_completed_ms=7_200_000,
    keep_dead=3,
    keep_dead_ms=14_400_000,
    patience=10**13,  # the turns of lower classes have tests of their own
    poison_limit=3,
)
KEEP = {"completed": (4, 7_200_000), "cancelled": (4, 7_200_000), "dead": (3, 14_400_000)}
ENDED = frozenset(KEEP)
WAITING = frozenset({"scheduled", "retrying"})
AMENDABLE = WAITING | {"queued"}
START = 1_800_000_000_000


@dataclass
class Job:
    """What the model knows of a job."""

    id: str
    queue: str
    priority: int
    type: str
    data: str
    state: str = "new"
    since: int = 0
    due: int = 0
    expires: int = 0
    attempts: int = 0
    deliveries: int = 0
    losses: int = 0
    begun: int = 0  # the delivery of which its worker told that it begins
    holder: str = ""
    cancel: bool = False
    parked: bool = False
    rank: int = 0  # the place in its list
    loose: bool = False  # its id stands elsewhere too; should it come back there, it has that place
    fresh: NewJob | None = None
    tags: list[str] = field(default_factory=list)
    replay_of: str = ""
    replays: list[str] = field(default_factory=list)
    runs: list[tuple[int, int, str, str]] = field(default_factory=list)  # attempt, delivery, worker, outcome

    def end_run(self, outcome: str) -> None:
        """A run that did not complete it is over; before what it changes."""
        self.runs = [*self.runs, (self.attempts + 1, self.deliveries, self.holder, outcome)][-MAX_RUNS:]

    @property
    def list(self) -> str:
        """Where it waits when it is queued."""
        return f"parked:{self.type}" if self.parked else f"ready:{self.priority}"

    @property
    def partition(self) -> int:
        return PARTITION_CODES.index(self.id[-2:])


@dataclass
class Worker:
    """A registration of a worker in one partition."""

    id: str
    queues: list[str]
    types: set[str] | None
    since: int
    beat_at: int
    ends: int
    beat_mono: int
    graces: int = 0  # that it was granted since its last beat
    idle: int = 0  # jobs that it sleeps for; 0: awake
    alive: bool = True  # it beats; the store does not know
    lost: set[str] = field(default_factory=set)  # jobs whose claim's answer it never got

    def knows(self, job: Job) -> bool:
        return job.queue in self.queues and (self.types is None or job.type in self.types)


class Broken(AssertionError):
    """The store did what it must not do."""


def long_lists(name: str, text: str) -> str:
    """For Broker(rewrite=…): every list is too long to search it for an id that leaves it, so ghosts stay."""
    short = "local SHORT, MOST_GHOSTS = 1000, 8"
    must(name != "lib/claims.lua" or short in text, "the bound of a short list has another name")
    return text.replace(short, "local SHORT, MOST_GHOSTS = 0, 3")


def id_of(item: Item) -> str:
    """The id of an item that may have a fence."""
    return item[0] if isinstance(item, tuple) else item


def must(claim: object, text: str) -> None:
    """Raise Broken unless the claim holds."""
    if not claim:
        raise Broken(text)


class World:
    """One namespace, its broker, and the model of both."""

    def __init__(self, url: str, *, partitions: int = 1, rewrite: Rewrite | None = None, flush: bool = True) -> None:
        self.runner = asyncio.Runner()
        self.raw = redis.Redis.from_url(url)
        if flush:
            self.raw.flushall()
        self.partitions = partitions
        self.now = START  # the server's clock
        self.mono = 0  # time as it really passes
        self.stepped = False  # the clock was set back: history may be out of order
        self.seen = dict.fromkeys(range(partitions), 0)
        self.heard = dict.fromkeys(range(partitions), 0)  # when a worker beat that had beaten before
        self.jobs: dict[str, Job] = {}
        self.gone: set[str] = set()
        self.workers: dict[tuple[int, str], Worker] = {}
        self.paused: set[str] = set()
        self.limits: dict[str, int] = {}
        self.keys: dict[str, tuple[str, str]] = {}
        self.count = 0
        self.registrations = 0
        self.tail, self.head = 0, 0
        self.known_run: set[int] = set()  # partitions in which somebody has reaped in this run of the server
        self.restarted: set[int] = set()
        self.broker = self.run(self._open(url, rewrite))
        self.inspector = Inspector(self.broker)

    async def _open(self, url: str, rewrite: Rewrite | None) -> Broker:
        broker = Broker(
            url, namespace="world", partitions=self.partitions, knobs=KNOBS, now=lambda: self.now, rewrite=rewrite
        )
        await broker.open()
        return broker

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(call)

    def close(self) -> None:
        self.run(self.broker.close())
        self.runner.close()
        self.raw.close()

    # Small parts

    def key(self, partition: int, name: str) -> str:
        return f"{{world:{partition}}}:{name}"

    def read_clock(self, partition: int) -> int:
        """The time as a script will see it that is about to run and to write."""
        seen = self.seen[partition]
        if self.now >= seen - HOLD:
            self.seen[partition] = max(self.now, seen)
        else:
            self.seen[partition] = self.now
        return self.seen[partition]

    def move(self, job: Job, to: str) -> None:
        must(to != job.state, f"{job.id}: {to} -> {to}")
        REACHED[f"{job.state} -> {to}"] += 1
        job.state, job.since = to, self.seen[job.partition]
        if to not in WAITING:
            job.due = 0
        if to != "running":
            job.cancel = job.cancel and to != "queued"

    def to_tail(self, job: Job) -> None:
        self.tail += 1
        job.rank = self.tail

    def to_head(self, *jobs: Job) -> None:
        """All of them before all others; among themselves in any order."""
        self.head -= 1
        for job in jobs:
            job.rank = self.head

    def standing(self, *states: str) -> list[Job]:
        return [job for job in self.jobs.values() if job.state in states]

    def held_by(self, partition: int, worker: str) -> list[Job]:
        return [job for job in self.standing("running") if job.holder == worker and job.partition == partition]

    # Submitting

    def new_id(self, partition: int) -> str:
        self.count += 1
        return f"{self.count:024d}{PARTITION_CODES[partition]}"

    def make(self, partition: int = 0, **fields: Any) -> NewJob:
        job = NewJob(**{"type": "x", "queue": "q", **fields})
        if job.idempotency_key:
            partition = self.broker.layout.of_key(job.idempotency_key)
        job.id = job.id or self.new_id(partition)
        job.data = f'{{"n":{self.count}}}' if job.data == "{}" else job.data
        return job

    def submit(self, *batch: NewJob) -> list[Submitted | Refused]:
        answers = self.run(self.broker.submit(list(batch)))
        homes = dict.fromkeys(PARTITION_CODES.index(job.id[-2:]) for job in batch)
        for home in homes:
            self.read_clock(home)
            room: dict[str, int] = {}
            for new, answer in zip(batch, answers, strict=True):
                if PARTITION_CODES.index(new.id[-2:]) == home:
                    self._submitted(new, answer, room)
            self.read_mail(home)
        self.compare()
        return answers

    def _submitted(self, new: NewJob, answer: Submitted | Refused, room: dict[str, int]) -> None:
        partition = PARTITION_CODES.index(new.id[-2:])
        limit = self.limits.get(new.queue)
        if limit and new.queue not in room:
            waiting = [j for j in self.standing("queued", "scheduled") if j.queue == new.queue]
            room[new.queue] = limit - sum(j.partition == partition for j in waiting)
        used = self.keys.get(new.idempotency_key)
        if new.id in self.jobs:
            REACHED["EXISTS"] += 1
            must(answer == Submitted(new.id, created=False), f"{new.id} is there already: {answer}")
        elif used and used[1] == new.digest():
            REACHED["DUPLICATE"] += 1
            must(answer == Submitted(used[0], created=False), f"same key, same body: {answer}")
        elif used:
            REACHED["submit CONFLICT"] += 1
            must(isinstance(answer, Conflict), f"same key, other body: {answer}")
        elif limit and room[new.queue] <= 0:
            REACHED["FULL"] += 1
            must(isinstance(answer, QueueFull), f"the queue is full: {answer}")
        else:
            must(answer == Submitted(new.id), f"a new job: {answer}")
            room[new.queue] = room.get(new.queue, 0) - 1
            self._create(new)

    def _create(self, new: NewJob) -> None:
        job = Job(new.id, new.queue, new.priority, new.type, new.data, fresh=new, tags=list(new.tags))
        now = self.seen[job.partition]
        due = new.run_at or (now + new.delay if new.delay else 0)
        job.expires = new.expires_at or (now + new.expires_in if new.expires_in else 0)
        self.jobs[job.id] = job
        if new.idempotency_key:
            self.keys[new.idempotency_key] = (new.id, new.digest())
        if due > now:
            self.move(job, "scheduled")
            job.due = due
        else:
            self.move(job, "queued")
            self.to_tail(job)

    # Claiming

    def claim(
        self, partition: int, worker: str, n: int, start: int = 0, *, lose_reply: bool = False
    ) -> list[ClaimedJob]:
        reply = self.run(self.broker.claim(partition, worker, n, start))
        now = self.read_clock(partition)
        self._claimed(partition, worker, n, start, reply, now)
        if lose_reply:
            self.workers[partition, worker].lost |= {job.id for job in reply.jobs}
        self.read_mail(partition)
        self.compare()
        return reply.jobs

    def _claimed(self, partition: int, name: str, n: int, start: int, reply: Claim, now: int) -> None:
        worker = self.workers.get((partition, name))
        if worker is None:
            if n:
                REACHED["claim UNKNOWN"] += 1
            must(reply.unknown_worker == bool(n) and not reply.jobs, f"{name} is not registered, and got {reply}")
            return
        if not n:
            must(not reply.jobs, f"asked for nothing and got {reply}")
            return
        self._take(partition, worker, n, start, reply.jobs, reply.suspect, now)
        if reply.jobs:
            worker.idle = 0
        else:
            worker.idle = n
            queues = [queue for queue in worker.queues if queue not in self.paused]
            dues = [j.due for j in self.standing(*WAITING) if j.partition == partition and j.queue in queues]
            must(reply.next_due == min(dues, default=0), f"the next is due at {min(dues, default=0)}: {reply}")

    def _take(
        self, partition: int, worker: Worker, n: int, start: int, claimed: Sequence[ClaimedJob], suspect: bool, now: int
    ) -> None:
        """The jobs of one claim: the right ones, in the right order, and no more and no fewer."""
        left, taken = list(claimed), 0
        must(len(claimed) <= n, f"asked for {n} and got {len(claimed)}")
        for turn in range(len(worker.queues)):
            queue = worker.queues[(start + turn) % len(worker.queues)]
            if queue in self.paused or taken >= n or (suspect and not left):
                continue
            self.promote(partition, queue, now)
            ready = [
                job
                for job in self.standing("queued")
                if job.partition == partition and job.queue == queue and worker.knows(job)
                and not 0 < job.expires <= now
            ]  # fmt: skip
            got = []
            while left and self.jobs[left[0].id].queue == queue:
                got.append(left.pop(0))
            jobs = [self.jobs[one.id] for one in got]
            must(all(job in ready for job in jobs), f"{[j.id for j in jobs if j not in ready]} could not be claimed")
            parked = [job for job in ready if job.parked]
            first = [job for job in jobs if job.parked]
            must(jobs[: len(first)] == first, "parked jobs come first")
            lined = sorted((job for job in ready if not job.parked), key=lambda job: (-job.priority, job.rank))
            then, fair = _order(jobs[len(first) :], lined)
            must(then == fair, f"out of turn: {then}, not {fair}; {len(first)} were parked; {[j.id for j in jobs]}")
            taken += len(jobs)
            if taken < n and not (suspect and not left):
                must(len(jobs) == len(ready), f"{[j.id for j in ready if j not in jobs]} were left behind")
            elif then:
                must(len(first) == len(parked), "parked jobs were left behind")
            for one in got:
                self._run(worker, one, now)
        must(not left, f"{[one.id for one in left]} come from queues that were not asked")
        self._check_suspects(claimed, suspect=suspect)

    def _check_suspects(self, claimed: Sequence[ClaimedJob], *, suspect: bool) -> None:
        losses = [self.jobs[one.id].losses > 0 for one in claimed]
        must(not any(losses[:-1]), "a suspect is the last job of its claim")
        must(suspect == bool(losses and losses[-1]), f"suspect: {suspect}, {losses}")
        if suspect:
            REACHED["suspect"] += 1

    def _run(self, worker: Worker, one: ClaimedJob, now: int) -> None:
        job = self.jobs[one.id]
        waited = max(0, now - job.since) if job.since <= self.seen[job.partition] else 0
        self.move(job, "running")
        job.deliveries += 1
        job.holder, job.parked = worker.id, False
        shown = (one.delivery, one.attempts, one.data, one.queue, one.type, one.waited)
        expected = (job.deliveries, job.attempts, job.data, job.queue, job.type, waited)
        must(shown == expected, f"{one.id} was handed out as {shown}, not {expected}")

    def promote(self, partition: int, queue: str, now: int) -> None:
        for state in ("retrying", "scheduled"):
            due = [j for j in self.standing(state) if (j.partition, j.queue) == (partition, queue) and j.due <= now]
            for job in sorted(due, key=lambda job: (job.due, job.id)):
                self.move(job, "queued")
                self.to_tail(job)

    # Mail

    def read_mail(self, partition: int) -> None:
        """Open all letters, as the workers would, and do what they ask for."""
        looking: list[Worker] = []
        while True:
            letters = [
                (worker, msgspec.msgpack.decode(letter))
                for (home, name), worker in self.workers.items()
                if home == partition
                for letter in self._letters(partition, name)
            ]
            self._open_letters(partition, letters)
            looking += [worker for worker, (kind, *_) in letters if kind == "look"]
            if not looking:
                return
            worker = looking.pop()
            if n := worker.idle:
                REACHED["look"] += 1
                self.learn(partition)
                reply = self.run(self.broker.claim(partition, worker.id, n))
                self._claimed(partition, worker.id, n, 0, reply, self.read_clock(partition))

    def _open_letters(self, partition: int, letters: Sequence[tuple[Worker, list[Any]]]) -> None:
        # With several sleepers, we do not know who was asked first, nor what the others parked on the way.
        here = [worker for (home, _), worker in self.workers.items() if home == partition]
        exact = sum(worker.idle > 0 for worker in here) == 1 and all(worker.types is None for worker in here)
        for worker, (kind, *rest) in letters:
            if kind == "jobs":
                self._handed(partition, worker, [ClaimedJob(*row) for row in rest[0]], rest[1] == 2, exact=exact)
            elif kind == "cancel":
                for job_id in rest[0]:
                    job = self.jobs[job_id]
                    must(job.cancel and job.holder == worker.id, f"{worker.id} was told to stop {job_id}")

    def _letters(self, partition: int, worker: str) -> list[bytes]:
        key = self.key(partition, f"mail:{worker}")
        pipeline = self.raw.pipeline()
        pipeline.lrange(key, 0, -1)
        pipeline.delete(key)
        letters: list[bytes] = pipeline.execute()[0]
        return letters

    def _handed(
        self, partition: int, worker: Worker, jobs: Sequence[ClaimedJob], suspect: bool, *, exact: bool
    ) -> None:
        REACHED["handed"] += 1
        now = self.seen[partition]
        must(worker.idle >= len(jobs) > 0, f"{worker.id} sleeps for {worker.idle} and was handed {len(jobs)}")
        must(worker.ends >= now, f"{worker.id} was handed jobs, and its lease is over")
        if exact:
            self._take(partition, worker, worker.idle, 0, jobs, suspect, now)
        else:
            for one in jobs:
                job = self.jobs[one.id]
                if job.state in WAITING:
                    self.promote(partition, job.queue, now)
                fit = job.state == "queued" and worker.knows(job) and not 0 < job.expires <= now
                must(fit and job.queue not in self.paused, f"{one.id} ({job.state}) was handed to {worker.id}")
                self._run(worker, one, now)
            self._check_suspects(jobs, suspect=suspect)
        worker.idle = 0

    # Settling

    def settle(self, partition: int, worker: str, outcomes: Sequence[Settling], n: int = 0) -> list[ClaimedJob]:
        reply = self.run(self.broker.settle(partition, worker, outcomes, n))
        now = self.read_clock(partition)
        refused = dict(reply.refused)
        ended = set()
        for index in range(len(outcomes) - 1, -1, -1):
            one = outcomes[index]
            word = self._refusal(one, worker)
            must(refused.get(index) == word, f"{one.id} {one.verb}: {refused.get(index)}, not {word}")
            if word:
                REACHED[f"settle {word}"] += 1
            else:
                job = self.jobs[one.id]
                self._settled(job, one, now)
                ended.add((job.queue, job.state))
        self._claimed(partition, worker, n, 0, reply.claim, now)
        self.read_mail(partition)
        self.compare()
        for queue, state in ended & {(queue, state) for queue, _ in ended for state in KEEP}:
            kept = sum(j.queue == queue and j.partition == partition for j in self.standing(state))
            must(kept <= KEEP[state][0], f"{kept} {state} jobs are kept")
        return reply.jobs

    def _refusal(self, one: Settling, worker: str) -> str | None:
        job = self.jobs.get(one.id)
        if job is None:
            return "NOT_FOUND"
        its = job.state == "running" and job.deliveries == one.delivery and job.holder == worker
        return None if its else "LEASE_LOST"

    def _settled(self, job: Job, one: Settling, now: int) -> None:
        verb, began = one.verb, one.verb != "dropped"
        if verb == "released":
            began = bool(one.text)
        if job.cancel and verb in {"retrying", "snoozed", "released"}:
            verb = "cancelled"
        if began and verb != "completed":
            job.end_run({"snoozed": verb, "cancelled": verb, "released": one.text}.get(verb, "failed"))
        self.move(job, {"snoozed": "scheduled", "released": "queued", "dropped": "cancelled"}.get(verb, verb))
        if verb in {"completed", "retrying", "dead"}:
            job.attempts += 1
        if verb in {"retrying", "dead", "snoozed"}:
            job.losses = 0
        if verb in {"retrying", "snoozed"}:
            job.due = now + one.number
        if verb == "released":
            self.to_head(job)

    def outcome(self, job: Job, verb: str, number: int = 0) -> Settling:
        """An outcome of the run that is on its way."""
        text = {"completed": "1", "retrying": "{}", "dead": "{}", "cancelled": "because", "dropped": "because"}.get(
            verb, ""
        )
        if verb == "handed back":
            verb, text = "released", "handed_back"
        return Settling(job.id, job.deliveries, verb, 3, number, text)

    def settle_stale(self, one: Settling, worker: str = "") -> None:
        """An outcome of a run that is over, or of another worker: refused, and nothing changes in the store."""
        partition = PARTITION_CODES.index(one.id[-2:])
        worker = worker or (self.jobs[one.id].holder if one.id in self.jobs else "") or "nobody"
        must(self._refusal(one, worker), "this outcome is not stale")
        self.run(self.broker.settle(partition, worker, []))  # so that the clock in the store is this moment's
        self.read_clock(partition)
        before = self.raw.execute_command("DEBUG", "DIGEST")
        self.settle(partition, worker, [one])
        must(self.raw.execute_command("DEBUG", "DIGEST") == before, "a refused outcome has changed something")

    # What people do

    def cancel(self, *ids: Item) -> None:
        def cancelled(job: Job, verdict: Verdict) -> None:
            if job.state == "running":
                must(verdict.word == "running", f"cancel {job.id}: {verdict}")
                REACHED["cancel running"] += 1
                job.cancel = True
            elif job.state in {"completed", "dead"}:
                self._conflict("cancel", verdict, job)
            else:
                must(verdict.word == "cancelled", f"cancel {job.id}: {verdict}")
                if job.state != "cancelled":
                    self.move(job, "cancelled")

        self._judge("cancel", ids, self.run(self.broker.cancel(ids, "no need")), cancelled)

    def replay(self, *ids: Item) -> None:
        known = [self.jobs[i] for i in map(id_of, ids) if i in self.jobs]
        places = {job.id: self._stored(job, "ghost", "parked") for job in known}

        def replayed(job: Job, verdict: Verdict) -> None:
            if job.state not in {"dead", "cancelled"}:
                self._conflict("replay", verdict, job)
                return
            must(verdict.word == "queued", f"replay {job.id}: {verdict}")
            self.move(job, "queued")
            job.attempts, job.losses, job.cancel, job.expires = 0, 0, False, 0
            ghosts, parked = places[job.id]
            if (f"parked:{job.type}" if parked else f"ready:{job.priority}") not in ghosts.split():
                self.to_tail(job)

        self._judge("replay", ids, self.run(self.broker.replay(ids)), replayed)

    def run_now(self, *ids: Item) -> None:
        def queued(job: Job, verdict: Verdict) -> None:
            if job.state not in WAITING:
                self._conflict("run_now", verdict, job)
                return
            must(verdict.word == "queued", f"run_now {job.id}: {verdict}")
            self.move(job, "queued")
            self.to_tail(job)

        self._judge("run_now", ids, self.run(self.broker.run_now(ids)), queued)

    def delete(self, *ids: Item) -> None:
        def deleted(job: Job, verdict: Verdict) -> None:
            if job.state == "running":
                self._conflict("delete", verdict, job)
                return
            must(verdict.word == "deleted", f"delete {job.id}: {verdict}")
            REACHED[f"deleted {job.state}"] += 1
            left = self.raw.exists(*(self.key(job.partition, f"{kind}:{job.id}") for kind in ("job", "log", "runs")))
            must(not left, f"{left} keys of {job.id} are left")
            if job.state != "completed":
                self.keys = {key: used for key, used in self.keys.items() if used[0] != job.id}
            del self.jobs[job.id]
            self.gone.add(job.id)

        self._judge("delete", ids, self.run(self.broker.delete(ids)), deleted)

    def amend(self, job_id: str, **change: Any) -> None:
        def amended(job: Job, verdict: Verdict) -> None:
            if job.state not in AMENDABLE:
                self._conflict("edit", verdict, job)
                return
            job.data = change.get("data", job.data)
            job.tags = change.get("tags", job.tags)
            self._rearrange(job, change.get("priority", job.priority), change.get("run_at"))
            must((verdict.word, verdict.state) == ("amended", job.state), f"amend {job_id}: {verdict}")

        self._judge("edit", [job_id], [self.run(self.broker.amend(job_id, **change))], amended)

    def _rearrange(self, job: Job, priority: int, run_at: int | None) -> None:
        other = priority != job.priority
        job.priority = priority
        later = run_at is not None and run_at > self.seen[job.partition]
        if job.state == "queued" and later:
            self.move(job, "scheduled")
            job.parked = False
        elif job.state == "queued" and other and not job.parked:
            self.to_tail(job)
        elif job.state in WAITING and run_at is not None and not later:
            self.move(job, "queued")
            self.to_tail(job)
        if later and run_at is not None:
            job.due = run_at

    def replay_as(self, old: str, new: NewJob, since: int = 0) -> None:
        home = PARTITION_CODES.index(old[-2:])
        new.id = new.id or self.new_id(home)
        verdict = self.run(self.broker.replay_as(old, new, since))
        self.read_clock(home)
        job, there = self.jobs.get(old), self.jobs.get(new.id)
        if there:
            word = "replayed" if there.replay_of == old else "CONFLICT"
            REACHED[f"replay_as again {word}"] += 1
            must(verdict == Verdict(new.id, word, there.state), f"replay {old} again: {verdict}")
        elif job is None:
            self._not_found("replay_as", verdict.word)
        elif since not in {0, job.since}:
            self._changed("replay_as", verdict, job)
        elif job.state not in ENDED:
            self._conflict("replay_as", verdict, job)
        elif verdict.word == "FULL":
            limit = self.limits.get(new.queue)
            waiting = [j for j in self.standing("queued", "scheduled") if (j.queue, j.partition) == (new.queue, home)]
            must(limit and len(waiting) >= limit, f"{new.queue} is not full")
            REACHED["replay_as FULL"] += 1
        else:
            self._create(new)
            made = self.jobs[new.id]
            must(verdict == Verdict(new.id, "replayed", made.state), f"replay {old}: {verdict}")
            made.replay_of = old
            job.replays = [*job.replays, new.id][-MAX_REPLAYS:]
        self._after({home})

    def _judge(
        self, verb: str, ids: Sequence[Item], verdicts: Sequence[Verdict], done: Callable[[Job, Verdict], None]
    ) -> None:
        """Go through the verdicts of a batch: what is refused for all verbs alike, and `done` for the rest."""
        fences = {id_of(item): item[1] if isinstance(item, tuple) else 0 for item in ids}
        touched: set[int] = set()
        for verdict in verdicts:
            job = self.jobs.get(verdict.id)
            self._touch(verdict.id, touched)
            if job is None:
                self._not_found(verb, verdict.word)
            elif fences[job.id] not in {0, job.since}:
                self._changed(verb, verdict, job)
            else:
                done(job, verdict)
        self._after(touched)

    def _stored(self, job: Job, *fields: str) -> list[str]:
        values: Any = self.raw.hmget(self.key(job.partition, f"job:{job.id}"), fields)
        return [(value or b"").decode() for value in values]

    def _touch(self, job_id: str, touched: set[int]) -> None:
        """A call has reached the partition of this id, whether it found the job or not."""
        home = PARTITION_CODES.index(job_id[-2:]) if job_id[:1].isdigit() else self.partitions
        if home < self.partitions and home not in touched:
            touched.add(home)
            self.read_clock(home)

    def _after(self, touched: Iterable[int]) -> None:
        for partition in range(self.partitions):
            self.read_clock(partition) if partition in touched else None
            self.read_mail(partition)
        self.compare()

    def _not_found(self, verb: str, word: str) -> None:
        must(word == "NOT_FOUND", f"{verb} of nothing: {word}")
        REACHED[f"{verb} NOT_FOUND"] += 1

    def _conflict(self, verb: str, verdict: Verdict, job: Job) -> None:
        must((verdict.word, verdict.state) == ("CONFLICT", job.state), f"{verb} {job.id} in {job.state}: {verdict}")
        REACHED[f"{verb} CONFLICT {job.state}"] += 1

    def _changed(self, verb: str, verdict: Verdict, job: Job) -> None:
        must((verdict.word, verdict.state) == ("CHANGED", job.state), f"{verb} {job.id} in {job.state}: {verdict}")
        REACHED[f"{verb} CHANGED"] += 1

    def pause(self, queue: str) -> None:
        self.run(self.broker.pause(queue))
        self.paused.add(queue)
        self.compare()

    def resume(self, queue: str) -> None:
        self.run(self.broker.resume(queue))
        self.paused.discard(queue)
        self._after(range(self.partitions))

    def limit(self, queue: str, most: int) -> None:
        self.run(self.broker.limit(queue, most))
        self.limits[queue] = -(-most // self.partitions)

    def progress(self, job: Job) -> None:
        item = (job.id, job.deliveries, 0.5, "half", ["a line"])
        refused = self.run(self.broker.progress(job.partition, job.holder, [item]))
        must(refused == ([] if job.state == "running" else [[0, "LEASE_LOST"]]), f"progress: {refused}")
        self.read_clock(job.partition)
        self.compare()

    # Workers

    def register(self, partition: int, queues: Sequence[str], types: set[str] | None) -> str:
        self.registrations += 1
        name = f"w{self.registrations}"
        known = None if types is None else sorted(types)
        call = self.broker.register(partition, name, info="{}", queues=queues, types=known, lease_ms=LEASE)
        self.run(call)
        now = self.read_clock(partition)
        self.workers[partition, name] = Worker(name, list(queues), types, now, now, now + LEASE, self.mono)
        self.compare()
        return name

    def register_again(self, partition: int, name: str) -> None:
        try:
            self.run(self.broker.register(partition, name, info="", queues=["q"], types=None, lease_ms=LEASE))
        except Conflict:
            REACHED["register CONFLICT"] += 1
            return
        raise Broken(f"{name} was registered twice")

    def extend(self, partition: int, name: str) -> None:
        worker = self.workers.get((partition, name))
        elapsed = self.mono - worker.beat_mono if worker else 0
        try:
            beat = self.run(self.broker.extend(partition, name, LEASE, elapsed))
        except UnknownWorker:
            must(worker is None, f"{name} is registered, and was refused")
            REACHED["UNKNOWN_WORKER"] += 1
            return
        if worker is None:
            raise Broken(f"{name} is not registered, and its lease was extended")
        clock_was_set = self.now < self.seen[partition] - HOLD
        now = self.read_clock(partition)
        here = [one for (home, _), one in self.workers.items() if home == partition]
        silence = self._silence(partition, worker, now)
        jumped = elapsed > 0 and now - worker.beat_at - elapsed > LEASE / 3
        if clock_was_set or max(one.ends for one in here) > now + LEASE:
            self._begin_leases_anew(partition, now)
        elif silence > LEASE * 2 / 3 or (jumped and silence > LEASE * 2 / 5):
            self._grant_grace(partition, now)
        worker.ends, worker.beat_at, worker.beat_mono, worker.graces = now + LEASE, now, self.mono, 0
        if elapsed > 0:
            self.heard[partition] = now
        stop = {job.id for job in self.held_by(partition, name) if job.cancel}
        must(set(beat.cancelled) == stop, f"{name} shall stop {stop}: {beat}")
        others = [one.ends for one in here if one is not worker]
        must(beat.first_end == min(others, default=0), f"first other end: {beat}, {sorted(others)}")
        self.read_mail(partition)
        self.compare()

    def _silence(self, partition: int, worker: Worker, now: int) -> int:
        """For how long nobody was heard, as far as this worker can say."""
        return now - max(self.heard[partition], worker.since if worker.since <= now else 0)

    def _grant_grace(self, partition: int, now: int) -> None:
        """A full lease for all; for those who were not heard since the last time a third of one; then nothing."""
        REACHED["grace"] += 1
        for (home, _), one in self.workers.items():
            if home == partition and one.graces < 2:
                one.ends = max(one.ends, now + (LEASE // 3 if one.graces else LEASE))
                one.beat_at = now
                one.graces += 1

    def _begin_leases_anew(self, partition: int, now: int) -> None:
        REACHED["leases anew"] += 1
        self.heard[partition] = now
        for (home, _), one in self.workers.items():
            if home == partition:
                one.ends, one.beat_at = now + LEASE, now

    def reap(self, partition: int, name: str) -> None:
        reaped = self.run(self.broker.reap(partition, name))
        clock_was_set = self.now < self.seen[partition] - HOLD
        now = self.read_clock(partition)
        asker = self.workers.get((partition, name))
        here = {key: one for key, one in self.workers.items() if key[0] == partition}
        was_away = partition in self.restarted and partition in self.known_run
        self.known_run.add(partition)
        self.restarted.discard(partition)
        if was_away:
            self._grant_grace(partition, now)
            must(reaped.taken_back == 0, "after a restart nobody is judged")
        elif asker and 0 <= now - asker.since < 2_000:
            must(reaped.taken_back == 0, "one that has just come takes nothing back")
        elif clock_was_set or max((one.ends for one in here.values()), default=0) > now + LEASE:
            self._begin_leases_anew(partition, now)
            must(reaped.taken_back == 0, "after the clock was set back nobody is judged")
        elif asker and self._silence(partition, asker, now) > LEASE * 2 / 3:
            self._grant_grace(partition, now)
            must(reaped.taken_back == 0, "after a time in which nobody was heard nobody is judged")
        elif asker and asker.ends < now:
            must(reaped.taken_back == 0, "who asks late judges nobody")
        else:
            for key in [key for key, one in here.items() if one.ends < now]:
                REACHED["reaped"] += 1
                del self.workers[key]
            orphans = [
                job
                for job in self.standing("running")
                if job.partition == partition and (partition, job.holder) not in self.workers
            ]
            must(reaped.taken_back == len(orphans), f"{len(orphans)} jobs are held by nobody: {reaped}")
            self._lose(orphans)
        self.read_mail(partition)
        self.compare()

    def _lose(self, jobs: Sequence[Job]) -> None:
        back = []
        for job in jobs:
            told = job.begun == job.deliveries
            if told or not job.losses:  # of a first loss nobody knows whether it had begun
                job.end_run("cancelled" if job.cancel else "lost")
                job.losses += 1
            else:
                REACHED["lost before it began"] += 1
            if job.cancel:
                self.move(job, "cancelled")
            elif told and job.losses >= KNOBS.poison_limit:
                REACHED["poison"] += 1
                self.move(job, "dead")
            else:
                self.move(job, "queued")
                back.append(job)
        self.to_head(*back)

    def begin(self, job: Job) -> None:
        """Its worker is about to call its function."""
        one = ClaimedJob(job.id, "", "", "", job.deliveries, 0, 0)
        self.run(self.broker.begin(job.partition, job.holder, one))
        job.begun = job.deliveries
        self.begin_late(job, job.deliveries - 1)

    def begin_late(self, job: Job, delivery: int) -> None:
        """A run that is over must not begin."""
        try:
            self.run(self.broker.begin(job.partition, job.holder, ClaimedJob(job.id, "", "", "", delivery, 0, 0)))
        except LeaseLost:
            REACHED["begin LEASE_LOST"] += 1
            return
        raise Broken(f"delivery {delivery} of {job} was let begin")

    def retire(self, partition: int, name: str, *, lost: bool) -> None:
        held = self.held_by(partition, name)
        began = [job.id for job in held if job.begun == job.deliveries and not lost]
        taken = self.run(self.broker.retire(partition, name, lost=lost, began=began))
        self.read_clock(partition)
        must(taken == len(held), f"{name} held {len(held)} and {taken} were taken back")
        self.workers.pop((partition, name), None)
        if lost:
            self._lose(held)
        else:
            for job in held:
                if job.id in began:
                    REACHED["handed back"] += 1
                    job.end_run("cancelled" if job.cancel else "handed_back")
                self.move(job, "cancelled" if job.cancel else "queued")
            self.to_head(*(job for job in held if job.state == "queued"))
        self.read_mail(partition)
        self.compare()

    def number(self, partition: int, worker: str, number: int) -> None:
        """A worker asks for what it holds, and gives up all that it asked before."""
        self.run(self.broker.held(partition, worker, number))

    def late_claim(self, partition: int, worker: str, number: int) -> None:
        """A claim that was given up arrives: it takes nothing."""
        reply = self.run(self.broker.claim(partition, worker, 1, 0, number))
        self.read_clock(partition)
        must((reply.jobs, reply.given_up >= number) == ([], True), f"{worker} had given up its claim {number}: {reply}")
        self.compare()

    def recover(self, partition: int, name: str) -> None:
        """What an answer that was lost has brought is in `held`, and is given back."""
        held = self.run(self.broker.held(partition, name)).runs
        jobs = self.held_by(partition, name) if (partition, name) in self.workers else []
        must(sorted(held) == sorted((job.id, job.deliveries) for job in jobs), f"{name} holds {held}")
        worker = self.workers.get((partition, name))
        lost = [job for job in jobs if worker and job.id in worker.lost]
        if lost and worker:
            REACHED["lost reply"] += 1
            worker.lost.clear()
            self.settle(partition, name, [self.outcome(job, "released") for job in lost])

    # Time

    def advance(self, ms: int) -> None:
        """Time passes, for all."""
        self.now += ms
        self.mono += ms

    def step_clock(self, ms: int) -> None:
        """The server's clock is set; no time passes."""
        self.now += ms
        self.stepped = self.stepped or ms < -HOLD

    def restart(self) -> None:
        """The server has come back: it has another name for its run. Its data is all there, so nothing else differs."""
        REACHED["restart"] += 1
        for home in range(self.partitions):
            if self.raw.hexists(self.key(home, "partition"), "run_id"):
                self.raw.hset(self.key(home, "partition"), "run_id", "another")
                self.restarted.add(home)

    # Looking

    _FIELDS = (
        "state", "n", "tries", "lost", "worker", "parked", "cancel", "since", "reason", "expires", "route", "data",
        "tags", "replay_of", "replays", "ghost",
    )  # fmt: skip

    def compare(self) -> None:
        """The store is as the model says, and the auditor finds nothing."""
        self.learn()
        findings = self.run(audit(self.broker, pauses=()))
        must(not findings, "\n".join(str(finding) for finding in findings))
        self._compare_counts()
        ends = {
            (home, name.decode()): end
            for home in range(self.partitions)
            for name, end in self.raw.zrange(self.key(home, "workers"), 0, -1, withscores=True)
        }
        must(ends == {key: worker.ends for key, worker in self.workers.items()}, f"the leases end at {ends}")

    def learn(self, partition: int | None = None) -> None:
        """Compare every job (of one partition); take in what the store did by itself, where it was allowed to."""
        jobs = [job for job in self.jobs.values() if partition in {None, job.partition}]
        pipeline = self.raw.pipeline(transaction=False)
        for job in jobs:
            pipeline.hmget(self.key(job.partition, f"job:{job.id}"), self._FIELDS)
            pipeline.zscore(self.key(job.partition, f"queue:{job.queue}:{job.state}"), job.id) if (
                job.state in WAITING
            ) else pipeline.echo("")
            pipeline.lrange(self.key(job.partition, f"runs:{job.id}"), 0, -1)
        rows = pipeline.execute()
        stored = {
            job.id: {k: (v or b"").decode() for k, v in zip(self._FIELDS, row, strict=True)}
            for job, row in zip(jobs, rows[::3], strict=True)
        }
        dues = dict(zip((job.id for job in jobs), rows[1::3], strict=True))
        runs = dict(zip((job.id for job in jobs), rows[2::3], strict=True))
        promoted = [j for j in jobs if j.state in WAITING and stored[j.id]["state"] not in {j.state, "running"}]
        for job in sorted(promoted, key=lambda job: (job.state, job.due, job.id)):
            must(job.due <= self.seen[job.partition], f"{job.id} is early: due at {job.due}, now {self.seen}")
            self.move(job, "queued")
            self.to_tail(job)
        self._learn_pruned([job for job in jobs if not stored[job.id]["state"]])
        for job in jobs:
            if job.id in self.jobs:
                self._compare_job(job, stored[job.id], dues[job.id])
                self._compare_runs(job, [msgspec.msgpack.decode(run) for run in runs[job.id]])

    def _learn_pruned(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            del self.jobs[job.id]
        for job in jobs:
            must(job.state in ENDED, f"{job.id} was {job.state} and is gone")
            most, age = KEEP[job.state]
            kept = [
                one.since
                for one in self.standing(job.state)
                if (one.partition, one.queue) == (job.partition, job.queue)
            ]
            too_old = self.seen[job.partition] - job.since > age
            must(too_old or len(kept) >= most, f"{job.id} was pruned, and {len(kept)} were kept")
            if not self.stepped:
                must(min(kept, default=job.since) >= job.since, f"{job.id} was pruned before older ones")
            REACHED["pruned by age" if too_old else "pruned by count"] += 1
            self.gone.add(job.id)

    def _compare_job(self, job: Job, row: dict[str, str], due: object) -> None:
        now = self.seen[job.partition]
        if job.state == "queued" and row["state"] == "cancelled" and row["reason"] == "expired":
            must(0 < job.expires <= now, f"{job.id} was expired before its time")
            REACHED["expired"] += 1
            self.move(job, "cancelled")
        must(row["state"] == job.state, f"{job.id} is {row['state']} in the store, {job.state} in the model")
        shown = [int(row[name] or 0) for name in ("n", "tries", "lost")]
        counted = [job.deliveries, job.attempts, job.losses]
        must(shown == counted, f"{job.id}: deliveries, attempts, losses are {shown}, not {counted}")
        if job.state == "running":
            must(row["worker"] == job.holder, f"{job.id} is held by {row['worker']}, not {job.holder}")
            must(bool(row["cancel"]) == job.cancel, f"{job.id}: cancel is {row['cancel']}")
        if job.state in WAITING:
            must(due == job.due, f"{job.id} is due at {due}, not {job.due}")
        must(int(row["since"]) == job.since, f"{job.id} stands so since {row['since']}, not {job.since}")
        must(int(row["expires"] or 0) == job.expires, f"{job.id} expires at {row['expires']}, not {job.expires}")
        job.parked = job.state == "queued" and bool(row["parked"])
        job.loose = job.loose or len(row["ghost"].split()) > (job.state == "cancelled")
        carried = (row["route"], row["data"], row["tags"], row["replay_of"], row["replays"])
        expected = (f"{job.queue} {job.priority} {job.type}", job.data, " ".join(job.tags), job.replay_of)
        must(carried == (*expected, " ".join(job.replays)), f"{job.id} carries {carried}, not {expected}")

    def _compare_runs(self, job: Job, runs: Sequence[Sequence[Any]]) -> None:
        shown = [(attempt, delivery, worker, outcome) for attempt, delivery, worker, _, _, outcome, _ in runs]
        must(shown == job.runs, f"{job.id}: its runs are {shown}, not {job.runs}")

    def _compare_counts(self) -> None:
        counted = Counter((job.queue, job.state) for job in self.jobs.values())
        queues = self.run(self.inspector.queues())
        must({job.queue for job in self.jobs.values()} <= {stats.name for stats in queues}, "a queue is not listed")
        for stats in queues:
            for state in ("queued", "running", "scheduled", "retrying", "completed", "dead", "cancelled"):
                shown, here = getattr(stats, state), counted[stats.name, state]
                must(shown == here, f"{stats.name}: {shown} {state}, and there are {here}")
            must(stats.paused == (stats.name in self.paused), f"paused: {stats}")

    # The end

    def quiesce(self) -> None:
        """All faults are healed, one worker a partition lives and does everything: every job must come to its end."""
        for queue in sorted(self.paused):
            self.resume(queue)
        homes = range(self.partitions)
        healers = {home: self.register(home, ["q", "r"], None) for home in homes}
        for _ in range(200):
            for home, healer in healers.items():
                self._heal(home, healer)
            if not self.standing("queued", "running", *WAITING):
                return
            waits = [job.due - self.seen[job.partition] for job in self.standing(*WAITING)]
            self.advance(max(4_000, min(waits, default=4_000)) if not self.standing("queued", "running") else 4_000)
        raise Broken(f"stuck: {self.standing('queued', 'running', *WAITING)}")

    def _heal(self, home: int, healer: str) -> None:
        self.extend(home, healer)
        self.reap(home, healer)
        for _ in range(50):
            mine = self.held_by(home, healer)
            if mine:
                self.settle(home, healer, [self.outcome(job, "completed") for job in mine])
            elif not self.claim(home, healer, 10):
                return


def _order(taken: Sequence[Job], lined: Sequence[Job]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """(priority, rank) of the jobs that were taken, and of those whose turn it was; of loose ones the priority only."""
    shown = [[(-job.priority, job.rank) for job in jobs if not job.loose] for jobs in (taken, lined)]
    classes = [[(-job.priority, 0) for job in jobs] for jobs in (taken, lined)]
    return shown[0] + classes[0], shown[1][: len(shown[0])] + classes[1][: len(taken)]


QUEUES = ["q", "r"]
KINDS: list[tuple[list[str], set[str] | None]] = [
    (["q"], {"x"}),
    (["q", "r"], {"x", "y"}),
    (["r", "q"], None),
    (["q", "r"], {"z"}),
]
VERBS = ["completed", "completed", "retrying", "dead", "snoozed", "released", "handed back", "cancelled", "dropped"]
any_number = st.integers(0, 999)


def pick(items: Sequence[T], number: int) -> T | None:
    """One of them, None if there is none."""
    return items[number % len(items)] if items else None


class Machine(RuleBasedStateMachine):
    """Draws what happens next. Subclasses say on which server."""

    url = ""
    partitions = 1
    rewrite: Callable[[str, str], str] | None = None

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.url, partitions=self.partitions, rewrite=type(self).rewrite)
        self.used: list[NewJob] = []  # with an idempotency key

    @initialize(
        kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=3),
        types=st.lists(st.sampled_from("xyz"), min_size=2, max_size=8),
    )
    def begin(self, kinds: list[tuple[list[str], set[str] | None]], types: list[str]) -> None:
        for number, (queues, known) in enumerate(kinds):
            self.world.register(number % self.partitions, queues, known)
        for home in range(self.partitions):
            batch = [
                self.world.make(home, type=one, queue=pick(QUEUES, i), priority=i % 3) for i, one in enumerate(types)
            ]
            self.world.submit(*batch)

    def teardown(self) -> None:
        try:
            if not self.failed:
                self.world.quiesce()
        finally:
            self.world.close()

    failed = False

    def _step(self, name: str, *args: Any, **kwargs: Any) -> Any:
        REACHED["steps"] += 1
        try:
            return getattr(self.world, name)(*args, **kwargs)
        except BaseException:
            self.failed = True
            raise

    def _worker(self, number: int) -> tuple[int, str]:
        """A registration, alive or not; sometimes one that does not exist."""
        known = sorted(self.world.workers)
        return pick(known, number) or (number % self.partitions, "w0")

    def _job(self, number: int, *states: str) -> Job | None:
        return pick(self.world.standing(*states), number)

    @rule(
        home=any_number,
        queue=st.sampled_from(QUEUES),
        types=st.lists(st.sampled_from("xxyz"), min_size=1, max_size=5),
        priority=st.integers(0, 2),
        when=st.sampled_from(["now", "now", "now", "delay", "run_at", "past"]),
        ms=st.sampled_from([1, 1_000, 30_000, 400_000]),
        expires=st.sampled_from([0, 0, 0, 4_000, 50_000]),
    )
    def submit(self, home: int, queue: str, types: list[str], priority: int, when: str, ms: int, expires: int) -> None:
        times = {
            "delay": {"delay": ms},
            "run_at": {"run_at": self.world.now + ms},
            "past": {"run_at": self.world.now - ms},
        }
        batch = [
            self.world.make(
                home % self.partitions,
                type=one,
                queue=queue,
                priority=priority,
                expires_in=expires,
                **times.get(when, {}),
            )
            for one in types
        ]
        self._step("submit", *batch)

    @rule(
        key=st.sampled_from(["a", "b", "c"]),
        again=st.sampled_from(["same", "other body", "same id"]),
        type=st.sampled_from("xy"),
    )
    def submit_with_key(self, key: str, again: str, type: str) -> None:
        earlier = [job for job in self.used if job.idempotency_key == key]
        if not earlier:
            job = self.world.make(type=type, idempotency_key=key, data='{"same":1}')
            self.used.append(job)
        elif again == "same id" and earlier[0].id not in self.world.gone:
            job = earlier[0]
        else:
            data = earlier[0].data if again == "same" else '{"other":1}'
            job = self.world.make(type=earlier[0].type, idempotency_key=key, data=data)
        self._step("submit", job)

    @rule(number=any_number)
    def submit_again(self, number: int) -> None:
        job = pick(list(self.world.jobs.values()), number)
        if job and job.fresh:
            self._step("submit", job.fresh)

    @rule(
        worker=any_number,
        n=st.integers(1, 6),
        start=st.integers(0, 1),
        lose=st.sampled_from([False, False, False, True]),
    )
    def claim(self, worker: int, n: int, start: int, lose: bool) -> None:
        home, name = self._worker(worker)
        self._step("claim", home, name, n, start, lose_reply=lose and name != "w0")

    @rule(
        worker=any_number,
        verbs=st.lists(st.sampled_from(VERBS), min_size=1, max_size=6),
        n=st.integers(0, 3),
        ms=st.sampled_from([0, 1, 5_000, 60_000]),
    )
    def settle(self, worker: int, verbs: list[str], n: int, ms: int) -> None:
        holders = sorted({(job.partition, job.holder) for job in self.world.standing("running")})
        home, name = pick(holders, worker) or self._worker(worker)
        held = self.world.held_by(home, name)
        self._step(
            "settle", home, name, [self.world.outcome(job, verb, ms) for job, verb in zip(held, verbs, strict=False)], n
        )

    @rule(worker=any_number, n=st.integers(1, 4), verbs=st.lists(st.sampled_from(VERBS), min_size=1, max_size=4))
    def work(self, worker: int, n: int, verbs: list[str]) -> None:
        home, name = self._worker(worker)
        jobs = self._step("claim", home, name, n)
        outcomes = [
            self.world.outcome(self.world.jobs[job.id], verb, 1_000) for job, verb in zip(jobs, verbs, strict=False)
        ]
        self._step("settle", home, name, outcomes, n)

    @rule(number=any_number, verb=st.sampled_from(VERBS), back=st.integers(0, 2))
    def settle_stale(self, number: int, verb: str, back: int) -> None:
        job = pick(list(self.world.jobs.values()), number)
        if job is None:
            one = Settling(f"{0:024d}00", 1, verb, 1, 0, "{}")
        else:
            delivery = job.deliveries - (back or 1 if job.state == "running" else back)
            one = Settling(job.id, delivery, verb, 1, 0, "{}")
        self._step("settle_stale", one)

    @rule(numbers=st.lists(any_number, min_size=1, max_size=3))
    def cancel(self, numbers: list[int]) -> None:
        jobs = [
            self._job(number, "queued", "running", "scheduled", "retrying") or self._job(number, *ENDED)
            for number in numbers
        ]
        self._step("cancel", *(job.id for job in jobs if job), f"{0:024d}00")

    @rule(number=any_number, rightly=st.sampled_from([True, True, False]))
    def replay(self, number: int, rightly: bool) -> None:
        job = self._job(number, "dead", "cancelled") if rightly else pick(list(self.world.jobs.values()), number)
        self._step("replay", job.id if job else f"{0:024d}00")

    @rule(number=any_number, rightly=st.sampled_from([True, True, False]))
    def run_now(self, number: int, rightly: bool) -> None:
        job = self._job(number, *WAITING) if rightly else pick(list(self.world.jobs.values()), number)
        self._step("run_now", job.id if job else f"{0:024d}00")

    @rule(numbers=st.lists(any_number, min_size=1, max_size=2), rightly=st.sampled_from([True, True, False]))
    def delete(self, numbers: list[int], rightly: bool) -> None:
        states = [*AMENDABLE, *ENDED] if rightly else ["running"]
        jobs = [self._job(number, *states) for number in numbers]
        self._step("delete", *dict.fromkeys(job.id for job in jobs if job), f"{0:024d}00")

    @rule(
        number=any_number,
        rightly=st.sampled_from([True, True, True, False]),
        fields=st.sets(st.sampled_from(["data", "priority", "run_at", "tags"]), max_size=4),
        priority=st.integers(0, 2),
        ms=st.sampled_from([None, -5_000, 1, 4_000, 90_000]),
    )
    def amend(self, number: int, rightly: bool, fields: set[str], priority: int, ms: int | None) -> None:
        job = self._job(number, *AMENDABLE) if rightly else pick(list(self.world.jobs.values()), number)
        values = {
            "data": f'{{"amended":{number}}}',
            "priority": priority,
            "run_at": 0 if ms is None else self.world.now + ms,
            "tags": ["a", "b"][: number % 3],
        }
        self._step("amend", job.id if job else f"{0:024d}00", **{name: values[name] for name in sorted(fields)})

    @rule(
        number=any_number,
        rightly=st.sampled_from([True, True, False]),
        again=st.booleans(),
        queue=st.sampled_from(QUEUES),
        delay=st.sampled_from([0, 0, 4_000]),
    )
    def replay_as(self, number: int, rightly: bool, again: bool, queue: str, delay: int) -> None:
        job = self._job(number, *ENDED) if rightly else pick(list(self.world.jobs.values()), number)
        old = job.id if job else f"{0:024d}00"
        new = NewJob(type="x", queue=queue, delay=delay, data='{"replay":1}', tags=["replayed"])
        self._step("replay_as", old, new)
        if again and new.id not in self.world.gone:
            self._step("replay_as", old, new)

    @rule(
        verb=st.sampled_from(["cancel", "replay", "run_now", "delete"]),
        numbers=st.lists(any_number, min_size=1, max_size=3),
        stale=st.sampled_from([0, 0, 1]),
    )
    def fenced(self, verb: str, numbers: list[int], stale: int) -> None:
        """What is done only to jobs that stand as they were seen."""
        jobs = [pick(list(self.world.jobs.values()), number) for number in numbers]
        self._step(verb, *{job.id: (job.id, job.since - stale) for job in jobs if job}.values())

    @rule(queue=st.sampled_from(QUEUES))
    def pause_or_resume(self, queue: str) -> None:
        self._step("resume" if queue in self.world.paused else "pause", queue)

    @rule(queue=st.sampled_from(QUEUES), most=st.sampled_from([0, 2, 8]))
    def limit(self, queue: str, most: int) -> None:
        self._step("limit", queue, most)

    @rule(number=any_number)
    def progress(self, number: int) -> None:
        job = self._job(number, "running") or pick(list(self.world.jobs.values()), number)
        if job:
            self._step("progress", job)

    @rule(home=any_number, kind=st.sampled_from(KINDS))
    def register(self, home: int, kind: tuple[list[str], set[str] | None]) -> None:
        if len(self.world.workers) < 5:
            self._step("register", home % self.partitions, *kind)

    @rule(worker=any_number)
    def register_again(self, worker: int) -> None:
        home, name = self._worker(worker)
        if name != "w0":
            self._step("register_again", home, name)

    @rule()
    def beat(self) -> None:
        for (home, name), worker in sorted(self.world.workers.items()):
            if worker.alive:
                self._step("extend", home, name)
        self._step("extend", 0, "w0")

    @rule(worker=any_number)
    def die(self, worker: int) -> None:
        home, name = self._worker(worker)
        if name != "w0":
            self.world.workers[home, name].alive = False

    @rule(number=any_number)
    def begin_one(self, number: int) -> None:
        job = self._job(number, "running")
        if job:
            self._step("begin", job)

    @rule(worker=any_number, lost=st.booleans())
    def retire(self, worker: int, lost: bool) -> None:
        self._step("retire", *self._worker(worker), lost=lost)

    @rule(worker=any_number)
    def reap(self, worker: int) -> None:
        self._step("reap", *self._worker(worker))

    @rule(worker=any_number)
    def recover(self, worker: int) -> None:
        self._step("recover", *self._worker(worker))

    @rule(ms=st.sampled_from([1, 900, 4_000, 4_000, 31_000, 3_600_000]))
    def advance(self, ms: int) -> None:
        self.world.advance(ms)

    @rule()
    def live_on(self) -> None:
        """A lease's time, in which the living beat, and then look for the dead."""
        for _ in range(4):
            self.world.advance(4_500)
            self.beat()
        for home in range(self.partitions):
            living = [name for (p, name), worker in self.world.workers.items() if p == home and worker.alive]
            if living:
                self._step("reap", home, living[0])

    @rule(ms=st.sampled_from([-500, -9_000, -60_000, -3_600_000, 3_600_000]))
    def step_clock(self, ms: int) -> None:
        self.world.step_clock(ms)

    @rule()
    def restart(self) -> None:
        self.world.restart()

    @rule()
    def forget_scripts(self) -> None:
        self.world.raw.execute_command("FUNCTION", "FLUSH")
