"""Rows that Lua and Python exchange: which fields each has, in which order, by which name.

A row is a list, for that is what the store is fast with. Python reads it as a struct; Lua makes and reads it by these
names too, and is given the places when the library is assembled (see `named_rows.py`). Who adds a field on one side
only gets no library. `field(name=…)`: Lua's word for it, where that is another.
"""

from typing import Any, Final

import msgspec
from msgspec import field

from boltq.domain.job import PastRun
from boltq.domain.states import JobState


class Row(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """What crosses the wall as a list. Whatever has no default must be named where Lua makes the row."""


class JobRow(Row):
    """A job as it is stored, as lua/lib/reading.lua reads it: its record's fields by their names there. Times in ms.

    Lua says "" for what is not there. A field that goes into a `JobRecord` as it is has the same name in that.
    """

    id: str
    due_at: int | None = field(name="due")  # not of the record
    state: JobState
    route: str
    created_at: int = field(name="at")
    since: int
    deliveries: int | None = field(name="n")
    attempts: int | None = field(name="tries")
    losses: int | None = field(name="lost")
    worker: str | None
    took: int | None
    error: str | None
    reason: str | None
    cancel: str | None
    progress: str | None
    expires_at: int | None = field(name="expires")
    tags: str | None
    flow: str | None  # lists end here: they show no payloads
    spec: str | None = None
    data: str | None = None
    result: str | None = None
    created_by: str | None = field(name="by", default=None)
    replay_of: str | None = None
    replays: str | None = None
    unlogged: int | None = None


class WholeJobRow(Row):
    """A job with all that belongs to it: see lua/get.lua."""

    job: list[str | int]  # a JobRow
    log: list[str]
    runs: list[PastRun]
    place: list[Any]  # of a step: its workflow, its name, and which item of a map it is, or 0


class QueueRow(Row):
    """Numbers of one queue of one partition: see lua/stats.lua. Times in milliseconds."""

    name: str
    paused: int
    limit: int  # 0: none
    high: int
    normal: int
    low: int
    parked: int
    running: int
    scheduled: int
    retrying: int
    completed: int
    dead: int
    cancelled: int
    completed_total: int  # since the queue began
    dead_total: int
    cancelled_total: int
    oldest_queued_at: int  # 0: none is queued
    paused_by: str
    paused_reason: str
    paused_at: int  # 0: it is not paused
    blocked: int

    @property
    def queued(self) -> int:
        """All that wait in its lists."""
        return self.high + self.normal + self.low + self.parked


ROWS: Final[tuple[type[msgspec.Struct], ...]] = (JobRow, WholeJobRow, PastRun, QueueRow)
"""The rows that Lua knows by name."""
