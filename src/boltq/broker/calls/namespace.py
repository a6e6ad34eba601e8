"""Calls about a namespace as a whole."""

from collections.abc import Iterable

from boltq.broker.call import Call, pack


def open_(partition: int, partitions: int, knobs: Iterable[tuple[str, int]]) -> Call[int]:
    """Write the stored settings. Answers how many partitions there are, which the first call of all decides."""
    return Call("open", partition, (partitions, pack(list(knobs))), int)


def alarm(partition: int, kind: str, text: str) -> Call[int]:
    """Tell all processes, and whoever asks within a day, what was noticed: went_back or unknown_worker."""
    return Call("alarm", partition, (kind, text), int)
