"""Draws lives of a queue: what happens next in a World, step by step."""

from collections.abc import Sequence
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule
from model.job import EDITABLE, ENDED, REACHED, WAITING, Job
from model.space import Lives
from model.world import World

from boltq.broker.settling import Settling
from boltq.domain.job import NewJob

T = TypeVar("T")


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


class Machine(Lives):
    """Draws what happens next. Subclasses say on which server."""

    reached = REACHED
    world: World

    def __init__(self) -> None:
        super().__init__()
        self.used: list[NewJob] = []  # with an idempotency key

    def make_world(self) -> World:
        return World(self.url, partitions=self.partitions, rewrite=type(self).rewrite)

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
        states = [*EDITABLE, *ENDED] if rightly else ["running"]
        jobs = [self._job(number, *states) for number in numbers]
        self._step("delete", *dict.fromkeys(job.id for job in jobs if job), f"{0:024d}00")

    @rule(
        number=any_number,
        rightly=st.sampled_from([True, True, True, False]),
        fields=st.sets(st.sampled_from(["data", "priority", "run_at", "tags"]), max_size=4),
        priority=st.integers(0, 2),
        ms=st.sampled_from([None, -5_000, 1, 4_000, 90_000]),
    )
    def edit(self, number: int, rightly: bool, fields: set[str], priority: int, ms: int | None) -> None:
        job = self._job(number, *EDITABLE) if rightly else pick(list(self.world.jobs.values()), number)
        values = {
            "data": f'{{"edited":{number}}}',
            "priority": priority,
            "run_at": 0 if ms is None else self.world.now + ms,
            "tags": ["a", "b"][: number % 3],
        }
        self._step("edit", job.id if job else f"{0:024d}00", **{name: values[name] for name in sorted(fields)})

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
