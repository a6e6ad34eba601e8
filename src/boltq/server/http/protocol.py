"""The HTTP protocol of uvicorn, with bounds: on the size of a request's head, trailers and body, and on its time."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import httptools
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from boltq.server.http.complaints import Complaints
from boltq.server.http.guard import SECURITY_HEADERS, SECURITY_LINES, RawHeaders, unknown_coding
from boltq.server.http.held import FREE_BYTES, Bodies, give_back
from boltq.server.http.problems import Problem
from boltq.server.http.stamps import SAID_ALL, WRITE_WHOLE, Stamped, request_id_of, server_time

MAX_CONNECTIONS: Final = 10_000
MAX_HEAD_BYTES: Final = 16 << 10
MAX_PIPELINED: Final = 100  # requests of a connection that wait for the one before them
PIPELINED_BYTES: Final = 4 << 10  # about what each of them takes, besides its body
PATIENCE_SECONDS: Final = 10  # a request that takes longer than one to two of them to arrive is given up
UNREAD_PATROLS: Final = 6  # of PATIENCE_SECONDS each, after which who takes nothing of an answer is given up


class HeadTooLarge(Exception):
    """Stops the parser."""


class TooManyPipelined(Exception):
    """Stops it as well."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection. `bodies` and `complaints` are those of the server."""

    _fed = 0  # bytes read since the last request's head was complete, without those that began with some of its body
    _loose = 0  # bytes read since the last piece of a body that has not ended: lengths of chunks, trailers
    _chunk = 0  # bytes of the last read
    _body = 0  # bytes of the body that arrives
    _trailers = 0  # bytes of the headers behind it
    _large = False  # a head, or what stands around a body, was too large: the parser was stopped
    _crowd = False  # too many requests wait already: the parser was stopped
    _hung_up = False  # nothing more is read; what was asked before is still answered
    _watched: Any = None  # the unfinished request that the last patrol saw
    _unread = 0  # bytes of answers that the client had not taken at the last patrol
    _idle = 0  # patrols since it has taken some

    def __init__(self, *args: Any, bodies: Bodies, complaints: Complaints, **more: Any) -> None:
        super().__init__(*args, **more)
        self._bodies, self._complaints = bodies, complaints

    def data_received(self, data: bytes) -> None:
        """Take what has come; in pieces of a head's size, so that what is too much is seen before all is parsed."""
        if len(data) <= MAX_HEAD_BYTES:
            self._take(data)
            return
        for at in range(0, len(data), MAX_HEAD_BYTES):
            self._take(data[at : at + MAX_HEAD_BYTES])

    def _take(self, data: bytes) -> None:
        """Count what may be an unfinished head, or trailers; behind the end of a body a head may begin anywhere."""
        if self._hung_up or self.parser is None:
            return
        self._chunk = len(data)
        if self._in_body():
            self._loose += len(data)
        else:
            self._fed += len(data)
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._go_on(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._refuse(self._broken(error))
        else:
            if self._fed > MAX_HEAD_BYTES or self._loose > MAX_HEAD_BYTES:
                self._check_size()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header of the head. Behind the body they are counted, and passed over: nobody has judged them."""
        scope: Any = self.scope
        if "method" in scope:
            self._trailers += len(name) + len(value) + 4
            if self._trailers > MAX_HEAD_BYTES:
                self._large = True
                raise HeadTooLarge
            return
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Start the request, if its head is not too large. The exact size is asked for only when it may be."""
        if max(self._fed, self._chunk) > MAX_HEAD_BYTES and self._head_bytes() > MAX_HEAD_BYTES:
            self._large = True
            raise HeadTooLarge
        self._fed = self._loose = self._body = self._trailers = 0
        if len(self.connections) > MAX_CONNECTIONS:
            self.app = _crowded  # of this connection, which ends with the answer
        if len(self.pipeline) >= MAX_PIPELINED:
            self._crowd = True
            raise TooManyPipelined
        super().on_headers_complete()
        scope: Any = self.scope
        scope[WRITE_WHOLE] = partial(_write_whole, self.cycle)  # its task has not begun
        if self.pipeline and not self._bodies.take(scope, PIPELINED_BYTES):
            self._refuse(_no_room(self._bodies))

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body that somebody still wants, if there is room for it."""
        self._loose = 0
        cycle = self.cycle
        if cycle.response_complete or cycle.disconnected:
            return
        if not cycle.body and not self._body and len(body) <= FREE_BYTES:
            self._body = len(body)  # the usual one, in one piece
            cycle.body += body
            cycle.message_event.set()
            return
        self._body += len(body)
        if self._body > FREE_BYTES and not self._bodies.take(cycle.scope, min(len(body), self._body - FREE_BYTES)):
            self._refuse(_no_room(self._bodies))
            return
        super().on_body(body)

    def on_message_complete(self) -> None:
        """All of a request is there; a body that comes behind a wish for another protocol is not there yet."""
        cycle = self.cycle
        if cycle.response_complete or (self.parser.should_upgrade() and _framing(self.headers)):
            return
        cycle.more_body = False
        cycle.message_event.set()

    def on_response_complete(self) -> None:
        """An answer is written. While requests wait, no more are read."""
        super().on_response_complete()
        if self.pipeline:
            self.flow.pause_reading()

    def eof_received(self) -> bool:  # type: ignore[override] # the server's own never keeps a connection
        """The client says nothing more. What it has asked for it still gets; True keeps the connection for that."""
        _, cycle = self._current()
        if self._hung_up or cycle is None or cycle.response_complete:
            return self._hung_up
        if cycle.more_body:
            self._say_no(Problem("bad-request", "the body ended before it was complete"))
        else:
            cycle.keep_alive = False
            cycle.scope[SAID_ALL] = self._hung_up = True
            cycle.message_event.set()  # wakes who waits to see whether the client leaves
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of requests that have not begun."""
        for cycle, _ in self.pipeline:
            scope: Any = cycle.scope
            give_back(scope)
        super().connection_lost(exc)

    def _go_on(self, rest: bytes) -> None:
        """Read on behind a head that wishes for another protocol: it is not changed, and answered as it came.

        The parser takes such a request to have no body. Java's HttpClient wishes for h2c with each first request, and
        a body that is not taken for one would be the next request.
        """
        if framing := _framing(self.headers):
            self.parser = _within_body(self, framing)
        if rest:
            self._take(rest)

    def _check_size(self) -> None:
        too_large = self._in_head() if self._fed > MAX_HEAD_BYTES else self._loose > MAX_HEAD_BYTES and self._in_body()
        if too_large:
            self._large = True
            self._refuse(self._broken(ValueError()))

    def _broken(self, error: Exception) -> Problem:
        """The problem of bytes that the parser refuses."""
        if self._large:
            return Problem(
                "head-too-large", f"the request line and the headers may have {MAX_HEAD_BYTES} bytes together"
            )
        if self._crowd:
            return Problem("too-many-waiters", f"{MAX_PIPELINED} requests may wait on one connection")
        if unknown_coding(self.headers or ()):
            return Problem("unknown-coding", "the only transfer coding here is chunked")
        why = str(error) if not isinstance(error, httptools.HttpParserCallbackError) else "its address cannot be read"
        return Problem("bad-request", f"this is no HTTP request: {why}")

    def _refuse(self, problem: Problem) -> None:
        """Say no to what no client of HTTP would send, and tell the log who did."""
        if not self._hung_up and not self.transport.is_closing():
            self._complaints.tell(self.client, problem.status, str(problem))
            self._say_no(problem)

    def _say_no(self, problem: Problem) -> None:
        """Refuse the request that arrives, once those before it have their answers, and hang up."""
        self._hung_up = True
        _, cycle = self._current()
        if cycle is None or cycle.response_complete:
            self._part(problem)
        elif self._in_head():  # behind a request that is under way
            cycle.on_response = _after(cycle.on_response, partial(self._part, problem))
        elif self.pipeline and self.pipeline[0][0] is cycle:  # it has not begun, and begins as this answer
            cycle.keep_alive = False
            self.pipeline[0] = (cycle, _saying(problem))
        else:
            started = cycle.response_started
            cycle.disconnected, cycle.body = True, bytearray()
            cycle.message_event.set()
            self._part(None if started else problem)

    def _part(self, problem: Problem | None) -> None:
        if not self.transport.is_closing():
            if problem:
                self.transport.write(_last_words(problem))
            self.transport.close()

    def patrol(self) -> None:
        """Hang up on a request that was unfinished at the last patrol already, and on who takes no answers."""
        unfinished, unread = self._unfinished(), self.transport.get_write_buffer_size()
        self._idle = self._idle + 1 if unread and unread == self._unread else 0
        if self._idle >= UNREAD_PATROLS:
            self.transport.abort()  # to close it would be to wait for the client
        elif unfinished is not None and unfinished is self._watched:
            self.transport.close()
        self._watched, self._unread = unfinished, unread

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


def _no_room(bodies: Bodies) -> Problem:
    return Problem("too-many-bodies", f"bodies may have {bodies.most >> 20} MiB together")


def _framing(headers: RawHeaders) -> bytes:
    """The header that says where a body ends; nothing where there is none. The parser has judged it."""
    for name, value in headers:
        if name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0 \t")):
            return b"%b: %b\r\n" % (name, value)
    return b""


class _Body:
    """Gives a protocol what a parser finds, but not the head that tells the parser of the body."""

    def __init__(self, protocol: BoundedProtocol) -> None:
        self._protocol = protocol
        self.begun = False
        self.on_body, self.on_message_complete = protocol.on_body, protocol.on_message_complete

    def on_message_begin(self) -> None:
        if self.begun:
            self._protocol.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if self.begun:
            self._protocol.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.begun:
            self._protocol.on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.begun:
            self._protocol.on_headers_complete()


def _within_body(protocol: BoundedProtocol, framing: bytes) -> httptools.HttpRequestParser:
    """A parser that has the head of a request behind it already."""
    told = _Body(protocol)
    parser = httptools.HttpRequestParser(told)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as the protocol's own is
    parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % framing)
    told.begun = True
    return parser


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
    await _saying(problem)(scope, receive, send)


def _saying(problem: Problem) -> Any:
    """An application that says no to everything."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        give_back(scope)
        problem.headers |= {name.decode(): value.decode() for name, value in SECURITY_HEADERS} | {"connection": "close"}
        problem.members["request_id"] = request_id = request_id_of({})
        await problem.response()(scope, receive, Stamped(send, request_id))

    return answer


def _after(first: Callable[[], None], then: Callable[[], None]) -> Callable[[], None]:
    def both() -> None:
        first()
        then()

    return both


def _last_words(problem: Problem) -> bytes:
    problem.members["request_id"] = request_id = request_id_of({})
    body = problem.content()
    own = "".join(f"{name.lower()}: {value}\r\n" for name, value in problem.headers.items())
    head = (
        f"HTTP/1.1 {problem.status} {problem.document()['title']}\r\ncontent-type: application/problem+json\r\n"
        f"content-length: {len(body)}\r\nx-request-id: {request_id}\r\nx-server-time: {server_time().decode()}\r\n{own}"
    )
    return head.encode() + SECURITY_LINES + b"connection: close\r\n\r\n" + body
