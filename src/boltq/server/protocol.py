"""The HTTP protocol of uvicorn, with bounds: on the size of a request's head, and on the time that it may take."""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from boltq.server.problems import Problem

MAX_HEAD_BYTES: Final = 16 << 10
PATIENCE_SECONDS: Final = 10  # a request that takes longer than one to two of them to arrive is given up


class HeadTooLarge(Exception):
    """Stops the parser."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    _fed = 0  # bytes read since the last request's head was complete
    _watched: Any = None  # the unfinished request that the last patrol saw

    def data_received(self, data: bytes) -> None:
        """Count what may be an unfinished head."""
        self._fed += len(data)
        super().data_received(data)
        if self._fed > MAX_HEAD_BYTES and self._in_head():
            self.send_400_response("")

    def on_headers_complete(self) -> None:
        """Start the request, if its head is not too large. The exact size is asked for only when it may be."""
        if self._fed > MAX_HEAD_BYTES and self._head_bytes() > MAX_HEAD_BYTES:
            raise HeadTooLarge
        self._fed = 0
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, or too much of it, and hang up."""
        if self.transport.is_closing():
            return
        large = self._fed > MAX_HEAD_BYTES
        problem = (
            Problem("head-too-large", f"the request line and the headers may have {MAX_HEAD_BYTES} bytes together")
            if large
            else Problem("bad-request", msg)
        )
        self.transport.write(_last_words(problem))
        self.transport.close()

    def patrol(self) -> None:
        """Hang up on a request that was unfinished at the last patrol already."""
        unfinished = self._unfinished()
        if unfinished is not None and unfinished is self._watched:
            self.transport.close()
        self._watched = unfinished

    def _unfinished(self) -> object:
        """The request that is still arriving; None when there is none."""
        scope, cycle = self._current()
        if scope is None:
            return self.transport  # connected, and nothing said
        if "method" not in scope:
            return scope
        return cycle if cycle is not None and cycle.more_body else None

    def _in_head(self) -> bool:
        scope, _ = self._current()
        return scope is not None and "method" not in scope

    def _current(self) -> tuple[Any, Any]:
        """The request whose head was begun last, and the one whose head is complete; None before the first."""
        return self.scope, self.cycle

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)


async def patrol(connections: set[Any]) -> None:
    """Look after all connections of a server; meant to be called every PATIENCE_SECONDS."""
    for connection in list(connections):
        if isinstance(connection, BoundedProtocol):
            connection.patrol()
    await asyncio.sleep(0)


def _last_words(problem: Problem) -> bytes:
    body = problem.content()
    head = (
        f"HTTP/1.1 {problem.status} {problem.document()['title']}\r\ncontent-type: application/problem+json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
