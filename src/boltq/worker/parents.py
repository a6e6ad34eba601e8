"""Reads the results of the steps that a running job depends on, for its coroutine, its thread or its process."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future

from boltq.broker.broker import Broker, repeated
from boltq.broker.workflows.claimed_steps import ClaimedSteps

ParentsOf = Callable[[str], "ParentsReader"]
"""A job's id -> its parents."""


class ParentsReader:
    """See `domain.context.Parents`. `begin` begins to read, from any thread."""

    def __init__(self, begin: "Callable[[], Future[str]]") -> None:
        self._begin = begin

    async def read(self) -> str:
        """The results, for a coroutine: on whatever event loop it runs."""
        return await asyncio.wrap_future(self._begin())

    def wait(self) -> str:
        """The results, for a thread that has no event loop: it waits for them."""
        if asyncio._get_running_loop() is not None:  # noqa: SLF001 - get_running_loop raises instead of answering
            raise RuntimeError("parents_sync() is for plain functions: in a coroutine use `await ctx.parents()`")
        return self._begin().result()


def reading(broker: Broker) -> ParentsOf:
    """Makes readers of parents, which read by this broker, on the loop that runs now."""
    steps, loop = ClaimedSteps(broker), asyncio.get_running_loop()

    def of(job_id: str) -> ParentsReader:
        async def read() -> str:
            return await repeated(lambda: steps.parents(job_id))

        return ParentsReader(lambda: asyncio.run_coroutine_threadsafe(read(), loop))

    return of
