"""Follows the event stream: every move of every job, in order; and waits for the end of single jobs with it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from redis import exceptions as redis_errors

from boltq.broker.broker import Broker
from boltq.broker.connect import BLOCK_SECONDS
from boltq.broker.inspector import Inspector
from boltq.broker.scripts import translate
from boltq.broker.waiting import AWAY_PAUSE, Away, Waiting, let_go, quiet
from boltq.broker.workflows.records import WorkflowRecord
from boltq.broker.workflows.workflows import Workflows
from boltq.domain.errors import BoltQError, StoreUnavailable, WaitTimeout
from boltq.domain.job import JobRecord
from boltq.domain.states import TERMINAL
from boltq.domain.workflow.states import WorkflowState

T = TypeVar("T")
_Look = Callable[[str], Awaitable[T | None]]  # the thing when it has ended

NO_QUEUE = "-"  # where a row speaks of a workflow: type "workflow", before "running", to its end
_PAGE = 200  # entries of one read
_PAUSE, _LONGEST_PAUSE = 0.25, 2.0  # seconds between tries while the store is away
_LOOK_AGAIN = 5.0  # seconds: a waiter that heard nothing asks, in case the stream was trimmed under it


class Moved(msgspec.Struct, frozen=True):
    """Jobs that made the same move. `to` may also be "progress", "log", "edited" or "deleted"."""

    cursor: str
    queue: str
    priority: int
    type: str
    before: str
    to: str
    ids: list[str]


async def last_cursor(broker: Broker, partition: int) -> str:
    """The newest entry of a partition's stream."""
    try:
        newest: Any = await broker.redis.xrevrange(_stream(broker, partition), count=1)
    except (redis_errors.RedisError, OSError) as error:
        raise translate(error) from error
    return newest[0][0].decode() if newest else "0-0"


async def follow(
    broker: Broker, partition: int, after: str, on_answer: Callable[[], object] = lambda: None
) -> AsyncIterator[Moved]:
    """Every move after a cursor, for ever. Raises StoreError; go on with the last cursor then.

    `on_answer` is called for each answer of the store, also for one without moves.
    """
    stream, cancels = _stream(broker, partition), _cancels()
    block: int | None = None  # the first read does not wait: it may have to connect
    while True:
        try:
            pages: Any = await broker.blocking.xread({stream: after}, count=_PAGE, block=block)
        except (redis_errors.RedisError, OSError) as error:
            raise translate(error) from error
        on_answer()
        block = BLOCK_SECONDS * 1_000
        if _cancels() > cancels:  # and redis-py has swallowed it: in connecting, or with a reply
            raise asyncio.CancelledError
        for _, entries in pages or []:
            for cursor, rows in entries:
                after = cursor.decode()
                for row, ids in rows.items():
                    queue, priority, job_type, before, to = row.decode().split(" ")
                    yield Moved(after, queue, int(priority), job_type, before, to, ids.decode().split(" "))


def _stream(broker: Broker, partition: int) -> str:
    return f"{broker.layout.prefix(partition)}events"


class Watch:
    """Waits for the end of jobs without polling: one reader of the stream for all waiters of a loop."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._inspector = Inspector(broker)
        self._workflows = Workflows(broker)
        self._ends: dict[str, list[asyncio.Event]] = {}  # one for each waiter
        self._readers: dict[int, asyncio.Task[None]] = {}

    async def end_of(self, job_id: str, timeout: Waiting | float | None = None) -> JobRecord:
        """The job once it has ended. Raises NotFound, WaitTimeout, StoreUnavailable."""
        return await self._ended(job_id, self._ended_job, timeout, "job")

    async def end_of_workflow(self, workflow_id: str, timeout: Waiting | float | None = None) -> WorkflowRecord:
        """The workflow once it has ended. Raises NotFound, WaitTimeout, StoreUnavailable."""
        return await self._ended(workflow_id, self._ended_workflow, timeout, "workflow")

    async def _ended_job(self, job_id: str) -> JobRecord | None:
        job = await self._inspector.job(job_id)
        return job if job.state in TERMINAL else None

    async def _ended_workflow(self, workflow_id: str) -> WorkflowRecord | None:
        if (await self._workflows.summary(workflow_id)).state is WorkflowState.RUNNING:
            return None  # a look that costs little: many may wait for a large one
        record = await self._workflows.get(workflow_id)
        return record if record.state is not WorkflowState.RUNNING else None

    async def _ended(self, any_id: str, look: "_Look[T]", timeout: Waiting | float | None, what: str) -> T:
        wait = timeout if isinstance(timeout, Waiting) else Waiting(timeout)
        away = Away(bounded=wait.timeout is not None)
        try:
            async with asyncio.timeout(wait.left()):
                return await self._end_of(any_id, look, away)
        except TimeoutError as error:
            if isinstance(error, WaitTimeout):
                raise
            why = f" ({away.error})" if away.error else ""
            raise WaitTimeout(f"{what} {any_id} has not ended within {wait.timeout:g} s; it goes on{why}") from None

    async def _end_of(self, job_id: str, look: "_Look[T]", away: Away) -> T:
        cancels = _cancels()
        ended = asyncio.Event()
        self._ends.setdefault(job_id, []).append(ended)
        partition = self._broker.layout.of_id(job_id)
        try:
            while True:
                ended.clear()  # before the look: the end may be heard of before the answer to it is read
                found, pause = None, _LOOK_AGAIN
                try:
                    await self._read(partition)
                    found = await look(job_id)
                    away.error = None
                except StoreUnavailable as error:
                    away.still(error)
                    pause = AWAY_PAUSE
                if found is not None:
                    return found
                if _cancels() > cancels:  # and redis-py has swallowed it: it may come with a reply
                    raise asyncio.CancelledError
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await ended.wait()
                if not ended.is_set():
                    with contextlib.suppress(BoltQError):
                        await self._broker.listen()
        finally:
            self._forget(job_id, ended)

    def _forget(self, job_id: str, ended: asyncio.Event) -> None:
        self._ends[job_id].remove(ended)
        if not self._ends[job_id]:
            del self._ends[job_id]

    async def _read(self, partition: int) -> None:
        """Make sure that a partition's stream is being read. The cursor is taken before the job is looked at."""
        reader = self._readers.get(partition)
        if reader is None or reader.done():
            after = await last_cursor(self._broker, partition)
            reader = self._readers.get(partition)
            if reader is None or reader.done():
                self._readers[partition] = quiet(asyncio.create_task(self._tell(partition, after)))

    async def _tell(self, partition: int, after: str) -> None:
        who, pause, outage = f"events of partition {partition}", _PAUSE, self._broker.outage
        while self._ends:
            try:
                async for moved in follow(self._broker, partition, after, lambda: outage.up(who)):
                    pause = _PAUSE
                    after = moved.cursor
                    if moved.to in TERMINAL or moved.to == "deleted" or moved.queue == NO_QUEUE:
                        self._wake(moved.ids)
                    if not self._ends:
                        break
            except Exception as error:  # noqa: BLE001 - whatever it is, those who wait ask the store themselves, and see
                outage.down(who, error)
                await asyncio.sleep(pause)
                pause = min(_LONGEST_PAUSE, pause * 2)
                self._wake(list(self._ends))
        outage.leave(who)

    def _wake(self, ids: list[str]) -> None:
        for job_id in ids:
            for ended in self._ends.get(job_id, ()):
                ended.set()

    def let_go(self) -> None:
        """Stop reading where the loop is closed."""
        let_go(self._readers.values())

    async def close(self) -> None:
        """Stop reading."""
        readers = set(self._readers.values())
        while readers:  # again and again: redis-py may swallow a cancel that comes with a reply
            for reader in readers:
                reader.cancel()
            _, readers = await asyncio.wait(readers, timeout=0.1)
        await asyncio.gather(*self._readers.values(), return_exceptions=True)


def _cancels() -> int:
    """How often the task that runs has been told to end, by others or by a timeout around it."""
    task = asyncio.current_task()
    return task.cancelling() if task else 0
