"""A line to the store that can be cut at the worst moment: the request arrives, and its answer does not come back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
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
        self._to_withhold: tuple[bytes, int] = (b"", 0)
        self._to_delay: tuple[bytes, int, float] = (b"", 0, 0.0)
        self.late = 0  # requests that arrived after their sender had given up
        self._ends: set[asyncio.StreamWriter] = set()
        self._ways: set[asyncio.Task[None]] = set()

    def lose_answers(self, word: str, times: int) -> None:
        """The next answers to requests with this word in them are lost, each with its connection."""
        self._word, self._to_lose = word.encode(), times

    def withhold_answers(self, word: str, times: int) -> None:
        """The next answers to requests with this word never come, and their connections stay open."""
        self._to_withhold = (word.encode(), times)

    def delay_requests(self, word: str, times: int, seconds: float) -> None:
        """The next requests with this word arrive so much later, though their sender has given up: as TCP may do."""
        self._to_delay = (word.encode(), times, seconds)

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it or its answer is to be lost."""
        there, back = await asyncio.open_unix_connection(self._target)
        cut, held, ends = asyncio.Event(), asyncio.Event(), (writer, back)
        self._ends.update(ends)
        ways = [
            asyncio.create_task(self._requests(reader, back, cut, held)),
            asyncio.create_task(self._answers(there, writer, cut, held)),
        ]
        self._ways.update(ways)
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.close()
        await asyncio.gather(*ways, *(end.wait_closed() for end in ends), return_exceptions=True)

    async def end(self) -> None:
        """End all connections."""
        for end in self._ends:
            end.close()
        await asyncio.gather(*self._ways, *(end.wait_closed() for end in self._ends), return_exceptions=True)

    async def _requests(
        self, reader: asyncio.StreamReader, back: asyncio.StreamWriter, cut: asyncio.Event, held: asyncio.Event
    ) -> None:
        while piece := await reader.read(1 << 16):
            if self._to_lose and self._word in piece:
                self._to_lose -= 1
                cut.set()
            if self._to_withhold[1] and self._to_withhold[0] in piece:
                self._to_withhold = (self._to_withhold[0], self._to_withhold[1] - 1)
                held.set()
            if self._to_delay[1] and self._to_delay[0] in piece:
                self._to_delay = (self._to_delay[0], self._to_delay[1] - 1, self._to_delay[2])
                self._ways.add(asyncio.create_task(self._arrive(piece, self._to_delay[2])))
                continue
            back.write(piece)
            await back.drain()

    async def _answers(
        self, there: asyncio.StreamReader, writer: asyncio.StreamWriter, cut: asyncio.Event, held: asyncio.Event
    ) -> None:
        while piece := await there.read(1 << 16):
            if cut.is_set():
                self.lost += 1
                return
            if held.is_set():
                self.lost += 1
                continue
            writer.write(piece)
            await writer.drain()

    async def _arrive(self, piece: bytes, seconds: float) -> None:
        await asyncio.sleep(seconds)
        reader, writer = await asyncio.open_unix_connection(self._target)
        writer.write(piece)
        await reader.read(1 << 16)
        writer.close()
        self.late += 1


@asynccontextmanager
async def proxy_before(target: str, folder: Path) -> AsyncIterator[Proxy]:
    """A proxy on a socket in this folder."""
    proxy = Proxy(folder, target)
    async with await asyncio.start_unix_server(proxy.pass_on, proxy._path):
        try:
            yield proxy
        finally:
            await proxy.end()
