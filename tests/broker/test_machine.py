"""Lives of a queue on a real server, beside an independent model (see support/model): scripted and random ones."""

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from model.job import REACHED
from model.machine import Machine
from model.world import World, long_lists
from night import by_day
from scenarios import SCENARIOS, Scenario

from boltq.domain.states import ACTIONS, ENTRIES, MOVES, JobState


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_scripted_lives(scenario: Scenario, world: World) -> None:
    scenario(world)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_scripted_lives_with_long_lists(scenario: Scenario, valkey: str, partitions: int) -> None:
    world = World(valkey, partitions=partitions, rewrite=long_lists)
    scenario(world)
    world.close()


@pytest.mark.timeout(0)
def test_random_lives_with_long_lists(valkey: str, partitions: int) -> None:
    class Here(Machine):
        url = valkey
        rewrite = staticmethod(long_lists)

    Here.partitions = partitions
    examples = max(by_day(12, 25), settings().max_examples // (by_day(4, 2) * partitions))
    run_state_machine_as_test(Here, settings=settings(max_examples=examples, stateful_step_count=40))


@pytest.mark.timeout(0)
def test_random_lives(valkey: str, partitions: int) -> None:
    class Here(Machine):
        url = valkey

    Here.partitions = partitions
    examples = max(by_day(12, 25), settings().max_examples // (by_day(2, 1) * partitions))
    run_state_machine_as_test(Here, settings=settings(max_examples=examples, stateful_step_count=40))
    print(f"\n{REACHED['steps']} steps; reached: {dict(sorted(REACHED.items()))}")


def test_every_move_and_every_refusal_was_reached() -> None:
    """Over this module. What is missing here is missing in the scenarios above."""
    moves = {f"new -> {to}" for to in ENTRIES} | {f"{before} -> {to}" for before in MOVES for to in MOVES[before]}
    moves = {move for move in moves if "blocked" not in move}  # those of workflows: see test_workflows.py
    wrong = {
        f"{action} CONFLICT {state}"
        for action, states in ACTIONS.items()
        for state in JobState
        if state not in states
        and state is not JobState.BLOCKED
        and (action, state) != ("cancel", JobState.CANCELLED)  # that is as good as done
    }
    refusals = {
        "EXISTS", "DUPLICATE", "submit CONFLICT", "FULL", "settle LEASE_LOST", "settle NOT_FOUND", "cancel NOT_FOUND",
        "replay NOT_FOUND", "run_now NOT_FOUND", "delete NOT_FOUND", "edit NOT_FOUND", "replay_as NOT_FOUND",
        "cancel CHANGED", "replay CHANGED", "run_now CHANGED", "delete CHANGED", "replay_as CHANGED", "replay_as FULL",
        "register CONFLICT", "UNKNOWN_WORKER", "claim UNKNOWN",
    }  # fmt: skip
    events = {
        "cancel running", "poison", "suspect", "lost reply", "grace", "restart", "reaped", "handed", "look", "expired",
        "pruned by count", "pruned by age", "replay_as again replayed", "replay_as again CONFLICT",
        *(f"deleted {state}" for state in ACTIONS["delete"]),
    }  # fmt: skip
    assert moves | wrong | refusals | events <= set(REACHED)
