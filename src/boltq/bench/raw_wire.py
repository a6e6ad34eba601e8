"""A wire to an API with as little of HTTP as a load needs, so that the load measures the API and not its own client."""

import asyncio
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

import httptools

from boltq.client.place import Place
from boltq.client.request import Request
from boltq.client.talk import Lost, Reply

MAX_ANSWER_BYTES: Final = 64 << 20


class RawWire:
    """Sends requests over kept-alive connections: one for each request that is under way, and no more. Not for https.

    It belongs to one event loop.
    """

    def __init__(self, place: Place, timeout: float) -> None:
        parts = urlsplit(place.url)
        self.url, self._timeout = place.url, timeout
        self._host, self._port, self._path = parts.hostname or "", parts.port or 80, parts.path.rstrip("/")
        self._head = "".join(_lines(parts.netloc, place.token))
        self._free: list[_Connection] = []
        self.opened = 0  # connections, ever

    async def exchange(self, request: Request[Any]) -> Reply | Lost:
        """Send a request, and wait for its answer."""
        connection = None
        try:
            async with asyncio.timeout(self._timeout + request.ask.patience):
                connection = self._kept() or await self._connected()
                return await connection.exchange(self._written(request))
        except (OSError, TimeoutError, httptools.HttpParserError) as error:
            return Lost(f"{self.url}: {str(error) or type(error).__name__}", sent=connection is not None)
        finally:
            if connection:
                self._leave(connection)

    async def close(self) -> None:
        """Close the connections."""
        while self._free:
            self._free.pop().close()

    def _kept(self) -> "_Connection | None":
        while self._free:
            connection = self._free.pop()
            if not connection.gone:
                return connection
        return None

    async def _connected(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(_Connection, self._host, self._port)
        self.opened += 1
        return connection

    def _leave(self, connection: "_Connection") -> None:
        if connection.idle:
            self._free.append(connection)
        else:
            connection.close()

    def _written(self, request: Request[Any]) -> bytes:
        content = request.content or b""
        more = "".join(f"{name}: {value}\r\n" for name, value in (request.headers or {}).items())
        first = f"{request.route.method} {self._path}{request.target} HTTP/1.1\r\n"
        length = f"content-length: {len(content)}\r\n" if content or request.route.method != "GET" else ""
        return f"{first}{self._head}{more}{length}\r\n".encode("latin-1") + content


def _lines(host: str, token: str) -> Iterator[str]:
    yield f"host: {host}\r\naccept: application/json\r\nuser-agent: boltq-load\r\n"
    if token:
        yield f"authorization: Bearer {token}\r\n"


class _Connection(asyncio.Protocol):
    """One connection, with one request at a time."""

    def __init__(self) -> None:
        self.gone = False
        self._answer: asyncio.Future[Reply] | None = None
        self._transport: Any = None

    @property
    def idle(self) -> bool:
        """Whether another request may be sent."""
        return not self.gone and (self._answer is None or (self._answer.done() and not self._answer.cancelled()))

    async def exchange(self, request: bytes) -> Reply:
        """Send a request. Raises OSError when the server hangs up instead of answering."""
        self._answer = asyncio.get_running_loop().create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._pieces: list[bytes] = []
        self._size = 0
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """Hang up."""
        self.gone = True
        self._transport.close()

    # What the event loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.close()  # nobody has asked
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(error)

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(error or ConnectionResetError("the server hung up"))

    # What the parser tells

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > MAX_ANSWER_BYTES:
            self._fail(ConnectionAbortedError("the answer is too large"))
            self.close()
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        if not self._parser.should_keep_alive():
            self.gone = True
        if self._answer and not self._answer.done():
            self._answer.set_result(Reply(self._parser.get_status_code(), self._headers, b"".join(self._pieces)))

    def _fail(self, error: Exception) -> None:
        self.gone = True
        if self._answer and not self._answer.done():
            self._answer.set_exception(error)
