"""The states of a job and every move between them. The Lua scripts are given this table when they load."""

from enum import StrEnum


class JobState(StrEnum):
    """Where a job stands. The text is the same in Lua, Python, HTTP, metrics and on the screen."""

    SCHEDULED = "scheduled"  # waits for its time
    QUEUED = "queued"  # ready; waits for a free worker
    RUNNING = "running"  # held by one worker under that worker's lease
    RETRYING = "retrying"  # failed; waits out its backoff
    COMPLETED = "completed"
    DEAD = "dead"  # out of attempts, or not worth one more: waits for a person
    CANCELLED = "cancelled"


_S, _Q, _R, _T, _C, _D, _X = JobState

MOVES: dict[JobState, frozenset[JobState]] = {
    _S: frozenset({_Q, _X}),
    _Q: frozenset({_R, _X}),  # cancelled: by a person, or because its "not after" has passed
    _R: frozenset({_C, _T, _D, _X, _Q, _S}),  # queued: handed back or reaped; scheduled: snoozed
    _T: frozenset({_Q, _X}),
    _C: frozenset(),
    _D: frozenset({_Q}),  # replayed
    _X: frozenset({_Q}),  # replayed
}

ENTRIES: frozenset[JobState] = frozenset({_Q, _S})
"""The states that a new job may start in."""

TERMINAL: frozenset[JobState] = frozenset({_C, _D, _X})
"""The states that a job leaves only by a replay, or when it is pruned."""

ACTIONS: dict[str, frozenset[JobState]] = {
    "cancel": frozenset({_S, _Q, _R, _T}),
    "replay": frozenset({_D, _X}),
    "run_now": frozenset({_S, _T}),
}
"""What a person may do to a job, and in which states it is allowed."""


def actions(state: JobState) -> list[str]:
    """The actions that a job in this state allows, so that no client needs a copy of the table."""
    return [action for action, states in ACTIONS.items() if state in states]
