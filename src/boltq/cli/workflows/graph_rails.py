"""Lays out a graph for a terminal: a row for each step, and rails that lead from it down to the steps after it.

How to read it, which is also what a test does. Rails lead down. A step is entered from the left (├─✓), or by corners
from the right (✓─╯), and by what stands right above it unless it is entered from the left. It is left to the right
(✓─╮, ✓─┤), or else downwards. Where a rail crosses one that goes sideways, it is drawn whole: ─│─.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from boltq.domain.workflow.graph import Edges, dependents_of

_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
_GLYPHS: Final = dict(enumerate("  │││╯╮┤│╰╭├─┴┬┼")) | {0: " ", _UP: "│", _DOWN: "│", _LEFT: "─", _RIGHT: "─"}
_FAR: Final = 2  # columns that a rail is moved to the left for, where there is nothing


class RailRow(NamedTuple):
    """A row of the picture. The step stands in `column`; the character of a column is the one at twice its number."""

    rails: str
    step: int | None  # None: only rails
    column: int
    below: str  # the rails that go on under it, for more rows of the same step


def lay(parents: Edges) -> list[RailRow]:
    """The rows, from the top; what comes before a step must have a lower number."""
    layout = _Layout(parents)
    for step in range(len(parents)):
        layout.place(step)
    return layout.rows


class _Rail:
    """Leads to `targets`, each of which depends on all `sources` that have come onto it so far."""

    def __init__(self, targets: frozenset[int]) -> None:
        self.targets = set(targets)
        self.sources = 1
        self.forked = False


class _Layout:
    def __init__(self, parents: Edges) -> None:
        self.rows: list[RailRow] = []
        self._children = [frozenset(children) for children in dependents_of(parents)]
        self._alike = Counter(self._children)  # of the steps that are not placed yet: how many lead to the same ones
        self._rails: list[_Rail | None] = []  # by column
        self._dead_end = -1  # the column of the last row's step, if nothing comes after that

    def place(self, step: int) -> None:
        """Add a step's row."""
        children = self._children[step]
        self._alike[children] -= 1
        sideways = bool(children) and (self._alike[children] > 0 or bool(self._joinable(children, -1)))
        arriving, column, from_left = self._entrance(step, sideways=sideways)
        if column == self._dead_end and not from_left:
            self._add([], None, 0)  # else it would look as if it came after that step
        drawing = _Drawing(self._rails, column)
        drawing.enter(arriving, step)
        self._arrive(arriving, step)
        self._leave(drawing, children, column, sideways=sideways)
        self._add(drawing.finish(), step, column)
        self._dead_end = -1 if children else column

    def _entrance(self, step: int, *, sideways: bool) -> tuple[list[int], int, bool]:
        """The columns of the rails that lead to it, its own, and whether they come from the left."""
        arriving = self._leading_to(step)
        if not arriving:
            return [], self._free(0), False
        rails = [rail for rail in self._rails if rail and step in rail.targets]
        ending, alone = all(rail.targets == {step} for rail in rails), len(rails) == 1
        straight = ending and not (alone and rails[0].forked)
        if straight and not sideways:
            return arriving, self._gathered(arriving[0], near=alone and rails[0].sources == 1), False
        if alone and not ending:
            arriving = [self._moved_left(arriving[0])]
        if alone and straight:
            return arriving, arriving[0], False
        return arriving, self._free(arriving[-1] + 1), True

    def _gathered(self, column: int, *, near: bool) -> int:
        """Where a step stands at which rails end, the first of them there: as far to the left as it looks well."""
        left = self._reach(column)
        return column if left == self._dead_end or (near and column - left < _FAR) else left

    def _leading_to(self, step: int) -> list[int]:
        return [column for column, rail in enumerate(self._rails) if rail and step in rail.targets]

    def _joinable(self, children: frozenset[int], after: int) -> int | None:
        """The first column to the right of that one where a rail leads to just these steps."""
        places = range(after + 1, len(self._rails))
        return next((at for at in places if (rail := self._rails[at]) and rail.targets == children), None)

    def _free(self, column: int) -> int:
        """The first column from that one on in which there is no rail."""
        while column < len(self._rails) and self._rails[column]:
            column += 1
        return column

    def _reach(self, column: int) -> int:
        """The column farthest to the left to which there is nothing in the way."""
        while column and not self._rails[column - 1]:
            column -= 1
        return column

    def _moved_left(self, column: int) -> int:
        """Bring a rail back from far to the right; its new column."""
        left = self._reach(column)
        if column - left < _FAR:
            return column
        drawing = _Drawing(self._rails, left)
        drawing.bend(column)
        self._rails[left], self._rails[column] = self._rails[column], None
        self._add(drawing.finish(), None, 0)
        return left

    def _arrive(self, arriving: list[int], step: int) -> None:
        for column in arriving:
            if rail := self._rails[column]:
                rail.forked = True
                rail.targets.discard(step)
                if not rail.targets:
                    self._rails[column] = None

    def _leave(self, drawing: "_Drawing", children: frozenset[int], column: int, *, sideways: bool) -> None:
        """Come onto a rail that leads to the same steps; or lay one, beside it if others will come onto it too."""
        if not children:
            return
        if sideways and (there := self._joinable(children, column)):
            drawing.leave(there, joins=True)
            if rail := self._rails[there]:
                rail.sources += 1
        elif sideways and self._alike[children] > 0:
            there = self._free(column + 1)
            drawing.leave(there, joins=False)
            self._lay(there, children)
        else:
            self._lay(column, children)

    def _lay(self, column: int, children: frozenset[int]) -> None:
        self._rails += [None] * (column + 1 - len(self._rails))
        self._rails[column] = _Rail(children)

    def _add(self, cells: list[str], step: int | None, column: int) -> None:
        below = " ".join("│" if rail else " " for rail in self._rails).rstrip()
        rails = "".join(cells).rstrip() if cells else below
        room = 0 if step is None else 2 * column + 1
        self.rows.append(RailRow(rails.ljust(room), step, column, below))


class _Drawing:
    """One row: the arms of each column's character, and where a line runs from a column to the next."""

    def __init__(self, rails: Sequence[_Rail | None], column: int) -> None:
        width = max(len(rails), column) + 2
        self._rails = rails
        self._arms = [_UP | _DOWN if rail else 0 for rail in rails] + [0] * (width - len(rails))
        self._wires = [False] * width
        self._passing = {column for column, rail in enumerate(rails) if rail}
        self._column = column

    def enter(self, arriving: Sequence[int], step: int) -> None:
        """Lead rails to the step; those that lead nowhere else end."""
        for at in arriving:
            rail = self._rails[at]
            self._arms[at] = _UP if rail and rail.targets == {step} else _UP | _DOWN
            self._passing.discard(at)
        for at in arriving:
            self._line(at, self._column)

    def leave(self, there: int, *, joins: bool) -> None:
        """Lead from the step onto a rail to its right."""
        self._arms[there] = _DOWN | (_UP if joins else 0)
        self._line(there, self._column)

    def bend(self, column: int) -> None:
        """Lead a rail over to this one's column."""
        self._arms[column] = _UP
        self._line(column, self._column)
        self._arms[self._column] = _DOWN | _RIGHT

    def finish(self) -> list[str]:
        """The characters."""
        cells = [_GLYPHS[arms] for arms in self._arms]
        return [part for cell, wire in zip(cells, self._wires, strict=True) for part in (cell, "─" if wire else " ")]

    def _line(self, at: int, to: int) -> None:
        """A line sideways, from a rail to the step's column. It passes under rails, and joins other lines."""
        if at == to:
            return
        low, high = min(at, to), max(at, to)
        self._wires[low:high] = [True] * (high - low)
        self._arms[at] |= _LEFT if to < at else _RIGHT
        for column in range(low + 1, high):
            if column not in self._passing:
                self._arms[column] |= _LEFT | _RIGHT
