"""Why a step waits, or was skipped, in a few words."""

from collections.abc import Mapping
from typing import Final

from boltq.broker.workflows.records import StepRecord, WorkflowRecord
from boltq.domain.states import JobState
from boltq.domain.workflow.form import StepKind
from boltq.domain.workflow.progress import Ending, Standing, States, waits_for, why_skipped
from boltq.domain.workflow.states import StepState

WAITS_FOR_A_PERSON: Final = "it waits for a person's answer"
_MOST_OF_A_PROMPT: Final = 300


def why_of(record: WorkflowRecord, step: StepRecord, states: States, meant: Mapping[str, Standing]) -> str | None:
    """Why a step of a workflow waits, or was skipped; None of one that does neither."""
    match step.state:
        case StepState.PENDING:
            needed = waits_for(record.plan, states, step.id)
            return f"it waits for {', '.join(needed[:10])}" if needed else None
        case StepState.SKIPPED:
            ending = Ending(record.ending) if record.ending else None
            return why_skipped(record.plan, states, step.id, meant, ending)
        case StepState.QUEUED:
            held = record.paused and step.job_state is JobState.BLOCKED
            return (
                "the workflow is paused"
                if held
                else f"it waits for a worker of queue {record.plan.by_id[step.id].queue}"
            )
        case StepState.WAITING:
            return _why_waiting(step, paused=record.paused)
    return None


def _why_waiting(step: StepRecord, *, paused: bool) -> str:
    if step.kind is StepKind.APPROVAL:
        asked = step.prompt or ""  # stands in `prompt` as a whole
        more = "…" if len(asked) > _MOST_OF_A_PROMPT else ""
        return f"{WAITS_FOR_A_PERSON}{f': {asked[:_MOST_OF_A_PROMPT]}{more}' if asked else ''}"
    if step.job_state is JobState.RETRYING:
        return "its job waits for its next attempt"
    still = paused and step.job_state is JobState.BLOCKED
    return "it waits for its time, which stands still: the workflow is paused" if still else "it waits for its time"
