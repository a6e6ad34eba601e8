"""What a claimed step does next, decided from how far it is. A worker decides, and then acts: see worker/steps.py."""

from typing import Final

import msgspec

from boltq.domain.job_error import JobError
from boltq.domain.limits import MAX_RESULT_BYTES
from boltq.domain.outcome import Cancelled, Completed, DataError, Failed, Outcome
from boltq.domain.workflow.approvals import Answer, end_of
from boltq.domain.workflow.form import StepKind
from boltq.domain.workflow.maps import gathered, has_lost, map_failure, tolerated
from boltq.domain.workflow.plan import PlannedMap, PlannedStep
from boltq.domain.workflow.prepare import (
    AskPerson,
    Expand,
    RunJob,
    Skip,
    StartWorkflow,
    WaitFor,
    WaitUntil,
    item_jobs,
    prepare,
)
from boltq.domain.workflow.scope import ReferenceScope
from boltq.domain.workflow.states import MapStats, StepState, WorkflowState

# How far a step is


class Begins(msgspec.Struct, frozen=True):
    """The step has done nothing yet in this run of its workflow. `earlier`: the sub-workflow of an earlier run."""

    earlier: str | None = None


class HasWaited(msgspec.Struct, frozen=True):
    """The time that the step waited for has come."""


class HasAsked(msgspec.Struct, frozen=True):
    """The step has asked a person. `due`: until when it waits for the answer, None for ever. Both in milliseconds."""

    answer: Answer | None
    due: int | None
    now: int


class ItemsEnded(msgspec.Struct, frozen=True):
    """The items of the step's map have ended. `results` and `errors` are JSON texts by the items' numbers, from 1."""

    stats: MapStats
    result_bytes: int
    results: dict[int, str]
    errors: dict[int, str]
    counts: dict[str, str]  # see maps.map_failure


class ChildEnded(msgspec.Struct, frozen=True):
    """The step's sub-workflow has ended. `output` is JSON text."""

    state: WorkflowState
    output: str = ""  # when it has completed
    error: JobError | None = None  # when it has failed


StepProgress = Begins | HasWaited | HasAsked | ItemsEnded | ChildEnded


class ClaimedStep(msgspec.Struct, frozen=True):
    """A step of which a worker has claimed the job, or one item of its map."""

    step: PlannedStep
    scope: ReferenceScope
    data: str  # the data of the claimed job, as JSON text
    progress: StepProgress
    text_chars: int = 0  # the length of the step's own JSON text
    is_item: bool = False
    wrong: JobError | None = None  # the error of an item whose job could not be made

    @property
    def size(self) -> int:
        """Characters that a decision may have to look at: how long it may take."""
        items = _MANY if self.step.map and isinstance(self.progress, Begins) and not self.is_item else 0
        return self.text_chars + self.scope.size + items


_MANY: Final = 1 << 30  # a map may have 10,000 items, however small its list is

# What it does


class AskOn(msgspec.Struct, frozen=True):
    """Go on waiting for the answer to the same prompt. `due` as in HasAsked."""

    due: int | None


class AnswerLate(msgspec.Struct, frozen=True):
    """Nobody has answered in time: answer so, unless somebody has answered since."""

    answer: Answer


class BeginMap(msgspec.Struct, frozen=True):
    """Make the jobs of a map's items, each with its data and what is wrong with it, and begin the first ones."""

    items: list[tuple[str, str]]
    at_a_time: int
    bearable: int  # failures


class ResumeWorkflow(msgspec.Struct, frozen=True):
    """Let the sub-workflow of an earlier run go on where it failed; where that cannot be, start the new one."""

    earlier: str
    start: StartWorkflow


ToldAction = Skip | WaitFor | WaitUntil | AskPerson | AskOn | AnswerLate | BeginMap | StartWorkflow
"""What the store is told that the step does."""

StepAction = RunJob | ResumeWorkflow | ToldAction


def next_of(claimed: ClaimedStep) -> StepAction | Outcome:
    """What a claimed step does next, or how its job ends. Raises DataError, with which it fails."""
    if claimed.wrong:
        return Failed(claimed.wrong, retry=False)
    match claimed.progress:
        case Begins(earlier):
            action = _begin_item(claimed) if claimed.is_item else _begin(claimed)
            return ResumeWorkflow(earlier, action) if earlier and isinstance(action, StartWorkflow) else action
        case HasWaited():
            return Completed("null")
        case HasAsked():
            return _asked(claimed.step, claimed.progress)
        case ItemsEnded():
            return _gather(claimed.step, claimed.progress)
        case ChildEnded():
            return _end_with_child(claimed.progress)


def end_by(answer: Answer) -> Outcome:
    """How the answer of a person ends the step that asked for it."""
    state, result, error = end_of(answer)
    if error:
        return Failed(error, retry=False)
    assert state is StepState.COMPLETED  # noqa: S101 - the only other end
    return Completed(result)


def _begin(claimed: ClaimedStep) -> StepAction:
    prepared = prepare(claimed.step, claimed.scope)
    return _map_of_items(claimed, prepared.items) if isinstance(prepared, Expand) else prepared


def _map_of_items(claimed: ClaimedStep, items: list[str]) -> BeginMap:
    mapping = _map_of(claimed.step)
    bearable = tolerated(mapping.tolerated_failures, len(items))
    return BeginMap(item_jobs(claimed.step, claimed.scope, items), mapping.max_concurrency or len(items), bearable)


def _begin_item(claimed: ClaimedStep) -> StepAction:
    """An item's references were filled in when its job was made."""
    step = claimed.step
    if step.kind is StepKind.WORKFLOW and step.workflow:
        return StartWorkflow(step.workflow, claimed.data)
    return RunJob(claimed.data)


def _asked(step: PlannedStep, asked: HasAsked) -> StepAction | Outcome:
    if asked.answer:
        return end_by(asked.answer)
    if not asked.due or asked.now < asked.due:  # somebody ran the job before its time
        return AskOn(asked.due)
    on_timeout = step.approval.on_timeout if step.approval else "reject"
    return AnswerLate(Answer(decision=on_timeout, timed_out=True))


def _gather(step: PlannedStep, ended: ItemsEnded) -> Outcome:
    bearable, total = _map_of(step).tolerated_failures, ended.stats.total
    if has_lost(ended.stats, bearable):
        return Failed(map_failure(ended.stats, bearable, ended.errors, ended.counts), retry=False)
    if ended.result_bytes > MAX_RESULT_BYTES:
        raise DataError(f"the results of the {total} items have more than {MAX_RESULT_BYTES} bytes together")
    return Completed(gathered(total, {number - 1: text for number, text in ended.results.items()}))


def _end_with_child(child: ChildEnded) -> Outcome:
    if child.state is WorkflowState.COMPLETED:
        return Completed(child.output)
    return Failed(child.error, retry=False) if child.error else Cancelled("cancelled")


def _map_of(step: PlannedStep) -> PlannedMap:
    assert step.map is not None  # noqa: S101 - for the type checker
    return step.map
