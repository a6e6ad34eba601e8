"""What a step does when it begins: its `when` is evaluated, and its references are filled in."""

from typing import Any

import msgspec

from boltq.domain.job_error import Category, describe
from boltq.domain.outcome import DataError
from boltq.domain.workflow.bounds import MAX_MAP_BYTES
from boltq.domain.workflow.expression import parse_expression
from boltq.domain.workflow.form import OnTimeout, StepKind
from boltq.domain.workflow.maps import items_of
from boltq.domain.workflow.moments import delay_ms, moment_ms
from boltq.domain.workflow.plan import Plan, PlannedStep
from boltq.domain.workflow.scope import ReferenceScope
from boltq.domain.workflow.templates import fill


class Skip(msgspec.Struct, frozen=True):
    """`when` is false."""


class RunJob(msgspec.Struct, frozen=True):
    """Run the step's job with this data. JSON text."""

    data: str


class Expand(msgspec.Struct, frozen=True):
    """Do the step once for each item. JSON texts."""

    items: list[str]


class WaitFor(msgspec.Struct, frozen=True):
    """Wait so long, in milliseconds."""

    delay: int


class WaitUntil(msgspec.Struct, frozen=True):
    """Wait until then, in milliseconds since 1970."""

    moment: int


class AskPerson(msgspec.Struct, frozen=True):
    """Wait for a person's answer. The timeout in milliseconds; None: for ever."""

    prompt: str
    timeout: int | None
    on_timeout: OnTimeout


class StartWorkflow(msgspec.Struct, frozen=True):
    """Start a sub-workflow with this input. JSON text."""

    plan: Plan
    input: str


ItemAction = RunJob | WaitFor | WaitUntil | AskPerson | StartWorkflow
Prepared = Skip | Expand | ItemAction


def prepare(step: PlannedStep, scope: ReferenceScope) -> Prepared:
    """What the step does. Raises DataError, with which the step fails; it names the field and the reference."""
    if step.when is not None and not _asked(step.when, scope):
        return Skip()
    if step.map is not None:
        return Expand(items_of(_filled("map.over", step.map.over, scope)))
    return prepare_item(step, scope)


def prepare_item(step: PlannedStep, scope: ReferenceScope) -> ItemAction:
    """What the step does, without a map; with one, what it does for the item in the scope."""
    match step.kind:
        case StepKind.JOB:
            return RunJob(_filled("params", step.params, scope))
        case StepKind.WORKFLOW if step.workflow:
            return StartWorkflow(step.workflow, _merged(step.workflow.input, _filled("params", step.params, scope)))
        case StepKind.WAIT if step.wait:
            return _waiting(step.wait.seconds, step.wait.until, scope)
        case StepKind.APPROVAL if step.approval:
            prompt = _value("approval.prompt", step.approval.prompt, scope)
            timeout = step.approval.timeout_seconds
            text = prompt if isinstance(prompt, str) else msgspec.json.encode(prompt).decode()
            return AskPerson(text, None if timeout is None else delay_ms(timeout), step.approval.on_timeout)
    raise DataError(f"the step {step.id} has nothing to do")


def item_jobs(step: PlannedStep, scope: ReferenceScope, items: list[str]) -> list[tuple[str, str]]:
    """For each item, the data of its job and what is wrong with it. Raises DataError when all data are too large."""
    made, size = list[tuple[str, str]](), 0
    for item in items:
        made.append(_item_job(step, scope.with_item(item)))
        size += len(made[-1][0].encode())
        if size > MAX_MAP_BYTES:
            raise DataError(f"the data of {len(items)} items have more than {MAX_MAP_BYTES} bytes together")
    return made


def child_plan(step: PlannedStep, start: StartWorkflow) -> Plan:
    """The plan of the sub-workflow that a step starts."""
    seconds = step.timeout_seconds or start.plan.timeout_seconds
    return msgspec.structs.replace(start.plan, input=start.input, timeout_seconds=seconds)


def output_of(plan: Plan, scope: ReferenceScope) -> str:
    """The output of the workflow, as JSON text. Raises DataError."""
    return _filled("output", plan.output, scope)


def _item_job(step: PlannedStep, scope: ReferenceScope) -> tuple[str, str]:
    """The data of the job of the item in that scope, and what is wrong with it."""
    try:
        prepared = prepare_item(step, scope)
        return prepared.input if isinstance(prepared, StartWorkflow) else getattr(prepared, "data", "{}"), ""
    except DataError as error:
        return "{}", msgspec.json.encode(describe(error, Category.DATA)).decode()


def _asked(when: str, scope: ReferenceScope) -> bool:
    try:
        return parse_expression(when).holds(scope)
    except (DataError, ValueError) as error:
        raise DataError(f"when: {error}") from None


def _filled(field: str, text: str, scope: ReferenceScope) -> str:
    try:
        return fill(text, scope)
    except DataError as error:
        raise DataError(f"{field}: {error}") from None


def _value(field: str, value: Any, scope: ReferenceScope) -> Any:
    if not isinstance(value, str):
        return value
    return msgspec.json.decode(_filled(field, msgspec.json.encode(value).decode(), scope))


def _waiting(seconds: Any, until: Any, scope: ReferenceScope) -> WaitFor | WaitUntil:
    field, value = ("wait.until", until) if seconds is None else ("wait.seconds", seconds)
    found = _value(field, value, scope)
    try:
        return WaitUntil(moment_ms(found)) if seconds is None else WaitFor(delay_ms(found))
    except ValueError as error:
        raise DataError(f"{field}: not {error}") from None


def _merged(usual: str, given: str) -> str:
    """The input of a sub-workflow: its own, with what the step gives instead, field by field."""
    fields = msgspec.json.decode(usual, type=dict[str, msgspec.Raw])
    return msgspec.json.encode(fields | msgspec.json.decode(given, type=dict[str, msgspec.Raw])).decode()
