"""The HTTP protocol of uvicorn, with bounds: on the size of a request's head, and on the time that it may take."""

import asyncio
from functools import partial
from typing import Any, Final

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from boltq.server.guard import SECURITY_HEADERS, SECURITY_LINES
from boltq.server.problems import Problem
from boltq.server.stamps import WRITE_WHOLE, Stamped, request_id_of, server_time

MAX_CONNECTIONS: Final = 10_000
MAX_HEAD_BYTES: Final = 16 << 10
PATIENCE_SECONDS: Final = 10  # a request that takes longer than one to two of them to arrive is given up


class HeadTooLarge(Exception):
    """Stops the parser."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    _fed = 0  # bytes read since the last request's head was complete, without those that began with some of its body
    _chunk = 0  # bytes of the last read
    _watched: Any = None  # the unfinished request that the last patrol saw

    def data_received(self, data: bytes) -> None:
        """Count what may be an unfinished head; behind the end of a body it may begin anywhere."""
        self._chunk = len(data)
        if not self._in_body():
            self._fed += len(data)
        super().data_received(data)
        if self._fed > MAX_HEAD_BYTES and self._in_head():
            self.send_400_response("")

    def on_headers_complete(self) -> None:
        """Start the request, if its head is not too large. The exact size is asked for only when it may be."""
        if max(self._fed, self._chunk) > MAX_HEAD_BYTES and self._head_bytes() > MAX_HEAD_BYTES:
            raise HeadTooLarge
        self._fed = 0
        if len(self.connections) > MAX_CONNECTIONS:
            self.app = _crowded  # of this connection, which ends with the answer
        super().on_headers_complete()
        scope: Any = self.scope
        scope[WRITE_WHOLE] = partial(_write_whole, self.cycle)  # its task has not begun

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, or too much of it, and hang up."""
        if self.transport.is_closing():
            return
        large = max(self._fed, self._chunk) > MAX_HEAD_BYTES and self._in_head()
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

    def _in_body(self) -> bool:
        _, cycle = self._current()
        return cycle is not None and cycle.more_body and not self._in_head()

    def _current(self) -> tuple[Any, Any]:
        """The request whose head was begun last, and the one whose head is complete; None before the first."""
        return self.scope, self.cycle

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)


def _write_whole(cycle: RequestResponseCycle, answer: bytes) -> bool:
    """Send all of an answer, its head included; False when that cannot be done now, and it has to go the usual way.

    The usual way checks and copies header after header, which took a fifth of a submission's time.
    """
    if cycle.disconnected or cycle.flow.write_paused or cycle.response_started or not cycle.keep_alive:
        return False
    cycle.waiting_for_100_continue = False
    cycle.response_started = cycle.response_complete = True
    cycle.transport.write(answer)
    cycle.message_event.set()
    cycle.on_response()
    return True


async def patrol(connections: set[Any]) -> None:
    """Look after all connections of a server; meant to be called every PATIENCE_SECONDS."""
    for connection in list(connections):
        if isinstance(connection, BoundedProtocol):
            connection.patrol()
    await asyncio.sleep(0)


async def _crowded(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers for the application when there are too many connections."""
    problem = Problem("too-many-connections", f"there may be {MAX_CONNECTIONS} at once; try again soon")
    problem.headers |= {name.decode(): value.decode() for name, value in SECURITY_HEADERS} | {"connection": "close"}
    await problem.response()(scope, receive, Stamped(send, request_id_of({})))


def _last_words(problem: Problem) -> bytes:
    problem.members["request_id"] = request_id = request_id_of({})
    body = problem.content()
    head = (
        f"HTTP/1.1 {problem.status} {problem.document()['title']}\r\ncontent-type: application/problem+json\r\n"
        f"content-length: {len(body)}\r\nx-request-id: {request_id}\r\nx-server-time: {server_time().decode()}\r\n"
    )
    return head.encode() + SECURITY_LINES + b"connection: close\r\n\r\n" + body
