"""Sends submissions over HTTP from a process of its own, with as little of HTTP as a load needs."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any, Final

from boltq.bench.processes import run_loop
from boltq.domain.errors import StoreError

CONNECTIONS: Final = 64


def http_load(port: int, n: int) -> float:
    """Send n submits over kept-alive connections, each after the answer to the one before; answers the seconds."""
    return float(run_loop(_http_clients(port, n)))


async def _http_clients(port: int, n: int) -> float:
    loop = asyncio.get_running_loop()
    left = iter(range(n))
    ended: list[asyncio.Future[None]] = [loop.create_future() for _ in range(CONNECTIONS)]
    began = time.perf_counter()
    for future in ended:
        await loop.create_connection(lambda f=future: _HttpClient(left, f), "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.gather(*ended)
    return time.perf_counter() - began


class _HttpClient(asyncio.Protocol):
    """One connection: as little of HTTP as a load needs."""

    def __init__(self, left: Iterator[int], ended: "asyncio.Future[None]") -> None:
        self._left, self._ended = left, ended
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if not self._answer.endswith(b"}"):  # head and body may come apart
            return
        answer, self._answer = self._answer, b""
        if answer.startswith(b"HTTP/1.1 201"):
            self._send()
        elif not self._ended.done():
            self._ended.set_exception(StoreError(f"the API answered {answer[:200]!r}"))

    def _send(self) -> None:
        i = next(self._left, None)
        if i is None:
            self._ended.set_result(None)
            self._transport.close()
            return
        body = b'{"type":"nothing","data":{"i":%d}}' % i
        head = b"POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: "
        self._transport.write(b"%s%d\r\n\r\n%s" % (head, len(body), body))
