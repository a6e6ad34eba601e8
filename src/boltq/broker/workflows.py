"""Workflows: submit, look at, list, cancel, pause, resume, answer and run again. See lua/lib/flow.lua."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from boltq.broker.broker import Broker
from boltq.broker.calls import Call, pack
from boltq.broker.cursors import unwrapped, wrapped
from boltq.broker.flows import (
    Look,
    WorkflowRecord,
    WorkflowSummary,
    step_end,
    summary,
    wire_fields,
    wire_plan,
    wire_steps,
    workflow_record,
)
from boltq.broker.inspector import Inspector
from boltq.domain.errors import Conflict, InvalidJob, NotFound, QueueFull
from boltq.domain.ids import new_id
from boltq.domain.job import Submitted
from boltq.domain.limits import MAX_PAGE
from boltq.domain.workflow.approvals import Answer, Verdict
from boltq.domain.workflow.compiler import compile_workflow
from boltq.domain.workflow.form import StepKind, read_form
from boltq.domain.workflow.mistakes import InvalidWorkflow
from boltq.domain.workflow.plan import Plan
from boltq.domain.workflow.prepare import output_of
from boltq.domain.workflow.rerun import RerunMode, steps_to_rerun, with_params
from boltq.domain.workflow.scope import Scope
from boltq.domain.workflow.states import WorkflowState
from boltq.domain.workflow.uses import Use, uses_in, value_of

_MOST_LOOKED_AT: Final = 2_000  # workflows of a partition, for one page


class WorkflowPage(msgspec.Struct, frozen=True):
    """One page of workflows; `cursor` None at the end. It may be empty and not the end."""

    workflows: list[WorkflowSummary]
    cursor: str | None


class Workflows:
    """The workflows of a namespace."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def submit(self, plan: Plan, form: str, *, key: str = "", workflow_id: str = "") -> Submitted:
        """Store a new workflow; `form` is its JSON text. May be repeated with the same id or key.

        Raises Conflict for a key that was used otherwise, QueueFull, StoreError.
        """
        layout = self._broker.layout
        home = layout.of_id(workflow_id) if workflow_id else layout.of_key(key) if key else layout.next()
        digest = hashlib.sha256(form.encode()).hexdigest()[:32] if key else ""
        new = wire_plan(plan, workflow_id or new_id(home), home, form)
        word, found = await self._send("flow_submit", home, pack(new), key, digest)
        if word == b"FULL":
            raise QueueFull(f"queue {found.decode()} is full")
        if word == b"CONFLICT":
            raise Conflict(f"idempotency key {key!r} was used for another workflow ({found.decode()})")
        return Submitted(found.decode(), created=word == b"CREATED")

    async def get(self, workflow_id: str, *, form: bool = False) -> WorkflowRecord:
        """A workflow with all its steps, as they stand. Raises NotFound."""
        found = await self._send("flow_get", self._home(workflow_id), workflow_id, int(form), read=_decode)
        return workflow_record(workflow_id, *found)

    async def output(self, record: WorkflowRecord) -> str:
        """What a workflow results in, as JSON text. Raises DataError when a reference leads nowhere."""
        return await self.output_of(record.id, record.plan)

    async def output_of(self, workflow_id: str, plan: Plan) -> str:
        """The same, when the plan is known."""
        uses = uses_in(value_of(msgspec.Raw(plan.output.encode())), "", "output")
        named = {use.reference.step for use in uses if isinstance(use, Use) and use.reference.step}
        numbers = {n: step.id for n, step in enumerate(plan.steps, 1) if step.id in named}
        args = (workflow_id, pack(list(numbers)))
        rows = await self._send("flow_ends", self._home(workflow_id), *args, read=_decode) if numbers else []
        steps = {numbers[row[0]]: step_end(row) for row in rows}
        about = {"id": workflow_id, "name": plan.name}
        return output_of(plan, Scope(input=plan.input, steps=steps, workflow=about))

    async def list(
        self, *, state: WorkflowState | None = None, name: str = "", limit: int = 50, cursor: str | None = None
    ) -> WorkflowPage:
        """One page of workflows, partition after partition, in each the newest first. Raises InvalidJob."""
        partition, inner = _read_cursor(cursor)
        found: list[WorkflowSummary] = []
        most = max(1, min(limit, MAX_PAGE))
        while partition < self._broker.layout.partitions:
            args = (inner, state or "", name, most - len(found), _MOST_LOOKED_AT)
            inner, rows = await self._send("flow_list", partition, *args, read=_decode)
            found += map(summary, rows)
            if inner:
                return WorkflowPage(found, _write_cursor(partition, inner))
            partition += 1
            if len(found) >= most and partition < self._broker.layout.partitions:
                return WorkflowPage(found, _write_cursor(partition, ""))
        return WorkflowPage(found, None)

    async def cancel(self, workflow_id: str) -> WorkflowState:
        """Cancel what waits, stop what runs; `finally` steps still run. Raises NotFound, Conflict."""
        return await self._steer(workflow_id, "cancel")

    async def pause(self, workflow_id: str) -> WorkflowState:
        """Begin no step any more; what runs, or waits for its next attempt, goes on. Raises NotFound, Conflict."""
        return await self._steer(workflow_id, "pause")

    async def resume(self, workflow_id: str) -> WorkflowState:
        """Go on after a pause. Raises NotFound, Conflict."""
        return await self._steer(workflow_id, "resume")

    async def signal(self, workflow_id: str, step_id: str, answer: Answer) -> Verdict:
        """A person's word for an approval step; it may come before the step waits. Raises NotFound."""
        record = await self.get(workflow_id)
        number = next((n for n, step in enumerate(record.plan.steps, 1) if step.id == step_id), 0)
        if not number or record.plan.steps[number - 1].kind is not StepKind.APPROVAL:
            raise NotFound(f"the workflow {workflow_id} has no approval step {step_id:.100}")
        args = (workflow_id, number, msgspec.json.encode(answer).decode(), answer.decision)
        word = await self._send("flow_signal", self._home(workflow_id), *args)
        return Verdict(word.decode())

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
        if params:
            form = with_params(read_form(record.form or ""), params)
            plan = compile_workflow(form)
            if [step.id for step in plan.steps] != [step.id for step in record.plan.steps]:
                reason = "they refer to other steps than before, which changes the order: submit a new workflow"
                raise InvalidWorkflow([("/params", reason)])
            fields = wire_fields(plan, msgspec.json.encode(form).decode())
        args = (workflow_id, record.generation, pack(wire_steps(plan, home, chosen)), pack(list(fields)))
        await self._send("flow_rerun", home, *args)
        return chosen

    # What a worker asks and says

    async def look(self, job_id: str) -> Look:
        """What the step of a claimed job is about."""
        found: Look = await self._send("flow_look", self._home(job_id), job_id, read=_decode_look)
        return found

    async def tell(self, job_id: str, delivery: int, verb: str, *args: object) -> str:
        """Say what a claimed step does instead of running: see flow_step.lua. Raises LeaseLost."""
        packed = (job_id, delivery, verb, pack(list(args)))
        word = await self._send("flow_step", self._home(job_id), *packed)
        return str(word, "utf-8")

    async def now_ms(self) -> int:
        """The store's clock, in milliseconds (a test's own clock where it has one)."""
        return await Inspector(self._broker).now_ms()

    async def _steer(self, workflow_id: str, verb: str) -> WorkflowState:
        word = await self._send("flow_steer", self._home(workflow_id), workflow_id, verb)
        return WorkflowState(word.decode())

    def _home(self, any_id: str) -> int:
        return self._broker.layout.of_id(any_id)

    async def _send(self, script: str, partition: int, *args: Any, read: Any = None) -> Any:
        return await self._broker.send(Call(script, partition, args, read or _as_it_is))


def _as_it_is(reply: Any) -> Any:
    return reply


def _write_cursor(partition: int, inner: str) -> str:
    return wrapped(f"{partition}|{inner}")


def _read_cursor(cursor: str | None) -> tuple[int, str]:
    if not cursor:
        return 0, ""
    try:
        partition, _, inner = unwrapped(cursor).partition("|")
        return int(partition), inner
    except ValueError:
        raise InvalidJob([("/cursor", "not a cursor of ours")]) from None


_decode: Final = msgspec.msgpack.Decoder().decode
_decode_look: Final = msgspec.msgpack.Decoder(Look).decode
