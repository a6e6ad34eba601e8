"""Where steps and workflows stand."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from boltq.domain.states import JobState


class StepState(StrEnum):
    """Where a step stands. The text is the same in Lua, Python, HTTP and on the screen."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


STEP_MEANINGS: Final[Mapping[StepState, str]] = {
    StepState.PENDING: "The steps before it have not ended.",
    StepState.QUEUED: "Its turn has come: it waits for a worker.",
    StepState.RUNNING: "Its job, the items of its map, or its sub-workflow runs.",
    StepState.WAITING: "It waits for a moment, for a person, or for the next attempt of its job.",
    StepState.COMPLETED: "It has a result that others may refer to.",
    StepState.FAILED: "Its job is dead, too many items failed, its sub-workflow failed, or a person said no.",
    StepState.SKIPPED: "`run_if` or `when` said no. That is no failure.",
    StepState.CANCELLED: "By a person, by the workflow's timeout, or because of another step's failure.",
}
"""Each state of a step in a sentence."""


class WorkflowState(StrEnum):
    """Where a workflow stands."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


WORKFLOW_MEANINGS: Final[Mapping[WorkflowState, str]] = {
    WorkflowState.RUNNING: "Some step has not ended. It may be paused.",
    WorkflowState.COMPLETED: "Every step completed, was skipped, or was allowed to fail.",
    WorkflowState.FAILED: "A step failed that had not to, or the time was over.",
    WorkflowState.CANCELLED: "A person cancelled it.",
}
"""Each state of a workflow in a sentence."""


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
        """The counts of a map that has ended: items that never began count as cancelled."""
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
