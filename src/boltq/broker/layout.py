"""Where a namespace's partitions are, and which of them an id belongs to."""

import contextlib
import zlib
from collections.abc import Iterable

from boltq.domain import limits
from boltq.domain.errors import NotFound
from boltq.domain.ids import MAX_PARTITIONS, partition_of


class Layout:
    """Where a namespace's partitions are, and which one an id or a key belongs to."""

    def __init__(self, namespace: str, partitions: int) -> None:
        if bad := limits.bad_name(namespace):
            raise ValueError(bad)
        if not 1 <= partitions <= MAX_PARTITIONS:
            raise ValueError(f"partitions: from 1 to {MAX_PARTITIONS}, not {partitions}")
        self.namespace = namespace
        self.partitions = partitions
        self._next = 0

    def prefix(self, partition: int) -> str:
        """What all keys of a partition begin with; the braces keep them in one cluster slot."""
        return f"{{{self.namespace}:{partition}}}:"

    def next(self) -> int:
        """The partition for the next batch of new jobs."""
        self._next = (self._next + 1) % self.partitions
        return self._next

    def of_key(self, key: str) -> int:
        """The partition that keeps an idempotency key."""
        return zlib.crc32(key.encode()) % self.partitions

    def of_id(self, job_id: str) -> int:
        """The partition that an id names; NotFound when there is no such partition."""
        try:
            partition = partition_of(job_id)
        except ValueError as error:
            raise NotFound(str(error)) from None
        if partition >= self.partitions:
            raise NotFound(f"no job {job_id}")
        return partition

    def homes(self, ids: Iterable[str]) -> dict[int, list[str]]:
        """Ids by the partition that they name, each once; those that name none are left out."""
        homes: dict[int, list[str]] = {}
        for job_id in dict.fromkeys(ids):
            with contextlib.suppress(NotFound):
                homes.setdefault(self.of_id(job_id), []).append(job_id)
        return homes
