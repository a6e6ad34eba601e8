"""Batches submits by itself: all that come in one turn of the event loop, or during a call, share the next call."""

import asyncio
from collections.abc import Sequence

from boltq.broker.broker import Broker, repeated
from boltq.broker.waiting import let_go, quiet
from boltq.domain import limits
from boltq.domain.errors import BoltQError
from boltq.domain.job import NewJob, Submitted

Waiting = tuple[NewJob, "asyncio.Future[Submitted]"]

MAX_CALLS = 2  # on the way at once: one is carried out while the other travels


class Submitter:
    """Submits jobs one by one for many callers, and sends them in batches."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._waiting: list[Waiting] = []
        self._calls: set[asyncio.Task[None]] = set()
        self._flush_is_due = False
        self._loop = asyncio.get_running_loop()

    def submit(self, job: NewJob) -> "asyncio.Future[Submitted]":
        """The answer to one submission; the future raises the refusal, StoreUnavailable or StoreFull."""
        future: asyncio.Future[Submitted] = self._loop.create_future()
        self._waiting.append((job, future))
        if not self._flush_is_due and len(self._calls) < MAX_CALLS:
            self._flush_is_due = True
            self._loop.call_soon(self._flush)
        return future

    def let_go(self) -> None:
        """Stop sending where the loop is closed."""
        let_go(self._calls)

    def _flush(self) -> None:
        self._flush_is_due = False
        while self._waiting and len(self._calls) < MAX_CALLS:
            batch, self._waiting = self._waiting[: limits.MAX_CALL], self._waiting[limits.MAX_CALL :]
            call = quiet(self._loop.create_task(self._send(batch)))
            self._calls.add(call)
            call.add_done_callback(self._ended)

    def _ended(self, call: "asyncio.Task[None]") -> None:
        self._calls.discard(call)
        self._flush()

    async def _send(self, batch: Sequence[Waiting]) -> None:
        jobs = [job for job, _ in batch]
        try:
            answers = await repeated(lambda: self._broker.submit(jobs))
        except Exception as error:  # noqa: BLE001 - each caller gets it
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, BoltQError):
                future.set_exception(answer)
            else:
                future.set_result(answer)
