"""A program of asyncio in a thread of its own: it says when it has begun, and ends with a test's block."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

T = TypeVar("T")

PATIENCE = 30  # seconds

Program = Callable[[Callable[[T], None]], Coroutine[Any, Any, None]]


@contextmanager
def in_a_thread(program: Program[T], stop: Callable[[T], None] | None = None) -> Iterator[T]:
    """What the program says that it has begun with; at the end, it is told to stop, in its loop, or is cancelled."""
    settled = threading.Event()
    begun: list[tuple[asyncio.AbstractEventLoop, Callable[[], object], T]] = []
    errors: list[BaseException] = []

    async def main() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task

        def begins(what: T) -> None:
            begun.append((loop, (lambda: stop(what)) if stop else task.cancel, what))
            settled.set()

        await program(begins)

    def run() -> None:
        try:
            with suppress(asyncio.CancelledError):
                asyncio.run(main())
        except Exception as error:  # noqa: BLE001 - told to the test
            errors.append(error)
        finally:
            settled.set()

    thread = threading.Thread(target=run)
    thread.start()
    assert settled.wait(PATIENCE), "it did not begin"
    if errors:
        raise errors[0]
    [(loop, end, what)] = begun
    try:
        yield what
    finally:
        with suppress(RuntimeError):  # it has ended, and its loop with it: `errors` may say why
            loop.call_soon_threadsafe(end)
        thread.join(PATIENCE)
        assert not thread.is_alive(), "it does not end"
        assert not errors, errors
