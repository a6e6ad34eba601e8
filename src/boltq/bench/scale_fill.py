"""Fills a store for `boltq bench --scale`."""

import itertools
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from boltq.bench.meter import Meter
from boltq.broker.settling import Settling
from boltq.broker.workflows.workflows import Workflows
from boltq.domain.errors import StoreError
from boltq.domain.job import ClaimedJob, NewJob
from boltq.domain.workflow.builder import Workflow

BATCH: Final = 250  # as many as a worker settles and claims in one call
LEASE_MS: Final = 3_600_000
FINGERPRINTS: Final = 100
HISTORY: Final = 10_000
TAKER: Final = "scale-taker"  # a worker of many queues


class StoreSize(msgspec.Struct, frozen=True):
    """How full the store is made."""

    jobs: int = 1_000_000
    queues: int = 1_000
    types: int = 1_000
    dead: int = 100_000
    workflows: int = 10_000

    @property
    def parked_types(self) -> int:
        """Types of one queue that no worker knows."""
        return 20 * self.types

    @property
    def history(self) -> int:
        """Completed, cancelled, retrying and scheduled jobs: so many each."""
        return min(HISTORY, max(1, self.jobs // 100))


def queue_name(number: int) -> str:
    """Of the queues that are filled."""
    return f"queue-{number:05}"


class Filling:
    """What fills the store."""

    def __init__(self, meter: Meter, size: StoreSize) -> None:
        self.meter, self.size = meter, size

    async def queued(self) -> None:
        """The jobs that wait, over all queues and types."""
        size = self.size
        waiting = max(0, size.jobs - size.dead - 4 * size.history)
        await self._submit(
            NewJob(
                type=f"type-{i % size.types}", queue=queue_name(i // 7 % size.queues), data=f'{{"i":{i}}}',
                tags=["red"] if i % 10 == 0 else [],
            )
            for i in range(waiting)
        )  # fmt: skip

    async def dead(self) -> None:
        """The dead letters: half of them in one queue."""
        size = self.size
        await self._register("scale-dead", ["dead", *(queue_name(n) for n in range(min(size.queues, 20)))])
        await self._run("dead", size.dead, dead)

    async def ended(self) -> None:
        """The history of one queue."""
        await self._register("scale-ended", ["ended"])
        await self._run("ended", self.size.history, completed, worker="scale-ended")
        ids = await self._submit(NewJob(type="nothing", queue="ended") for _ in range(self.size.history))
        for start in range(0, len(ids), BATCH):
            await self.meter.cancel(ids[start : start + BATCH])
        await self._run("ended", self.size.history, retrying, worker="scale-ended")

    async def waiting(self) -> None:
        """Scheduled jobs."""
        await self._submit(
            NewJob(type="nothing", queue="ended", delay=10_000_000 + i) for i in range(self.size.history)
        )

    async def parked(self) -> None:
        """Jobs of types that nobody knows."""
        await self._submit(NewJob(type=f"strange-{i}", queue="parked") for i in range(self.size.parked_types))
        await self._register("scale-parked", ["parked"], types=["known"])
        while (await self.meter.claim(0, "scale-parked", BATCH)).more:
            pass

    async def workers(self) -> None:
        """A worker of every queue that knows every type, and many others."""
        size = self.size
        types = [f"type-{n}" for n in range(size.types)]
        about = '{"schema":{"type":"object","description":"' + "x" * 1_000 + '"}}'
        await self._register(
            "scale-all", [queue_name(n) for n in range(min(size.queues, 1_000))], types=types,
            schemas=[(name, about) for name in types],
        )  # fmt: skip
        for n in range(max(10, size.queues // 5)):
            await self._register(f"scale-{n}", [queue_name(n % size.queues), "idle"], types=types[:100])
        await self._register(TAKER, [queue_name(n) for n in range(min(size.queues, 50))])

    async def workflows(self) -> None:
        """Workflows of a few steps, and one that is as large as may be."""
        flow = Workflow("small", queue="flows")
        first = flow.step("same", i=0)
        flow.options(after=[first]).step("same", i=first.result)
        plan, form, workflows = flow.compile(), flow.json(), Workflows(self.meter)
        for _ in range(self.size.workflows):
            await workflows.submit(plan, form)

    async def _submit(self, jobs: Iterable[NewJob]) -> list[str]:
        ids, numbers = list[str](), iter(jobs)
        while batch := list(itertools.islice(numbers, BATCH)):
            await self.meter.submit(batch)
            ids += [job.id for job in batch]
        return ids

    async def _run(
        self, queue: str, n: int, outcome: Callable[[ClaimedJob, int], Settling], worker: str = "scale-dead"
    ) -> None:
        """Have n jobs of a queue come to that end."""
        done = 0
        while done < n:
            await self._submit(NewJob(type="nothing", queue=queue) for _ in range(min(BATCH, n - done)))
            claim = await self.meter.claim(0, worker, BATCH)
            outcomes = [outcome(job, done + i) for i, job in enumerate(claim.jobs)]
            await self.meter.settle(0, worker, outcomes)
            if not outcomes and not claim.more:
                raise StoreError(f"nothing to claim in {queue}")
            done += len(outcomes)

    async def _register(self, worker: str, queues: list[str], **what: Any) -> None:
        about: dict[str, Any] = {"info": '{"slots":4}', "types": None, "lease_ms": LEASE_MS} | what
        await self.meter.register(0, worker, queues=queues, **about)


def dead(job: ClaimedJob, number: int) -> Settling:
    """It has failed for the last time, in one of some ways."""
    kind = number % FINGERPRINTS
    error = {"class": "ValueError", "message": f"kind {kind}", "category": "unknown", "fingerprint": f"f{kind}"}
    error |= {"traceback": "x" * 300}
    return Settling(job.id, job.delivery, "dead", 1, 0, msgspec.json.encode(error).decode())


def completed(job: ClaimedJob, _: int) -> Settling:
    """It has returned something."""
    return Settling(job.id, job.delivery, "completed", 1, 0, '"a result"')


def retrying(job: ClaimedJob, number: int) -> Settling:
    """It is tried again long after the measurement."""
    return Settling(job.id, job.delivery, "retrying", 1, 10_000_000 + number, '{"class":"E","fingerprint":"f"}')
