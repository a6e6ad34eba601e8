from collections.abc import Mapping
from enum import StrEnum

import pytest

from boltq.domain.states import ACTIONS, ENTRIES, MEANINGS, MOVES, TERMINAL, JobState, action_reasons, actions
from boltq.domain.workflow.plan import RULE_MEANINGS, Rule
from boltq.domain.workflow.states import STEP_MEANINGS, WORKFLOW_MEANINGS, StepState, WorkflowState


def test_every_state_has_its_moves() -> None:
    assert set(MOVES) == set(JobState)


@pytest.mark.parametrize(
    ("words", "meanings"),
    [
        (JobState, MEANINGS),
        (StepState, STEP_MEANINGS),
        (WorkflowState, WORKFLOW_MEANINGS),
        (Rule, RULE_MEANINGS),
    ],
)
def test_every_word_has_its_sentence(words: type[StrEnum], meanings: Mapping[StrEnum, str]) -> None:
    assert set(meanings) == set(words)
    assert all(meanings.values())


def test_every_state_can_be_reached_and_only_completed_is_for_ever() -> None:
    reached = ENTRIES | {state for targets in MOVES.values() for state in targets}
    assert reached == set(JobState)
    assert {state for state, targets in MOVES.items() if not targets} == {JobState.COMPLETED}


def test_nothing_moves_to_itself() -> None:
    assert all(state not in targets for state, targets in MOVES.items())


def test_what_has_ended_begins_again_only_by_a_replay() -> None:
    for state in TERMINAL:
        assert MOVES[state] <= {JobState.QUEUED}
        assert ("replay" in actions(state)) == bool(MOVES[state])


def test_an_action_is_offered_only_where_a_move_allows_it() -> None:
    target = {"cancel": JobState.CANCELLED, "replay": JobState.QUEUED, "run_now": JobState.QUEUED}
    for action, aim in target.items():
        assert all(aim in MOVES[state] for state in ACTIONS[action])


def test_whoever_may_be_edited_can_still_run_and_only_what_runs_cannot_be_deleted() -> None:
    assert ACTIONS["edit"] == set(JobState) - TERMINAL - {JobState.RUNNING, JobState.BLOCKED}
    assert ACTIONS["delete"] == set(JobState) - {JobState.RUNNING, JobState.BLOCKED}
    assert ACTIONS["replay_as"] == TERMINAL


def test_every_refusal_of_an_action_has_its_reason() -> None:
    for state in JobState:
        reasons = action_reasons(state)
        assert [action for action, _, _ in reasons] == list(ACTIONS)
        assert [action for action, allowed, _ in reasons if allowed] == actions(state)
        assert all(bool(reason) != allowed for _, allowed, reason in reasons)
        assert all(reason.startswith(f"a {state} job ") for _, _, reason in reasons if reason)
