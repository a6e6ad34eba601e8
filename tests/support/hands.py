"""A worker's hands for tests: it claims jobs and does what a worker does with them, only when the test says so."""

import itertools
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import msgspec
from flows import plan_of

from boltq.broker.broker import Broker
from boltq.broker.settling import Settling, settling
from boltq.broker.workflows.records import WorkflowRecord
from boltq.broker.workflows.workflows import Workflows
from boltq.domain.job import ClaimedJob
from boltq.domain.job_error import Category, describe
from boltq.domain.outcome import Completed, DataError, Failed, Outcome
from boltq.domain.workflow.prepare import RunJob
from boltq.domain.workflow.states import WorkflowState
from boltq.worker.steps import Steps, Told

_NUMBERS = itertools.count(1)

Functions = dict[str, Callable[..., Any]]  # job type -> what its job does, with the data as keywords


class Hands:
    """One worker in one partition. `ran` has the data of the jobs that it has run, in order."""

    def __init__(self, broker: Broker, home: int, functions: Functions) -> None:
        self.broker, self.home, self.functions = broker, home, functions
        self.workflows = Workflows(broker)
        self.name = f"hands{next(_NUMBERS)}"
        self.ran: list[dict[str, Any]] = []

    async def register(self, queues: Iterable[str] = ("default",)) -> "Hands":
        """Tell the store that it is there."""
        await self.broker.register(self.home, self.name, info="{}", queues=list(queues), types=None, lease_ms=60_000)
        return self

    async def claim(self, n: int = 1_000) -> list[ClaimedJob]:
        """What was handed to it while it slept, and up to n further jobs."""
        jobs: list[ClaimedJob] = []
        key = f"{self.broker.layout.prefix(self.home)}mail:{self.name}"
        while letter := await self.broker.redis.lpop(key):
            kind, *rest = msgspec.msgpack.decode(letter)
            jobs += [ClaimedJob(*row) for row in rest[0]] if kind == "jobs" else []
        claim = await self.broker.claim(self.home, self.name, n)
        while claim.more and not claim.jobs:
            claim = await self.broker.claim(self.home, self.name, n)
        return jobs + claim.jobs

    async def do(self, jobs: Iterable[ClaimedJob]) -> list[tuple[int, str]]:
        """Do these jobs and settle them; answers what the store refused."""
        outcomes = [made for job in jobs for made in await self.outcome(job)]
        return (await self.broker.settle(self.home, self.name, outcomes)).refused

    async def outcome(self, job: ClaimedJob) -> list[Settling]:
        """What is to be settled for one job; nothing when its step does something else than to run."""
        found: Outcome | RunJob | Told = RunJob(job.data)
        if '"step":true' in job.spec:
            found = await Steps(self.broker).prepare(SimpleNamespace(job=job, worker=self.name))  # type: ignore[arg-type]
        if isinstance(found, RunJob):
            job = msgspec.structs.replace(job, data=found.data, filled=found.data != job.data)
            found = self._run(job.type, msgspec.json.decode(found.data))
        return [] if isinstance(found, Told) else [settling(job, found, 1, None)]

    def _run(self, job_type: str, data: dict[str, Any]) -> Outcome:
        self.ran.append(data)
        try:
            return Completed(msgspec.json.encode(self.functions[job_type](**data)).decode())
        except DataError as error:
            return Failed(describe(error, Category.DATA), retry=False)

    async def work(self, most: int = 3_000) -> None:
        """Do all that is there, and all that follows."""
        for _ in range(most):
            jobs = await self.claim()
            if not jobs and not await self._is_more():
                return
            await self.do(jobs)
        raise AssertionError("there is no end to it")

    async def _is_more(self) -> bool:
        """Whether a workflow wants to be looked at now."""
        key = f"{self.broker.layout.prefix(self.home)}partition"
        return await self.broker.redis.hget(key, "flows_due") == b"1"

    async def finish(self, workflow_id: str) -> WorkflowRecord:
        """Work until there is nothing to do; the workflow has ended then."""
        await self.work()
        record = await self.workflows.get(workflow_id)
        assert record.state is not WorkflowState.RUNNING, record.states
        return record


async def begin(broker: Broker, form: str, functions: Functions | None = None, **options: Any) -> tuple[str, Hands]:
    """A workflow of that form, and hands for it."""
    submitted = await Workflows(broker).submit(plan_of(form), form, **options)
    hands = Hands(broker, broker.layout.of_id(submitted.id), functions or {"t": lambda **_: 1})
    return submitted.id, await hands.register()


async def all_keys(broker: Broker) -> list[str]:
    """Every key of the namespace, without the partition's prefix."""
    keys: list[str] = []
    for partition in range(broker.layout.partitions):
        prefix = broker.layout.prefix(partition)
        keys += [key.decode().removeprefix(prefix) async for key in broker.redis.scan_iter(f"{prefix}*", count=1_000)]
    return sorted(keys)
