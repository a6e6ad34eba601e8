"""A worker for tests of the API: in a thread with a loop of its own, so that a test may simply ask and wait."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from boltq import BoltQ, DataError, Settings, TransientError, Worker

HELD = threading.Event()
"""`hold` runs until it is set."""


def tasks(app: BoltQ) -> None:
    """What the crew can do."""

    @app.task
    async def echo(**data: Any) -> dict[str, Any]:
        return data

    @app.task
    async def give(value: Any) -> Any:
        return value

    @app.task
    async def add(left: int, right: int) -> int:
        return left + right

    @app.task
    async def spoil(text: str = "spoilt") -> None:
        raise DataError(text)

    @app.task(max_attempts=5)
    async def falter() -> None:
        raise TransientError("not today")

    @app.task
    async def hold() -> str:
        while not HELD.is_set():  # noqa: ASYNC110 - it is set in another thread
            await asyncio.sleep(0.01)
        return "held"


@contextmanager
def running_crew(store: str, namespace: str, queues: list[str], partitions: int = 1) -> Iterator[None]:
    """A worker of these queues."""
    started = threading.Event()
    ways: list = []
    errors: list[BaseException] = []

    async def main() -> None:
        settings = Settings(redis_addr=store, namespace=namespace, partitions=partitions)
        async with BoltQ(settings=settings) as app:
            tasks(app)
            worker = Worker(app, queues=queues)
            ways.extend((asyncio.get_running_loop(), worker))
            running = asyncio.create_task(worker.run())
            await worker.started.wait()
            started.set()
            await running

    def run() -> None:
        try:
            asyncio.run(main())
        except Exception as error:  # noqa: BLE001 - told to the test
            errors.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(30), "the worker did not start"
    try:
        assert not errors, errors
        yield
    finally:
        HELD.set()
        if not errors:
            loop, worker = ways
            loop.call_soon_threadsafe(worker.stop)
        thread.join(30)
        HELD.clear()
        assert not thread.is_alive()
        assert not errors, errors
