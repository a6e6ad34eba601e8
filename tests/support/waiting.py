"""Waiting for what comes by itself; the bound is for a test that has failed, not a promise of speed."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")


async def eventually(look: Callable[[], T | Awaitable[T]], seconds: float = 30.0) -> T:
    """What `look` answers, as soon as that is true."""
    until = time.monotonic() + seconds
    while True:
        seen: Any = look()
        if asyncio.iscoroutine(seen):
            seen = await seen
        if seen:
            return seen  # type: ignore[no-any-return]
        assert time.monotonic() < until, f"did not come true within {seconds:g} s"
        await asyncio.sleep(0.01)
