"""Says in the log when the store goes away and when it is back: once for all loops of a process that notice it."""

import logging
import threading
import time
from typing import Final

from boltq.domain.happenings import Announce, StoreAway, StoreBack

STILL: Final = 60.0  # seconds between lines while it stays away
STEADY: Final = 5.0  # seconds after it came back, in which nothing is said of a new outage: it may come and go

log = logging.getLogger(__name__)


class Outage:
    """Who cannot use the store now, and what the log has said of that. Thread-safe; may be called at any rate."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._down: set[str] = set()  # who cannot use it now
        self._since = 0.0  # monotonic
        self._silent_until = 0.0
        self._said = False
        self.announce_to: list[Announce] = []

    def down(self, who: str, error: Exception) -> None:
        """Somebody cannot use the store."""
        now = time.monotonic()
        with self._lock:
            if not self._down:
                self._since = now
            self._down.add(who)
            if now < self._silent_until:
                return
            still, self._said = self._said, True
            self._silent_until = now + STILL
        if still:
            log.warning("the store is still away, for %.0f s", now - self._since, extra={"error": str(error)})
        else:
            log.warning("the store cannot be used; going on when it can", extra={"error": str(error)})
            self._announce(StoreAway(str(error)))

    def leave(self, who: str) -> None:
        """Somebody does not need the store any longer, and will not say when it is back."""
        with self._lock:
            self._down.discard(who)

    def up(self, who: str) -> None:
        """Somebody has used the store."""
        if who not in self._down:
            return
        with self._lock:
            self._down.discard(who)
            if self._down:
                return
            said, self._said = self._said, False
            now = time.monotonic()
            if said:
                self._silent_until = now + STEADY
        if said:
            log.warning("the store is back, after %.1f s", now - self._since)
            self._announce(StoreBack(now - self._since))

    def _announce(self, happening: StoreAway | StoreBack) -> None:
        for announce in list(self.announce_to):
            announce(happening)
