"""Running a workflow again: which steps begin anew. The others keep their results."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Literal

import msgspec

from boltq.domain.workflow.compiler import named_steps
from boltq.domain.workflow.form import EMPTY, StepKind, WorkflowForm
from boltq.domain.workflow.mistakes import InvalidWorkflow, Mistake, escaped, raise_if_any
from boltq.domain.workflow.plan import Group, Plan
from boltq.domain.workflow.progress import States
from boltq.domain.workflow.states import StepState


class RerunMode(StrEnum):
    """What is run again, besides the handlers, which always are."""

    ALL = "all"
    FAILED_ONLY = "failed_only"  # what failed or was cancelled, and what was skipped after it
    FAILED_AND_DOWNSTREAM = "failed_and_downstream"  # what failed or was cancelled, and all that comes after it
    FROM_STEP = "from_step"  # one step and all that comes after it; and what else keeps the workflow from succeeding


RerunWord = Literal["all", "failed_only", "failed_and_downstream", "from_step"]


def steps_to_rerun(plan: Plan, states: States, mode: RerunMode, from_step: str | None = None) -> tuple[str, ...]:
    """The steps that become pending again, in the plan's order; none when there is nothing to do.

    `from_step` is for the mode of that name. Raises InvalidWorkflow when it does not fit.
    """
    if mode is RerunMode.FROM_STEP:
        chosen = _start(plan, from_step) | _blocking(plan, states)
    elif from_step is not None:
        raise InvalidWorkflow([("/from_step", f"only with the mode {RerunMode.FROM_STEP}")])
    elif mode is RerunMode.ALL:
        chosen = {step.id for step in plan.group(Group.STEPS)}
    else:
        chosen = _unsuccessful(plan, states)
        after = downstream(plan, chosen)
        chosen |= after if mode is RerunMode.FAILED_AND_DOWNSTREAM else _skipped(after, states)
    handlers = {step.id for step in plan.steps if step.group is not Group.STEPS}
    if not chosen and all(states[handler] in (StepState.COMPLETED, StepState.SKIPPED) for handler in handlers):
        return ()
    return tuple(step.id for step in plan.steps if step.id in chosen or step.id in handlers)


def going_on(plan: Plan, states: States, mode: RerunMode, chosen: Collection[str]) -> set[str]:
    """The chosen maps and sub-workflows in which only what did not succeed begins anew.

    They failed or were cancelled, what did not is not run again, and nothing that comes before them is.
    """
    if mode not in (RerunMode.FAILED_ONLY, RerunMode.FAILED_AND_DOWNSTREAM):
        return set()
    later = downstream(plan, set(chosen))
    steps = (plan.by_id[step] for step in _unsuccessful(plan, states))
    return {step.id for step in steps if step.map is not None or step.kind is StepKind.WORKFLOW} - later


def out_of_place(plan: Plan, chosen: Collection[str], mode: RerunMode, named: Iterable[str]) -> Iterator[Mistake]:
    """What is wrong with giving these steps other params: who does not begin anew keeps the result of those it had."""
    for step in named:
        if step not in plan.by_id:
            yield f"/params/{escaped(step)}", "there is no such step"
        elif step not in chosen:
            yield f"/params/{escaped(step)}", f"the step does not begin anew with the mode {mode}"


def with_params(form: WorkflowForm, params: Mapping[str, msgspec.Raw]) -> WorkflowForm:
    """The form with other params for the steps that are named, to be compiled anew. Raises InvalidWorkflow."""
    places = {step_id: at.split("/")[1:] for _, step_id, at, _ in named_steps(form)}
    raise_if_any((f"/params/{escaped(step)}", "there is no such step") for step in params if step not in places)
    lists = {"steps": list(form.steps), "on_failure": list(form.on_failure), "finally": list(form.finally_)}
    for step, given in params.items():
        name, number = places[step]
        lists[name][int(number)] = msgspec.structs.replace(lists[name][int(number)], params=given, input=EMPTY)
    return msgspec.structs.replace(
        form, steps=lists["steps"], on_failure=lists["on_failure"], finally_=lists["finally"]
    )


def downstream(plan: Plan, chosen: set[str]) -> set[str]:
    """All steps that come after the chosen ones."""
    found: set[str] = set()
    for step in plan.steps:  # parents come first; what it awaits comes before one of them
        if any(parent in chosen or parent in found for parent in step.parents):
            found.add(step.id)
    return found


def _start(plan: Plan, from_step: str | None) -> set[str]:
    step = plan.by_id.get(from_step or "")
    if step is None:
        raise InvalidWorkflow([("/from_step", f"there is no step {from_step!r:.100}" if from_step else "required")])
    if step.group is not Group.STEPS:
        raise InvalidWorkflow([("/from_step", f"{step.id} is one of {step.group}, which always run again")])
    return {step.id} | downstream(plan, {step.id})


def _blocking(plan: Plan, states: States) -> set[str]:
    """What keeps the workflow from succeeding if it stays as it is; with fail_fast it would stop the rest at once."""
    bad = {step_id for step_id in _unsuccessful(plan, states) if not plan.by_id[step_id].allow_failure}
    return bad | _skipped(downstream(plan, bad), states)


def _unsuccessful(plan: Plan, states: States) -> set[str]:
    bad = (StepState.FAILED, StepState.CANCELLED)
    return {step.id for step in plan.group(Group.STEPS) if states[step.id] in bad}


def _skipped(steps: set[str], states: States) -> set[str]:
    return {step for step in steps if states[step] is StepState.SKIPPED}
