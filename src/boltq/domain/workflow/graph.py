"""Graphs of steps, as lists of parents by number. Nothing here calls itself, so a chain of a thousand is no problem."""

from collections.abc import Sequence

Edges = Sequence[Sequence[int]]  # for each step, by its number, its parents


def dependents_of(parents: Edges) -> list[list[int]]:
    """The edges reversed: for each step its children."""
    dependents: list[list[int]] = [[] for _ in parents]
    for step, before in enumerate(parents):
        for parent in before:
            dependents[parent].append(step)
    return dependents


def levels_of(parents: Edges) -> list[int | None]:
    """The number of steps on the longest way to each step; None for what is in a cycle, or comes after one."""
    dependents = dependents_of(parents)
    open_parents = [len(before) for before in parents]
    levels: list[int | None] = [None] * len(parents)
    ready = [step for step, count in enumerate(open_parents) if not count]
    level = 0
    while ready:
        following: list[int] = []
        for step in ready:
            levels[step] = level
            for dependent in dependents[step]:
                open_parents[dependent] -= 1
                if not open_parents[dependent]:
                    following.append(dependent)
        ready, level = following, level + 1
    return levels


def order_of(levels: Sequence[int]) -> list[int]:
    """The steps in an order in which they can run: by level, and within one as they were given."""
    return sorted(range(len(levels)), key=levels.__getitem__)


def cycles_of(parents: Edges, most: int = 5) -> list[list[int]]:
    """The first cycles, each as the steps that need one another in turn. No two share a step."""
    kept = [list(before) for before in parents]
    cycles: list[list[int]] = []
    while None in (levels := levels_of(kept)) and len(cycles) < most:
        cycle = _cycle_from(levels.index(None), kept, levels)
        cycles.append(cycle)
        for step in cycle:
            kept[step] = []
    return cycles


def ancestors_of(parents: Edges, order: Sequence[int]) -> list[int]:
    """For each step the set of all steps that come before it, as bits of a number."""
    ancestors = [0] * len(parents)
    for step in order:
        for parent in parents[step]:
            ancestors[step] |= ancestors[parent] | 1 << parent
    return ancestors


def longest_path(parents: Edges, levels: Sequence[int]) -> list[int]:
    """The steps on a longest way through the graph; the first one given, where there are several."""
    if not levels:
        return []
    path = [max(range(len(levels)), key=levels.__getitem__)]
    while level := levels[path[-1]]:
        path.append(next(parent for parent in parents[path[-1]] if levels[parent] == level - 1))
    return path[::-1]


def _cycle_from(start: int, parents: Edges, levels: Sequence[int | None]) -> list[int]:
    """Follows parents that have no level: there is always one, so the way must come back to itself."""
    seen: dict[int, int] = {}
    step = start
    while step not in seen:
        seen[step] = len(seen)
        step = next(parent for parent in parents[step] if levels[parent] is None)
    return list(seen)[seen[step] :]
