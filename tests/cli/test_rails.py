"""The rails of a drawn graph lead from each step to just those that come after it: read back, they are the graph."""

import pytest
from hypothesis import example, given, strategies as st

from boltq.cli.workflows.graph_rails import RailRow, lay

Edges = list[list[int]]

CHAIN: Edges = [[], [0], [1]]
DIAMOND: Edges = [[], [0], [0], [1, 2]]
TREE: Edges = [[], [0], [0, 1], [0]]
LAYERS: Edges = [[], [], [0, 1], [0, 1], [2, 3], [2, 3], [4, 5]]
LANES: Edges = [[], [0], [1], [0], [3], [0], [5], [2, 4, 6]]


@st.composite
def graphs(draw: st.DrawFn) -> Edges:
    """Random graphs, some thin, some with many edges; many steps lead to the same ones."""
    count = draw(st.integers(0, 16))
    parents: Edges = []
    for step in range(count):
        if step > 1 and draw(st.integers(0, 2)) == 0:
            parents.append(parents[-1])
        else:
            parents.append(sorted(draw(st.sets(st.integers(0, step - 1), max_size=4))) if step else [])
    return parents


@given(graphs())
@example(CHAIN)
@example(DIAMOND)
@example(TREE)
@example(LAYERS)
@example(LANES)
def test_what_is_drawn_is_the_graph(parents: Edges) -> None:
    rows = lay(parents)
    assert [row.step for row in rows if row.step is not None] == list(range(len(parents)))
    assert Reader(rows).edges() == {(parent, step) for step, before in enumerate(parents) for parent in before}


@pytest.mark.parametrize("count", [1, 2, 30, 1_000])
def test_a_fan_is_three_columns_wide(count: int) -> None:
    rows = lay([[], *([0] for _ in range(count)), list(range(1, count + 1))])
    assert max(len(row.rails) for row in rows) <= 5
    assert len(rows) == count + 2


def test_a_long_chain_of_diamonds_stays_at_the_left() -> None:
    parents: Edges = [[]]
    for _ in range(200):
        last = len(parents) - 1
        parents += [[last], [last], [last + 1, last + 2]]
    assert max(len(row.rails) for row in lay(parents)) <= 5


class Reader:
    """Follows the rails with the eyes of a reader: character by character, by the rules of graph_rails.py."""

    def __init__(self, rows: list[RailRow]) -> None:
        self._rows = rows
        width = max((len(row.rails) for row in rows), default=0) + 2
        self._lines = [row.rails.ljust(width) for row in rows]
        self._at = {row.step: (y, row.column * 2) for y, row in enumerate(rows) if row.step is not None}

    def edges(self) -> set[tuple[int, int]]:
        return {(step, target) for step in self._at for target in self._after(step)}

    def _after(self, step: int) -> set[int]:
        y, x = self._at[step]
        if (out := self._way_out(y, x)) is not None:
            return self._down(y + 1, out)
        return self._down(y + 1, x)

    def _way_out(self, y: int, x: int) -> int | None:
        """Where it is left to the right, if it is."""
        for at in range(x + 1, len(self._lines[y])):
            if self._lines[y][at] in "╮┤":
                return at
            if self._lines[y][at] not in "─│┴╯":
                return None
        return None

    def _down(self, y: int, x: int) -> set[int]:
        """All steps that a rail leads to."""
        found: set[int] = set()
        while y < len(self._rows):
            step = self._step_at(y, x)
            if step is not None:
                return found if self._lines[y][x - 1 : x] == "─" else found | {step}
            match self._lines[y][x]:
                case "│" | "┤":
                    pass
                case "├" | "┼":
                    found.add(self._sideways(y, x))
                case "╰":
                    return found | {self._sideways(y, x)}
                case "┴" | "╯":
                    bend = self._lines[y].find("╭")
                    if bend < 0:
                        return found | {self._sideways(y, x)}
                    x = bend
                case _:
                    return found
            y += 1
        return found

    def _sideways(self, y: int, x: int) -> int:
        """The step to which a line leads from there: the one of the row."""
        row = self._rows[y]
        assert row.step is not None
        low, high = sorted((x, row.column * 2))
        assert set(self._lines[y][low + 1 : high]) <= set("─│┴┼├╰╯"), self._lines[y]
        assert set(self._lines[y][low + 1 : high : 2]) <= {"─"}, self._lines[y]
        return row.step

    def _step_at(self, y: int, x: int) -> int | None:
        row = self._rows[y]
        return row.step if row.step is not None and row.column * 2 == x else None
