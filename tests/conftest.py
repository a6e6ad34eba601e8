"""A real server for all tests, started once; a namespace of its own for each test."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from servers import running_server

from boltq import BoltQ, Settings, Worker
from boltq.broker.broker import Broker
from boltq.broker.embedded import server_binary

_NUMBERS = itertools.count(1)

# `pytest --hypothesis-profile=nightly` looks for what nobody thought of; the usual one repeats itself exactly.
_CHECKS = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
_QUICK = [Phase.explicit, Phase.generate]  # shows what it found at once; the nightly one makes it small
settings.register_profile(
    "quick", max_examples=100, deadline=None, derandomize=True, suppress_health_check=_CHECKS, phases=_QUICK
)
settings.register_profile("nightly", max_examples=5_000, deadline=None, suppress_health_check=_CHECKS)
settings.load_profile("quick")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--partitions", type=int, default=1, help="partitions of each test's namespace")
    parser.addoption("--chaos-seed", type=int, help="of the chaos story (default: a new one, which it prints)")
    parser.addoption("--chaos-jobs", type=int, default=20_000, help="jobs of the chaos story")
    parser.addoption("--api-examples", type=int, default=30, help="what Schemathesis makes up for each call of the API")
    parser.addoption("--chaos-seconds", type=float, default=20.0, help="how long its storm lasts")


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests in which the number of partitions can make a difference."""
    for item in items:
        if "partitions" in getattr(item, "fixturenames", ()) and not item.get_closest_marker("any_partitions"):
            item.add_marker("partitioned")


@pytest.fixture(scope="session")
def partitions(request: pytest.FixtureRequest) -> int:
    """How many partitions each test's namespace has."""
    return int(request.config.getoption("--partitions"))


@pytest.fixture(scope="session")
def valkey() -> Iterator[str]:
    """The URL of a server that all tests share; each keeps to its own namespace."""
    with running_server(server_binary()) as url:
        yield url


@pytest.fixture
def namespace() -> str:
    """A name that no other test uses."""
    return f"t{os.getpid()}-{next(_NUMBERS)}"


@pytest.fixture
async def broker(valkey: str, namespace: str, partitions: int) -> AsyncIterator[Broker]:
    """An open broker on this test's namespace."""
    async with Broker(valkey, namespace=namespace, partitions=partitions) as opened:
        yield opened


WorkerMaker = Callable[..., AbstractAsyncContextManager[Worker]]


@pytest.fixture
async def boltq_app(valkey: str, namespace: str, partitions: int) -> AsyncIterator[BoltQ]:
    """An application with a store of its own, and no tasks yet."""
    settings = Settings(redis_addr=valkey, namespace=namespace, partitions=partitions, grace=10.0)
    async with BoltQ(settings=settings) as app:
        yield app


@pytest.fixture
def worker(boltq_app: BoltQ) -> WorkerMaker:
    """Has a worker beside a block, and ends it in good order after that."""

    @asynccontextmanager
    async def working(app: BoltQ = boltq_app, **options: Any) -> AsyncIterator[Worker]:
        one = Worker(app, **options)
        async with asyncio.TaskGroup() as group:
            group.create_task(one.run())
            await one.started.wait()
            yield one
            one.stop()

    return working
