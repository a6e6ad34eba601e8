"""Rows that Lua and Python exchange: which fields each has, in which order, by which name.

A row is a list, for that is what the store is fast with. Python reads it as a struct; Lua makes and reads it by these
names too, and is given the places when the library is assembled (see `named_rows.py`). Who adds a field on one side
only gets no library. `field(name=…)`: Lua's word for it, where that is another.
"""

from typing import Final

import msgspec


class Row(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """What crosses the wall as a list. Whatever has no default must be named where Lua makes the row."""


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


ROWS: Final[tuple[type[msgspec.Struct], ...]] = (QueueRow,)
"""The rows that Lua knows by name."""
