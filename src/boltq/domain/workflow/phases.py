"""For what a step waits that has begun. A new kind of waiting is a row here, and one in lua/lib/flow_phases.lua."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple


class Phase(StrEnum):
    """For what a step waits: the field `phase` of its job, from the first wait until the job's end."""

    WAIT = "wait"  # a moment
    ASK = "ask"  # a person's answer
    ITEMS = "items"  # the items of its map
    CHILD = "child"  # its sub-workflow


class PhaseTraits(NamedTuple):
    """What is true of a step that waits there."""

    for_jobs: bool  # other jobs work for the step: it runs, and its own job goes on when they have ended
    for_others: bool  # somebody else frees its job, which may be `blocked` until then; else only time, or a pause's end


PHASES: Final[Mapping[Phase, PhaseTraits]] = {
    Phase.WAIT: PhaseTraits(for_jobs=False, for_others=False),
    Phase.ASK: PhaseTraits(for_jobs=False, for_others=True),
    Phase.ITEMS: PhaseTraits(for_jobs=True, for_others=True),
    Phase.CHILD: PhaseTraits(for_jobs=True, for_others=True),
}
"""Of each phase. Lua's table is made from this one."""

_BEGINS: Final = PhaseTraits(for_jobs=False, for_others=False)


def traits_of(phase: Phase | None) -> PhaseTraits:
    """Of what a job's field `phase` says; None for a step that has waited for nothing yet."""
    return PHASES[phase] if phase else _BEGINS
