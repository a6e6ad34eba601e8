"""Writes the reference that is made from code: docs/reference/settings.md, states.md and openapi.json.

Run it after a change of settings.py, domain/states.py or the API's calls: .venv/bin/python scripts/make_reference.py
A test compares the files with what this makes.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from textwrap import fill
from typing import Final

from boltq import settings
from boltq.broker.broker import Broker
from boltq.domain.states import ACTIONS, ENTRIES, MOVES, TERMINAL, JobState
from boltq.server.app import calls_of
from boltq.server.backend import Backend
from boltq.server.openapi import document

FOLDER: Final = Path(__file__).parent.parent / "docs" / "reference"

STATES: Final = {
    JobState.BLOCKED: "A step of a workflow: waits for earlier steps, for its items or its workflow, or a person.",
    JobState.SCHEDULED: "Waits for its time: it was submitted with a delay or a time, or it was snoozed.",
    JobState.QUEUED: "Ready. Waits for a free worker that knows its type, in the order of its priority.",
    JobState.RUNNING: "Held by one worker under that worker's lease. If that worker is lost, it is queued again.",
    JobState.RETRYING: "Failed, and waits out its backoff.",
    JobState.COMPLETED: "The function returned. It is kept for a day, with its result.",
    JobState.DEAD: "Out of attempts, or not worth one more. It is kept for 30 days and waits for a person.",
    JobState.CANCELLED: "Stopped because somebody asked for it, because the task said so, or because it expired.",
}
"""Each state in a sentence or two."""

CAUSES: Final = {
    ("new", "queued"): "it was submitted",
    ("new", "scheduled"): "it was submitted with a delay or a time that lies ahead",
    ("new", "blocked"): "it is a step of a workflow that was submitted",
    ("blocked", "queued"): "the earlier steps allow it, its items have ended, or a person has answered",
    ("blocked", "cancelled"): "it is not needed (reason `skipped`), or its workflow or somebody cancelled it",
    ("scheduled", "queued"): "its time has come, or somebody said `run_now`",
    ("scheduled", "cancelled"): "somebody cancelled it",
    ("queued", "running"): "a worker claimed it",
    ("queued", "scheduled"): "somebody gave it a later time",
    ("queued", "blocked"): "its workflow was paused",
    ("queued", "cancelled"): "somebody cancelled it, or it was not started in time (reason `expired`)",
    ("running", "completed"): "the function returned",
    ("running", "retrying"): "the function failed, and there is an attempt left that is worth making",
    ("running", "dead"): "it failed for the last time, or took too many workers down (category `poison`)",
    ("running", "cancelled"): "its worker stopped it, or the function raised `Cancel`",
    ("running", "queued"): "its worker was lost, or handed it back at shutdown; it goes to the head of the queue",
    ("running", "scheduled"): "the function raised `Snooze`",
    ("running", "blocked"): "it has begun the items of a map or a workflow, or has asked a person",
    ("retrying", "queued"): "its backoff is over, or somebody said `run_now`",
    ("retrying", "cancelled"): "somebody cancelled it",
    ("dead", "queued"): "somebody replayed it",
    ("cancelled", "queued"): "somebody replayed it",
}
"""Why each move happens. A move of domain/states.py that is missing here stops the script."""

MADE: Final = "<!-- Made by scripts/make_reference.py. Change the code it names, and run it again. -->"


def settings_page() -> str:
    """Every setting."""
    rows = [
        (" or ".join(f"`{name}`" for name in names.split(" or ")), f"`{default}`" if default else "empty", about)
        for names, default, about in settings.table()
    ]
    return _page(
        "# Settings",
        MADE,
        "Everything is set by environment variables, read once when a process starts. The table is made from"
        " [`settings.py`](../../src/boltq/settings.py), the only place that reads the environment. Where a row has two"
        " names, the first one that is set counts. An empty variable counts as not set. A value that cannot be used"
        " ends the process with a message and exit code 2.",
        "Durations are in seconds, unless the name says hours or days.",
        _table(("variable", "default", "what it is"), rows),
        "## From Python",
        "An application reads the same variables, when they are first needed. To give values in code:",
        "```python\n"
        "from boltq import BoltQ, Settings\n\n"
        'app = BoltQ(address="localhost:6379")  # the store; all else from the environment\n'
        "app = BoltQ(settings=Settings(num_workers=16))  # nothing from the environment\n"
        "app = BoltQ(settings=Settings.from_env(lease=5))  # the environment, and one value overruled\n"
        "```",
        "## Bounds are stored",
        "The `KEEP` settings, `BOLTQ_MAX_QUEUE_DEPTH`, `BOLTQ_PRIORITY_PATIENCE` and `BOLTQ_POISON_LIMIT` are kept by"
        " the store's scripts. The process that starts last writes them, so give all processes of a namespace the same"
        " values. `BOLTQ_PARTITIONS` counts only for a namespace that does not exist yet.",
    )


def states_page() -> str:
    """Every state, and every move."""
    return _page(
        "# States of a job",
        MADE,
        "The words are the same in the store, in Python, over HTTP and on the command line. Both tables are made from"
        " [`domain/states.py`](../../src/boltq/domain/states.py); the Lua scripts are given the same table when they"
        " load, and refuse every move that is not in it.",
        "```mermaid\n" + diagram() + "\n```",
        "## The states",
        _table(
            ("state", "what it means", "what you may do"),
            [(f"`{state}`", STATES[state], _actions(state)) for state in JobState],
        ),
        f"A job ends as {_listed(state for state in JobState if state in TERMINAL)}. It leaves these states only by a"
        " replay, or when it is pruned or deleted: then it is gone. To `replay` is to queue the same job again; to"
        " `replay_as` is to make a new job from it, which may differ; to `edit` is to change the payload, priority,"
        " time or tags of a job that waits.",
        "## The moves",
        _table(("from", "to", "because"), [(f"`{a}`", f"`{b}`", CAUSES[a, b]) for a, b in _moves()]),
    )


def openapi() -> str:
    """The API's description, as GET /openapi.json answers it."""
    calls = calls_of(Backend(Broker("redis://localhost"), settings.Settings()))  # nothing is opened
    return json.dumps(document(calls), indent=2, ensure_ascii=False) + "\n"


def diagram() -> str:
    """The moves as a Mermaid state diagram."""
    lines = [f"    [*] --> {to}" if frm == "new" else f"    {frm} --> {to}" for frm, to in _moves()]
    ends = [f"    {state} --> [*]" for state in JobState if state in TERMINAL]
    return "\n".join(["stateDiagram-v2", *lines, *ends])


def _moves() -> list[tuple[str, str]]:
    new = [("new", to.value) for to in JobState if to in ENTRIES]
    return new + [(frm.value, to.value) for frm in JobState for to in JobState if to in MOVES[frm]]


def _actions(state: JobState) -> str:
    return ", ".join(f"`{action}`" for action, states in ACTIONS.items() if state in states) or "nothing"


def _listed(states: Iterable[JobState]) -> str:
    *first, last = [f"`{state}`" for state in states]
    return f"{', '.join(first)} or {last}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _page(*parts: str) -> str:
    return "\n\n".join(map(_wrapped, parts)) + "\n"


def _wrapped(part: str) -> str:
    """A paragraph in lines that are not too long; anything else as it is."""
    return part if part[0] in "|`#<" else fill(part, 120, break_on_hyphens=False)


PAGES: Final = {"settings.md": settings_page, "states.md": states_page, "openapi.json": openapi}


def main() -> None:
    """Write the pages."""
    for name, make in PAGES.items():
        (FOLDER / name).write_text(make(), "utf-8")


if __name__ == "__main__":
    main()
