"""Plans and their steps as rows, as flow_submit.lua and flow_rerun.lua take them."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec.structs import astuple

from boltq.broker.call import pack
from boltq.broker.contract import StepInfoRow
from boltq.domain.ids import new_id
from boltq.domain.job import CONTROL_TYPE, NO_SPEC, Spec
from boltq.domain.workflow.form import StepKind
from boltq.domain.workflow.plan import EARLY, Group, Plan, PlannedStep
from boltq.domain.workflow.progress import spared_steps

_GROUPS: Final = {group: number for number, group in enumerate(Group, 1)}


def wire_plan(plan: Plan, workflow_id: str, partition: int, form: str = "", by: str = "") -> tuple[Any, ...]:
    """A new workflow as flow_submit.lua takes it; its jobs get their ids here. `by`: who submits it."""
    author = ["by", by] if by else []
    return workflow_id, [*wire_fields(plan, form), *author], wire_steps(plan, partition)


def wire_fields(plan: Plan, form: str) -> list[Any]:
    """The workflow's own fields."""
    head = msgspec.structs.replace(plan, steps=())
    fields: list[Any] = ["name", plan.name, "policy", plan.policy.value, "input", plan.input, "form", form]
    fields += ["plan", msgspec.json.encode(head).decode()]
    return [*fields, "timeout", round(plan.timeout_seconds * 1_000)] if plan.timeout_seconds else fields


def wire_steps(plan: Plan, partition: int, chosen: Iterable[str] | None = None) -> list[Any]:
    """The steps, or those that are chosen, as flow_submit.lua takes them; these wait only for each other."""
    numbers = {step.id: number for number, step in enumerate(plan.steps, 1)}
    spared, tags = spared_steps(plan), (" ".join(plan.tags),) if plan.tags else ()
    wanted = numbers.keys() if chosen is None else set(chosen)
    rows: list[Any] = []
    for step in plan.steps:
        if step.id in wanted:
            job = (new_id(partition), *job_of(step), *tags)
            info = _as_text(pack(_info(step, numbers, spared=step.id in spared, job=job[0])))
            waits = len(wanted & {*step.parents, *step.awaits})
            head = (info, _GROUPS[step.group], waits, _beginning(step))
            rows.append((numbers[step.id], head, msgspec.json.encode(step).decode(), job))
    return rows


def wire_again(plan: Plan, partition: int, chosen: Iterable[str], kept: set[str], subs: set[str]) -> list[Any]:
    """The chosen steps as flow_rerun.lua takes them.

    `kept`: maps of which what completed stays. `subs`: steps of which sub-workflows go on where they failed.
    """

    def how(step: PlannedStep) -> int:
        goes_on = step.id in subs and step.kind is StepKind.WORKFLOW
        if step.map is None:
            return 3 if goes_on else 0
        return (4 if goes_on else 2) if step.id in kept else 1

    codes = {number: how(step) for number, step in enumerate(plan.steps, 1)}
    return [(*row, codes[row[0]]) for row in wire_steps(plan, partition, chosen)]


def wire_infos(plan: Plan, chosen: Iterable[str]) -> list[Any]:
    """What is known of steps, without new jobs: [number, info, text]."""
    numbers = {step.id: number for number, step in enumerate(plan.steps, 1)}
    spared = spared_steps(plan)
    return [
        (
            numbers[step.id],
            _as_text(pack(astuple(_info(step, numbers, spared=step.id in spared, job=""))[:-1])),
            msgspec.json.encode(step).decode(),
        )
        for step in map(plan.by_id.__getitem__, chosen)
    ]


def _beginning(step: PlannedStep) -> str:
    """How a step comes to begin: "now" with its workflow, "early" perhaps before all that it waits for has ended."""
    if step.rule in EARLY:
        return "early"
    return "now" if begins_at_once(step) else ""


def begins_at_once(step: PlannedStep) -> bool:
    """Whether it begins with its workflow."""
    return step.group is Group.STEPS and not (step.parents or step.awaits) and step.rule not in EARLY


def _as_text(packed: bytes) -> msgspec.Raw:
    """Bytes as a text of msgpack: the scripts' reader knows no other bytes."""
    return msgspec.Raw(b"\xdb" + len(packed).to_bytes(4, "big") + packed)


def job_of(step: PlannedStep) -> tuple[str, str, str]:
    """Route, data and spec of a step's job."""
    plain = step.kind is StepKind.JOB and step.map is None
    asks = not plain or step.when is not None or step.refers
    spec = spec_of(step, asks=asks) if plain else Spec(step=True)
    return route_of(step, step.job_type if plain else CONTROL_TYPE), step.params, spec_text(spec)


def route_of(step: PlannedStep, job_type: str) -> str:
    """Queue, priority and type in one text."""
    return f"{step.queue} {int(step.priority)} {job_type}"


def spec_of(step: PlannedStep, *, asks: bool) -> Spec:
    """The options of a step's job, or of the jobs of its items."""
    attempts = step.retry.max_attempts if step.retry else None
    retry = step.retry if step.retry and (step.retry.backoff or step.retry.on is not None) else None
    return Spec(max_attempts=attempts, timeout=step.timeout_seconds, retry=retry, step=asks)


def spec_text(spec: Spec) -> str:
    """The spec as it is stored."""
    return "" if spec == NO_SPEC else msgspec.json.encode(spec).decode()


def _info(step: PlannedStep, numbers: dict[str, int], *, spared: bool, job: str) -> StepInfoRow:
    def numbered(ids: Iterable[str]) -> list[int]:
        return [numbers[other] for other in ids]

    return StepInfoRow(
        id=step.id,
        group=_GROUPS[step.group],
        parents=numbered(step.parents),
        awaits=numbered(step.awaits),
        dependents=numbered(step.dependents),
        rule=step.rule.value,
        at_least=step.at_least,
        allow_failure=int(step.allow_failure),
        spared=int(spared),
        kind="map" if step.map else "child" if step.kind is StepKind.WORKFLOW else step.kind.value,
        reads=numbered(step.reads),
        job=job,
    )
