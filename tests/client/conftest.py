"""An API, clients of it, and a worker beside them."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from apis import running_api

from boltq import BoltQ, Settings, Worker
from boltq.client import AsyncClient, Client
from boltq.domain.outcome import DataError


@pytest.fixture
def api(valkey: str, namespace: str, partitions: int) -> Iterator[str]:
    """The URL of an API with a namespace of its own."""
    with running_api(valkey, namespace=namespace, partitions=partitions) as url:
        yield url


@pytest.fixture
def client(api: str) -> Iterator[Client]:
    with Client(api) as opened:
        yield opened


@pytest.fixture
async def async_client(api: str) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(api) as opened:
        yield opened


@pytest.fixture
def working(valkey: str, namespace: str, partitions: int, api: str) -> Callable[[], AbstractContextManager[None]]:
    """Has a worker beside a block, in a thread."""
    return lambda: _working(Settings(redis_addr=valkey, namespace=namespace, partitions=partitions, grace=5.0))


@contextmanager
def _working(settings: Settings) -> Iterator[None]:
    begun, loops = threading.Event(), []

    async def work() -> None:
        worker = Worker(_app(settings), queues=["default", "mail"])
        loops.append((asyncio.get_running_loop(), worker))
        running = asyncio.create_task(worker.run())
        started = asyncio.create_task(worker.started.wait())
        await asyncio.wait({running, started}, return_when=asyncio.FIRST_COMPLETED)
        begun.set()
        await running
        await worker.app.close()

    thread = threading.Thread(target=lambda: asyncio.run(work()))
    thread.start()
    assert begun.wait(30)
    try:
        yield
    finally:
        loop, worker = loops[0]
        loop.call_soon_threadsafe(worker.stop)
        thread.join(60)
        assert not thread.is_alive()


def _app(settings: Settings) -> BoltQ:
    app = BoltQ(settings=settings)

    @app.task
    async def echo(**data: Any) -> dict[str, Any]:
        return data

    @app.task
    async def spoil(text: str = "spoilt") -> None:
        raise DataError(text)

    @app.task
    async def wait_for_ever() -> None:
        await asyncio.Event().wait()

    return app
