"""Steps of workflows: what a worker does when it has claimed one, before its function runs or instead of that.

It looks how far the step is, decides (domain/workflow/decide.py) and acts.
"""

import asyncio
import contextlib
from typing import Any, assert_never

import msgspec

from boltq.app import BoltQ, Task
from boltq.broker.broker import Broker, repeated
from boltq.broker.call import Call
from boltq.broker.calls import steps as calls
from boltq.broker.calls.steps import StepClaim
from boltq.broker.contract import Look
from boltq.broker.workflows.claimed_steps import ClaimedSteps, claimed_step
from boltq.broker.workflows.plan_rows import route_of, spec_of, spec_text, wire_plan
from boltq.broker.workflows.records import WorkflowRecord
from boltq.broker.workflows.workflows import Workflows, aside
from boltq.domain.errors import BoltQError, LeaseLost, NotFound
from boltq.domain.ids import new_id
from boltq.domain.job import CONTROL_TYPE, ClaimedJob, Spec
from boltq.domain.job_error import Category, JobError, describe, error_of
from boltq.domain.options import Options
from boltq.domain.outcome import Cancelled, Completed, DataError, Failed, Outcome, Released, Snoozed
from boltq.domain.retry import RetryPolicy
from boltq.domain.workflow.approvals import Answer
from boltq.domain.workflow.bounds import MAX_SPREAD
from boltq.domain.workflow.decide import (
    AnswerLate,
    AskOn,
    BeginMap,
    ChildEnded,
    ClaimedStep,
    ResumeWorkflow,
    StepAction,
    ToldAction,
    end_by,
    next_of,
)
from boltq.domain.workflow.failure import failure_of
from boltq.domain.workflow.form import StepKind
from boltq.domain.workflow.maps import item_portions
from boltq.domain.workflow.phases import Phase
from boltq.domain.workflow.plan import PlannedStep
from boltq.domain.workflow.prepare import AskPerson, RunJob, Skip, StartWorkflow, WaitFor, WaitUntil, child_plan
from boltq.domain.workflow.progress import cause_of
from boltq.domain.workflow.states import WorkflowState
from boltq.worker.run import Run


class Told(msgspec.Struct, frozen=True):
    """The store has been told what the step does: there is nothing to run, and nothing to settle."""


async def _nothing() -> None:
    """A control step has no function."""


def control_task(app: BoltQ) -> "Task[..., Any]":
    """What stands for the function of a control step."""
    return Task(app, _nothing, CONTROL_TYPE, Options(), RetryPolicy(), "async")


class Steps:
    """Prepares claimed steps: asks the store what they need, and tells it what they do."""

    def __init__(self, broker: Broker) -> None:
        self._workflows = Workflows(broker)
        self._steps = ClaimedSteps(broker)
        self._layout = broker.layout
        self._showing: set[asyncio.Task[None]] = set()

    async def prepare(self, run: Run) -> Outcome | RunJob | Told:
        """What to do with a claimed step: run its function with this data, settle its job so, or nothing more.

        A step that cannot be prepared, because a reference leads nowhere, fails. When the store does not answer, the
        step is handed back.
        """
        try:
            claimed = await self._look(run)
            action = await aside(claimed.size, lambda: next_of(claimed))
            return await self._act(run, claimed.step, action)
        except DataError as error:
            return Failed(describe(error, Category.DATA), retry=False)
        except LeaseLost:
            return Told()
        except NotFound:  # a job that was made from a step's job: it belongs to no workflow
            return RunJob(run.job.data)
        except BoltQError:
            return Released()

    def show(self, run: Run) -> None:
        """Tell the store of a run that takes longer what its data is, with all references filled in."""
        showing = asyncio.get_running_loop().create_task(self._show(run))
        self._showing.add(showing)
        showing.add_done_callback(self._showing.discard)

    async def _show(self, run: Run) -> None:
        with contextlib.suppress(BoltQError):  # it comes with the outcome too
            await self._steps.step(calls.filled(self._claim(run), run.job.data))

    # Looking

    async def _look(self, run: Run) -> ClaimedStep:
        look = _brought_by(run.job)
        if look is None:
            look = await repeated(lambda: self._steps.look(run.job.id))
        child = await self._child_end(look.later[0]) if look.phase == Phase.CHILD else None
        return claimed_step(look, run.job.data, child)

    async def _child_end(self, workflow_id: str) -> ChildEnded:
        record = await self._workflows.get(workflow_id)
        match record.state:
            case WorkflowState.COMPLETED:
                return ChildEnded(record.state, await self._workflows.output(record))
            case WorkflowState.CANCELLED:
                return ChildEnded(record.state)
        return ChildEnded(record.state, error=_failure_of(record))

    # Acting

    async def _act(self, run: Run, step: PlannedStep, action: StepAction | Outcome) -> Outcome | RunJob | Told:
        match action:
            case RunJob() | Completed() | Failed() | Snoozed() | Released() | Cancelled():
                return action
            case ResumeWorkflow():
                return await self._resume(self._claim(run), step, action)
        return _end_by(await self._do(self._claim(run), step, action))

    async def _do(self, claim: StepClaim, step: PlannedStep, action: ToldAction) -> str:
        """Tell the store what the step does; answers its word."""
        match action:
            case Skip():
                said = calls.skip(claim)
            case WaitFor(delay):
                said = calls.wait_for_time(claim, await self._now() + delay)
            case WaitUntil(moment):
                said = calls.wait_for_moment(claim, moment)
            case AskPerson(prompt, timeout):
                said = calls.ask(claim, prompt, None if timeout is None else await self._now() + timeout)
            case AskOn(due):
                said = calls.ask(claim, "", due)
            case AnswerLate(answer):
                said = calls.answer(claim, answer)
            case BeginMap():
                await self._make_items(claim, step, action)
                said = calls.expand(claim, len(action.items), action.at_a_time, action.bearable)
            case StartWorkflow():
                said = calls.child(claim, wire_plan(child_plan(step, action), new_id(claim.partition), claim.partition))
            case _:
                assert_never(action)
        return await self._tell(said)

    async def _make_items(self, claim: StepClaim, step: PlannedStep, begin: BeginMap) -> None:
        inner = step.kind is StepKind.WORKFLOW
        route = route_of(step, CONTROL_TYPE if inner else step.job_type)
        spec = spec_text(Spec(step=True) if inner else spec_of(step, asks=False))
        broken = spec_text(Spec(step=True))
        first = 1
        for portion in item_portions(begin.items):
            rows = [(new_id(claim.partition), *item) for item in portion]
            await self._tell(calls.items(claim, first, rows, route, spec, broken))
            first += len(rows)

    async def _resume(self, claim: StepClaim, step: PlannedStep, resume: ResumeWorkflow) -> Outcome | Told:
        """Has the sub-workflow of an earlier run go on where it failed. One that has completed since counts."""
        earlier = resume.earlier
        if await repeated(lambda: self._steps.again(claim, earlier)):
            return Told()
        with contextlib.suppress(NotFound, DataError):
            record = await repeated(lambda: self._workflows.get(earlier))
            if record.state is WorkflowState.COMPLETED:
                return Completed(await self._workflows.output(record))
        return _end_by(await self._do(claim, step, resume.start))

    async def _tell(self, said: Call[str]) -> str:
        word = await repeated(lambda: self._steps.step(said))
        if word == "too many":
            raise DataError(f"the workflow's maps and sub-workflows may have {MAX_SPREAD} jobs together")
        return word

    def _claim(self, run: Run) -> StepClaim:
        return StepClaim(self._layout.of_id(run.job.id), run.job.id, run.job.delivery, run.worker)

    async def _now(self) -> int:
        return await repeated(self._steps.now_ms)


def _brought_by(job: ClaimedJob) -> Look | None:
    """What came with the claim; not what a process of another version has sent in another form."""
    with contextlib.suppress(msgspec.ValidationError):
        return msgspec.convert(job.look, Look) if job.look else None
    return None


def _end_by(word: str) -> Outcome | Told:
    """What is left to do after flow_step.lua has answered with that word."""
    if word == "gather":
        return Completed("[]")
    if word.startswith("answer "):
        return end_by(msgspec.json.decode(word.removeprefix("answer "), type=Answer))
    return Told()


def _failure_of(record: WorkflowRecord) -> JobError:
    """What a sub-workflow's step fails of: the category is that of the step for which the sub-workflow failed."""
    bad = cause_of(record.plan, record.states)
    told = error_of(stored) if bad and (stored := record.step(bad).error) else None
    raised = failure_of(record.id, record.ending, bad, told)
    timed_out = record.ending == "timed_out"
    category = Category.TIMEOUT if timed_out else told.category if told else Category.UNKNOWN
    return JobError("WorkflowFailed", str(raised), category)
