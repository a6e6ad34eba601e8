"""What this process has heard of the store's history, by which it notices that the store went back in time.

Each answer tells the number of the last call that moved a job, and the era: one run of one server. Whoever has heard of
a number that the new era never had knows that calls are lost which the store had answered: a failover to a replica that
lagged, an older copy, FLUSHALL. Whatever any process notices is written down in the store, and all others hear of it.
"""

import logging
import time
from collections.abc import Mapping
from typing import Final, NamedTuple

from boltq.broker.marks import NO_MARK, Mark

log = logging.getLogger(__name__)

WENT_BACK: Final = "went_back"
UNKNOWN_WORKER: Final = "unknown_worker"
_SAME: Final = 60.0  # seconds in which another alarm of a kind is the same event


class Alarm(NamedTuple):
    """Something that all should know: what kind, when it was noticed (server ms), how often, in words."""

    kind: str
    at: int
    times: int
    text: str


class History:
    """What one process knows of each partition. Answers may come in another order than their calls were sent."""

    def __init__(self) -> None:
        self._marks: dict[int, Mark] = {}
        self._past: set[tuple[int, str]] = set()  # eras that are over
        self._said: dict[str, float] = {}  # kind of alarm -> when we logged one

    def mark(self, partition: int) -> Mark:
        """The newest that was heard: to be remembered with each call that is sent."""
        return self._marks.get(partition, NO_MARK)

    def hear(self, partition: int, before: Mark, mark: Mark) -> int:
        """An answer's mark; `before`: what was known when its call was sent. How many calls are lost, at least."""
        if mark.era == before.era and mark.seq >= before.seq:
            known = self.mark(partition)
            if mark.era and (mark.seq > known.seq or mark.alarmed > known.alarmed):
                self._marks[partition] = mark
            return 0
        if not before.era:  # we had heard nothing
            if mark.era:
                self._marks.setdefault(partition, mark)
            return 0
        if mark.era and mark.era != before.era and (partition, mark.era) in self._past:
            return 0
        known = self.mark(partition)
        if known is not before and known.era == mark.era:
            return 0  # an answer that overtook this one has said so already
        self._past.add((partition, before.era))
        if mark.era:
            self._marks[partition] = mark
        else:  # there is no history at all, and what comes is new
            del self._marks[partition]
        return max(0, before.seq - (mark.seq if mark.era == before.era else mark.began_after))

    def news(self, alarms: Mapping[str, str], since: int) -> list[Alarm]:
        """Alarms that were raised after a time and that were not logged here yet: of each kind one a minute."""
        found = [alarm for alarm in read_alarms(alarms) if alarm.at > since]
        return [alarm for alarm in found if self.may_say(alarm.kind)]

    def may_say(self, kind: str) -> bool:
        """Whether it is time to log an alarm of this kind; if so, it is taken as logged."""
        now, said = time.monotonic(), self._said.get(kind)
        if said is not None and now - said < _SAME:
            return False
        self._said[kind] = now
        return True


def read_alarms(fields: Mapping[str, str]) -> list[Alarm]:
    """Alarms as they are stored: see lua/lib/history.lua."""
    found = []
    for kind, line in fields.items():
        at, times, text = line.split(" ", 2)
        found.append(Alarm(kind, int(at), int(times), text))
    return found


def lost_text(calls: int) -> str:
    """What to say when that many calls are lost."""
    return (
        f"the store went back in time: at least {calls} calls that it had answered are gone, and with them jobs may be"
        " (a failover to a replica that lagged, an older copy of its data, or FLUSHALL)"
    )
