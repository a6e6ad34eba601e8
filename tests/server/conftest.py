"""A real uvicorn for the tests, in a thread with a loop of its own."""

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial

import httpx
import pytest

from boltq.broker.broker import Broker
from boltq.broker.calls import settling
from boltq.domain.job import ClaimedJob
from boltq.domain.outcome import Outcome
from boltq.server.serve import serve
from boltq.settings import Settings

_NUMBERS = itertools.count(1)


@contextmanager
def running_api(store: str, **settings) -> Iterator[str]:
    """The URL of an API on a free port."""
    started = threading.Event()
    urls: list[str] = []
    errors: list[BaseException] = []
    ways: list = []

    def announce(line: str) -> None:
        urls.append(line.rsplit(" ", 1)[1])
        started.set()

    async def main() -> None:
        ways.extend((asyncio.get_running_loop(), asyncio.current_task()))
        await serve(Settings(api_port=0, **settings), store, announce=announce)

    def run() -> None:
        try:
            asyncio.run(main())
        except asyncio.CancelledError:
            pass
        except Exception as error:  # noqa: BLE001 - told to the test
            errors.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(20), "the API did not start"
    if errors:
        raise errors[0]
    try:
        yield urls[0]
    finally:
        loop, task = ways
        loop.call_soon_threadsafe(task.cancel)
        thread.join(20)
        assert not thread.is_alive()
        assert not errors, errors


@pytest.fixture(scope="session")
def serving():
    """What starts an API of one's own, with a store's URL and settings, as a context manager."""
    return running_api


@pytest.fixture(scope="module")
def api_namespace(request: pytest.FixtureRequest) -> str:
    """The namespace that the tests of a file share."""
    return f"http-{request.module.__name__.rpartition('.')[2].replace('_', '-')}"


@pytest.fixture(scope="module")
def api(valkey: str, api_namespace: str, partitions: int) -> Iterator[str]:
    """The URL of an API on it."""
    with running_api(valkey, namespace=api_namespace, partitions=partitions) as url:
        yield url


@pytest.fixture(scope="module")
def http(api: str) -> Iterator[httpx.Client]:
    """A client of it."""
    with httpx.Client(base_url=api, timeout=20) as client:
        yield client


@pytest.fixture
async def desk(valkey: str, api: str, api_namespace: str) -> AsyncIterator[Broker]:
    """A broker beside it, to play the worker."""
    async with Broker(valkey, namespace=api_namespace) as opened:
        yield opened


@pytest.fixture
def run_one(desk: Broker):
    """A worker that takes one job of a queue, and ends it in a way."""
    return partial(_run_one, desk)


async def _run_one(desk: Broker, queue: str, outcome: Outcome | None, retry_in: float | None = None) -> ClaimedJob:
    """Claim a job of a queue, and settle it when there is an outcome."""
    for partition in range(desk.layout.partitions):
        worker = f"w-{queue}-{next(_NUMBERS)}"
        about = {"info": '{"host": "test"}', "queues": [queue], "types": None, "lease_ms": 60_000}
        await desk.register(partition, worker, **about)
        claim = await desk.claim(partition, worker, 1)
        for job in claim.jobs:
            if outcome is not None:
                await desk.settle(partition, worker, [settling(job, outcome, 5, retry_in)])
            return job
        await desk.retire(partition, worker, lost=False)
    raise AssertionError(f"no job in {queue}")
