from boltq.domain.states import ACTIONS, ENTRIES, MOVES, TERMINAL, JobState, actions


def test_every_state_has_its_moves() -> None:
    assert set(MOVES) == set(JobState)


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
    for action, states in ACTIONS.items():
        assert all(target[action] in MOVES[state] for state in states)
