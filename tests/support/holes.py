"""A line to the store with holes in it: packets that come late, half-open connections, one-sided resets, a failover.

A TCP port that passes everything on to a server. What a connection carries may be held back, its client's end may be
reset while the server believes in it still, what was held back may be delivered long after that, and new connections
may be led to another server.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


class Link:
    """One connection: its client's end and its server's end, and the requests that are held back."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client, self.server = client, server
        self.held = bytearray()
        self.holds = False  # its requests, from now on
        self.was_reset = False
        self.last = b""  # what the client has sent last

    @property
    def is_half_open(self) -> bool:
        """Whether only the server believes in it."""
        return self.client.is_closing() and not self.server.is_closing()

    def send(self, piece: bytes) -> None:
        """A request, on to the server, or not yet."""
        self.last = piece
        if self.holds:
            self.held += piece
        elif not self.server.is_closing():
            self.server.write(piece)

    def deliver(self) -> int:
        """The packets that were under way arrive; how many bytes."""
        size, self.holds = len(self.held), False
        if size and not self.server.is_closing():
            self.server.write(bytes(self.held))
        self.held.clear()
        return size

    def reset(self) -> None:
        """The client sees its connection reset; the server hears nothing of it."""
        self.was_reset = True
        raw: socket.socket = self.client.get_extra_info("socket")
        with contextlib.suppress(OSError):  # it is gone already
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.client.transport.abort()


class Holes:
    """The port, and all connections through it."""

    def __init__(self, target: str) -> None:
        self.links: list[Link] = []
        self.address = ""
        self._target = urlsplit(target)
        self._word = b""
        self._ways: set[asyncio.Task[None]] = set()

    def hold_next(self, word: str) -> None:
        """The next request with this word in it is held back, with all that follows it on its connection."""
        self._word = word.encode()

    def with_word(self, word: str) -> list[Link]:
        """The living connections whose last request had this word in it."""
        return [link for link in self.links if word.encode() in link.last and not link.client.is_closing()]

    def held_back(self) -> list[Link]:
        """Connections with requests that have not arrived."""
        return [link for link in self.links if link.held]

    def turn_to(self, target: str) -> None:
        """A failover: all connections end, and new ones lead to another server."""
        self._target = urlsplit(target)
        for link in self.links:
            link.client.close()
            link.server.close()

    async def pass_on(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        """One connection, until both ends are gone."""
        try:
            if self._target.scheme == "unix":
                there, server = await asyncio.open_unix_connection(self._target.path)
            else:
                there, server = await asyncio.open_connection(self._target.hostname, self._target.port)
        except OSError:  # the server is away
            client.close()
            return
        self.links = [link for link in self.links if not (link.client.is_closing() and link.server.is_closing())]
        link = Link(client, server)
        self.links.append(link)
        ways = [asyncio.create_task(self._requests(reader, link)), asyncio.create_task(self._answers(there, link))]
        self._ways.update(ways)
        await asyncio.gather(*ways, return_exceptions=True)

    async def end(self) -> None:
        """End all connections."""
        for link in self.links:
            link.client.close()
            link.server.close()
        for way in self._ways:
            way.cancel()
        await asyncio.gather(*self._ways, return_exceptions=True)

    async def _requests(self, reader: asyncio.StreamReader, link: Link) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(1 << 16):
                if self._word and self._word in piece:
                    self._word, link.holds = b"", True
                link.send(piece)
        if not link.was_reset:
            link.server.close()

    async def _answers(self, there: asyncio.StreamReader, link: Link) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await there.read(1 << 16):
                if not link.client.is_closing():
                    link.client.write(piece)
        link.client.close()


@asynccontextmanager
async def holes_before(target: str) -> AsyncIterator[Holes]:
    """A line to this server on a TCP port of its own."""
    holes = Holes(target)
    async with await asyncio.start_server(holes.pass_on, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()[:2]
        holes.address = f"redis://{host}:{port}/0"
        try:
            yield holes
        finally:
            await holes.end()
