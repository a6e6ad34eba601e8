"""Approvals: steps that wait for a person's answer. It may come before the step waits, and the same may come again."""

import hashlib
import json
from collections.abc import Iterator
from enum import StrEnum
from typing import Literal, get_args

import msgspec

from boltq.domain import limits
from boltq.domain.job_error import Category, JobError
from boltq.domain.workflow.bounds import MAX_ANSWER_BYTES
from boltq.domain.workflow.checks import check_json
from boltq.domain.workflow.mistakes import Mistake
from boltq.domain.workflow.states import ENDED, StepState

AnswerWord = Literal["approve", "reject"]


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was decided, and by whom. `data` is JSON of any kind."""

    decision: AnswerWord
    data: msgspec.Raw = msgspec.field(default_factory=lambda: msgspec.Raw(b"null"))
    by: str = ""
    timed_out: bool = False  # nobody answered in time: the answer is the step's `on_timeout`


class Verdict(StrEnum):
    """What becomes of an answer."""

    KEPT = "kept"  # the step does not wait yet; it will find the answer when it does
    TAKEN = "taken"  # the answer ends the step
    REPEATED = "repeated"  # the same person has given the same answer before: nothing changes
    REFUSED = "refused"  # another answer was given, or the step has ended without one


def check_answer(answer: Answer) -> Iterator[Mistake]:
    """What is wrong with an answer, whoever gives it."""
    if answer.decision not in get_args(AnswerWord):
        yield "/decision", f"{answer.decision!r:.60} is none of {', '.join(get_args(AnswerWord))}"
    if bad := limits.bad_text(answer.by, limits.MAX_NAME_CHARS):
        yield "/by", bad
    if len(bytes(answer.data)) > MAX_ANSWER_BYTES:
        yield "/data", f"at most {MAX_ANSWER_BYTES} bytes"
    yield from check_json(answer.data, "/data")


def receive(state: StepState, earlier: Answer | None, answer: Answer) -> Verdict:
    """What becomes of an answer, given where its step stands and what was answered before.

    The rule that flow_signal.lua follows; only tests ask here.
    """
    if earlier:
        return Verdict.REPEATED if meaning_of(earlier) == meaning_of(answer) else Verdict.REFUSED
    if state in ENDED:
        return Verdict.REFUSED
    return Verdict.TAKEN if state is StepState.WAITING else Verdict.KEPT


def meaning_of(answer: Answer) -> str:
    """A digest of an answer: the same for answers with the same decision, data and author."""
    try:
        data = json.dumps(json.loads(bytes(answer.data)), sort_keys=True)
    except (ValueError, RecursionError):
        data = bytes(answer.data).decode(errors="replace")
    said = json.dumps([answer.decision, answer.by, answer.timed_out, data])
    return hashlib.sha256(said.encode()).hexdigest()[:32]


def why_refused(step: str, state: StepState, earlier: Answer | None, answer: Answer) -> str:
    """Why a step in that state takes no other answer."""
    if not earlier:
        return f"step {step} is {state} and takes no answer any more"
    who = "its timeout" if earlier.timed_out else earlier.by or "somebody"
    same = earlier.decision == answer.decision and earlier.by == answer.by and not earlier.timed_out
    return f"{who} has answered step {step} already: {earlier.decision}{', with other data' if same else ''}"


def end_of(answer: Answer) -> tuple[StepState, str, JobError | None]:
    """How an answer ends its step: the state, the result as JSON text, and the error of a rejected step."""
    result = msgspec.json.encode(
        {"decision": answer.decision, "by": answer.by, "data": answer.data, "timed_out": answer.timed_out}
    ).decode()
    if answer.decision == "approve":
        return StepState.COMPLETED, result, None
    reason = "nobody answered in time" if answer.timed_out else f"rejected by {answer.by or 'a person'}"
    category = Category.TIMEOUT if answer.timed_out else Category.DATA
    return StepState.FAILED, result, JobError(class_name="Rejected", message=reason, category=category)
