"""Workflows: submit, look at, list, cancel, pause, resume, signal, run again and delete. See lua/lib/flow.lua."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from boltq.broker.broker import Broker
from boltq.broker.call import Call, Portion
from boltq.broker.calls import workflows as calls
from boltq.broker.rows import record as record_of
from boltq.broker.search import MAX_EXAMINED, JobPage
from boltq.broker.submission import forgotten
from boltq.broker.workflows.cursors import (
    read_approvals_cursor,
    read_jobs_cursor,
    read_number,
    read_workflows_cursor,
    write_jobs_cursor,
    write_number,
    write_place,
)
from boltq.broker.workflows.plan_rows import wire_again, wire_fields, wire_infos, wire_plan
from boltq.broker.workflows.records import ApprovalPage, ItemPage, StepData, WorkflowLine, WorkflowPage, WorkflowRecord
from boltq.broker.workflows.reruns import recompiled, size_with
from boltq.broker.workflows.rows import approval_record, item_record, step_data, step_end, summary, workflow_record
from boltq.domain.errors import Conflict, NotFound, QueueFull, TooManyQueues
from boltq.domain.filters import JobFilter
from boltq.domain.ids import new_id
from boltq.domain.job import Submitted
from boltq.domain.limits import MAX_BATCH_BYTES, MAX_PAGE
from boltq.domain.outcome import DataError
from boltq.domain.workflow.approvals import Answer, Verdict, check_answer, meaning_of, why_refused
from boltq.domain.workflow.form import StepKind, as_json
from boltq.domain.workflow.mistakes import raise_if_any
from boltq.domain.workflow.plan import Plan
from boltq.domain.workflow.prepare import output_of
from boltq.domain.workflow.rerun import RerunMode, going_on, out_of_place, steps_to_rerun
from boltq.domain.workflow.scope import ReferenceScope, StepEnd
from boltq.domain.workflow.states import StepState, WorkflowState
from boltq.domain.workflow.uses import Use, uses_in, value_of

T = TypeVar("T")

_RowsAndCursor = tuple[list[T], str | None]  # of a page; and the cursor of the next one
_AskForRows = Callable[[int, str, int], Call[Portion[list[T]]]]  # in a partition, from a place on, so many

MAX_STEP_DATA_BYTES: Final = 4 << 20  # of all steps of a workflow, for one look
SMALL_BYTES: Final = 32 << 10
"""A form that is no larger is compiled at once: that takes less than a call may take."""

_MOST_LOOKED_AT: Final = 2_000  # workflows of a partition, for one page
_MAX_ITEM_ERROR_BYTES: Final = 1 << 20  # of a page of a map's items
_MAX_REMARK_BYTES: Final = 2 << 20  # of a workflow's errors and answers, for one look at it


async def aside(size: int, compiles: Callable[[], T]) -> T:
    """Compile a form of so many bytes. A large one may take a second: in a thread, so that others go on."""
    return compiles() if size <= SMALL_BYTES else await asyncio.to_thread(compiles)


class Workflows:
    """The workflows of a namespace."""

    def __init__(self, broker: Broker, aside: Callable[[int, Callable[[], Any]], Awaitable[Any]] = aside) -> None:
        self._broker = broker
        self._aside = aside

    async def submit(
        self, plan: Plan, form: str, *, key: str = "", workflow_id: str = "", means: str = "", by: str = ""
    ) -> Submitted:
        """Store a new workflow; `form` is its JSON text, `by` who submits it. May be repeated with the same id or key.

        `means`: the same form in one spelling, by which a key's second use is compared with its first; else `form`.
        Raises Conflict for a key that was used otherwise, QueueFull, StoreError; UnknownOutcome for an id that is older
        than the store remembers.
        """
        layout = self._broker.layout
        home = layout.of_id(workflow_id) if workflow_id else layout.of_key(key) if key else layout.next()
        digest = hashlib.sha256((means or form).encode()).hexdigest()[:32] if key else ""
        new = wire_plan(plan, workflow_id or new_id(home), home, form, by)
        word, found = await self.send(calls.submit(home, new, key, digest))
        if word == "FULL":
            raise QueueFull(f"queue {found} is full")
        if word == "QUEUES":
            raise TooManyQueues(found)
        if word == "CONFLICT":
            raise Conflict(f"idempotency key {key!r} was used for another workflow ({found})")
        if word == "FORGOTTEN":
            raise forgotten(f"workflow {workflow_id}", int(found))
        return Submitted(found, created=word == "CREATED")

    async def get(self, workflow_id: str, *, form: bool = False, generation: int = 0) -> WorkflowRecord:
        """A workflow with all its steps, as they stand; errors and answers within 2 MiB. Raises NotFound.

        `generation`: as it stood when that earlier run of it had ended; the last ten are kept.
        """
        call = calls.get(self._home(workflow_id), workflow_id, generation, _MAX_REMARK_BYTES, form=form)
        found = await self.send(call)
        return workflow_record(workflow_id, found.fields, found.steps, found.latest)

    async def output(self, record: WorkflowRecord) -> str:
        """What a workflow results in, as JSON text.

        Raises DataError when a reference leads nowhere, or the results that it names have more than 8 MiB together.
        """
        if record.generation == record.latest:
            return await self.output_of(record.id, record.plan)
        data = await self.data(record, MAX_BATCH_BYTES)
        ends = {step.id: StepEnd(step.state, data[step.id].result, step.error, step.stats) for step in record.steps}
        about = {"id": record.id, "name": record.name}
        return output_of(record.plan, ReferenceScope(input=record.plan.input, steps=ends, workflow=about))

    async def output_of(self, workflow_id: str, plan: Plan) -> str:
        """What a workflow results in, if its plan is known and its newest run is meant. Raises DataError."""
        uses = uses_in(value_of(msgspec.Raw(plan.output.encode())), "", "output")
        named = {use.reference.step for use in uses if isinstance(use, Use) and use.reference.step}
        numbers = {n: step.id for n, step in enumerate(plan.steps, 1) if step.id in named}
        call = calls.ends(self._home(workflow_id), workflow_id, list(numbers), MAX_BATCH_BYTES)
        rows = within_bounds(await self.send(call) if numbers else [], "the output")
        steps = {numbers[row.number]: step_end(row) for row in rows}
        about = {"id": workflow_id, "name": plan.name}
        scope = ReferenceScope(input=plan.input, steps=steps, workflow=about)
        found: str = await self._aside(len(plan.output) + scope.size, lambda: output_of(plan, scope))
        return found

    async def summary(self, workflow_id: str) -> WorkflowLine:
        """A workflow as it stands, without its steps. Raises NotFound."""
        return summary(await self.send(calls.head(self._home(workflow_id), workflow_id)))

    async def data(
        self, record: WorkflowRecord, most: int = MAX_STEP_DATA_BYTES, *, only: str | None = None
    ) -> dict[str, StepData]:
        """What its steps, or only one, were given, once they began, and what they gave; within so many bytes.

        Raises NotFound.
        """
        wanted = [(n, step) for n, step in enumerate(record.steps, 1) if only in (None, step.id)]
        asked = [(n, step) for n, step in wanted if step.id not in record.past]
        numbers = [number for number, _ in asked]
        rows = await self.send(calls.data(self._home(record.id), record.id, numbers, most))
        found = {step.id: step_data(record, step, row) for (_, step), row in zip(asked, rows, strict=True)}
        return found | {
            step.id: step_data(record, step, record.past[step.id]) for _, step in wanted if step.id in record.past
        }

    async def items(
        self,
        record: WorkflowRecord,
        step_id: str,
        *,
        states: Sequence[StepState] = (),
        limit: int = 50,
        cursor: str | None = None,
    ) -> ItemPage:
        """A page of the items of a map, in their order; none of a step that is no map. Raises NotFound, InvalidJob."""
        first = read_number("item", cursor) or 1
        number = _number_of(record, step_id)
        if record.plan.steps[number - 1].map is None or step_id in record.past:
            return ItemPage([], None)  # the items of an earlier run have made room for those of the next one
        most = max(1, min(limit, MAX_PAGE))
        bounds = (most, _MOST_LOOKED_AT, _MAX_ITEM_ERROR_BYTES)
        call = calls.items(self._home(record.id), record.id, number, first, states, *bounds)
        following, rows = await self.send(call)
        return ItemPage(list(map(item_record, rows)), write_number("item", following))

    async def list(
        self,
        *,
        states: Sequence[WorkflowState] = (),
        name: str = "",
        created_after: int | None = None,
        created_before: int | None = None,
        nested: bool | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> WorkflowPage:
        """One page of workflows, partition after partition, in each the newest first. Raises InvalidJob.

        Times in milliseconds; `created_after` is the first that fits, `created_before` the first that does not.
        `nested`: only sub-workflows, or only those that are none.
        """
        created = (created_after, created_before)
        rows, following = await self._rows(
            read_workflows_cursor(cursor),
            limit,
            lambda at, inner, most: calls.list_(at, inner, states, name, created, most, _MOST_LOOKED_AT, nested=nested),
        )
        return WorkflowPage(list(map(summary, rows)), following)

    async def children(self, workflow_id: str, *, limit: int = 50, cursor: str | None = None) -> WorkflowPage:
        """A page of the sub-workflows of a workflow, in no order; a few more than `limit`, or less and not the end.

        Raises NotFound, InvalidJob.
        """
        scan = read_number("children", cursor)
        most = max(1, min(limit, MAX_PAGE))
        following, rows = await self.send(calls.children(self._home(workflow_id), workflow_id, scan, most))
        return WorkflowPage(list(map(summary, rows)), write_number("children", following))

    async def approvals(self, *, limit: int = 50, cursor: str | None = None) -> ApprovalPage:
        """A page of the steps of all workflows that wait for a person, in each partition those that wait longest first.

        Raises InvalidJob.
        """
        rows, following = await self._rows(
            read_approvals_cursor(cursor),
            limit,
            lambda at, inner, most: calls.approvals(at, inner, most, _MAX_ITEM_ERROR_BYTES),
        )
        return ApprovalPage(list(map(approval_record, rows)), following)

    async def _rows(self, start: tuple[int, str], limit: int, at: _AskForRows[T]) -> _RowsAndCursor[T]:
        """The rows of one page, partition after partition, and the cursor of the next page."""
        partition, inner = start
        found: list[T] = []
        most = max(1, min(limit, MAX_PAGE))
        while partition < self._broker.layout.partitions:
            portion = await self.send(at(partition, inner, most - len(found)))
            found += portion.found
            if inner := portion.following:
                return found, write_place(partition, inner)
            partition += 1
            if len(found) >= most and partition < self._broker.layout.partitions:
                return found, write_place(partition, "")
        return found, None

    async def jobs(self, workflow_id: str, wanted: JobFilter, *, limit: int = 50, cursor: str | None = None) -> JobPage:
        """A page of a workflow's jobs that fit, step after step, a map's items behind it; not those of sub-workflows.

        At most 1,000 records are looked at: an empty page with a cursor says that nothing was found so far. Raises
        NotFound, InvalidJob.
        """
        step, item = read_jobs_cursor(cursor)
        page, most = JobPage([], None), max(1, min(limit, MAX_PAGE))
        while step and len(page.jobs) < most and page.examined < MAX_EXAMINED:
            look_at = most - len(page.jobs)
            call = calls.jobs(self._home(workflow_id), workflow_id, step, item, look_at)
            step, item, rows = await self.send(call)
            page.jobs += filter(wanted.matches, map(record_of, rows))
            page.examined += look_at
        page.cursor = write_jobs_cursor(step, item) if step else None
        return page

    async def cancel(self, workflow_id: str) -> WorkflowState:
        """Cancel what waits, stop what runs; `finally` steps still run. Raises NotFound, Conflict."""
        return await self._steer(workflow_id, "cancel")

    async def pause(self, workflow_id: str) -> WorkflowState:
        """Begin no step any more; what runs, or waits for its next attempt, goes on. Raises NotFound, Conflict."""
        return await self._steer(workflow_id, "pause")

    async def resume(self, workflow_id: str) -> WorkflowState:
        """Go on after a pause. Raises NotFound, Conflict."""
        return await self._steer(workflow_id, "resume")

    async def delete(self, workflow_id: str) -> None:
        """Delete a workflow that has ended, with its jobs and its sub-workflows.

        The idempotency key of one that has completed stays used; that of any other is free again.

        It is gone at once; when this is broken off, workers clear away what is left. Raises NotFound, Conflict.
        """
        home = self._home(workflow_id)
        more = await self.send(calls.delete(home, workflow_id))
        while more:
            more = await self.send(calls.delete(home, ""))

    async def signal(self, workflow_id: str, step_id: str, answer: Answer) -> Verdict:
        """Give an approval its answer; that may come before the step waits.

        Raises NotFound, InvalidWorkflow; Conflict when another answer counts, or the step has ended without one.
        """
        raise_if_any(check_answer(answer))
        record = await self.get(workflow_id)
        number = next((n for n, step in enumerate(record.plan.steps, 1) if step.id == step_id), 0)
        if not number or record.plan.steps[number - 1].kind is not StepKind.APPROVAL:
            raise NotFound(f"the workflow {workflow_id} has no approval step {step_id:.100}")
        text = msgspec.json.encode(answer).decode()
        verdict = await self.send(calls.signal(self._home(workflow_id), workflow_id, number, text, meaning_of(answer)))
        if verdict is Verdict.REFUSED:
            step = (await self.get(workflow_id)).step(step_id)
            earlier = msgspec.json.decode(step.answer, type=Answer) if step.answer else None
            raise Conflict(why_refused(step_id, step.state, earlier, answer))
        return verdict

    async def rerun(
        self,
        workflow_id: str,
        mode: RerunMode,
        *,
        from_step: str | None = None,
        params: Mapping[str, msgspec.Raw] | None = None,
    ) -> tuple[str, ...]:
        """Run a workflow that has ended again; answers the steps that begin anew. `params`: instead of those it has.

        Raises NotFound, Conflict, InvalidWorkflow.
        """
        record = await self.get(workflow_id, form=True)
        if record.state is WorkflowState.RUNNING:
            raise Conflict(f"workflow {workflow_id} is running")
        chosen = steps_to_rerun(record.plan, record.states, mode, from_step)
        if not chosen:
            raise Conflict(f"workflow {workflow_id} has nothing that {mode} would run again")
        plan, home = record.plan, self._home(workflow_id)
        fields: Sequence[Any] = ()
        others: Sequence[Any] = ()  # what refers to another step than before changes that one too
        if params:
            raise_if_any(out_of_place(plan, chosen, mode, params))
            form, plan = await self._aside(size_with(record, params), lambda: recompiled(record, params))
            fields = wire_fields(plan, as_json(form))
            others = wire_infos(plan, plan.by_id.keys() - set(chosen))
        kept = going_on(record.plan, record.states, mode, chosen)
        rows = wire_again(plan, home, chosen, kept, kept - (params or {}).keys())
        anew = (set(chosen) - kept) | (params or {}).keys()
        replaced = any(plan.by_id[step].kind is StepKind.WORKFLOW for step in anew)
        generation = record.generation
        await self.send(calls.rerun(home, workflow_id, generation, rows, fields, others, replaces_children=replaced))
        return chosen

    async def _steer(self, workflow_id: str, verb: calls.Steering) -> WorkflowState:
        state, more = await self.send(calls.steer(self._home(workflow_id), workflow_id, verb))
        while more:  # items of maps, which one call does not steer all
            state, more = await self.send(calls.steer(self._home(workflow_id), workflow_id, "go_on"))
        return state

    def _home(self, any_id: str) -> int:
        return self._broker.layout.of_id(any_id)

    async def send(self, call: Call[T]) -> T:
        """Run one call's script. Raises what the broker raises."""
        try:
            return await self._broker.send(call)
        except NotFound as error:
            about = "the id is wrong, or it is older than the history that is kept"
            raise NotFound(f"no workflow {error}: {about}") from None


def within_bounds(found: T | int, who: str) -> T:
    """What was found. Raises DataError for a number: so many bytes are more than the store reads."""
    if isinstance(found, int):
        raise DataError(
            f"the results that {who} refers to have {found} bytes or more; at most {MAX_BATCH_BYTES} are read"
        )
    return found


def _number_of(record: WorkflowRecord, step_id: str) -> int:
    """A step's number. Raises NotFound."""
    for number, step in enumerate(record.plan.steps, 1):
        if step.id == step_id:
            return number
    there = ", ".join(step.id for step in record.plan.steps[:20])
    raise NotFound(f"the workflow {record.id} has no step {step_id:.100}; it has {there}")
