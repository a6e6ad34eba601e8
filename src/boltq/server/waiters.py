"""Requests that wait until a job or a workflow has ended: so many at once, and no longer than the server lives."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final

import msgspec
from starlette.requests import Request

from boltq.domain.errors import WaitTimeout
from boltq.server.body import Gone
from boltq.server.problems import Problem

MAX_WAIT_SECONDS: Final = 60
MAX_WAITERS: Final = 1_000  # requests that wait at once

Wait = Annotated[float, msgspec.Meta(ge=0, le=MAX_WAIT_SECONDS, description="seconds to wait until it has ended")]


class Waiters:
    """All requests of this server that wait for an end."""

    def __init__(self, closing: asyncio.Event) -> None:
        self._closing = closing
        self._count = 0

    async def wait(self, request: Request, end: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Until `end` is over, by its own bound of time too; or the server ends.

        Raises NotFound, Gone when the client leaves, Problem when too many wait.
        """
        if self._count >= MAX_WAITERS:
            raise Problem("too-many-waiters", f"{MAX_WAITERS} requests wait for an end already")
        self._count += 1
        ended = asyncio.create_task(end())
        left = asyncio.create_task(_left(request))
        closing = asyncio.create_task(self._closing.wait())
        try:
            await asyncio.wait({ended, left, closing}, return_when=asyncio.FIRST_COMPLETED)
            if left.done():
                raise Gone
        finally:
            self._count -= 1
            for task in (ended, left, closing):
                task.cancel()
            error, *_ = await asyncio.gather(ended, left, closing, return_exceptions=True)
        if isinstance(error, Exception) and not isinstance(error, WaitTimeout):
            raise error


async def _left(request: Request) -> None:
    """Ends when the client has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
