"""A worker for tests of the API: in a thread with a loop of its own, so that a test may simply ask and wait."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from threads import in_a_thread

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

    async def main(begins: Callable[[Worker], None]) -> None:
        settings = Settings(redis_addr=store, namespace=namespace, partitions=partitions)
        async with BoltQ(settings=settings) as app:
            tasks(app)
            worker = Worker(app, queues=queues)
            running = asyncio.create_task(worker.run())
            await worker.started.wait()
            begins(worker)
            await running

    def stop(worker: Worker) -> None:
        HELD.set()
        worker.stop()

    try:
        with in_a_thread(main, stop):
            yield
    finally:
        HELD.clear()
