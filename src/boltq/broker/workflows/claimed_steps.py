"""The steps that a worker has claimed: what it asks about them, and what it says that they do."""

from collections.abc import Iterator, Sequence

import msgspec

from boltq.broker.broker import Broker
from boltq.broker.call import Call
from boltq.broker.calls import steps, workflows as calls
from boltq.broker.contract import FailureRow, Look, MapRow
from boltq.broker.inspector import Inspector
from boltq.broker.workflows.reruns import rows_to_go_on
from boltq.broker.workflows.rows import stats_of, step_end
from boltq.broker.workflows.workflows import Workflows, within_bounds
from boltq.domain.errors import NotFound
from boltq.domain.job_error import error_of
from boltq.domain.limits import MAX_BATCH_BYTES
from boltq.domain.outcome import DataError
from boltq.domain.workflow.approvals import Answer
from boltq.domain.workflow.decide import Begins, ChildEnded, ClaimedStep, HasAsked, HasWaited, ItemsEnded, StepProgress
from boltq.domain.workflow.phases import Phase
from boltq.domain.workflow.plan import PlannedStep
from boltq.domain.workflow.scope import ReferenceScope


class ClaimedSteps:
    """What a worker asks about the steps that it has claimed, and says of them."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._layout = broker.layout
        self._workflows = Workflows(broker)

    async def look(self, job_id: str) -> Look:
        """What the step of a claimed job is about. Raises DataError when it refers to more than 8 MiB of results."""
        found = await self._workflows.send(calls.look(self._layout.of_id(job_id), job_id, MAX_BATCH_BYTES))
        return within_bounds(found, "the step")

    async def parents(self, job_id: str) -> str:
        """The results of the steps that the step of a job depends on, by their ids: JSON text of an object.

        Null for a step without one; an empty object for a job of no workflow. Raises NotFound, and DataError when they
        have more than 8 MiB together.
        """
        rows, size = await self._workflows.send(calls.parents(self._layout.of_id(job_id), job_id, MAX_BATCH_BYTES))
        if size > MAX_BATCH_BYTES:
            raise DataError(f"the results of the steps before have {size} bytes; at most {MAX_BATCH_BYTES} are read")
        return msgspec.json.encode({step: msgspec.Raw((text or "null").encode()) for step, text in rows}).decode()

    async def again(self, claim: steps.StepClaim, workflow_id: str) -> bool:
        """Have the sub-workflow of an earlier run of a claimed step go on where it failed; whether it does.

        One that runs again by itself is waited for. It does not go on when it is gone, or has nothing that could run
        again. Raises LeaseLost.
        """
        while True:
            try:
                record = await self._workflows.get(workflow_id)
            except NotFound:
                return False
            rows = rows_to_go_on(record, claim.partition)
            if rows is None:
                return False
            word = await self.step(steps.again(claim, workflow_id, record.generation, rows))
            if word != "moved":
                return word != "gone"

    async def step(self, said: Call[str]) -> str:
        """Say what a step that a worker has claimed does instead of running: see calls/steps.py. Raises LeaseLost."""
        return await self._workflows.send(said)

    async def now_ms(self) -> int:
        """The store's clock, in milliseconds (a test's own clock where it has one)."""
        return await Inspector(self._broker).now_ms()


def claimed_step(look: Look, data: str, child: ChildEnded | None = None) -> ClaimedStep:
    """The step of a claimed job with that data. `child`: the end of the sub-workflow that it has waited for."""
    step = msgspec.json.decode(look.text, type=PlannedStep)
    return ClaimedStep(
        step=step,
        scope=_scope(look, step),
        data=data,
        progress=_progress(look, child),
        text_chars=len(look.text),
        is_item=bool(look.item),
        wrong=error_of(look.wrong) if look.wrong else None,
    )


def _progress(look: Look, child: ChildEnded | None) -> StepProgress:
    if not look.phase:
        return Begins(*look.later)
    match Phase(look.phase):
        case Phase.WAIT:
            return HasWaited()
        case Phase.ASK:
            answer, due, now = look.later
            return HasAsked(msgspec.json.decode(answer, type=Answer) if answer else None, due or None, now)
        case Phase.ITEMS:
            row, results, errors, counts = look.later
            stands = msgspec.convert(row, MapRow)
            return ItemsEnded(
                stats_of(stands), stands.bytes, _by_number(results), _by_number(errors), dict(_pairs(counts))
            )
        case Phase.CHILD:
            assert child is not None  # noqa: S101 - whoever asks has looked for its end
            return child


def _scope(look: Look, planned: PlannedStep) -> ReferenceScope:
    """The values that the step's references lead to."""
    error = None
    if look.failure:
        failure = msgspec.convert(look.failure, FailureRow)
        plain = msgspec.json.decode(failure.error) if failure.error else {}
        told = {key: plain[key] for key in ("class", "message", "category") if key in plain}
        error = msgspec.json.encode({"step": failure.step, **told, "attempts": failure.attempts}).decode()
    ends = {step_id: step_end(row) for row, step_id in zip(look.reads, planned.reads, strict=True)}
    name, outcome = look.about
    about = {"id": look.workflow, "name": name, "state": outcome}
    return ReferenceScope(input=look.input, steps=ends, workflow=about, error=error)


def _by_number(flat: Sequence[str]) -> dict[int, str]:
    return {int(number): text for number, text in _pairs(flat)}


def _pairs(flat: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The fields of a HASH, as Lua answers them: name, value, name, value."""
    return zip(flat[::2], flat[1::2], strict=True)
