"""APIs for tests: a real uvicorn, in a thread with a loop of its own."""

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from threads import in_a_thread

from boltq.server.serve import serve
from boltq.settings import Settings
from boltq.telemetry.listeners import Listeners

PROGRAM = """
import sys
from boltq.server.serve import run
from boltq.settings import Settings
run(Settings(api_port=0), sys.argv[1])
"""
"""Runs an API on a free port; its argument is the store's URL."""


@contextmanager
def running_api(store: str, listeners: Listeners | None = None, **settings) -> Iterator[str]:
    """The URL of an API on a free port."""

    async def main(begins: Callable[[str], None]) -> None:
        def announce(line: str) -> None:
            begins(line.rsplit(" ", 1)[1])

        await serve(Settings(api_port=0, **settings), store, announce=announce, listeners=listeners)

    with in_a_thread(main) as url:
        yield url


def raw(url: str, request: bytes, answers: int | None = 1) -> bytes:
    """What the server says, until it hangs up, or so many answers are whole (None: or until it is silent)."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=5) as line:
        line.sendall(request)
        answer = b""
        try:
            while (answers is None or _whole_answers(answer) < answers) and (chunk := line.recv(65_536)):
                answer += chunk
                if answers is None and b"\r\n\r\n" in answer:
                    line.settimeout(0.3)
        except TimeoutError:
            pass
        return answer


def _whole_answers(answer: bytes) -> int:
    """How many of them have come to their end, as far as their lengths tell."""
    head, end, rest = answer.partition(b"\r\n\r\n")
    if not end:
        return 0
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    if not length or len(rest) < int(length[1]):
        return 0
    return 1 + _whole_answers(rest[int(length[1]) :])


def memory_of(pid: int) -> int:
    """Bytes of memory that a process has resident."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        pytest.skip("this machine has no /proc")
    return int(re.search(r"VmRSS:\s+(\d+)", status.read_text())[1]) << 10
