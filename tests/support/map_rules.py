"""The rules by which a map goes on. Lua follows them (lib/flow_maps.lua); only tests ask here, to compare."""

from collections.abc import Iterable, Sequence

from boltq.domain.workflow.maps import has_lost
from boltq.domain.workflow.plan import PlannedMap
from boltq.domain.workflow.states import MapStats, StepState


def count(total: int, states: Iterable[StepState]) -> MapStats:
    """How the items of a map stand; `states` are those of its items that have begun."""
    found = list(states)
    return MapStats(
        total=total,
        completed=found.count(StepState.COMPLETED),
        failed=found.count(StepState.FAILED),
        cancelled=found.count(StepState.CANCELLED),
    )


def state_of_map(stats: MapStats, begun: int, failures: int | str, *, stopped: bool = False) -> StepState:
    """Where a map stands of which `begun` items have begun; without items it completed.

    When it has lost more items than it may, or was stopped, no item begins any more, and it ends when those that run
    have ended.
    """
    lost = has_lost(stats, failures)
    if stats.ended < begun or (begun < stats.total and not (lost or stopped)):
        return StepState.RUNNING
    if stopped and (stats.cancelled or begun < stats.total):
        return StepState.CANCELLED
    return StepState.FAILED if lost else StepState.COMPLETED


def next_items(stats: MapStats, begun: int, mapping: PlannedMap) -> range:
    """The items that may begin now, by their numbers, when the first `begun` of them have begun."""
    most = stats.total if mapping.max_concurrency is None else mapping.max_concurrency
    room = 0 if has_lost(stats, mapping.tolerated_failures) else max(0, most - (begun - stats.ended))
    return range(begun, min(stats.total, begun + room))


def items_to_rerun(states: Sequence[StepState]) -> list[int]:
    """The items that begin anew when only what failed is run again, by their numbers."""
    return [number for number, state in enumerate(states) if state is not StepState.COMPLETED]
