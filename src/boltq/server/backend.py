"""The store as the API sees it: opened when the API starts, or as soon after that as it answers."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Self, TypeVar

from boltq.broker.broker import Broker, repeated
from boltq.broker.events import Watch
from boltq.broker.inspector import Inspector
from boltq.broker.memory import memory_share
from boltq.broker.submission import SubmitResult
from boltq.broker.submitter import Submitter
from boltq.broker.workflows.workflows import SMALL_BYTES, Workflows, aside
from boltq.domain.errors import StoreError
from boltq.domain.job import NewJob, Submitted
from boltq.server.http.problems import Problem
from boltq.server.http.waiters import Waiters
from boltq.server.known_types import PublishedTypes
from boltq.server.operation_runner import OperationRunner
from boltq.server.presence import Presence
from boltq.settings import Settings

log = logging.getLogger(__name__)

T = TypeVar("T")

OPEN_AGAIN_SECONDS = 1.0
OPERATION_SECONDS = 3.0  # between looks for bulk operations that nobody runs
LOOK_AGAIN_SECONDS = 3.0  # at what every submission is checked against


class Backend:
    """Submits, reads and acts for the endpoints. While the store has never answered, every call is refused."""

    def __init__(self, broker: Broker, settings: Settings) -> None:
        self.settings = settings
        self.watch = Watch(broker)
        self.closing = asyncio.Event()  # set when the server is about to end: nobody should wait for anything then
        self.waiters = Waiters(self.closing)
        self._broker = broker
        self._submitter: Submitter | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._inspector = Inspector(broker)
        self.types = PublishedTypes(self._inspector)
        self.presence = Presence(self._inspector)
        self._memory_share = 0.0
        self._large = asyncio.Lock()
        self.runner = OperationRunner(broker)

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except StoreError as error:
            log.warning("the store does not answer yet, the API waits for it: %s", error)
            self._tasks.append(asyncio.create_task(self._open_later()))
        self._tasks.append(asyncio.create_task(self._every(LOOK_AGAIN_SECONDS, self._look)))
        self._tasks.append(asyncio.create_task(self._every(OPERATION_SECONDS, self.runner.look)))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.runner.close()
        await self.watch.close()
        await self._broker.close()

    async def _open(self) -> None:
        await self._broker.open()  # it learns how many partitions there are: no call may come before
        await self._look()
        self._submitter = Submitter(self._broker)

    async def _open_later(self) -> None:
        while self._submitter is None:
            await asyncio.sleep(OPEN_AGAIN_SECONDS)
            with contextlib.suppress(StoreError):
                await self._open()
        log.info("the store answers")

    async def _every(self, seconds: float, look: Callable[[], Awaitable[None]]) -> None:
        """Look again and again, once the store has answered."""
        while True:
            await asyncio.sleep(seconds)
            if self._submitter:
                await look()

    async def _look(self) -> None:
        """At what every submission is checked against, so that none has to wait for it."""
        try:
            await self.types.refresh()
            await self.presence.refresh()
            self._memory_share = await memory_share(self._broker)
            await self._broker.listen()
        except StoreError:
            return  # what was seen last has to do; the submission itself will say that the store is away
        except Exception:
            log.exception("the published job types, the workers, or the memory of the store, cannot be read")

    def submit(self, job: NewJob) -> "asyncio.Future[Submitted]":
        """See Submitter.submit. Raises the Problem of a store that is nearly full."""
        if self._submitter is None:
            raise _not_yet()
        self.check_room()
        return self._submitter.submit(job)

    async def submit_all(self, jobs: list[NewJob]) -> list[SubmitResult]:
        """See Broker.submit; as often as it takes, and as `submit` when the store is nearly full."""
        broker = self.broker
        self.check_room()
        return await repeated(lambda: broker.submit(jobs))

    def check_room(self) -> None:
        """Raise the Problem of a store that is nearly full: before anything that makes a new job."""
        if self._memory_share > self.settings.memory_limit:
            raise _nearly_full(self.settings.memory_limit)

    async def read(self, call: Callable[[Inspector], Awaitable[T]]) -> T:
        """Ask the inspector; again when the store does not answer, since reading changes nothing."""
        if self._submitter is None:
            raise _not_yet()
        return await repeated(lambda: call(self._inspector))

    async def ask(self, call: Callable[[Workflows], Awaitable[T]]) -> T:
        """Ask or tell the workflows what may be asked or told again; again when the store does not answer."""
        workflows = self.workflows
        return await repeated(lambda: call(workflows))

    async def aside(self, size: int, compiles: Callable[[], T]) -> T:
        """Compile a form of so many bytes: a large one in a thread, and one at a time, so that others go on."""
        async with self._large if size > SMALL_BYTES else contextlib.nullcontext():
            return await aside(size, compiles)

    @property
    def workflows(self) -> Workflows:
        """For what is done to a workflow."""
        return Workflows(self.broker, self.aside)

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


def _nearly_full(limit: float) -> Problem:
    return Problem("store-full", f"over {limit:.0%} of the store's memory is used: it takes new jobs when some is free")
