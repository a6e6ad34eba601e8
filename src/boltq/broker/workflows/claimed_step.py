"""The step of a claimed job, with all that decides what it does next, read from the row that lib/look.lua makes."""

from collections.abc import Iterator, Sequence

import msgspec

from boltq.broker.contract import FailureRow, Look, MapRow
from boltq.broker.workflows.rows import stats_of, step_end
from boltq.domain.job_error import error_of
from boltq.domain.workflow.approvals import Answer
from boltq.domain.workflow.decide import Begins, ChildEnded, ClaimedStep, HasAsked, HasWaited, ItemsEnded, StepProgress
from boltq.domain.workflow.phases import Phase
from boltq.domain.workflow.plan import PlannedStep
from boltq.domain.workflow.scope import ReferenceScope


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
