"""Random lives of a queue on a real server, beside an independent model (see support/machine.py)."""

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from machine import REACHED, Machine


def test_random_lives(valkey: str, partitions: int, request: pytest.FixtureRequest) -> None:
    class Here(Machine):
        url = valkey

    Here.partitions = partitions
    run_state_machine_as_test(Here, settings=settings(stateful_step_count=40))
    print(REACHED["steps"], "steps;", len(REACHED) - 1, "kinds of moves, refusals and events")
