"""How a workflow goes on: from how its steps stand to what happens next. The store's scripts follow these rules.

A step is decided when all its parents have ended, and not before: then everything that comes before it has ended too.
Only the rules one_success, one_failed, one_done and at_least let it run earlier. What it refers to must have ended in
any case.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Final

import msgspec

from boltq.domain.workflow.form import FailurePolicy, StepKind
from boltq.domain.workflow.plan import EARLY, Group, Plan, PlannedStep, Rule
from boltq.domain.workflow.states import ENDED, UNSTARTED, StepState, WorkflowState

States = Mapping[str, StepState]  # of every step of a plan, by its id


class Standing(StrEnum):
    """What a step means for those that depend on it."""

    OPEN = "open"  # it has not ended
    GOOD = "good"  # it completed
    TOLERATED = "tolerated"  # it failed or was cancelled, and `allow_failure` says that this does not matter
    BAD = "bad"  # it failed
    LOST = "lost"  # it was cancelled, or skipped because something before it was bad or lost
    PASSED = "passed"  # it was skipped on purpose: by `when`, or because such a step came before it


class Decision(StrEnum):
    """What becomes of a step whose turn may have come."""

    RUN = "run"
    SKIP = "skip"
    WAIT = "wait"


class Ending(StrEnum):
    """Why a workflow has to end before it is done."""

    CANCELLED = "cancelled"  # a person said so
    TIMED_OUT = "timed_out"  # its timeout_seconds are over


class Advance(msgspec.Struct, frozen=True):
    """What happens next. Ids in the plan's order. Applying it and asking again changes nothing."""

    ready: tuple[str, ...]  # to be queued
    skipped: tuple[str, ...]  # these become skipped: their rule does not hold
    cancelled: tuple[str, ...]  # these become cancelled: nothing runs for them
    stopped: tuple[str, ...]  # these run, and are asked to stop; they are named until they have ended
    end: WorkflowState | None  # the workflow's end; None while something is open
    states: dict[str, StepState]  # of all steps, with all that applied


def advance(plan: Plan, states: States, ending: Ending | None = None) -> Advance:
    """What happens next, given where the steps stand. Only tests ask here: they compare lib/flow_go_on.lua with it."""
    return _Round(plan, states, ending).result()


def decide(step: PlannedStep, parents: Iterable[Standing], awaited: Iterable[Standing] = ()) -> Decision:
    """Whether a pending step runs, given what its parents mean for it, and those that it only awaits."""
    counts = Counter(parents)
    holds = _holds(step, counts)
    if Standing.OPEN in awaited:
        return Decision.WAIT
    if counts[Standing.OPEN]:
        return Decision.RUN if holds and step.rule in EARLY else Decision.WAIT
    return Decision.RUN if holds else Decision.SKIP


def standings(plan: Plan, states: States) -> dict[str, Standing]:
    """What each step means for those that depend on it."""
    found: dict[str, Standing] = {}
    for step in plan.steps:
        found[step.id] = standing_of(step, states[step.id], (found[parent] for parent in step.parents))
    return found


def standing_of(step: PlannedStep, state: StepState, parents: Iterable[Standing]) -> Standing:
    """What a step means for those that depend on it; `parents` is what its own parents mean for it."""
    match state:
        case StepState.COMPLETED:
            return Standing.GOOD
        case StepState.FAILED | StepState.CANCELLED if step.allow_failure:
            return Standing.TOLERATED
        case StepState.FAILED:
            return Standing.BAD
        case StepState.CANCELLED:
            return Standing.LOST
        case StepState.SKIPPED:
            counts = Counter(parents)
            lost = counts[Standing.BAD] or counts[Standing.LOST]
            return Standing.LOST if lost and not _holds(step, counts) else Standing.PASSED
    return Standing.OPEN


def stopped_by_failure(plan: Plan, states: States) -> list[str]:
    """What fail_fast cancels and stops: every open step, unless it is there for a failure or something runs for it.

    Steps with the rule all_done, all_failed, one_done or one_failed are there for it, and so is what follows on them. A
    map or a sub-workflow that runs is stopped too, since it would begin more.
    """
    spared = spared_steps(plan)
    open_steps = (step for step in plan.group(Group.STEPS) if step.id not in spared)
    return [step.id for step in open_steps if _is_stoppable(step, states[step.id])]


def spared_steps(plan: Plan) -> set[str]:
    """The steps that are there for a failure, and all that follows on them: whether that has ended or not."""
    spared: set[str] = set()
    for step in plan.group(Group.STEPS):
        if (step.parents and step.rule in _FOR_FAILURES) or not spared.isdisjoint(step.parents):
            spared.add(step.id)
    return spared


def outcome(plan: Plan, states: States, ending: Ending | None = None) -> WorkflowState | None:
    """How the steps ended, the handlers aside; None while one is open."""
    main = plan.group(Group.STEPS)
    if any(states[step.id] not in ENDED for step in main):
        return None
    cancelled = any(states[step.id] is StepState.CANCELLED for step in main)
    if ending and cancelled:
        return WorkflowState.CANCELLED if ending is Ending.CANCELLED else WorkflowState.FAILED
    return WorkflowState.FAILED if any(_fails(step, states) for step in main) else WorkflowState.COMPLETED


def first_failure(plan: Plan, states: States, group: Group = Group.STEPS) -> str | None:
    """The step of which `error` speaks in the handlers: the first in the plan's order that failed and had not to."""
    failed = [step for step in plan.group(group) if states[step.id] is StepState.FAILED]
    return next((step.id for step in failed if not step.allow_failure), None)


def cause_of(plan: Plan, states: States) -> str | None:
    """The step for which a workflow has failed; None when none did: one was cancelled, or its time was up."""
    return first_failure(plan, states) or first_failure(plan, states, Group.FINALLY)


def waits_for(plan: Plan, states: States, step_id: str) -> list[str]:
    """The steps because of which a pending step does not run yet; a handler waits for all that come before it."""
    step = plan.by_id[step_id]
    needed = (*step.parents, *step.awaits)
    if not step.parents:
        earlier = {other.id for other in plan.steps if _ORDER[other.group] < _ORDER[step.group]}
        needed = tuple(other.id for other in plan.steps if other.id in earlier or other.id in step.awaits)
    return [other for other in dict.fromkeys(needed) if states[other] not in ENDED]


def why_skipped(
    plan: Plan,
    states: States,
    step_id: str,
    meant: Mapping[str, Standing] | None = None,
    ending: Ending | None = None,
) -> str:
    """Why a skipped step did not run, in words. `meant`: the standings, for who asks about many steps."""
    step = plan.by_id[step_id]
    if step.group is Group.ON_FAILURE and outcome(plan, states, ending) is not WorkflowState.FAILED:
        return "it was not needed: the workflow was cancelled" if ending else "it was not needed: no step has failed"
    found = standings(plan, states) if meant is None else meant
    if _holds(step, Counter(found[parent] for parent in step.parents)):
        return "when is false" if step.when else "it was not needed"
    ended = ", ".join(f"{parent} {states[parent]}" for parent in step.parents)
    return f"{step.rule} does not hold: {ended}"


_ORDER: Final = {group: number for number, group in enumerate(Group)}
_FOR_FAILURES: Final = frozenset({Rule.ALL_DONE, Rule.ALL_FAILED, Rule.ONE_DONE, Rule.ONE_FAILED})


class _Round:
    """One look at a whole workflow, in the plan's order, so that each step is looked at after its parents."""

    def __init__(self, plan: Plan, states: States, ending: Ending | None) -> None:
        self._plan = plan
        self._states = {step.id: states.get(step.id, StepState.PENDING) for step in plan.steps}
        self._ending = ending
        self._ready: list[str] = []
        self._skipped: list[str] = []
        self._cancelled: list[str] = []
        self._stopped: list[str] = []

    def result(self) -> Advance:
        """Cancels, then decides one group after the other."""
        self._cut_short()
        self._decide_all(Group.STEPS)
        end = self._handle(outcome(self._plan, self._states, self._ending))
        return Advance(
            ready=tuple(self._ready),
            skipped=tuple(self._skipped),
            cancelled=tuple(self._cancelled),
            stopped=tuple(self._stopped),
            end=end,
            states=self._states,
        )

    def _cut_short(self) -> None:
        if self._ending:
            self._stop([step.id for step in self._plan.group(Group.STEPS)])
        elif self._plan.policy is FailurePolicy.FAIL_FAST and self._has_failed():
            self._stop(stopped_by_failure(self._plan, self._states))

    def _has_failed(self) -> bool:
        return any(_fails(step, self._states) for step in self._plan.group(Group.STEPS))

    def _stop(self, ids: list[str]) -> None:
        for step_id in ids:
            if self._states[step_id] in UNSTARTED:
                self._states[step_id] = StepState.CANCELLED
                self._cancelled.append(step_id)
            elif self._states[step_id] not in ENDED:
                self._stopped.append(step_id)

    def _decide_all(self, group: Group) -> None:
        found = standings(self._plan, self._states)
        for step in self._plan.group(group):
            if self._states[step.id] is StepState.PENDING:
                self._decide(step, found)

    def _decide(self, step: PlannedStep, found: dict[str, Standing]) -> None:
        parents = [found[parent] for parent in step.parents]
        match decide(step, parents, [found[awaited] for awaited in step.awaits]):
            case Decision.RUN:
                self._states[step.id] = StepState.QUEUED
                self._ready.append(step.id)
            case Decision.SKIP:
                self._states[step.id] = StepState.SKIPPED
                self._skipped.append(step.id)
        found[step.id] = standing_of(step, self._states[step.id], parents)

    def _handle(self, ended: WorkflowState | None) -> WorkflowState | None:
        """The handlers' turn, when the steps have ended; then the end."""
        if ended is None:
            return None
        if ended is not WorkflowState.FAILED:
            self._leave_out(Group.ON_FAILURE)
        if self._ending is Ending.CANCELLED:  # also when it comes while they run
            self._stop([step.id for step in self._plan.group(Group.ON_FAILURE)])
        elif ended is WorkflowState.FAILED:
            self._decide_all(Group.ON_FAILURE)
        if self._is_open(Group.ON_FAILURE):
            return None
        self._decide_all(Group.FINALLY)
        if self._is_open(Group.FINALLY):
            return None
        broken = any(_fails(step, self._states) for step in self._plan.group(Group.FINALLY))
        return WorkflowState.FAILED if broken and ended is WorkflowState.COMPLETED else ended

    def _leave_out(self, group: Group) -> None:
        for step in self._plan.group(group):
            if self._states[step.id] is StepState.PENDING:
                self._states[step.id] = StepState.SKIPPED
                self._skipped.append(step.id)

    def _is_open(self, group: Group) -> bool:
        return any(self._states[step.id] not in ENDED for step in self._plan.group(group))


def _holds(step: PlannedStep, counts: Counter[Standing]) -> bool:
    """Whether a step's rule holds for parents with these standings."""
    return _RULES[step.rule](_Counted(counts), step)


class _Counted:
    """The number of parents with each standing."""

    def __init__(self, counts: Counter[Standing]) -> None:
        self.all = counts.total()
        self.good = counts[Standing.GOOD]
        self.failed = counts[Standing.BAD] + counts[Standing.TOLERATED]
        self.hurt = counts[Standing.BAD] + counts[Standing.LOST]  # what keeps others from running
        self.passed = counts[Standing.PASSED]


_RULES: Final[dict[Rule, Callable[[_Counted, PlannedStep], bool]]] = {
    Rule.ALL_SUCCESS: lambda n, _: not n.hurt and not n.passed,
    Rule.ALL_DONE: lambda _n, _: True,
    Rule.ALL_FAILED: lambda n, _: n.failed == n.all,
    Rule.ALL_SKIPPED: lambda n, _: n.passed == n.all,
    Rule.ONE_SUCCESS: lambda n, _: n.good > 0,
    Rule.ONE_FAILED: lambda n, _: n.failed > 0,
    Rule.ONE_DONE: lambda n, _: n.good + n.failed > 0,
    Rule.NONE_FAILED: lambda n, _: not n.hurt,
    Rule.NONE_FAILED_MIN_ONE_SUCCESS: lambda n, _: not n.hurt and n.good > 0,
    Rule.AT_LEAST: lambda n, step: n.good >= step.at_least,
}


def _fails(step: PlannedStep, states: States) -> bool:
    """Whether the workflow fails because of a step."""
    return states[step.id] in (StepState.FAILED, StepState.CANCELLED) and not step.allow_failure


def _is_stoppable(step: PlannedStep, state: StepState) -> bool:
    begins_more = step.map is not None or step.kind is StepKind.WORKFLOW
    return state in UNSTARTED or (begins_more and state not in ENDED)
