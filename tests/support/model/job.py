"""What the model knows of a job and of a worker, and the bounds of its world."""

from collections import Counter
from dataclasses import dataclass, field

from msgspec.structs import replace

from boltq.broker.knobs import DEFAULT_KNOBS
from boltq.domain.ids import PARTITION_CODES
from boltq.domain.job import NewJob
from boltq.domain.limits import MAX_RUNS

REACHED: Counter[str] = Counter()
"""Every move, refusal and step that the model has seen happen, over all worlds of this run."""

LEASE = 15_000
HOLD = 10_000  # a clock that goes back by less is held
KNOBS = replace(
    DEFAULT_KNOBS,
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
EDITABLE = WAITING | {"queued"}
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


def must(claim: object, text: str) -> None:
    """Raise Broken unless the claim holds."""
    if not claim:
        raise Broken(text)
