"""Carries a talk out: sends what it wants sent and sleeps when it pauses, in a thread or in an event loop."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from boltq.client.request import Request
from boltq.client.talk import Lost, Pause, Reply, Talk

T = TypeVar("T")

Exchange = Callable[[Request[Any]], Reply | Lost]
AsyncExchange = Callable[[Request[Any]], Awaitable[Reply | Lost]]


def carry(talk: Talk[T], exchange: Exchange) -> T:
    """What the talk returns; `exchange` sends one request."""
    heard: Reply | Lost | None = None
    while True:
        try:
            step = talk.send(heard)
        except StopIteration as end:
            result: T = end.value
            return result
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            heard = None
        else:
            heard = exchange(step)


async def carry_async(talk: Talk[T], exchange: AsyncExchange) -> T:
    """As carry, in an event loop."""
    heard: Reply | Lost | None = None
    while True:
        try:
            step = talk.send(heard)
        except StopIteration as end:
            result: T = end.value
            return result
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            heard = None
        else:
            heard = await exchange(step)
