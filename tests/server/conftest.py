"""A real API for the tests, and a broker beside it."""

import asyncio
import itertools
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from functools import partial

import httpx
import pytest
from apis import PROGRAM, running_api
from crews import running_crew
from waiting import eventually

from boltq.broker.broker import Broker
from boltq.broker.settling import settling
from boltq.domain.job import ClaimedJob
from boltq.domain.outcome import Outcome

_NUMBERS = itertools.count(1)


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


@pytest.fixture(scope="module")
def keyed(valkey: str, api_namespace: str, partitions: int):
    """What makes a client with an API key of some scopes, of a second API on the same namespace that wants a login."""
    token = "t" * 40
    with running_api(valkey, namespace=api_namespace, partitions=partitions, auth="on", token=token) as url:

        def client(*scopes: str) -> httpx.Client:
            form = {"name": f"key-{next(_NUMBERS)}", "scopes": scopes}
            made = httpx.post(f"{url}/api/v1/keys", json=form, headers={"Authorization": f"Bearer {token}"}, timeout=20)
            assert made.status_code == 201, made.text
            return httpx.Client(base_url=url, timeout=20, headers={"Authorization": f"Bearer {made.json()['key']}"})

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


@pytest.fixture(scope="module")
def crew(valkey: str, api: str, api_namespace: str, partitions: int) -> Iterator[None]:
    """A worker of the queues `default` and `work`; what it can do stands in crews.py, and the API has heard of it."""

    def is_known() -> bool:
        answer = httpx.post(f"{api}/api/v1/jobs", params={"dry_run": True}, json={"type": "add"}, timeout=20)
        return answer.json()["valid"] is False

    with running_crew(valkey, api_namespace, ["default", "work"], partitions):
        asyncio.run(eventually(is_known))
        yield


@pytest.fixture
def process(valkey: str) -> Iterator[tuple[str, int]]:
    """An API in a process of its own: its URL and its pid."""
    command = [sys.executable, "-c", PROGRAM, valkey]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as api:
        try:
            yield api.stdout.readline().rsplit(" ", 1)[1].strip(), api.pid
        finally:
            api.terminate()
