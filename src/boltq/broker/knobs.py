"""The settings that the scripts keep to: each namespace stores its own, in the store's units."""

from typing import Final

import msgspec

from boltq.settings import Settings


class Knobs(msgspec.Struct, frozen=True):
    """The stored settings of a namespace: its bounds. The last process that starts writes them."""

    keep_completed: int  # a queue
    keep_completed_ms: int
    keep_dead: int  # a queue
    keep_dead_ms: int
    keep_keys_ms: int  # idempotency keys
    max_depth: int  # jobs that may wait in a queue; 0: no limit
    max_queues: int  # queues of a partition; 0: no limit
    patience: int  # ms that a lower priority waits before it gets its turn
    poison_limit: int  # lost workers before a job is buried


def knobs_of(settings: Settings) -> Knobs:
    """The bounds that the scripts keep, in the store's units."""
    return Knobs(
        keep_completed=settings.keep_completed,
        keep_completed_ms=round(settings.keep_completed_hours * 3_600_000),
        keep_dead=settings.keep_dead,
        keep_dead_ms=round(settings.keep_dead_days * 86_400_000),
        keep_keys_ms=round(settings.keep_keys_hours * 3_600_000),
        max_depth=settings.max_queue_depth,
        max_queues=settings.max_queues,
        patience=round(settings.priority_patience * 1_000),
        poison_limit=settings.poison_limit,
    )


DEFAULT_KNOBS: Final = knobs_of(Settings())
"""What counts where a namespace has stored nothing: the scripts have these from here, as `KNOBS`."""

DEFAULT_LEASE_MS: Final = round(Settings().lease * 1_000)
