"""Steps of workflows: what a worker does when it has claimed one, before its function runs or instead of that."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import msgspec

from boltq.app import BoltQ, Task
from boltq.broker.broker import Broker, repeated
from boltq.broker.workflows.rows import Look, WorkflowRecord, route_of, spec_of, spec_text, step_end, wire_plan
from boltq.broker.workflows.workflows import Workflows, aside
from boltq.domain.errors import BoltQError, LeaseLost, NotFound
from boltq.domain.ids import new_id
from boltq.domain.job import CONTROL_TYPE, Spec
from boltq.domain.limits import MAX_RESULT_BYTES
from boltq.domain.options import Options
from boltq.domain.outcome import (
    Cancelled,
    Category,
    Completed,
    DataError,
    Failed,
    JobError,
    Outcome,
    Released,
    describe,
    error_of,
)
from boltq.domain.retry import RetryPolicy
from boltq.domain.workflow.approvals import Answer, end_of
from boltq.domain.workflow.bounds import MAX_MAP_BYTES, MAX_SPREAD
from boltq.domain.workflow.failure import failure_of
from boltq.domain.workflow.form import StepKind
from boltq.domain.workflow.maps import gathered, has_lost, map_failure, portions, tolerated
from boltq.domain.workflow.plan import PlannedStep
from boltq.domain.workflow.prepare import (
    AskPerson,
    Expand,
    Prepared,
    RunJob,
    Skip,
    StartWorkflow,
    WaitFor,
    WaitUntil,
    prepare,
    prepare_item,
)
from boltq.domain.workflow.progress import cause_of
from boltq.domain.workflow.scope import ReferenceScope
from boltq.domain.workflow.states import MapStats, StepState, WorkflowState
from boltq.worker.run import Run

Told = None
"""The store has been told what the step does: there is nothing to settle."""


_ITEM_COST = 100  # an item takes as long as so many characters, however small it is


async def _nothing() -> None:
    """A control step has no function."""


def control_task(app: BoltQ) -> "Task[..., Any]":
    """What stands for the function of a control step."""
    return Task(app, _nothing, CONTROL_TYPE, Options(), RetryPolicy(), "async")


class Steps:
    """Prepares claimed steps: asks the store what they need, and tells it what they do."""

    def __init__(self, broker: Broker) -> None:
        self._workflows = Workflows(broker)
        self._layout = broker.layout
        self._showing: set[asyncio.Task[None]] = set()

    async def prepare(self, run: Run) -> Outcome | RunJob | None:
        """What to do with a claimed step: run its function with this data, settle it so, or (None) nothing more.

        A step that cannot be prepared, because a reference leads nowhere, fails. When the store does not answer, the
        step is handed back.
        """
        try:
            return await self._decided(run, await self._look(run))
        except DataError as error:
            return Failed(describe(error, Category.DATA), retry=False)
        except LeaseLost:
            return Told
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
            await self._workflows.tell(run.job.id, run.job.delivery, run.worker, "filled", run.job.data)

    async def _look(self, run: Run) -> Look:
        if run.job.look is not None:
            return msgspec.convert(run.job.look, Look)
        return await repeated(lambda: self._workflows.look(run.job.id))

    async def _decided(self, run: Run, look: Look) -> Outcome | RunJob | None:
        step = msgspec.json.decode(look.text, type=PlannedStep)
        if look.wrong:
            return Failed(error_of(look.wrong), retry=False)
        match look.phase:
            case "wait":
                return Completed("null")
            case "ask":
                return await self._answered(run, step, look.more)
            case "items":
                return _gathered(step, look)
            case "child":
                return await self._child_ended(look.more[0])
        return await self._begun(run, step, look)

    async def _begun(self, run: Run, step: PlannedStep, look: Look) -> Outcome | RunJob | None:
        if look.item:
            return await self._do_item(run, step, look)
        scope = scope_of(look, step)
        prepared = await aside(len(look.text) + scope.size, lambda: prepare(step, scope))
        if isinstance(prepared, StartWorkflow) and look.more:
            return await self._go_on(run, step, prepared, look.more[0])
        return await self._do(run, step, prepared, scope)

    async def _do(
        self, run: Run, step: PlannedStep, prepared: Prepared, scope: ReferenceScope
    ) -> Outcome | RunJob | None:
        match prepared:
            case RunJob():
                return prepared
            case Skip():
                await self._tell(run, "skip")
            case WaitFor(delay):
                await self._tell(run, "wait", await self._now() + delay)
            case WaitUntil(moment):
                await self._tell(run, "wait", moment, 1)
            case AskPerson():
                return await self._ask(run, prepared)
            case StartWorkflow():
                await self._begin(run, step, prepared)
            case Expand(items):
                return await self._expand(run, step, items, scope)
        return Told

    async def _tell(self, run: Run, verb: str, *args: object) -> str:
        word = await repeated(lambda: self._workflows.tell(run.job.id, run.job.delivery, run.worker, verb, *args))
        if word == "too many":
            raise DataError(f"the workflow's maps and sub-workflows may have {MAX_SPREAD} jobs together")
        return word

    async def _now(self) -> int:
        return await repeated(self._workflows.now_ms)

    # A person's word

    async def _ask(self, run: Run, ask: AskPerson) -> Outcome | None:
        until = 0 if ask.timeout is None else await self._now() + ask.timeout
        return await self._told_to_ask(run, ask.prompt, until)

    async def _answered(self, run: Run, step: PlannedStep, more: Sequence[Any]) -> Outcome | None:
        answer, due, now = more
        if answer:
            return _end_by(answer)
        if not due or now < due:  # somebody ran it before its time: it asks on in the same words
            return await self._told_to_ask(run, "", due)
        on_timeout = step.approval.on_timeout if step.approval else "reject"
        late = msgspec.json.encode(Answer(decision=on_timeout, timed_out=True)).decode()
        return _end_by((await self._tell(run, "answer", late)).partition(" ")[2])

    async def _told_to_ask(self, run: Run, prompt: str, due: int) -> Outcome | None:
        word = await self._tell(run, "ask", prompt, due)
        return _end_by(word.partition(" ")[2]) if word.startswith("answer ") else Told

    # Sub-workflows

    async def _go_on(self, run: Run, step: PlannedStep, start: StartWorkflow, earlier: str) -> Outcome | None:
        """Has the sub-workflow of an earlier run go on where it failed. One that has completed since counts."""
        if await repeated(lambda: self._workflows.again(run.job.id, run.job.delivery, run.worker, earlier)):
            return Told
        with contextlib.suppress(NotFound, DataError):
            record = await repeated(lambda: self._workflows.get(earlier))
            if record.state is WorkflowState.COMPLETED:
                return Completed(await self._workflows.output(record))
        await self._begin(run, step, start)
        return Told

    async def _begin(self, run: Run, step: PlannedStep, start: StartWorkflow) -> None:
        seconds = step.timeout_seconds or start.plan.timeout_seconds
        plan = msgspec.structs.replace(start.plan, input=start.input, timeout_seconds=seconds)
        home = self._layout.of_id(run.job.id)
        await self._tell(run, "child", wire_plan(plan, new_id(home), home))

    async def _child_ended(self, workflow_id: str) -> Outcome:
        record = await self._workflows.get(workflow_id)
        if record.state is WorkflowState.COMPLETED:
            return Completed(await self._workflows.output(record))
        if record.state is WorkflowState.CANCELLED:
            return Cancelled("cancelled")
        return Failed(_failure_of(record), retry=False)

    # Maps

    async def _expand(self, run: Run, step: PlannedStep, items: list[str], scope: ReferenceScope) -> Outcome | None:
        assert step.map is not None  # noqa: S101 - for the type checker
        inner = step.kind is StepKind.WORKFLOW
        route = route_of(step, CONTROL_TYPE if inner else step.job_type)
        spec = spec_text(Spec(step=True) if inner else spec_of(step, asks=False))
        broken = spec_text(Spec(step=True))
        home = self._layout.of_id(run.job.id)
        first = 1
        size = sum(map(len, items)) + len(items) * _ITEM_COST + scope.size
        for made in portions(await aside(size, lambda: _items(step, scope, items))):
            rows = [(new_id(home), *item) for item in made]
            await self._tell(run, "items", first, rows, route, spec, broken)
            first += len(rows)
        most = step.map.max_concurrency or len(items)
        bearable = tolerated(step.map.tolerated_failures, len(items))
        word = await self._tell(run, "expand", len(items), most, bearable)
        return Completed("[]") if word == "gather" else Told

    async def _do_item(self, run: Run, step: PlannedStep, look: Look) -> Outcome | RunJob | None:
        if step.kind is StepKind.WORKFLOW and step.workflow:
            start = StartWorkflow(step.workflow, run.job.data)
            if look.more:
                return await self._go_on(run, step, start, look.more[0])
            await self._begin(run, step, start)
            return Told
        return RunJob(run.job.data)


def scope_of(look: Look, planned: PlannedStep) -> ReferenceScope:
    """The values that a step's references lead to."""
    name, state = look.about
    error = None
    if look.failure:
        step, stored, attempts = look.failure
        plain = msgspec.json.decode(stored) if stored else {}
        told = {key: plain[key] for key in ("class", "message", "category") if key in plain}
        error = msgspec.json.encode({"step": step, **told, "attempts": attempts}).decode()
    ends = {step_id: step_end(row) for row, step_id in zip(look.reads, planned.reads, strict=True)}
    return ReferenceScope(
        input=look.input, steps=ends, workflow={"id": look.workflow, "name": name, "state": state}, error=error
    )


def _items(step: PlannedStep, scope: ReferenceScope, texts: list[str]) -> list[tuple[str, str]]:
    """The data of the items' jobs, and what is wrong with each. Raises DataError when they are too much together."""
    made, size = list[tuple[str, str]](), 0
    for text in texts:
        made.append(_item(step, scope, text))
        size += len(made[-1][0].encode())
        if size > MAX_MAP_BYTES:
            raise DataError(f"the data of {len(texts)} items have more than {MAX_MAP_BYTES} bytes together")
    return made


def _item(step: PlannedStep, scope: ReferenceScope, text: str) -> tuple[str, str]:
    """The data of an item's job, and what is wrong with it."""
    try:
        prepared = prepare_item(step, scope.with_item(text))
        return prepared.input if isinstance(prepared, StartWorkflow) else getattr(prepared, "data", "{}"), ""
    except DataError as error:
        return "{}", msgspec.json.encode(describe(error, Category.DATA)).decode()


def _gathered(step: PlannedStep, look: Look) -> Outcome:
    assert step.map is not None  # noqa: S101 - for the type checker
    (total, _, _, size, _, good, bad, gone), flat, failures, numbers = look.more
    stats = MapStats(total, good, bad, gone)
    if has_lost(stats, step.map.tolerated_failures):
        return Failed(map_failure(stats, step.map.tolerated_failures, _texts(failures), _texts(numbers)), retry=False)
    if size > MAX_RESULT_BYTES:
        raise DataError(f"the results of the {total} items have more than {MAX_RESULT_BYTES} bytes together")
    results = {int(number) - 1: text for number, text in zip(flat[::2], flat[1::2], strict=True)}
    return Completed(gathered(total, results))


def _texts(flat: Sequence[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _failure_of(record: WorkflowRecord) -> JobError:
    """What a sub-workflow's step fails of: the category is that of the step for which the sub-workflow failed."""
    bad = cause_of(record.plan, record.states)
    told = error_of(stored) if bad and (stored := record.step(bad).error) else None
    raised = failure_of(record.id, record.ending, bad, told)
    timed_out = record.ending == "timed_out"
    category = Category.TIMEOUT if timed_out else told.category if told else Category.UNKNOWN
    return JobError("WorkflowFailed", str(raised), category)


def _end_by(text: str) -> Outcome:
    state, result, error = end_of(msgspec.json.decode(text, type=Answer))
    if error:
        return Failed(error, retry=False)
    assert state is StepState.COMPLETED  # noqa: S101 - the only other end
    return Completed(result)
