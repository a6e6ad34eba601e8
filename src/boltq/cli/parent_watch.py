"""Ends this process when the one that started it has died: a pipe that only death closes."""

import argparse
import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable


def add_argument(parser: argparse.ArgumentParser) -> None:
    """The file descriptor of our end of the pipe; only for processes that BoltQ itself starts."""
    parser.add_argument("--life", type=int, help=argparse.SUPPRESS)


def follow(fd: int | None, within: float | None = None, on_death: Callable[[], object] = lambda: None) -> None:
    """Send this process SIGTERM when the pipe closes, however the other end died; and SIGKILL so many seconds later.

    `on_death` is called before, in a thread of its own.
    """
    if fd is not None:
        threading.Thread(target=_wait, args=(fd, within, on_death), name="boltq-life", daemon=True).start()


def _wait(fd: int, within: float | None, on_death: Callable[[], object]) -> None:
    os.set_inheritable(fd, False)
    with contextlib.suppress(OSError):  # a reset: it died before it had read what we told it
        while os.read(fd, 1):
            pass
    on_death()
    os.kill(os.getpid(), signal.SIGTERM)
    if within is not None:
        time.sleep(within)
        os.kill(os.getpid(), signal.SIGKILL)
