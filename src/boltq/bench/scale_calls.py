"""Every call that `boltq bench --scale` makes on a full store: those that read, then those that change something."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping

from boltq.bench.meter import Meter
from boltq.bench.scale_fill import BATCH, LEASE_MS, TAKER, StoreSize, completed, dead, queue_name, retrying
from boltq.broker.api_keys import ApiKeys
from boltq.broker.audit_log import AuditLog
from boltq.broker.consistency import LONG_PAGE
from boltq.broker.inspector import Inspector
from boltq.broker.operations import BulkAction, Operations
from boltq.broker.workflows.workflows import Workflows
from boltq.domain.errors import BoltQError
from boltq.domain.filters import JobFilter
from boltq.domain.job import NewJob
from boltq.domain.states import JobState
from boltq.domain.workflow.builder import Workflow
from boltq.domain.workflow.rerun import RerunMode


class Users:
    """Whoever uses the store."""

    def __init__(self, meter: Meter, size: StoreSize) -> None:
        self.meter, self.size = meter, size
        self.inspector, self.workflows, self.queue = Inspector(meter), Workflows(meter), queue_name(0)

    # Who reads

    async def queues(self) -> None:
        """The numbers of all queues."""
        await self.inspector.queues()
        await self.inspector.counts()

    async def workers(self) -> None:
        """Workers and the types that they publish."""
        await self.inspector.workers()
        await self.inspector.published([])

    async def pages(self) -> None:
        """Pages of jobs."""
        for state in JobState:
            await self._pages(JobFilter(states=(state,)), 3)

    async def rare_pages(self) -> None:
        """Pages of jobs of a rare type."""
        for state in JobState:
            await self._pages(JobFilter(states=(state,), types=("rare",)), 3)

    async def parked_pages(self) -> None:
        """Pages of parked jobs."""
        await self._pages(JobFilter(queues=("parked",)), 30)

    async def counts(self) -> None:
        """Counting jobs."""
        await self.inspector.count(JobFilter(tags=("red",)))
        await self.inspector.count(JobFilter.of(JobState.QUEUED))

    async def choices(self) -> None:
        """Choosing the jobs of a bulk operation."""
        await self.inspector.snapshot(JobFilter(types=("type-1",)), most=100_000, partial=True)
        await self.inspector.snapshot(JobFilter(states=(JobState.DEAD,)), most=200_000, partial=True)

    async def groups(self) -> None:
        """Dead letters by what went wrong."""
        await self.inspector.failure_groups(JobFilter())

    async def jobs(self) -> None:
        """200 jobs, and where one stands."""
        page = await self.inspector.page(JobFilter.of(JobState.QUEUED, self.queue), limit=200)
        await self.inspector.jobs([job.id for job in page.jobs])
        for job in page.jobs[-1:]:
            await self.inspector.place(job)

    async def series(self) -> None:
        """What happened lately."""
        await self.inspector.recent_rate(self.queue)
        await self.inspector.series(seconds=10, buckets=360)
        await self.inspector.series(seconds=60, buckets=1_440)
        names = [queue_name(n) for n in range(min(self.size.queues, 200))]
        await self.inspector.queue_series(names, seconds=10, buckets=7)

    async def flows(self) -> None:
        """Lists of workflows, and a small one."""
        await self.workflows.list(name="none", limit=200)
        await self.workflows.approvals(limit=200)
        for one in (await self.workflows.list(limit=200)).workflows[:3]:
            await self.workflows.data(await self.workflows.get(one.id))

    async def audit(self) -> None:
        """What the audit reads."""
        prefix = self.meter.layout.prefix(0)
        await self.meter.raw("SCAN", 0, "MATCH", f"{prefix}*", "COUNT", 1_000)
        await self.meter.raw("LRANGE", f"{prefix}queue:ended:completed", 0, LONG_PAGE - 1)
        await self.meter.raw("ZRANGE", f"{prefix}queue:dead:dead", 0, 999, "WITHSCORES")

    async def _pages(self, what: JobFilter, most: int) -> None:
        cursor = None
        for _ in range(most):
            page = await self.inspector.page(what, cursor=cursor, limit=200)
            cursor = page.cursor
            if cursor is None:
                return

    # Who changes something

    async def _ids(self, state: JobState, n: int = BATCH, queue: str | None = None) -> list[str]:
        found = await self.inspector.snapshot(JobFilter.of(state, queue), n, partial=True)
        return [job_id for job_id, _ in found]

    async def beat(self) -> None:
        """A heartbeat."""
        await self.meter.extend(0, "scale-all", LEASE_MS, 1)
        await self.meter.extend(0, "scale-all", LEASE_MS, 10 * LEASE_MS)  # all get grace

    async def sweep(self) -> None:
        """A sweep."""
        await self.meter.reap(0, TAKER)  # the first one grants grace
        await asyncio.sleep(2.1)
        while (await self.meter.reap(0, TAKER)).more:
            pass

    async def idle(self) -> None:
        """An idle worker's claim."""
        await self.meter.claim(0, "scale-parked", 4)
        await self.meter.register(0, "scale-idle", info="{}", queues=["nothing-here"], types=None, lease_ms=LEASE_MS)
        await self.meter.claim(0, "scale-idle", 4)

    async def claim_one(self) -> None:
        """A claim of one."""
        for worker in ("scale-all", "scale-1", TAKER):
            (await self.meter.claim(0, worker, 1))

    async def rounds(self) -> None:
        """A worker's rounds."""
        for outcome in (completed, dead, retrying):
            claimed = (await self.meter.claim(0, TAKER, BATCH)).jobs
            settled = [outcome(job, i) for i, job in enumerate(claimed)]
            await self.meter.settle(0, TAKER, settled, BATCH)
            await self.meter.retire(0, TAKER, lost=False)
            await self.meter.register(
                0, TAKER, info="{}", queues=[queue_name(n) for n in range(min(self.size.queues, 50))], types=None,
                lease_ms=LEASE_MS,
            )  # fmt: skip

    async def lost(self) -> None:
        """A lost worker."""
        await self.meter.claim(0, TAKER, BATCH)
        await self.meter.held(0, TAKER)
        await self.meter.retire(0, TAKER, lost=True)
        await self.meter.held(0, "scale-all")
        await self.meter.retire(0, "scale-all", lost=True)

    async def people(self) -> None:
        """What people do."""
        await self.meter.pause("new-queue", "somebody", "because")
        await self.meter.resume("new-queue")
        await self.meter.limit("parked", 10**6)
        await self.meter.submit([NewJob(type="strange-1", queue="parked")])
        await self.meter.limit("parked", 0)
        await self.meter.tell("scale-2", "draining")
        for job_id in await self._ids(JobState.QUEUED, 3, self.queue):
            await self.meter.edit(job_id, priority=2)
        for job_id in await self._ids(JobState.DEAD, 3):
            await self.meter.replay_as(job_id, NewJob(type="nothing"))

    async def batches(self) -> None:
        """Batches of 1,000."""
        await self.meter.run_now(await self._ids(JobState.SCHEDULED))
        await self.meter.replay(await self._ids(JobState.DEAD))
        await self.meter.cancel(await self._ids(JobState.QUEUED, queue=self.queue))
        await self.meter.cancel(await self._ids(JobState.QUEUED, queue="parked"))
        await self.meter.delete(await self._ids(JobState.QUEUED, queue=queue_name(1)))
        for state in (JobState.DEAD, JobState.COMPLETED, JobState.CANCELLED):
            await self.meter.delete(await self._ids(state))

    async def operations(self) -> None:
        """A bulk operation."""
        them = Operations(self.meter)
        found = await self.inspector.snapshot(JobFilter.of(JobState.DEAD), 20_000, partial=True)
        made = await them.create(BulkAction.REPLAY, found, by="bench")
        for _ in range(5):
            await them.advance(made.id, "bench")
        await them.get(made.id)
        await them.list()

    async def audit_log(self) -> None:
        """The audit log, and keys."""
        them = AuditLog(self.meter)
        for _ in range(5):
            await them.note("somebody", "queue.pause", "q")
        await them.page()
        await them.page(by="nobody")
        keys = ApiKeys(self.meter)
        await keys.create("one", ["read"], created_by="bench")
        await keys.all()

    async def large_workflows(self) -> None:
        """Large workflows."""
        workflows, flow = self.workflows, Workflow("large", queue="large")
        first = flow.step("same", i=0)
        for i in range(min(self.size.workflows, 999)):
            flow.options(after=[first]).step("same", i=i)
        made = await workflows.submit(flow.compile(), flow.json())
        record = await workflows.get(made.id, form=True)
        await workflows.data(record)
        await workflows.jobs(made.id, JobFilter(), limit=200)
        await workflows.children(made.id, limit=200)
        await workflows.pause(made.id)
        await workflows.resume(made.id)
        await workflows.cancel(made.id)
        with contextlib.suppress(BoltQError):
            await workflows.rerun(made.id, RerunMode.ALL)
            await workflows.cancel(made.id)
        await workflows.delete(made.id)
        for one in (await workflows.list(limit=20)).workflows:
            await workflows.cancel(one.id)
            await workflows.delete(one.id)


def calls_of(users: Users) -> Mapping[str, Callable[[], Awaitable[object]]]:
    """All calls by what they are for; those that change something come last."""
    found = [getattr(users, name) for name in vars(Users) if not name.startswith("_")]
    return {(call.__doc__ or "").rstrip("."): call for call in found}
