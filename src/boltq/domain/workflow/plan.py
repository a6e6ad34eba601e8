"""The plan: a workflow that was checked, with its steps in an order in which they can run. It can be stored as JSON."""

from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from typing import Final

import msgspec

from boltq.domain.job import Priority
from boltq.domain.retry import StepRetry
from boltq.domain.workflow.form import ApprovalForm, FailurePolicy, StepKind, WaitForm


class Group(StrEnum):
    """To which of the three lists a step belongs. They run one after another."""

    STEPS = "steps"
    ON_FAILURE = "on_failure"  # only when a step failed
    FINALLY = "finally"  # always, also after a cancel


class Rule(StrEnum):
    """When a step runs, by how its parents ended."""

    ALL_SUCCESS = "all_success"
    ALL_DONE = "all_done"
    ALL_FAILED = "all_failed"
    ALL_SKIPPED = "all_skipped"
    ONE_SUCCESS = "one_success"
    ONE_FAILED = "one_failed"
    ONE_DONE = "one_done"
    NONE_FAILED = "none_failed"
    NONE_FAILED_MIN_ONE_SUCCESS = "none_failed_min_one_success"
    AT_LEAST = "at_least"


RULE_MEANINGS: Final[Mapping[Rule, str]] = {
    Rule.ALL_SUCCESS: "completed, all of them",
    Rule.NONE_FAILED: "completed, or were skipped by their own `when`",
    Rule.NONE_FAILED_MIN_ONE_SUCCESS: "the same, and at least one completed",
    Rule.ALL_DONE: "ended, no matter how",
    Rule.ALL_FAILED: "failed, all of them (also if they were allowed to)",
    Rule.ALL_SKIPPED: "been skipped, all of them, and not because of a failure",
    Rule.ONE_DONE: "completed or failed, at least one",
    Rule.ONE_SUCCESS: "completed, at least one",
    Rule.ONE_FAILED: "failed, at least one (also if it was allowed to)",
    Rule.AT_LEAST: 'completed, so many at least: `{"at_least": 2}`',
}
"""How the parents of a step with that rule have ended when it runs: they have …"""

EARLY: Final = frozenset({Rule.ONE_SUCCESS, Rule.ONE_FAILED, Rule.ONE_DONE, Rule.AT_LEAST})
"""The rules of steps that may run before all their parents have ended."""


class PlannedMap(msgspec.Struct, frozen=True, omit_defaults=True):
    """The map of a step: its items, and its bounds. `over` is JSON text: a list, or a text that is one reference."""

    over: str
    max_concurrency: int | None = None
    tolerated_failures: int | str = 0


class PlannedStep(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One step. Ids of other steps stand in the plan's order. Texts are JSON text; times in seconds."""

    id: str
    group: Group = Group.STEPS
    kind: StepKind = StepKind.JOB
    parents: tuple[str, ...] = ()  # what `run_if` counts
    awaits: tuple[str, ...] = ()  # other steps that must have ended, in any way, because it refers to them
    dependents: tuple[str, ...] = ()  # the steps that have it among their parents or awaits
    level: int = 0  # the number of steps on the longest way to it, in its group
    rule: Rule = Rule.ALL_SUCCESS
    at_least: int = 0  # parents that must have completed, for the rule of that name
    reads: tuple[str, ...] = ()  # the steps whose ends its references need
    when: str | None = None
    map: PlannedMap | None = None
    allow_failure: bool = False
    job_type: str = ""
    params: str = "{}"
    queue: str = "default"
    priority: Priority = Priority.NORMAL
    retry: StepRetry | None = None
    timeout_seconds: float | None = None
    wait: WaitForm | None = None
    approval: ApprovalForm | None = None
    workflow: "Plan | None" = None
    refers: bool = False  # params, wait or prompt have references


class Plan(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True, dict=True):
    """A workflow that was checked. `steps` are in an order in which they can run, handlers last."""

    name: str
    steps: tuple[PlannedStep, ...]
    input: str = "{}"
    output: str = "null"
    policy: FailurePolicy = FailurePolicy.FAIL_FAST
    timeout_seconds: float | None = None
    tags: tuple[str, ...] = ()  # the tags of its steps' jobs
    longest_path: tuple[str, ...] = ()  # of the group `steps`

    @cached_property
    def by_id(self) -> dict[str, PlannedStep]:
        """The steps by their ids."""
        return {step.id: step for step in self.steps}

    def group(self, group: Group) -> list[PlannedStep]:
        """The steps of a group, in order."""
        return [step for step in self.steps if step.group is group]


class Description(msgspec.Struct, frozen=True):
    """What a dry run says of a plan. Sub-workflows count with all their steps and job types, but not as levels."""

    levels: list[list[str]]
    longest_path: list[str]
    job_types: list[str]
    steps: int


def describe(plan: Plan) -> Description:
    """What a dry run says of a plan."""
    main = plan.group(Group.STEPS)
    levels: list[list[str]] = [[] for _ in range(1 + max((step.level for step in main), default=-1))]
    for step in main:
        levels[step.level].append(step.id)
    everything = all_steps(plan)
    job_types = sorted({step.job_type for step in everything if step.job_type})
    return Description(levels, list(plan.longest_path), job_types, len(everything))


def all_steps(plan: Plan) -> list[PlannedStep]:
    """The steps of a plan and of its sub-workflows."""
    found: list[PlannedStep] = []
    plans = [plan]
    while plans:
        found += (steps := plans.pop().steps)
        plans += [step.workflow for step in steps if step.workflow]
    return found
