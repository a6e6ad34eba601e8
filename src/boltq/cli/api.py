"""Whom a command asks: the API at --url, or with the store at hand an API of its own, in this process.

Both are asked in the same words, so that a command is written once, and says the same wherever the jobs are.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from boltq.client.answers import Page
from boltq.client.carry import AsyncExchange, carry_async
from boltq.client.request import Request
from boltq.client.talk import Lost, Reply, Talk, ask
from boltq.domain.limits import MAX_PAGE
from boltq.settings import Settings

T = TypeVar("T")


class Api:
    """Answers a command's questions."""

    def __init__(self, exchange: AsyncExchange) -> None:
        self._exchange = exchange
        self.now = datetime.now(UTC)  # by the clock of whoever answered last

    async def ask(self, request: Request[T]) -> T:
        """Make one call. Raises what the client raises."""
        return await self.carry(ask(request))

    async def document(self, request: Request[Any]) -> msgspec.Raw:
        """Make one call; its answer as it came, for --json."""
        return await self.ask(request.answering(msgspec.Raw))

    async def read(
        self, call: Callable[[int, str | None], Request[Any]], kind: type[T], most: int, cursor: str | None = None
    ) -> Page[T]:
        """As many things of a list as are wanted, each as `kind`; `call` takes a limit and a cursor."""
        from boltq.cli import show

        page: Page[T] = Page(items=[], next_cursor=cursor)
        examined = 0
        with show.progressing() as tell:
            while len(page.items) < most:
                request = call(min(most - len(page.items), MAX_PAGE), page.next_cursor)
                found: Page[T] = await self.ask(request.answering(Page[kind]))  # type: ignore[valid-type]
                page = Page(items=page.items + found.items, next_cursor=found.next_cursor)
                if not page.next_cursor:
                    break
                examined += found.scan.examined if found.scan else len(found.items)
                tell(f"{len(page.items):,} found, {examined:,} looked at …")
        return page

    async def carry(self, talk: Talk[T]) -> T:
        """Carry out a talk."""
        return await carry_async(talk, self._noting)

    async def _noting(self, request: Request[Any]) -> Reply | Lost:
        reply = await self._exchange(request)
        if isinstance(reply, Reply) and (stamp := reply.headers.get("x-server-time")):
            self.now = datetime.fromisoformat(stamp)
        return reply


ApiWork = Callable[[Api], Awaitable[int]]


def with_api(args: argparse.Namespace, work: ApiWork, *, start: bool = False) -> int:
    """Carry out a command's work; its exit code. `start`: with an embedded store that nobody runs, run it meanwhile."""
    settings = Settings.from_env(url=args.url)
    if settings.url:
        return asyncio.run(_at(_far(args), work))
    from boltq.cli.session import store_at_hand

    with store_at_hand(settings, start=start) as store:
        return asyncio.run(_at(_here(settings, store.address, begin=start), work))


async def _at(place: AbstractAsyncContextManager[Api], work: ApiWork) -> int:
    async with place as api:
        return await work(api)


@asynccontextmanager
async def _far(args: argparse.Namespace) -> AsyncIterator[Api]:
    from boltq.client.place import find_place
    from boltq.client.wire import AsyncWire

    wire = AsyncWire(find_place(args.url, args.token))
    try:
        yield Api(wire.exchange)
    finally:
        await wire.close()


@asynccontextmanager
async def _here(settings: Settings, address: str, *, begin: bool) -> AsyncIterator[Api]:
    from boltq.cli.api_here import own_api

    async with own_api(settings, address, begin=begin) as exchange:
        yield Api(exchange)
