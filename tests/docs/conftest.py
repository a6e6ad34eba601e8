"""What runs the programs and calls of the documentation: a folder, an environment, workers, and a `boltq dev`."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
BOLTQ = [sys.executable, "-m", "boltq"]

WorkerMaker = Callable[..., AbstractContextManager[None]]


def environment(**extra: str) -> dict[str, str]:
    """As a user has it who has activated .venv; nothing of BoltQ is set."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("BOLTQ_", "API_", "REDIS_"))}
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return {**clean, "PATH": path, "PYTHONUNBUFFERED": "1", **extra}


@pytest.fixture
def surroundings(valkey: str, namespace: str) -> dict[str, str]:
    """The environment of a test's programs: a namespace of its own on the shared server."""
    return environment(REDIS_ADDR=valkey, BOLTQ_NAMESPACE=namespace, BOLTQ_GRACE="1")


@pytest.fixture
def working(surroundings: Mapping[str, str]) -> WorkerMaker:
    """Has a `boltq worker` beside a block; takes the folder and further words of the command."""

    @contextmanager
    def worker(folder: Path, *words: str) -> Iterator[None]:
        command = [*BOLTQ, "worker", "--slots", "4", *words]
        process = subprocess.Popen(command, cwd=folder, env=surroundings, stdin=subprocess.DEVNULL)
        try:
            yield
            assert process.poll() is None, "the worker has ended"
        finally:
            process.terminate()
            process.wait(30)

    return worker


@pytest.fixture
def serving(surroundings: dict[str, str], tmp_path: Path) -> WorkerMaker:
    """Has a `boltq api` beside a block, which programs find by BOLTQ_URL."""

    @contextmanager
    def api() -> Iterator[None]:
        with (tmp_path / "api.out").open("wb") as out:
            process = subprocess.Popen(
                [*BOLTQ, "api", "--port", "0"], env=surroundings, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        try:
            surroundings["BOLTQ_URL"] = "http://" + _address(process, tmp_path / "api.out", r"listens on http://(\S+)")
            yield
        finally:
            surroundings.pop("BOLTQ_URL", None)
            process.terminate()
            process.wait(60)

    return api


@pytest.fixture(scope="session")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a `boltq dev` with a store of its own; on port 8080, as the pages say, where that is free."""
    folder = tmp_path_factory.mktemp("dev")
    surroundings = environment(API_PORT="8080" if _is_free(8080) else "0", BOLTQ_DATA=str(folder / "data"))
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(
            [*BOLTQ, "dev"], cwd=folder, env=surroundings, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        yield _address(process, folder / "out")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _address(process: "subprocess.Popen[bytes]", out: Path, pattern: str = r"API +http://(\S+)") -> str:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        if found := re.search(pattern, out.read_text()):
            return found.group(1)
        assert process.poll() is None, out.read_text()
        time.sleep(0.1)
    raise AssertionError(f"it does not begin: {out.read_text()}")
