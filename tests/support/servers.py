"""Servers for tests: any binary, on a Unix socket in a directory of its own."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis


@contextmanager
def running_server(binary: str | Path, *options: str) -> Iterator[str]:
    """A server of the given binary; its URL."""
    folder = Path(tempfile.mkdtemp(prefix="boltq-test-"))
    socket = folder / "s"
    command = [
        str(binary), "--port", "0", "--unixsocket", str(socket), "--dir", str(folder),
        "--appendonly", "yes", "--appendfsync", "everysec", "--save", "",
        "--enable-debug-command", "yes", "--hash-max-listpack-value", "2048", *options,
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "LC_ALL": "C"})
    try:
        _wait_until_up(server, socket, folder / "log")
        yield f"unix://{socket}"
    finally:
        server.terminate()
        server.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_until_up(server: "subprocess.Popen[bytes]", socket: Path, log: Path) -> None:
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
