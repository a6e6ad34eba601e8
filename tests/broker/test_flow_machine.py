"""Lives of workflows on a real server, beside the rules: scripted and random ones (see support/model)."""

import pytest
from flow_scenarios import FLOW_SCENARIOS, FlowScenario
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from model.flow_machine import REACHED, FlowMachine, FlowWorld, small_budget
from night import by_day

from boltq.domain.workflow.rerun import RerunMode
from boltq.domain.workflow.states import StepState, WorkflowState


@pytest.mark.parametrize("small", [False, True], ids=["", "small budgets"])
@pytest.mark.parametrize("scenario", FLOW_SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_scripted_lives(scenario: FlowScenario, small: bool, valkey: str, partitions: int) -> None:
    world = FlowWorld(valkey, partitions=partitions, rewrite=small_budget if small else None, patient=small)
    try:
        scenario(world)
    finally:
        world.close()


@pytest.mark.timeout(0)
def test_random_lives(valkey: str, partitions: int) -> None:
    class Here(FlowMachine):
        url = valkey

    Here.partitions = partitions
    examples = max(by_day(10, 20), settings().max_examples // (by_day(4, 2) * partitions))
    run_state_machine_as_test(Here, settings=settings(max_examples=examples, stateful_step_count=40))
    print(f"\n{REACHED['steps']} steps; reached: {dict(sorted(REACHED.items()))}")


@pytest.mark.timeout(0)
def test_random_lives_with_small_budgets(valkey: str, partitions: int) -> None:
    class Here(FlowMachine):
        url = valkey
        rewrite = staticmethod(small_budget)
        patient = True

    Here.partitions = partitions
    examples = max(by_day(5, 10), settings().max_examples // (by_day(10, 5) * partitions))
    run_state_machine_as_test(Here, settings=settings(max_examples=examples, stateful_step_count=40))


def test_what_can_happen_to_a_workflow_has_happened() -> None:
    """Over this module. What is missing here is missing in the lives above."""
    steps = {f"cancel a step that is {state}" for state in StepState}
    reruns = {f"rerun {mode}" for mode in RerunMode}
    steered = {f"{verb} {state}" for verb in ("cancel", "pause", "resume") for state in WorkflowState}
    verbs = {"completed", "dead", "cancelled", "retrying", "snoozed", "released"}
    asked = {f"{verb} though asked to stop" for verb in verbs}
    others = {"handed", "lost", "poison", "stale", "timed out"}
    assert steps | reruns | steered | verbs | asked | others <= set(REACHED)
