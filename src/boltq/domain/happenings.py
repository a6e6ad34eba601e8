"""What happens while BoltQ works, as values: the work announces them, and does not know who listens.

Metrics, traces and logs are made by listeners, which whoever starts the process attaches (`telemetry/listeners.py`).
Listeners are called where it happens, between two jobs: on the event loop, or in a lease thread. They must be quick.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from boltq.domain.outcome import Outcome


class RunFacts(msgspec.Struct, frozen=True):
    """Which run of which job; a job's id and delivery are a run's. `waited`: seconds that it was queued.

    `headers` came with the job: a trace context, say.
    """

    job_id: str
    delivery: int  # its number among the claims of this job
    job_type: str
    queue: str
    partition: int
    worker: str  # the registration that claimed it
    attempt: int  # 1 is the first
    max_attempts: int
    waited: float
    is_step: bool = False  # of a workflow
    headers: Mapping[str, str] | None = None


class RunStarted(msgspec.Struct, frozen=True):
    """A slot has taken a job, and calls its function next."""

    run: RunFacts


class RunEnded(msgspec.Struct, frozen=True):
    """How a run has ended: once for each that started, unless its process ends first.

    `outcome` None: a step of a workflow that did something else than to run. `retry_in`: seconds until a failed job
    runs again; None: it is dead. The store may refuse an outcome, when the job is another worker's by now.
    """

    run: RunFacts
    outcome: Outcome | None
    seconds: float
    retry_in: float | None = None


class JobsClaimed(msgspec.Struct, frozen=True):
    """A worker has asked a partition for so many jobs, and got so many: none, when there is nothing to do."""

    partition: int
    wanted: int
    jobs: int
    seconds: float  # that the round trip took, in which outcomes were settled too


class JobsDelivered(msgspec.Struct, frozen=True):
    """Jobs came to an idle worker by mail."""

    partition: int
    jobs: int


class JobsTakenBack(msgspec.Struct, frozen=True):
    """A worker has taken back what lost workers held."""

    partition: int
    jobs: int


class RegistrationLost(msgspec.Struct, frozen=True):
    """A registration is gone, and what it held was given to others; the worker registers anew."""

    partition: int
    worker: str


class StoreAway(msgspec.Struct, frozen=True):
    """The store cannot be used; said once, until it is back."""

    error: str


class StoreBack(msgspec.Struct, frozen=True):
    """The store can be used again, after so many seconds."""

    seconds: float


class WorkerStarted(msgspec.Struct, frozen=True):
    """A worker begins to claim."""

    worker: str
    queues: Sequence[str]
    slots: int


class WorkerStopped(msgspec.Struct, frozen=True):
    """A worker has ended: told to, or because it failed."""

    worker: str
    failed: bool


class RequestAnswered(msgspec.Struct, frozen=True):
    """The API has answered a request. `route`: the path of the call as it is described; "" when there is none."""

    method: str
    route: str
    status: int  # 0: the client went away before
    seconds: float


Happening = (
    RunStarted
    | RunEnded
    | JobsClaimed
    | JobsDelivered
    | JobsTakenBack
    | RegistrationLost
    | StoreAway
    | StoreBack
    | WorkerStarted
    | WorkerStopped
    | RequestAnswered
)

Announce = Callable[[Happening], None]


def to_nobody(_happening: Happening) -> None:
    """Where nobody listens."""
