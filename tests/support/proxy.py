"""A line to the store that can be cut at the worst moment: the request arrives, and its answer does not come back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit


class Proxy:
    """Passes everything on between a socket of its own and a server's."""

    def __init__(self, folder: Path, target: str) -> None:
        self.address = f"unix://{folder / 'proxy'}"
        self.lost = 0  # answers
        self._path = str(folder / "proxy")
        self._target = urlsplit(target).path
        self._word = b""
        self._to_lose = 0
        self._open: set[asyncio.Task[None]] = set()

    def lose_answers(self, word: str, times: int) -> None:
        """The next answers to requests with this word in them are lost, each with its connection."""
        self._word, self._to_lose = word.encode(), times

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it or its answer is to be lost."""
        self._open.add(cast("asyncio.Task[None]", asyncio.current_task()))
        with contextlib.suppress(asyncio.CancelledError):
            await self._pass_on(reader, writer)

    async def end(self) -> None:
        """End all connections."""
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(self._target)
        cut = asyncio.Event()
        ways = [
            asyncio.create_task(self._requests(reader, back, cut)),
            asyncio.create_task(self._answers(there, writer, cut)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for end in (writer, back):
                end.close()
                with contextlib.suppress(OSError):
                    await end.wait_closed()

    async def _requests(self, reader: asyncio.StreamReader, back: asyncio.StreamWriter, cut: asyncio.Event) -> None:
        while piece := await reader.read(1 << 16):
            if self._to_lose and self._word in piece:
                self._to_lose -= 1
                cut.set()
            back.write(piece)
            await back.drain()

    async def _answers(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter, cut: asyncio.Event) -> None:
        while piece := await there.read(1 << 16):
            if cut.is_set():
                self.lost += 1
                return
            writer.write(piece)
            await writer.drain()


@asynccontextmanager
async def proxy_before(target: str, folder: Path) -> AsyncIterator[Proxy]:
    """A proxy on a socket in this folder."""
    proxy = Proxy(folder, target)
    async with await asyncio.start_unix_server(proxy.pass_on, proxy._path):
        try:
            yield proxy
        finally:
            await proxy.end()
