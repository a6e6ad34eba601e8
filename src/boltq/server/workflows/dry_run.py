"""What would become of a workflow, without submitting it: its mistakes, its shape, and what nobody would run."""

from collections import Counter
from collections.abc import Mapping
from typing import Annotated

import msgspec

from boltq.broker.inspector import Inspector, QueueStats
from boltq.broker.workflows.plan_rows import begins_at_once
from boltq.domain.errors import InvalidJob
from boltq.domain.job import CONTROL_TYPE
from boltq.domain.scopes import Scope
from boltq.domain.workflow.plan import Plan, all_steps, describe
from boltq.server.backend import Backend
from boltq.server.http.caller import Caller
from boltq.server.http.mistakes import MistakeView
from boltq.server.why import Surroundings
from boltq.server.workflows.forms import queues_of


class UnservedView(msgspec.Struct, frozen=True, kw_only=True):
    """Steps that would wait, since no live worker takes them."""

    job_type: Annotated[str, msgspec.Meta(description=f"{CONTROL_TYPE}: what any worker of the queue does by itself")]
    queue: str
    reason: str


class WorkflowDryRunView(msgspec.Struct, kw_only=True):
    """What would become of a workflow. Nothing was written."""

    valid: bool
    errors: list[MistakeView] = []
    warnings: list[str] = []
    levels: Annotated[
        list[list[str]], msgspec.Meta(description="its steps, handlers aside, by the longest way to them")
    ] = []
    longest_path: list[str] = []
    job_types: Annotated[list[str], msgspec.Meta(description="those of sub-workflows included")] = []
    unserved: list[UnservedView] = []
    steps: Annotated[int, msgspec.Meta(description="those of sub-workflows included")] = 0


def refused_workflow(error: InvalidJob) -> WorkflowDryRunView:
    """Of a workflow with mistakes."""
    return WorkflowDryRunView(valid=False, errors=[MistakeView(pointer, reason) for pointer, reason in error.errors])


async def accepted_workflow(backend: Backend, caller: Caller, plan: Plan) -> WorkflowDryRunView:
    """Of one that would be accepted."""
    unserved, about = await unserved_of(backend, plan), describe(plan)
    return WorkflowDryRunView(
        valid=True,
        warnings=[*warnings_of(unserved), *(await _pauses_and_limits(backend, caller, plan))],
        levels=about.levels,
        longest_path=about.longest_path,
        job_types=about.job_types,
        unserved=unserved,
        steps=about.steps,
    )


async def unserved_of(backend: Backend, plan: Plan) -> list[UnservedView]:
    """Job types and queues of a workflow that no live worker takes."""
    workers = await backend.read(Inspector.workers)
    wanted = dict.fromkeys((step.job_type or CONTROL_TYPE, step.queue) for step in all_steps(plan))
    return [
        UnservedView(job_type=job_type, queue=queue, reason=obstacle.text)
        for job_type, queue in wanted
        for obstacle in Surroundings(QueueStats(name=queue), workers).obstacles(job_type)[:1]
    ]


def warnings_of(unserved: list[UnservedView]) -> list[str]:
    """The warnings as sentences, each once."""
    return list(dict.fromkeys(f"{one.reason}: its steps wait for one that does" for one in unserved))


async def _pauses_and_limits(backend: Backend, caller: Caller, plan: Plan) -> list[str]:
    """The workflow's queues that are paused or too full; none where the caller may not see queues."""
    if not caller.grants.allow(Scope.READ):
        return []
    queues = {queue.name: queue for queue in await backend.read(Inspector.queues)}
    paused = [queues[name] for name in queues_of(plan) if name in queues and queues[name].paused]
    return [
        *(Surroundings(queue, ()).obstacles("")[0].text for queue in paused),
        *_limits(plan, queues, backend.settings.max_queue_depth),
    ]


def _limits(plan: Plan, queues: Mapping[str, QueueStats], usual: int) -> list[str]:
    """The queues for which it would be refused now."""
    wanted = Counter(step.queue for step in plan.steps if begins_at_once(step))
    found = []
    for name in queues_of(plan):
        queue = queues.get(name) or QueueStats(name=name)
        most, waiting = queue.limit or usual, queue.queued + queue.scheduled
        if most and waiting + max(1, wanted[name]) > most:
            begin = f", and {wanted[name]} of its steps begin at once" if wanted[name] else ""
            found.append(f"queue {name} is full for it: {waiting} jobs wait{begin}; at most {most} may wait")
    return found
