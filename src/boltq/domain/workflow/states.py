"""Where steps and workflows stand."""

from enum import StrEnum
from typing import Final

import msgspec

from boltq.domain.states import JobState


class StepState(StrEnum):
    """Where a step stands. The text is the same in Lua, Python, HTTP and on the screen."""

    PENDING = "pending"  # its parents have not ended
    QUEUED = "queued"  # its parents allow it: it waits for a worker
    RUNNING = "running"  # its job, its map or its sub-workflow runs
    WAITING = "waiting"  # for a moment, a person, or the next attempt of its job
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"  # `run_if` or `when` said no
    CANCELLED = "cancelled"  # by a person, or by another step's failure


class WorkflowState(StrEnum):
    """Where a workflow stands."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class MapStats(msgspec.Struct, frozen=True):
    """How many items a map has, and how they ended."""

    total: int
    completed: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def ended(self) -> int:
        """How many items have ended."""
        return self.completed + self.failed + self.cancelled

    def closed(self) -> "MapStats":
        """The same of a map that has ended: what never began will not begin any more, and is cancelled."""
        return msgspec.structs.replace(self, cancelled=self.total - self.completed - self.failed)


ENDED: Final = frozenset({StepState.COMPLETED, StepState.FAILED, StepState.SKIPPED, StepState.CANCELLED})
"""The states that a step leaves only when the workflow is run again."""

UNSTARTED: Final = frozenset({StepState.PENDING, StepState.QUEUED, StepState.WAITING})
"""The states in which nothing runs for a step, so that it can be cancelled at once."""

OF_JOB: Final[dict[JobState, StepState]] = {
    JobState.BLOCKED: StepState.PENDING,
    JobState.SCHEDULED: StepState.WAITING,
    JobState.QUEUED: StepState.QUEUED,
    JobState.RUNNING: StepState.RUNNING,
    JobState.RETRYING: StepState.WAITING,
    JobState.COMPLETED: StepState.COMPLETED,
    JobState.DEAD: StepState.FAILED,
    JobState.CANCELLED: StepState.CANCELLED,
}
"""The state of a step whose one job stands there."""
