"""The states of a job and every move between them. The Lua scripts are given this table when they load."""

from collections.abc import Callable
from enum import StrEnum
from typing import Final


class JobState(StrEnum):
    """Where a job stands. The text is the same in Lua, Python, HTTP, metrics and on the screen."""

    BLOCKED = "blocked"  # a step of a workflow: waits for earlier steps, for its items, or for a person
    SCHEDULED = "scheduled"  # waits for its time
    QUEUED = "queued"  # ready; waits for a free worker
    RUNNING = "running"  # held by one worker under that worker's lease
    RETRYING = "retrying"  # failed; waits out its backoff
    COMPLETED = "completed"
    DEAD = "dead"  # out of attempts, or not worth one more: waits for a person
    CANCELLED = "cancelled"


_B, _S, _Q, _R, _T, _C, _D, _X = JobState

MOVES: dict[JobState, frozenset[JobState]] = {
    _B: frozenset({_Q, _X, _S}),  # scheduled: its workflow goes on, and so does its time
    _S: frozenset({_Q, _X, _B}),  # blocked: its workflow was paused, and its time stands still
    _Q: frozenset(
        {_R, _X, _S, _B}
    ),  # cancelled: by a person, or expired; scheduled: given a later time; blocked: paused
    _R: frozenset({_C, _T, _D, _X, _Q, _S, _B}),  # queued: handed back or reaped; scheduled: snoozed
    _T: frozenset({_Q, _X}),
    _C: frozenset(),
    _D: frozenset({_Q}),  # replayed
    _X: frozenset({_Q}),  # replayed
}

ENTRIES: frozenset[JobState] = frozenset({_Q, _S, _B})
"""The states that a new job may start in."""

TERMINAL: frozenset[JobState] = frozenset({_C, _D, _X})
"""The states that a job leaves only by a replay, or when it is pruned."""

ACTIONS: dict[str, frozenset[JobState]] = {
    "cancel": frozenset({_B, _S, _Q, _R, _T}),
    "replay": frozenset({_D, _X}),
    "replay_as": TERMINAL,
    "run_now": frozenset({_S, _T}),
    "edit": frozenset({_S, _Q, _T}),
    "delete": frozenset({_S, _Q, _T, _C, _D, _X}),
}
"""What a person may do to a job, and in which states it is allowed. To replay is to queue the same job again; to replay
as is to make a new job from it."""


def actions(state: JobState) -> list[str]:
    """The actions that a job in this state allows, so that no client needs a copy of the table."""
    return [action for action, states in ACTIONS.items() if state in states]


def action_reasons(state: JobState) -> list[tuple[str, bool, str]]:
    """Every action, whether a job in this state allows it, and why not (empty when it does)."""
    return [
        (action, state in states, "" if state in states else f"a {state} job {_WHY_NOT[action](state)}")
        for action, states in ACTIONS.items()
    ]


_WHY_NOT: Final[dict[str, Callable[[JobState], str]]] = {
    "cancel": lambda _: "has ended: there is nothing to cancel",
    "replay": lambda state: (
        "cannot be replayed: make a new job from it" if state is _C else "has not ended: there is nothing to replay"
    ),
    "replay_as": lambda _: "has not ended: there is nothing to replay",
    "run_now": lambda state: {_Q: "is ready already", _R: "runs already", _B: "waits for other steps"}.get(
        state, "has ended"
    ),
    "edit": lambda state: {_R: "cannot be edited: its worker has it already", _B: "belongs to its workflow"}.get(
        state, "has ended: make a new job from it"
    ),
    "delete": lambda state: (
        "belongs to its workflow: cancel it first" if state is _B else "cannot be deleted: cancel it first"
    ),
}
