"""Lives of a queue on a real server, beside an independent model (see support/machine.py): scripted and random ones."""

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from machine import REACHED, Machine, World
from scenarios import SCENARIOS, Scenario

from boltq.domain.states import ACTIONS, ENTRIES, MOVES, JobState


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_scripted_lives(scenario: Scenario, world: World) -> None:
    scenario(world)


@pytest.mark.timeout(0)
def test_random_lives(valkey: str, partitions: int) -> None:
    class Here(Machine):
        url = valkey

    Here.partitions = partitions
    examples = max(25, settings().max_examples // partitions)
    run_state_machine_as_test(Here, settings=settings(max_examples=examples, stateful_step_count=40))
    print(f"\n{REACHED['steps']} steps; reached: {dict(sorted(REACHED.items()))}")


def test_every_move_and_every_refusal_was_reached() -> None:
    """Over this module. What is missing here is missing in the scenarios above."""
    moves = {f"new -> {to}" for to in ENTRIES} | {f"{before} -> {to}" for before in MOVES for to in MOVES[before]}
    wrong = {
        f"{action} CONFLICT {state}"
        for action, states in ACTIONS.items()
        for state in JobState
        if state not in states and (action, state) != ("cancel", JobState.CANCELLED)  # that is as good as done
    }
    refusals = {
        "EXISTS", "DUPLICATE", "submit CONFLICT", "FULL", "settle LEASE_LOST", "settle NOT_FOUND", "cancel NOT_FOUND",
        "replay NOT_FOUND", "run_now NOT_FOUND", "register CONFLICT", "UNKNOWN_WORKER", "claim UNKNOWN",
    }  # fmt: skip
    events = {
        "cancel running", "poison", "suspect", "lost reply", "grace", "restart", "reaped", "handed", "look", "expired",
        "pruned by count", "pruned by age",
    }  # fmt: skip
    assert moves | wrong | refusals | events <= set(REACHED)
