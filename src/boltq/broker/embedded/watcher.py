"""Launches a server again that died, without polling: a thread holds a line to it, which goes dead with it."""

import logging
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from boltq.broker.embedded.options import EmbeddedError

log = logging.getLogger(__name__)

RELAUNCH_SECONDS = 5.0  # the longest pause between tries to launch a server that cannot start


class Watcher:
    """`ensure_running` launches the server if it died, and says whether; `dial` is a bare line to it."""

    def __init__(
        self,
        directory: Path,
        ensure_running: Callable[[], bool],
        dial: Callable[[], socket.socket | None],
        interval: float,
    ) -> None:
        self._directory = directory
        self._ensure_running, self._dial = ensure_running, dial
        self._interval = interval
        self._stopping = threading.Event()
        self._line: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="boltq-store-watch", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no longer, and return when the thread has ended."""
        self._stopping.set()
        if self._line:
            with suppress(OSError):
                self._line.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def _run(self) -> None:
        pause = self._interval
        while not self._stopping.is_set():
            self._wait_for_hangup()
            if self._stopping.is_set():
                return
            try:
                if self._ensure_running():
                    log.warning("the store in %s had died; it runs again", self._directory)
                pause = self._interval
            except EmbeddedError as error:  # such as a full disk: someone may make room
                log.error("%s (trying again)", error)  # noqa: TRY400 - the error says all; this comes again and again
                pause = min(pause * 2, RELAUNCH_SECONDS)
            self._stopping.wait(pause)

    def _wait_for_hangup(self) -> None:
        self._line = self._dial()
        if self._line:
            with self._line, suppress(OSError):
                # `stop` sets the event, then looks for a line; we the other way round: so one sees the other.
                if not self._stopping.is_set():
                    self._line.recv(1)
