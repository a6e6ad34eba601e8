"""The model of a namespace: its jobs, its workers and its clock; and the broker beside it."""

from model.job import HOLD, KNOBS, REACHED, WAITING, Job, Worker, must
from model.space import Space

from boltq.broker.inspector import Inspector
from boltq.broker.scripts import Rewrite
from boltq.domain.ids import PARTITION_CODES


class Ledger(Space):
    """Keeps the books: what is, and how it changes."""

    name = "world"
    knobs = KNOBS

    def __init__(self, url: str, *, partitions: int = 1, rewrite: Rewrite | None = None, flush: bool = True) -> None:
        super().__init__(url, partitions, rewrite, flush=flush)
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
        self.inspector = Inspector(self.broker)

    # Small parts

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

    def new_id(self, partition: int) -> str:
        self.count += 1
        return f"{self.count:024d}{PARTITION_CODES[partition]}"

    def promote(self, partition: int, queue: str, now: int) -> None:
        for state in ("retrying", "scheduled"):
            due = [j for j in self.standing(state) if (j.partition, j.queue) == (partition, queue) and j.due <= now]
            for job in sorted(due, key=lambda job: (job.due, job.id)):
                self.move(job, "queued")
                self.to_tail(job)

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
