"""Tells the log of requests that are no HTTP: a few lines a minute, however many there are."""

import logging
import time
from collections.abc import Callable
from typing import Final

log = logging.getLogger(__name__)

MOST_LINES: Final = 10  # within WINDOW_SECONDS
WINDOW_SECONDS: Final = 60.0
_CHARS: Final = 200


class Complaints:
    """The lines of one server."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until = 0.0
        self._told = self._untold = 0

    def tell(self, client: tuple[str, int] | None, status: int, reason: str) -> None:
        """Note a request that was refused before it was one, and who sent it."""
        now = self._clock()
        if now >= self._until:
            self.sum_up()
            self._told, self._until = 0, now + WINDOW_SECONDS
        if self._told >= MOST_LINES:
            self._untold += 1
            return
        self._told += 1
        address = f"{client[0]}, port {client[1]}" if client else "a local socket"
        log.warning("a request from %s was refused with %d: %.*s", address, status, _CHARS, reason)

    def sum_up(self) -> None:
        """Say how many were not told."""
        if self._untold:
            log.warning("%d more such requests were refused within a minute", self._untold)
        self._untold = 0
