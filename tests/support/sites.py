"""A web server on loopback that says what a test wants, byte by byte."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from boltq import Settings
from boltq.tasks.addresses import Reach

Say = Callable[[asyncio.StreamWriter], Awaitable[None]]


def answer(body: bytes = b"", status: str = "200 OK", **headers: str) -> bytes:
    """A whole answer, of which the length is told."""
    told = {"content_length": str(len(body)), "connection": "close", **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in told.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


class Site:
    """Answers by path; remembers the heads of requests."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.pages: dict[str, bytes | Say] = {}
        self.heads: list[str] = []
        self.settings = Settings(fetch_allow="127.0.0.1", fetch_ports=str(port))
        self.reach = Reach.of(self.settings)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, one answer."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            page = self.pages[head.split()[1].partition("?")[0]]
            if isinstance(page, bytes):
                writer.write(page)
                await writer.drain()
            else:
                await page(writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def running_site() -> AsyncIterator[Site]:
    """A web server beside a block."""
    found: list[Site] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await found[0].serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    found.append(Site(server.sockets[0].getsockname()[1]))
    yield found[0]
    server.close()
