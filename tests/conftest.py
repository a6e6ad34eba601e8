"""A real server for all tests, started once; a namespace of its own for each test."""

import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, settings

from boltq.broker.broker import Broker
from boltq.broker.embedded import server_binary

_NUMBERS = itertools.count(1)

_CHECKS = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
settings.register_profile("quick", max_examples=60, deadline=None, derandomize=True, suppress_health_check=_CHECKS)
settings.register_profile("nightly", max_examples=5_000, deadline=None, suppress_health_check=_CHECKS)
settings.load_profile("quick")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--partitions", type=int, default=1, help="partitions of each test's namespace")


@pytest.fixture(scope="session")
def partitions(request: pytest.FixtureRequest) -> int:
    """How many partitions each test's namespace has."""
    return int(request.config.getoption("--partitions"))


@contextmanager
def running_server(binary: str | Path, *options: str) -> Iterator[str]:
    """A server of the given binary on a Unix socket in a directory of its own; its URL."""
    folder = Path(tempfile.mkdtemp(prefix="boltq-test-"))
    socket = folder / "s"
    command = [
        str(binary), "--port", "0", "--unixsocket", str(socket), "--dir", str(folder),
        "--appendonly", "yes", "--appendfsync", "everysec", "--save", "",
        "--enable-debug-command", "yes", "--hash-max-listpack-value", "2048", *options,
    ]  # fmt: skip
    log = (folder / "log").open("wb")
    server = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "LC_ALL": "C"})
    try:
        wait_until_up(server, socket, folder / "log")
        yield f"unix://{socket}"
    finally:
        server.terminate()
        server.wait(20)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def wait_until_up(server: "subprocess.Popen[bytes]", socket: Path, log: Path) -> None:
    """Return when the server answers."""
    client = redis.Redis(unix_socket_path=str(socket))
    for _ in range(500):
        try:
            client.ping()
        except redis.RedisError:
            assert server.poll() is None, log.read_text()
            time.sleep(0.02)
        else:
            client.close()
            return
    raise AssertionError(f"the server does not answer: {log.read_text()}")


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
