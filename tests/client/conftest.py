"""An API, clients of it, and a worker beside them."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from apis import running_api
from crews import running_crew
from scripted import Scripted, scripted_server

from boltq.client import AsyncClient, Client


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
    """Has a worker beside a block, in a thread; what it can do stands in crews.py."""
    return lambda: running_crew(valkey, namespace, ["default", "mail"], partitions)


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A server that answers as a test tells it to."""
    with scripted_server() as running:
        yield running
