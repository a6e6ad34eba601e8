"""The runs of a worker that have not ended: which they are, when they are interrupted, and which are lost to it.

A run is lost when the store has given its job to somebody else, and stuck when it was settled long past its timeout.
Such runs may go on: what they say counts for nothing, and in the end their slots are written off.
"""

import time
from collections.abc import Iterator

from boltq.worker.run import LOST, STUCK_AFTER, TIMEOUT, Run

RunKey = tuple[str, int]
"""A job's id and its delivery."""


class Running:
    """The table of runs. Only `note_stuck` and `all` may be called from other threads."""

    def __init__(self, cleanup: float) -> None:
        self.runs: dict[str, Run] = {}  # by the ids of their jobs
        self._cleanup = cleanup  # seconds that a run is given when it is interrupted
        self._stuck: set[Run] = set()  # settled by the lease thread
        self._disowned: set[Run] = set()  # not ours as the store sees it
        self._given_up: dict[Run, float] = {}  # not ours any more; until when they may clean up (monotonic)

    def __len__(self) -> int:
        return len(self.runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self.all())

    def all(self) -> list[Run]:
        """The runs as they are now."""
        return list(self.runs.values())

    def of(self, partition: int) -> list[Run]:
        """The runs of one partition."""
        return [run for run in self.all() if run.partition == partition]

    def remove(self, run: Run) -> None:
        """Forget a run that has ended."""
        if self.runs.get(run.job.id) is run:  # else: settled by the lease thread, and claimed again since
            del self.runs[run.job.id]
        if self._stuck or self._disowned or self._given_up:
            self._stuck.discard(run)
            self._disowned.discard(run)
            self._given_up.pop(run, None)

    def known(self, partition: int) -> set[RunKey]:
        """The runs of a partition that the store has yet to hear of."""
        return {(run.job.id, run.job.delivery) for run in self.of(partition) if not run.settled}

    def count(self, partition: int) -> int:
        """How many runs of a partition those are."""
        return sum(not run.settled for run in self.of(partition))

    def count_all(self) -> int:
        """How many runs of all partitions those are; quickly."""
        return len(self.runs) - sum(self.runs.get(run.job.id) is run for run in self._stuck | self._disowned)

    # When they are interrupted

    def is_watched(self) -> bool:
        """Whether there is anything that may have to be interrupted."""
        return bool(self.runs or self._given_up)

    def interrupt_overdue(self) -> float:
        """Interrupt what has run too long, and again what was interrupted; in how many seconds the next one is due."""
        now, soonest = time.monotonic(), float("inf")
        for run in [*self.runs.values(), *self._given_up]:
            if now >= run.deadline:
                run.ask_to_stop(TIMEOUT)
            elif run.stop_reason:  # asked before: again, when its time for cleaning up is over
                run.ask_to_stop(run.stop_reason)
            else:
                soonest = min(soonest, run.deadline - now)
        return soonest

    def interrupt_all(self, reason: str) -> None:
        """Interrupt everything."""
        for run in self.all():
            run.ask_to_stop(reason)

    # Which are lost

    def disown(self, partition: int, runs: set[RunKey]) -> list[Run]:
        """Stop and answer those of these runs that are here: they are not ours as the store sees it."""
        here = [run for run in self.of(partition) if (run.job.id, run.job.delivery) in runs and not run.settled]
        for run in here:
            run.settled = True
            self._disowned.add(run)
            self._give_up(run)
        return here

    def give_up(self, partition: int) -> None:
        """Our registration in this partition is gone: all that ran under it is not ours any more."""
        for run in self.of(partition):
            self._give_up(run)

    def _give_up(self, run: Run) -> None:
        """Stop it. If it does not end, its slot is written off."""
        self._given_up.setdefault(run, time.monotonic() + self._cleanup + STUCK_AFTER)
        run.ask_to_stop(LOST)

    def note_stuck(self, run: Run) -> None:
        """The lease thread, which calls this, has settled a run that does not end."""
        self._stuck.add(run)
        if self.runs.get(run.job.id) is not run:  # it has ended just now
            self._stuck.discard(run)

    def is_any_overdue(self) -> bool:
        """Whether a run that was given up has not ended in time."""
        return any(map(self._is_overdue, self._given_up))

    def written_off(self) -> int:
        """How many slots are held by runs that do not end."""
        return len(self._stuck) + sum(self._is_overdue(run) for run in self._given_up if run not in self._stuck)

    def _is_overdue(self, given_up: Run) -> bool:
        return time.monotonic() > self._given_up[given_up]
