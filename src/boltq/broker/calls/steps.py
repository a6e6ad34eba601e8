"""What a worker says of a step that it has claimed: a function for each verb of flow_step.lua, each answers a word."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from boltq.broker.call import Call, Row
from boltq.broker.calls import workflows
from boltq.domain.workflow.approvals import Answer


class StepClaim(NamedTuple):
    """The claim of a step's job, by which the store knows that it is still the worker's."""

    partition: int
    job_id: str
    delivery: int
    worker: str


def filled(claim: StepClaim, data: str) -> Call[str]:
    """The step runs, with these data: all references are filled in."""
    return _said(claim, "filled", data)


def skip(claim: StepClaim) -> Call[str]:
    """The step's `when` is false: it does not run."""
    return _said(claim, "skip")


def wait_for_time(claim: StepClaim, until: int) -> Call[str]:
    """The step waits until a time (ms), which a pause of its workflow puts off."""
    return _said(claim, "wait", until)


def wait_for_moment(claim: StepClaim, until: int) -> Call[str]:
    """The step waits until a moment (ms), which a pause of its workflow does not put off."""
    return _said(claim, "wait", until, 1)


def ask(claim: StepClaim, prompt: str, until: int | None) -> Call[str]:
    """The step waits for a person's answer until a time (ms), None: for ever. Prompt "": the one that it has stays."""
    return _said(claim, "ask", prompt, until or 0)


def answer(claim: StepClaim, given: Answer) -> Call[str]:
    """The step takes this as its answer, unless somebody has answered."""
    return _said(claim, "answer", msgspec.json.encode(given).decode())


def items(claim: StepClaim, first: int, rows: Sequence[Row], route: str, spec: str, spec_of_broken: str) -> Call[str]:
    """Some items of the step's map get jobs: rows of id, data, and what is wrong with the item."""
    return _said(claim, "items", first, rows, route, spec, spec_of_broken)


def expand(claim: StepClaim, total: int, at_a_time: int, bearable: int) -> Call[str]:
    """The step begins its map, whose items all have jobs by now; so many may fail."""
    return _said(claim, "expand", total, at_a_time, bearable)


def child(claim: StepClaim, plan: Row) -> Call[str]:
    """The step starts a sub-workflow, as wire_plan makes it."""
    return _said(claim, "child", plan)


def again(claim: StepClaim, workflow_id: str, generation: int, rows: Sequence[Row]) -> Call[str]:
    """The step's earlier sub-workflow goes on with these steps of wire_again; without steps, it runs already."""
    return _said(claim, "again", workflow_id, generation, rows)


def _said(claim: StepClaim, verb: str, *about: object) -> Call[str]:
    return workflows.step(*claim, verb, about)
