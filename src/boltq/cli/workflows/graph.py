"""Draws the steps of a workflow and how they stand, as lines of text: a line a step, with rails to those after it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final, NamedTuple

from rich.cells import cell_len, chop_cells

from boltq.cli.show import clean
from boltq.cli.workflows.graph_folds import GraphNode, nodes_of
from boltq.cli.workflows.graph_rails import RailRow, lay
from boltq.domain.workflow.graph import Edges, levels_of
from boltq.domain.workflow.plan import Group
from boltq.domain.workflow.states import StepState

MOST: Final = 100  # steps of a group that are drawn one by one
_WIDEST: Final = 40  # characters of rails; beyond that nobody can follow them
_NAME: Final = 40  # cells of a name
_BANDS: Final = 30  # lines for levels
_SHOWN: Final = 20  # steps beside them
_NAMED: Final = 5  # steps that a step comes after
_STATE: Final = 9  # characters of the longest state


class Sign(NamedTuple):
    """How a state is drawn."""

    symbol: str
    plain: str  # where there is ASCII only
    colour: str  # SGR parameters (ECMA-48)


SIGNS: Final = {
    StepState.FAILED: Sign("✗", "x", "31"),
    StepState.RUNNING: Sign("●", "@", "36"),
    StepState.WAITING: Sign("⏸", "=", "33"),
    StepState.QUEUED: Sign("◌", ":", "34"),
    StepState.CANCELLED: Sign("⊘", "%", "35"),
    StepState.PENDING: Sign("○", "o", "2"),
    StepState.SKIPPED: Sign("⊖", "~", "2"),
    StepState.COMPLETED: Sign("✓", "v", "32"),
}
"""The states, those first that one wants to see first."""

_FOLD: Final = Sign("⋮", ".", "2")
_FAINT: Final = "2"
_HEAD: Final = "1"
_URGENCY: Final = {state: number for number, state in enumerate(SIGNS)}
_URGENT: Final = frozenset({StepState.FAILED, StepState.RUNNING, StepState.WAITING, StepState.QUEUED})
_ASCII: Final = str.maketrans({**dict(zip("│─├┤┴┼╮╭╰╯↳·", "|-++++..`'>-", strict=True)), "…": "..."})


@dataclass(frozen=True)
class DrawnStep:
    """A step, as much of it as is drawn. `parents` are ids; those of other groups are not drawn."""

    id: str
    state: StepState
    parents: Sequence[str] = ()
    note: str = ""
    below: str = ""  # for a line of its own, under the step
    group: Group = Group.STEPS


@dataclass(frozen=True)
class DrawnLine:
    """A line of the picture: rails with a symbol in them, a name, a state in words, a note."""

    rails: str = ""
    place: int = -1  # of the symbol, in the rails; -1: there is none
    sign: Sign = _FOLD
    name: str = ""
    state: str = ""
    note: str = ""


def draw(steps: Sequence[DrawnStep], *, most: int | None = MOST) -> list[DrawnLine]:
    """The picture, the groups one below the other. `most`: fold a group that has more steps."""
    lines: list[DrawnLine] = []
    for group in Group:
        if members := [step for step in steps if step.group == group]:
            if group is not Group.STEPS:
                lines += [DrawnLine(), DrawnLine(note=f"{group.replace('_', ' ')}:")]
            lines += _group(members, most)
    return lines


def texts(
    lines: Sequence[DrawnLine], *, width: int | None = None, colour: bool = False, ascii: bool = False
) -> list[str]:
    """The lines as text, in columns; `width`: cut to so many cells."""
    if ascii:
        lines = [_in_ascii(line) for line in lines]
    rails = max((len(line.rails) for line in lines), default=0)
    name = max((cell_len(line.name) for line in lines), default=0)
    found = [_parts(line, rails, name) for line in lines]
    if width is not None:
        found = [_cut(parts, width, "~" if ascii else "…") for parts in found]
    return ["".join(_coloured(*part) if colour else part[0] for part in parts).rstrip() for parts in found]


def counts(states: Iterable[StepState]) -> str:
    """How many stand where: 960 completed, 10 failed."""
    return ", ".join(f"{number} {state}" for state, number in Counter(states).most_common())


# A group


def _group(steps: list[DrawnStep], most: int | None) -> list[DrawnLine]:
    parents = _edges(steps)
    nodes = nodes_of(parents, [_URGENCY[step.state] for step in steps], len(steps) if most is None else most)
    if most is None or len(nodes) <= most:
        rows = lay([node.parents for node in nodes])
        if max(len(row.rails) for row in rows) <= _WIDEST:
            return [line for row in rows for line in _lines_of(row, nodes, steps)]
    return _by_level(steps, parents, most)


def _edges(steps: Sequence[DrawnStep]) -> list[list[int]]:
    numbers = {step.id: number for number, step in enumerate(steps)}
    return [sorted({numbers[parent] for parent in step.parents if parent in numbers}) for step in steps]


def _lines_of(row: RailRow, nodes: Sequence[GraphNode], steps: Sequence[DrawnStep]) -> list[DrawnLine]:
    if row.step is None:
        return [DrawnLine(row.rails)]
    inside = [steps[number] for number in nodes[row.step].steps]
    if len(inside) > 1:
        return [DrawnLine(row.rails, row.column * 2, note=_more(inside))]
    return _step(inside[0], row.rails, row.column * 2, row.below)


def _step(step: DrawnStep, rails: str, place: int, below: str) -> list[DrawnLine]:
    line = DrawnLine(rails, place, SIGNS[step.state], _name(step.id), step.state, clean(step.note))
    return [line, DrawnLine(below or " ", note=clean(step.below))] if step.below else [line]


def _name(text: str) -> str:
    """An id, in one line and not too long."""
    text = clean(text)
    return text if cell_len(text) <= _NAME else f"{chop_cells(text, _NAME - 1)[0]}…"


def _more(steps: Sequence[DrawnStep]) -> str:
    return f"… and {len(steps)} more ({counts(step.state for step in steps)})"


# Where rails would be too many or too long


def _by_level(steps: Sequence[DrawnStep], parents: Edges, most: int | None) -> list[DrawnLine]:
    """A line for each level, or for a few of them together, and below it steps with the names of those before them."""
    many = most is not None and len(steps) > most
    shown = set(_urgent(steps) if many else range(len(steps)))
    levels: list[list[int]] = [[] for _ in steps]
    for number, level in enumerate(levels_of(parents)):
        levels[level or 0].append(number)
    lines: list[DrawnLine] = []
    first = 1
    for band in _bands([level for level in levels if level], steps) if many else [[level] for level in levels if level]:
        numbers = [number for level in band for number in level]
        lines.append(_heading(first, first + len(band) - 1, [steps[number] for number in numbers]))
        lines += [line for number in numbers if number in shown for line in _alone(steps[number])]
        first += len(band)
    return lines


def _bands(levels: list[list[int]], steps: Sequence[DrawnStep]) -> list[list[list[int]]]:
    """Levels together of which all steps stand alike; or so many together that the lines are not too many."""
    states = [{steps[number].state for number in level} for level in levels]
    marks = [(min(found), -1) if len(found) == 1 else ("", at) for at, found in enumerate(states)]
    alike = [[level for _, level in group] for _, group in groupby(zip(marks, levels, strict=True), lambda one: one[0])]
    if len(alike) <= _BANDS:
        return alike
    high = -(-len(levels) // _BANDS)
    return [levels[at : at + high] for at in range(0, len(levels), high)]


def _urgent(steps: Sequence[DrawnStep]) -> list[int]:
    """The numbers of the first that one wants to see."""
    found = [number for number, step in enumerate(steps) if step.state in _URGENT]
    return sorted(found, key=lambda number: _URGENCY[steps[number].state])[:_SHOWN]


def _heading(first: int, last: int, steps: Sequence[DrawnStep]) -> DrawnLine:
    name = f"level {first}" if first == last else f"levels {first} to {last}"
    one = "1 step" if len(steps) == 1 else f"{len(steps)} steps"
    return DrawnLine(note=f"{name}: {one} ({counts(step.state for step in steps)})")


def _alone(step: DrawnStep) -> list[DrawnLine]:
    """A step without rails."""
    before = [_name(parent) for parent in step.parents[:_NAMED]]
    after = f"after {', '.join(before)}{', …' if len(step.parents) > _NAMED else ''}" if before else ""
    note = " · ".join(filter(None, [step.note, after]))
    return _step(replace(step, note=note), "   ", 2, "   ")


# Text


ColouredText = tuple[str, str]  # a text, and its colour


def _parts(line: DrawnLine, rails: int, name: int) -> list[ColouredText]:
    """The texts of a line, with the space between them."""
    if line.place < 0 and not line.rails:
        return [(line.note, _HEAD)]
    drawn = line.rails.ljust(rails)
    parts = [(f"{drawn} ", _FAINT)]
    if line.place >= 0:
        after = drawn[line.place + 1 :]
        parts = [(drawn[: line.place], _FAINT), (line.sign.symbol, line.sign.colour), (f"{after} ", _FAINT)]
    if not line.state:
        return [*parts, (line.note, _FAINT)]
    room = " " * (name - cell_len(line.name) + 2)
    return [*parts, (line.name + room, ""), (f"{line.state:<{_STATE}}  ", line.sign.colour), (line.note, "")]


def _in_ascii(line: DrawnLine) -> DrawnLine:
    sign = Sign(line.sign.plain, line.sign.plain, line.sign.colour)
    return replace(line, rails=_plain(line.rails), sign=sign, name=_plain(line.name), note=_plain(line.note))


def _plain(text: str) -> str:
    return text.translate(_ASCII).encode("ascii", "replace").decode()


def _cut(parts: Iterable[ColouredText], width: int, end: str) -> list[ColouredText]:
    """A line, cut to the room that there is."""
    found: list[ColouredText] = []
    for text, colour in parts:
        if cell_len(text.rstrip()) > width:
            kept = chop_cells(text, width - 1)[0] if width > 1 else ""
            return [*found, (f"{kept}{end}" if width else "", colour)]
        found.append((text, colour))
        width = max(0, width - cell_len(text))
    return found


def _coloured(text: str, colour: str) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if colour and text.strip() else text
