"""What every story begins with: an application on a real Valkey, and a way to have workers beside the story."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from boltq import BoltQ, Settings, Worker

WorkerMaker = Callable[..., AbstractAsyncContextManager[Worker]]


@pytest.fixture
async def boltq_app(valkey: str, namespace: str, partitions: int) -> AsyncIterator[BoltQ]:
    """An application with a store of its own, and no tasks yet."""
    settings = Settings(redis_addr=valkey, namespace=namespace, partitions=partitions, grace=10.0)
    async with BoltQ(settings=settings) as app:
        yield app


@pytest.fixture
def worker(boltq_app: BoltQ) -> WorkerMaker:
    """A worker beside a block (`async with worker():`), which ends in good order after it."""

    @asynccontextmanager
    async def working(app: BoltQ = boltq_app, **options: Any) -> AsyncIterator[Worker]:
        one = Worker(app, **options)
        async with asyncio.TaskGroup() as group:
            group.create_task(one.run())
            await one.started.wait()
            yield one
            one.stop()

    return working
