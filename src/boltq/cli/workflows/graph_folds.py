"""Which steps of a graph are drawn, in what order: of many that are alike only a few, the others as one."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from boltq.domain.workflow.graph import Edges, dependents_of

_ALIKE: Final = 8  # of many steps alike, so many are drawn


class GraphNode(NamedTuple):
    """A line of the drawing: one step, or several that are folded; and the nodes before it, by number."""

    steps: list[int]
    parents: list[int]


def nodes_of(parents: Edges, urgency: Sequence[int], most: int) -> list[GraphNode]:
    """The nodes in an order for drawing. `urgency`: those of the lowest are not folded; `most`: fold if more steps."""
    nodes = [GraphNode([step], list(before)) for step, before in enumerate(parents)]
    return _in_order(nodes if len(nodes) <= most else _folded(parents, urgency))


def _in_order(nodes: Sequence[GraphNode]) -> list[GraphNode]:
    """Each as soon as possible after those before it: that keeps the rails short."""
    parents = [node.parents for node in nodes]
    following = dependents_of(parents)
    missing = [len(before) for before in parents]
    ready = [number for number in reversed(range(len(nodes))) if not missing[number]]
    place: dict[int, int] = {}
    while ready:
        number = ready.pop()
        place[number] = len(place)
        for dependent in reversed(following[number]):
            missing[dependent] -= 1
            if not missing[dependent]:
                ready.append(dependent)
    return [GraphNode(nodes[number].steps, sorted(place[one] for one in parents[number])) for number in place]


def _folded(parents: Edges, urgency: Sequence[int]) -> list[GraphNode]:
    """A few of those that have the same steps before and after them, and one node for their others."""
    alike: dict[tuple[tuple[int, ...], tuple[int, ...]], list[int]] = {}
    for step, after in enumerate(dependents_of(parents)):
        alike.setdefault((tuple(parents[step]), tuple(after)), []).append(step)
    inside = sorted((part for steps in alike.values() for part in _parts(steps, urgency)), key=max)
    node_of = {step: number for number, steps in enumerate(inside) for step in steps}
    return [GraphNode(steps, sorted({node_of[parent] for parent in parents[steps[0]]})) for steps in inside]


def _parts(steps: list[int], urgency: Sequence[int]) -> list[list[int]]:
    """The ones that one wants to see, each by itself, and the others together."""
    if len(steps) <= _ALIKE + 1:
        return [[step] for step in steps]
    chosen = set(sorted(steps, key=urgency.__getitem__)[:_ALIKE])
    return [*([step] for step in sorted(chosen)), [step for step in steps if step not in chosen]]
