"""A person's word: before the step waits, twice, and too late."""

import json

import msgspec
import pytest

from boltq.domain.job_error import Category
from boltq.domain.workflow.approvals import Answer, Verdict, check_answer, end_of, receive
from boltq.domain.workflow.states import StepState

YES, NO = Answer(decision="approve"), Answer(decision="reject", by="ann")
LATE = Answer(decision="reject", timed_out=True)


@pytest.mark.parametrize(
    ("answer", "pointer"),
    [
        (YES, ""),
        (Answer(decision="reject", data=msgspec.Raw(b'{"n":[1]}'), by="ann"), ""),
        (Answer(decision="maybe"), "/decision"),  # type: ignore[arg-type]
        (Answer(decision="reject", by="a\nb"), "/by"),
        (Answer(decision="approve", data=msgspec.Raw(b'"' + b"x" * 65_535 + b'"')), "/data"),
        (Answer(decision="approve", data=msgspec.Raw(b"[" * 70 + b"]" * 70)), "/data"),
    ],
)
def test_a_bad_answer_is_named(answer: Answer, pointer: str) -> None:
    assert [at for at, _ in check_answer(answer)] == ([pointer] if pointer else [])


@pytest.mark.parametrize(
    ("state", "earlier", "answer", "verdict"),
    [
        (StepState.PENDING, None, YES, Verdict.KEPT),
        (StepState.QUEUED, None, NO, Verdict.KEPT),
        (StepState.WAITING, None, YES, Verdict.TAKEN),
        (StepState.PENDING, YES, YES, Verdict.REPEATED),
        (StepState.COMPLETED, YES, YES, Verdict.REPEATED),
        (StepState.COMPLETED, YES, NO, Verdict.REFUSED),
        (StepState.COMPLETED, YES, msgspec.structs.replace(YES, by="somebody else"), Verdict.REFUSED),
        (StepState.PENDING, YES, msgspec.structs.replace(YES, data=msgspec.Raw(b'{"other": 1}')), Verdict.REFUSED),
        (StepState.PENDING, NO, YES, Verdict.REFUSED),
        (StepState.FAILED, LATE, YES, Verdict.REFUSED),
        (StepState.FAILED, LATE, NO, Verdict.REFUSED),
        (StepState.SKIPPED, None, YES, Verdict.REFUSED),
        (StepState.CANCELLED, None, YES, Verdict.REFUSED),
    ],
)
def test_what_becomes_of_an_answer(state: StepState, earlier: Answer | None, answer: Answer, verdict: Verdict) -> None:
    assert receive(state, earlier, answer) is verdict


def test_a_yes_is_a_result_and_a_no_is_an_error() -> None:
    state, result, error = end_of(
        Answer(decision="approve", by="ann", data=msgspec.Raw(b'{"n":123456789012345678901}'))
    )
    assert (state, error) == (StepState.COMPLETED, None)
    assert json.loads(result) == {
        "decision": "approve",
        "by": "ann",
        "data": {"n": 123456789012345678901},
        "timed_out": False,
    }
    state, _, error = end_of(NO)
    assert state is StepState.FAILED
    assert error is not None
    assert (error.message, error.category) == ("rejected by ann", Category.DATA)
    _, _, error = end_of(LATE)
    assert error is not None
    assert (error.message, error.category) == ("nobody answered in time", Category.TIMEOUT)
