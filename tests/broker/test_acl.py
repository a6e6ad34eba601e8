"""The store's user of docs/howto/security.md may do all that BoltQ does, and nothing else."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
from servers import running_server

from boltq import BoltQ, Settings, Worker
from boltq.broker.api_keys import ApiKeys
from boltq.broker.broker import Broker
from boltq.broker.consistency import audit
from boltq.broker.embedded import server_binary
from boltq.broker.inspector import Inspector, inspect_server
from boltq.domain.job import NewJob

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "security.md"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The path of a server that has that user."""
    found = re.search(r"^user boltq (.+)$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert found
    with running_server(server_binary()) as url:
        path = urlsplit(url).path
        admin = redis.Redis(unix_socket_path=path)
        admin.execute_command("ACL", "SETUSER", "boltq", *found[1].split())
        yield path
        refused = [entry["object"] for entry in admin.acl_log() if entry["object"] in {"fcall", "function|load"}]
        assert refused == []


@pytest.fixture
async def broker(server: str, partitions: int) -> AsyncIterator[Broker]:
    async with Broker(f"unix://boltq:secret@{server}", partitions=partitions) as opened:
        yield opened


async def test_it_may_do_all_that_boltq_does(server: str, broker: Broker, partitions: int) -> None:
    app = BoltQ(settings=Settings(redis_addr=f"unix://boltq:secret@{server}", partitions=partitions))

    @app.task
    async def double(n: int) -> int:
        return n * 2

    worker = Worker(app)
    running = asyncio.create_task(worker.run())
    async with app:
        job = await double.submit(21)
        assert await job.result(timeout=60) == 42
        worker.stop()
        await running
    [waiting, *_] = await broker.submit([NewJob(type="later", delay=10**9, idempotency_key="k")])
    await broker.cancel([waiting.id])
    await broker.replay([waiting.id])
    key, _ = await ApiKeys(broker).create("web", ["read"], created_by="test")
    await ApiKeys(broker).revoke(key.id)
    inspector = Inspector(broker)
    await inspector.queues()
    await inspector.series()
    await inspector.now_ms()
    await inspect_server(broker)
    assert await audit(broker, pauses=()) == []


FORBIDDEN = [
    "SET other 1", "GET {boltqx:0}:partition", "FLUSHALL", "FLUSHDB", "KEYS *", "CONFIG GET *", "ACL LIST",
    "DEBUG SLEEP 0", "EVAL return 0", "SHUTDOWN", "MONITOR", "REPLICAOF a 1", "SUBSCRIBE x", "CLIENT LIST",
]  # fmt: skip


@pytest.mark.parametrize("command", FORBIDDEN)
def test_it_may_do_nothing_else(server: str, command: str) -> None:
    client = redis.Redis(unix_socket_path=server, username="boltq", password="secret")
    with pytest.raises(redis.exceptions.NoPermissionError):
        client.execute_command(*command.split())
