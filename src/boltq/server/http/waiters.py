"""Requests that wait until a job or a workflow has ended: so many at once, and no longer than the server lives."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final

import msgspec
from starlette.requests import Request

from boltq.domain.errors import WaitTimeout
from boltq.server.http.body import Gone
from boltq.server.http.problems import Problem
from boltq.server.http.stamps import SAID_ALL

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

        Who has shut the sending half of its connection looks as if it had left: it is answered at once.
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
            if left.done() and not left.result():
                raise Gone
        finally:
            self._count -= 1
            error, *_ = await _cancelled(ended, left, closing)
        if isinstance(error, Exception) and not isinstance(error, WaitTimeout):
            raise error


async def _cancelled(*tasks: asyncio.Task[Any]) -> list[Any]:
    """What tasks ended with that are told to end; again and again, since redis-py may swallow a cancel with a reply."""
    waiting = {task for task in tasks if not task.done()}
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=0.05)
    return await asyncio.gather(*tasks, return_exceptions=True)


async def _left(request: Request) -> bool:
    """Ends when the client has left, or says nothing more and may have left: then with whether it may still listen."""
    while (await request.receive())["type"] != "http.disconnect":
        if SAID_ALL in request.scope:
            return True
    return False
