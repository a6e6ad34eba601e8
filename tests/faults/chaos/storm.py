"""The storm: workers and the store are killed at random while jobs are submitted. In the calm after it we count."""

import asyncio
import contextlib
import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from holes import Link, holes_before
from worker_program import DONE, FAILED, RECORD, START

from boltq import BoltQ, JobState, NewJob, StoreError
from boltq.broker.consistency import Finding, audit
from boltq.broker.embedded import EmbeddedStore
from boltq.domain.ids import new_id
from boltq.settings import Settings, inherited_environment
from boltq.worker.fetcher import LONGEST_PAUSE

MARGIN = 0.5  # seconds in which a run that has ended may not be settled yet, on a machine under full load
_PROGRAM = Path(__file__).with_name("worker_program.py")
_BATCH = 50


@dataclass
class Plan:
    """How large, how long, and how rough."""

    seed: int
    jobs: int = 20_000
    seconds: float = 20.0  # of storm; submissions are spread over it
    workers: int = 3
    partitions: int = 1
    worker_kill: float = 1.5  # seconds between, on average
    worker_freeze: float = 4.0  # and then for one to three leases
    store_kill: float = 3.0
    hole: float = 0.7  # in the line between a worker and the store
    kept: int = 1_000_000  # jobs of history; far fewer than come: then the ledger alone tells
    flapping: bool = False  # one more worker, which is stopped for most of each lease, also in the calm


@dataclass
class Run:
    """One execution of one job, as the ledger has it."""

    number: int
    attempt: int
    worker: int
    start: float
    end: float | None = None
    failed: bool = False


@dataclass
class Tally:
    """What happened, and what must not have."""

    seed: int
    acked: int = 0
    recovered: int = 0  # submitted again, and there already
    worker_kills: int = 0
    freezes: int = 0
    store_kills: int = 0
    flaps: int = 0
    holes: int = 0  # each with a connection in which only the store believes, and packets that come late
    late_bytes: int = 0
    repeats: int = 0  # of submissions that had been answered
    runs: int = 0
    planned_retries: int = 0
    excused: int = 0
    calm_after: float = 0.0  # seconds from the end of the storm until all was done
    lost: list[str] = field(default_factory=list)
    ghosts: list[str] = field(default_factory=list)
    phantoms: list[int] = field(default_factory=list)  # completed without having run to an end
    unexcused: list[str] = field(default_factory=list)
    double_commits: int = 0
    findings: list[Finding] = field(default_factory=list)

    def __str__(self) -> str:
        kept = {name: value for name, value in vars(self).items() if not isinstance(value, list)}
        bad = {name: len(value) for name, value in vars(self).items() if isinstance(value, list)}
        return "  ".join(f"{name.replace('_', ' ')} {value}" for name, value in {**kept, **bad}.items())


class Storm:
    """One run of the story."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.tally = Tally(plan.seed)
        self._chance = random.Random(plan.seed)
        self._folder = folder
        self._store = EmbeddedStore(folder / "store")
        self._jobs: list[NewJob] = []
        self._workers: list[subprocess.Popen[bytes]] = []
        self._started = 0
        self._killed: dict[int, float] = {}  # worker -> when
        self._frozen: list[tuple[int, float, float]] = []  # worker, from, until
        self._away: list[tuple[float, float]] = []  # the store
        self._settings = Settings()

    async def run(self) -> Tally:
        """The storm, the calm after it, and the count."""
        with self._store as store:
            store.watch(interval=0.05)
            self._settings = Settings(
                redis_addr=store.url,
                lease=1.0,
                grace=10.0,
                partitions=self.plan.partitions,
                poison_limit=1_000,
                keep_completed=self.plan.kept,
            )
            async with BoltQ(settings=self._settings) as app, holes_before(store.url) as self._line:
                flapping = asyncio.create_task(self._flap())
                try:
                    await self._blow(app)
                    await self._calm_down(app)
                finally:
                    flapping.cancel()
                    await asyncio.wait({flapping})
                    self._end_workers()
                await self._count(app)
        return self.tally

    # The storm

    async def _blow(self, app: BoltQ) -> None:
        for _ in range(self.plan.workers):
            self._start_worker()
        async with asyncio.TaskGroup() as group:
            submitting = group.create_task(self._submit_all(app))
            deeds = (
                self._kill_workers(),
                self._freeze_workers(),
                self._kill_store(),
                self._repeat(app),
                self._make_holes(),
            )
            nemeses = [group.create_task(deed) for deed in deeds]
            await submitting
            for nemesis in nemeses:
                nemesis.cancel()

    async def _submit_all(self, app: BoltQ) -> None:
        begun = time.monotonic()
        while len(self._jobs) < self.plan.jobs:
            batch = [self._new_job(len(self._jobs) + place) for place in range(_BATCH)]
            self._jobs += batch
            while True:  # with the same ids until the answer comes
                try:
                    answers = await app.submit_many(batch)
                    break
                except StoreError:
                    await asyncio.sleep(0.05)
            self.tally.acked += len(answers)
            self.tally.recovered += sum(not answer.created for answer in answers)
            ahead = begun + self.plan.seconds * len(self._jobs) / self.plan.jobs - time.monotonic()
            if ahead > 0:
                await asyncio.sleep(ahead)

    def _new_job(self, number: int) -> NewJob:
        draw, ms = self._chance.random(), self._chance.randint(1, 20)
        kind, more = "nothing", ""
        if draw > 0.95:
            kind = "stumble"
        elif draw > 0.90:
            kind, more = "doze", f',"ms":{ms}'
        elif draw > 0.70:
            kind, more = "nap", f',"ms":{ms}'
        return NewJob(
            type=kind,
            data=f'{{"n":{number}{more}}}',
            priority=self._chance.choice((0, 1, 1, 1, 2)),
            delay=self._chance.choice((0, 0, 0, 0, 200)),
            id=new_id(number % self.plan.partitions),
        )

    def _start_worker(self) -> None:
        number, self._started = self._started, self._started + 1
        environment = inherited_environment(
            REDIS_ADDR=self._line.address,
            BOLTQ_LEASE=str(self._settings.lease),
            BOLTQ_PARTITIONS=str(self._settings.partitions),
            BOLTQ_POISON_LIMIT=str(self._settings.poison_limit),
            BOLTQ_KEEP_COMPLETED=str(self._settings.keep_completed),
        )
        with (self._folder / f"log-{number}").open("wb") as log:
            command = [sys.executable, str(_PROGRAM), str(self._folder / f"ledger-{number}")]
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        process.number = number  # type: ignore[attr-defined]
        self._workers.append(process)

    async def _kill_workers(self) -> None:
        while True:
            await asyncio.sleep(self._chance.uniform(0.3, 1.7) * self.plan.worker_kill)
            victim = self._workers.pop(self._chance.randrange(len(self._workers)))
            assert victim.poll() is None, (self._folder / f"log-{victim.number}").read_text()  # type: ignore[attr-defined]
            os.killpg(victim.pid, signal.SIGKILL)
            await asyncio.to_thread(victim.wait)
            self._killed[victim.number] = time.monotonic()  # type: ignore[attr-defined]
            self.tally.worker_kills += 1
            self._start_worker()

    async def _make_holes(self) -> None:
        """A call of a worker, or its wait for mail, goes into a hole; the worker gives up; then the packets arrive.

        Beats are left alone: so this is no excuse for a second run, but it makes the telling of an end late.
        """
        while True:
            await asyncio.sleep(self._chance.uniform(0.5, 1.5) * self.plan.hole)
            links = [link for word in ("_claim", "_settle", "BLPOP") for link in self._line.with_word(word)]
            if not links:
                continue
            link, begun = self._chance.choice(links), time.monotonic()
            link.holds = True
            await asyncio.sleep(self._chance.uniform(0.0, 0.5))
            link.reset()
            self._away.append((begun, time.monotonic()))
            self.tally.holes += 1
            asyncio.get_running_loop().call_later(self._chance.uniform(0.05, 2.0), self._deliver, link)

    def _deliver(self, link: Link) -> None:
        self.tally.late_bytes += link.deliver()

    async def _freeze_workers(self) -> None:
        """It comes back later than its lease allows, and goes on where it was: what it says then must be refused."""
        while True:
            await asyncio.sleep(self._chance.uniform(0.5, 1.5) * self.plan.worker_freeze)
            victim = self._chance.choice(self._workers)
            number, begun = victim.number, time.monotonic()  # type: ignore[attr-defined]
            os.kill(victim.pid, signal.SIGSTOP)
            try:
                await asyncio.sleep(self._chance.uniform(1.0, 3.0) * self._settings.lease)
            finally:
                if victim.poll() is None:
                    os.kill(victim.pid, signal.SIGCONT)
                self._frozen.append((number, begun, time.monotonic()))
                self.tally.freezes += 1

    async def _repeat(self, app: BoltQ) -> None:
        """As one whose answer was lost: what was submitted is submitted again, seconds later."""
        acked: list[NewJob] = []
        while self.plan.kept < self.plan.jobs:
            await asyncio.sleep(0.2)
            acked, again = self._jobs[: self.tally.acked], acked[-self._chance.randint(1, 2_000) :][:_BATCH]
            with contextlib.suppress(StoreError):
                answers = await app.submit_many(again)
                self.tally.repeats += len(answers)
                self.tally.ghosts += [f"{answer.id} was made again" for answer in answers if answer.created]

    async def _flap(self) -> None:
        """Its beats come late each time: that keeps nobody alive who is dead."""
        if not self.plan.flapping:
            return
        self._start_worker()
        flapper = self._workers.pop()
        lease = self._settings.lease
        try:
            await asyncio.sleep(2 * lease)
            while True:
                begun = time.monotonic()
                os.kill(flapper.pid, signal.SIGSTOP)
                try:
                    await asyncio.sleep(0.75 * lease)
                finally:
                    os.kill(flapper.pid, signal.SIGCONT)
                    self._frozen.append((flapper.number, begun, time.monotonic()))  # type: ignore[attr-defined]
                    self.tally.flaps += 1
                await asyncio.sleep(0.1 * lease)
        finally:
            self._workers.append(flapper)

    async def _kill_store(self) -> None:
        """For up to two leases, now and then: nobody can beat meanwhile, and nobody may be punished for that."""
        while True:
            await asyncio.sleep(self._chance.uniform(0.5, 1.5) * self.plan.store_kill)
            away = self._chance.choice((0.0, 0.0, 2.0)) * self._settings.lease
            self.tally.store_kills += 1
            deed = asyncio.create_task(asyncio.to_thread(self._take_store_away, away))
            try:
                await asyncio.shield(deed)
            finally:
                await deed  # it is back before the calm begins

    def _take_store_away(self, seconds: float) -> None:
        begun = time.monotonic()
        with self._store._place.alone():  # nobody can start it again
            os.kill(self._store.pid, signal.SIGKILL)
            time.sleep(seconds)
        self._store.ensure_running()
        self._away.append((begun, time.monotonic()))

    # The calm

    async def _calm_down(self, app: BoltQ) -> None:
        """Until nothing waits, runs or retries."""
        begun = time.monotonic()
        inspector = (await app.connections()).inspector
        live = [JobState.QUEUED, JobState.SCHEDULED, JobState.RUNNING, JobState.RETRYING]
        while True:
            counts = await inspector.counts()
            if not any(counts[state] for state in live) or time.monotonic() - begun > 30:
                break
            await asyncio.sleep(0.05)
        self.tally.calm_after = round(time.monotonic() - begun, 2)

    def _end_workers(self) -> None:
        for worker in self._workers:
            worker.terminate()
        for worker in self._workers:
            try:
                worker.wait(20)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()

    # The count

    async def _count(self, app: BoltQ) -> None:
        line = await app.connections()
        runs: dict[int, list[Run]] = {}
        for run in self._read_ledgers():
            runs.setdefault(run.number, []).append(run)
        self.tally.runs = sum(len(found) for found in runs.values())
        records = await line.inspector.jobs([job.id for job in self._jobs])
        for number, (job, record) in enumerate(zip(self._jobs, records, strict=True)):
            if record is None and self.plan.kept < self.plan.jobs:
                if not any(run.end is not None and not run.failed for run in runs.get(number, ())):
                    self.tally.lost.append(f"{number} {job.id}: gone, and it never ran to its end")
            elif record is None or record.state is not JobState.COMPLETED:
                self.tally.lost.append(f"{number} {job.id}: {record.state if record else 'gone'}")
            elif not any(run.end is not None and not run.failed for run in runs.get(number, ())):
                self.tally.phantoms.append(number)
        self.tally.ghosts += [f"run of {number}" for number in runs if number >= len(self._jobs)]
        [queue] = await line.inspector.queues()
        self.tally.ghosts += ["records"] * max(0, queue.completed + queue.dead - len(self._jobs))
        self.tally.double_commits = queue.completed_total + queue.dead_total - len(self._jobs)
        for found in runs.values():
            self._judge(sorted(found, key=lambda run: run.start))
        self.tally.findings = await audit(line.broker)

    def _read_ledgers(self) -> Iterator[Run]:
        for worker in range(self._started):
            path = self._folder / f"ledger-{worker}"
            text = path.read_bytes() if path.exists() else b""
            open_runs: dict[int, Run] = {}
            for number, attempt, what, at in RECORD.iter_unpack(text[: len(text) // RECORD.size * RECORD.size]):
                if what == START:
                    if number in open_runs:  # again in the same process, without an end of the first
                        yield open_runs.pop(number)
                    open_runs[number] = Run(number, attempt, worker, at / 1e9)
                else:
                    run = open_runs.pop(number)
                    run.end, run.failed = at / 1e9, what == FAILED
                    assert what in {DONE, FAILED}
                    yield run
            yield from open_runs.values()

    def _judge(self, runs: list[Run]) -> None:
        """Why did each run follow the one before?"""
        for before, after in itertools.pairwise(runs):
            if before.failed and after.attempt == before.attempt + 1:
                self.tally.planned_retries += 1
            elif self._was_hit(before) or self._was_hit(after):
                self.tally.excused += 1
            else:
                self.tally.unexcused.append(f"{before} then {after}; {self._faults_near(before.start)}")

    def _faults_near(self, at: float) -> str:
        """What happened shortly before and after, in seconds from then: to understand a failure."""
        faults = [(when, f"worker {worker} killed") for worker, when in self._killed.items()]
        faults += [(since, f"worker {worker} frozen for {until - since:.2f}") for worker, since, until in self._frozen]
        faults += [(since, f"store away for {until - since:.2f}") for since, until in self._away]
        return ", ".join(f"{when - at:+.3f} {what}" for when, what in sorted(faults) if -4 < when - at < 4)

    def _was_hit(self, run: Run) -> bool:
        """Whether its worker was killed or frozen before it can have told the end. The store's absence is no excuse."""
        end = (run.end if run.end is not None else run.start + 60) + MARGIN
        for away, back in self._away:  # but it makes the telling late: the worker asks again every two seconds
            if away <= end and run.start <= back:
                end = max(end, back + LONGEST_PAUSE + MARGIN)
        killed = self._killed.get(run.worker)
        if killed is not None and run.start <= killed <= end:
            return True
        frozen = [(since, until) for worker, since, until in self._frozen if worker == run.worker]
        # Just thawed, it begins what it had claimed before, until it hears that its lease is over.
        return any(since <= end and run.start <= until + MARGIN for since, until in frozen)
