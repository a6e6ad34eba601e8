"""`boltq bench --scale`: what each call costs the store when it is full: none may hold it up for long.

A store is filled, then each call is made as its users make it, on what is there; the server's own processor time of
each is noted. What changes something is measured last.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from boltq.bench.meter import Meter, Spent
from boltq.bench.scale_calls import Users, calls_of
from boltq.bench.scale_fill import Filling, StoreSize

GOAL_MS: Final = 10.0

Tell = Callable[[str], None]


class ScaleRow(msgspec.Struct):
    """What the calls of one script have cost."""

    script: str
    calls: int
    median_ms: float
    most_ms: float
    most_what: str  # what the most expensive one was used for


def rows_of(spent: Sequence[Spent]) -> list[ScaleRow]:
    """By script, the most expensive call first."""
    by_script: dict[str, list[Spent]] = {}
    for one in spent:
        by_script.setdefault(one.script, []).append(one)
    rows = []
    for script, all_of_it in by_script.items():
        ordered = sorted(all_of_it, key=lambda one: one.ms)
        most = ordered[-1]
        rows.append(ScaleRow(script, len(ordered), ordered[len(ordered) // 2].ms, most.ms, most.what))
    return sorted(rows, key=lambda row: -row.most_ms)


async def measure(meter: Meter, size: StoreSize, say: Tell) -> list[ScaleRow]:
    """Fill the store, and make every call on it."""
    await meter.calibrate()
    fill = Filling(meter, size)
    for name in ("queued", "dead", "ended", "waiting", "parked", "workers", "workflows"):
        began = time.perf_counter()
        meter.label = f"filling: {name}"
        await getattr(fill, name)()
        await meter.loop()
        say(f"filled: {name} ({time.perf_counter() - began:.1f} s)")
    for name, call in calls_of(Users(meter, size)).items():
        meter.label, began = name, time.perf_counter()
        await call()
        await meter.loop()
        say(f"{name} ({time.perf_counter() - began:.2f} s)")
    return rows_of(meter.spent)
