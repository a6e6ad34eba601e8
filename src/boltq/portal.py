"""For callers that have no event loop: one in a thread of its own; and work in threads that outlive the main one."""

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, TypeVar

from boltq.domain.errors import WaitTimeout

log = logging.getLogger(__name__)

T = TypeVar("T")

CHILD: Final = "boltq-job"
"""The name of a process for executor="process"."""

_SLACK: Final = 0.25  # seconds that the work itself has to say that its time is over, before its caller goes
_OWNERS: Final = {"BoltQ": "app", "Submission": "task", "Job": "job", "WorkflowRun": "run", "Inline": "inline"}


class Portal:
    """An event loop in a thread. It serves until it is stopped, whatever its work raises.

    Raises RuntimeError when there are no more threads: a bound of the system, or the interpreter is ending.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(Threads())
        self._stopping = False
        self._thread = threading.Thread(target=self._serve, name="boltq-portal", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            self._loop.close()
            raise

    @property
    def is_here(self) -> bool:
        """Whether this thread is the loop's own."""
        return threading.current_thread() is self._thread

    def run(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run it and wait. Raises WaitTimeout when it has not ended in time, whatever the loop is busy with."""
        if self.is_here:
            work.close()
            raise RuntimeError("a ..._sync call inside of BoltQ's own loop would wait for itself")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(None if timeout is None else max(0.0, timeout) + _SLACK)
        except TimeoutError:
            if future.done():
                raise  # it is the work's own
            future.cancel()
            raise WaitTimeout(f"no answer within {timeout:g} s; what was asked for may go on") from None
        except BaseException:  # such as Ctrl-C, which only the caller hears
            future.cancel()
            raise

    def stop(self) -> None:
        """End the loop, within five seconds."""
        self._stopping = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        if not self._thread.is_alive():
            self._loop.close()

    def _serve(self) -> None:
        while not self._stopping:
            try:
                self._loop.run_forever()
            except BaseException:  # a SystemExit: it has reached the caller that waits for it
                log.debug("the work of one caller would have ended the loop of all", exc_info=True)


class Threads(ThreadPoolExecutor):
    """A thread for each call. Unlike the pools of the standard library it works after the main thread has ended."""

    def submit(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        """Call it in a thread."""
        future: Future[T] = Future()

        def carry_out() -> None:
            try:
                found = function(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - for whoever waits
                future.set_exception(error)
            else:
                future.set_result(found)

        future.set_running_or_notify_cancel()
        threading.Thread(target=carry_out, name="boltq-call", daemon=True).start()
        return future


async def in_thread(function: Callable[[], T]) -> T:
    """Call it in a thread, and wait; also where `asyncio.to_thread` has no threads any more."""
    return await asyncio.wrap_future(Threads().submit(function))


def lend_threads() -> None:
    """Where the main thread has ended, give the running loop threads: without them it cannot look up any host."""
    if not threading.main_thread().is_alive():
        asyncio.get_running_loop().set_default_executor(Threads())


def refuse_at_the_end(work: Coroutine[Any, Any, Any]) -> None:
    """Raise RuntimeError where the interpreter takes itself apart, as in a `__del__`: no thread runs any more."""
    if sys.is_finalizing():
        work.close()
        raise RuntimeError("the interpreter is ending: there is no thread any more for what a ..._sync call does")


def refuse_in_a_child() -> None:
    """Raise RuntimeError where a child of executor="process" reads the program again, for the task in it."""
    multiprocessing = sys.modules.get("multiprocessing.process")
    process = multiprocessing.current_process() if multiprocessing else None
    if process and process.name == CHILD and getattr(process, "_inheriting", False):
        raise RuntimeError(
            'a process for executor="process" reads this program too, and would do all that it does:'
            ' put what it does, besides its definitions, under `if __name__ == "__main__":`'
        )


def is_in_loop() -> bool:
    """Whether an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def refuse_in_loop(work: Coroutine[Any, Any, Any]) -> None:
    """Raise RuntimeError, with the call to use instead, where an event loop runs in this thread."""
    if not is_in_loop():
        return
    work.close()
    place = getattr(work, "__qualname__", "").partition(".<locals>")[0].removesuffix("_sync")
    owner, _, name = place.rpartition(".")
    ours = _OWNERS.get(owner)
    call, instead = (f"{name}_sync()", f"`await {ours}.{name}(...)`") if ours else ("this", "`await`")
    raise RuntimeError(f"{call} would block the event loop that runs here, and all that runs on it: use {instead}")
