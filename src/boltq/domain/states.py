"""The states of a job and every move between them. The Lua scripts are given this table when they load."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final


class JobState(StrEnum):
    """Where a job stands. The text is the same in Lua, Python, HTTP, metrics and on the screen."""

    BLOCKED = "blocked"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    COMPLETED = "completed"
    DEAD = "dead"
    CANCELLED = "cancelled"


_B, _S, _Q, _R, _T, _C, _D, _X = JobState

MEANINGS: Final[Mapping[JobState, str]] = {
    _B: "A step of a workflow: waits for earlier steps, for its items or its workflow, or a person.",
    _S: "Waits for its time: it was submitted with a delay or a time, or it was snoozed.",
    _Q: "Ready. Waits for a free worker that knows its type, in the order of its priority.",
    _R: "Held by one worker under that worker's lease. If that worker is lost, it is queued again.",
    _T: "Failed, and waits out its backoff.",
    _C: "The function returned. It is kept for a day, with its result.",
    _D: "Out of attempts, or not worth one more. It is kept for 30 days and waits for a person.",
    _X: "Stopped because somebody asked for it, because the task said so, or because it expired.",
}
"""Each state in a sentence or two."""

CAUSES_AT_FIRST: Final[Mapping[JobState, str]] = {
    _B: "it is a step of a workflow that was submitted",
    _S: "it was submitted with a delay or a time that lies ahead",
    _Q: "it was submitted",
}
"""The states that a new job may start in, and why it starts there."""

CAUSES: Final[Mapping[JobState, Mapping[JobState, str]]] = {
    _B: {
        _Q: "the earlier steps allow it, its items have ended, or a person has answered",
        _S: "its workflow goes on, and so does its time",
        _X: "it is not needed (reason `skipped`), or its workflow or somebody cancelled it",
    },
    _S: {
        _Q: "its time has come, or somebody said `run_now`",
        _B: "its workflow was paused, and its time stands still",
        _X: "somebody cancelled it",
    },
    _Q: {
        _R: "a worker claimed it",
        _S: "somebody gave it a later time",
        _B: "its workflow was paused",
        _X: "somebody cancelled it, or it was not started in time (reason `expired`)",
    },
    _R: {
        _C: "the function returned",
        _T: "the function failed, and there is an attempt left that is worth making",
        _D: "it failed for the last time, or took too many workers down (category `poison`)",
        _X: "its worker stopped it, or the function raised `Cancel`",
        _Q: "its worker was lost, or handed it back at shutdown; it goes to the head of the queue",
        _S: "the function raised `Snooze`",
        _B: "it has begun the items of a map or a workflow, or has asked a person",
    },
    _T: {_Q: "its backoff is over, or somebody said `run_now`", _X: "somebody cancelled it"},
    _C: {},
    _D: {_Q: "somebody replayed it"},
    _X: {_Q: "somebody replayed it"},
}
"""Every move between two states, and why it happens."""

MOVES: Final[Mapping[JobState, frozenset[JobState]]] = {state: frozenset(causes) for state, causes in CAUSES.items()}

ENTRIES: Final[frozenset[JobState]] = frozenset(CAUSES_AT_FIRST)
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
