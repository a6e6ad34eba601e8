"""A real server for all tests, started once; a namespace of its own for each test."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import night
import pytest
from hypothesis import HealthCheck, Phase, settings
from servers import running_server

from boltq import BoltQ, Settings, Worker
from boltq.broker.broker import Broker
from boltq.broker.embedded import server_binary

_NUMBERS = itertools.count(1)

LONGEST_FILES = (
    "server/test_schemathesis.py", "faults/test_chaos.py", "faults/test_store_restarts.py",
    "faults/test_seeded_bugs.py",
    "worker/test_supervisor.py", "broker/test_machine.py", "worker/test_processes.py", "docs/test_pages.py",
    "cli/test_dev.py", "broker/test_flow_machine.py", "server/test_generated_clients.py", "worker/test_never_hangs.py",
    "server/test_hostile.py", "broker/test_error_words.py", "server/test_auth.py", "worker/test_shutdown.py",
    "cli/test_load.py", "cli/test_acting.py", "broker/test_consistency.py", "server/test_guard.py",
)  # fmt: skip
"""With several processes, none of them shall be alone with a long file at the end."""

_LONGEST = {file: place for place, file in enumerate(LONGEST_FILES)}

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
    parser.addoption("--chaos-jobs", type=int, help="jobs of the chaos story (default: 10,000, at night 20,000)")
    parser.addoption("--chaos-seconds", type=float, help="how long its storm lasts (default: 10, at night 20)")
    parser.addoption("--api-examples", type=int, help="Schemathesis makes up for a call (default: 5, at night 30)")
    parser.addoption("--night", action="store_true", help="thin nothing; see tests/support/night.py")


def pytest_configure(config: pytest.Config) -> None:
    """Say what time it is, before any test is read."""
    if config.getoption("--night"):
        night.begin()


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests in which the number of partitions can make a difference; the longest files go first."""
    items.sort(key=lambda item: _LONGEST.get("/".join(item.path.parts[-2:]), len(_LONGEST)))
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
