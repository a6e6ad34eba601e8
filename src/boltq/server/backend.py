"""The store as the API sees it: opened when the API starts, or as soon after that as it answers."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Self, TypeVar

from boltq.broker.broker import Broker, repeated
from boltq.broker.inspector import Inspector
from boltq.broker.submitter import Submitter
from boltq.domain.errors import StoreError
from boltq.domain.job import NewJob, Submitted
from boltq.server.problems import Problem

log = logging.getLogger(__name__)

T = TypeVar("T")

OPEN_AGAIN_SECONDS = 1.0


class Backend:
    """Submits, reads and acts for the endpoints. While the store has never answered, every call is refused."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._submitter: Submitter | None = None
        self._opening: asyncio.Task[None] | None = None
        self._inspector = Inspector(broker)

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except StoreError as error:
            log.warning("the store does not answer yet, the API waits for it: %s", error)
            self._opening = asyncio.create_task(self._open_later())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._opening:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        await self._broker.close()

    async def _open(self) -> None:
        await self._broker.open()  # it learns how many partitions there are: no call may come before
        self._submitter = Submitter(self._broker)

    async def _open_later(self) -> None:
        while self._submitter is None:
            await asyncio.sleep(OPEN_AGAIN_SECONDS)
            with contextlib.suppress(StoreError):
                await self._open()
        log.info("the store answers")

    def submit(self, job: NewJob) -> "asyncio.Future[Submitted]":
        """See Submitter.submit."""
        if self._submitter is None:
            raise _not_yet()
        return self._submitter.submit(job)

    async def read(self, call: Callable[[Inspector], Awaitable[T]]) -> T:
        """Ask the inspector; again when the store does not answer, since reading changes nothing."""
        if self._submitter is None:
            raise _not_yet()
        return await repeated(lambda: call(self._inspector))

    @property
    def broker(self) -> Broker:
        """For what changes something other than by a submission."""
        if self._submitter is None:
            raise _not_yet()
        return self._broker

    @property
    def server(self) -> Broker:
        """For questions about the server itself, which may be asked at any time."""
        return self._broker


def _not_yet() -> Problem:
    return Problem("store-unavailable", "the store has not answered since this API started; nothing was done")
