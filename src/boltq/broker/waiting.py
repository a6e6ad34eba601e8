"""Waiting for something in the store: for a time, and through times in which it does not answer."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Final, TypeVar

from boltq.domain.errors import StoreUnavailable, WaitTimeout
from boltq.domain.options import patience

T = TypeVar("T")

AWAY_PAUSE: Final = 0.5  # seconds between two tries of one who waits while the store is away
LONGEST_AWAY: Final = 60.0  # seconds, for one who waits without a bound


class Away:
    """A time in which the store does not answer, as one who waits through it sees it."""

    def __init__(self, *, bounded: bool) -> None:
        self.error: StoreUnavailable | None = None  # the newest; None while the store answers
        self._bounded = bounded
        self._began = 0.0

    def still(self, error: StoreUnavailable) -> None:
        """Note that the store has not answered again. Raises its error after LONGEST_AWAY, if the wait has no bound."""
        now = time.monotonic()
        self._began = self._began if self.error else now
        self.error = error
        if not self._bounded and now - self._began >= LONGEST_AWAY:
            raise error


class Waiting:
    """How long somebody waits: `timeout` seconds from now, or as long as it takes. Raises TypeError, ValueError."""

    def __init__(self, timeout: float | None) -> None:
        self.timeout = patience(timeout)
        self._end = None if self.timeout is None else time.monotonic() + self.timeout

    def left(self) -> float | None:
        """The seconds that are left; None: as many as it takes."""
        return None if self._end is None else self._end - time.monotonic()

    async def through_outages(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What `ask` brings, asked again while the store is away. Raises WaitTimeout, StoreUnavailable."""
        away = Away(bounded=self.timeout is not None)
        try:
            async with asyncio.timeout(self.left()):
                while True:
                    try:
                        return await ask()
                    except StoreUnavailable as error:
                        away.still(error)
                    await asyncio.sleep(AWAY_PAUSE)
        except TimeoutError as error:
            if isinstance(error, WaitTimeout):
                raise
            why = f": {away.error}" if away.error else ""
            raise WaitTimeout(f"no answer of the store within {self.timeout:g} s{why}") from None


def let_go(tasks: Iterable["asyncio.Task[Any]"]) -> None:
    """End tasks of our own whose loop is closed, where they stand; their connections have to be closed before."""
    for task in tasks:
        coroutine = task.get_coro()
        if not task.done() and isinstance(coroutine, Coroutine):
            with contextlib.suppress(Exception):  # what it does at its end may need the loop
                coroutine.close()


def quiet(task: "asyncio.Task[T]") -> "asyncio.Task[T]":
    """A task of our own that may be pending when its loop is closed: nobody needs to hear of that."""
    with contextlib.suppress(AttributeError):
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - as asyncio.gather does
    return task
