"""A worker that plays one workflow to its end in virtual time, whatever happens to the store."""

import contextlib
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, TypeVar

import msgspec
from model.job import Broken, must

from boltq.broker.broker import Broker
from boltq.broker.consistency import audit
from boltq.broker.settling import Settling, settling
from boltq.broker.workflows.records import WorkflowRecord
from boltq.broker.workflows.workflows import Workflows
from boltq.domain.errors import StoreUnavailable
from boltq.domain.job import ClaimedJob
from boltq.domain.outcome import Completed
from boltq.domain.workflow.builder import Workflow
from boltq.domain.workflow.prepare import RunJob
from boltq.domain.workflow.refs import item
from boltq.domain.workflow.states import WorkflowState
from boltq.worker.steps import Steps, Told

T = TypeVar("T")

OUTPUT = [[8, 20, 40], 6, True]
RAN = [1, 2, 3, 4, 6, 7, 10, 20]
"""What the functions of `life` are called with, each once."""


def life() -> Workflow:
    """A diamond with a map of three, an approval that nobody answers, and a workflow inside."""
    flow = Workflow("life")
    top = flow.options(id="top").step("double", x=1)
    left = flow.options(id="left").step("double", x=top.result)
    many = flow.options(id="many").map([left.result, 10, 20], max_concurrency=2).step("double", x=item)
    deep = flow.options(id="deep", after=[top]).workflow(_inner(), x=3)
    yes = flow.options(id="yes", after=[many, deep]).approval("ok?", timeout=0.02, on_timeout="approve")
    flow.options(id="join", after=[yes]).step("double", x=deep.result)
    flow.finally_.options(id="tidy").step("double", x=7)
    flow.output([many.result, deep.result, yes.result["timed_out"]])
    return flow


MAP_OUTPUT = [[2, None, 4, 6, 8, 10], 12]
MAP_RAN = [1, 2, 3, 4, 5, 6, 13]
UNLUCKY = 13  # double fails


def a_map() -> Workflow:
    """A map of six, two at a time, of which one may fail and does; and a workflow inside."""
    flow = Workflow("map")
    many = flow.options(id="many").map([1, UNLUCKY, 2, 3, 4, 5], max_concurrency=2, tolerated_failures=1)
    doubled = many.step("double", x=item)
    deep = flow.options(id="deep", after=[doubled]).workflow(_inner(), x=6)
    flow.output([doubled.result, deep.result])
    return flow


def _inner() -> Workflow:
    inner = Workflow("inner", x=0)
    inner.output(inner.step("double", x=inner.input["x"]).result)
    return inner


class Life:
    """One workflow, and the one worker that plays it."""

    def __init__(self, broker: Broker, clock: list[int], flow: Workflow) -> None:
        self.broker, self.clock, self.flow = broker, clock, flow
        self.workflows, self.steps = Workflows(broker), Steps(broker)
        self.ran: list[int] = []

    async def live(self) -> tuple[WorkflowState, Any]:
        """The state at the end, and the output."""
        flow_id, home = f"{1:024d}00", 0
        plan, form = self.flow.compile(), self.flow.json()
        await surely(lambda: self.workflows.submit(plan, form, workflow_id=flow_id))
        await self._register(home)
        for _ in range(500):
            await self._work(home, flow_id)
            record = await surely(lambda: self.workflows.get(flow_id))
            if record.state is not WorkflowState.RUNNING:
                return record.state, msgspec.json.decode(await self._output(record))
            self.clock[0] += 10
        raise Broken(f"it does not end: {record.states}")

    async def _output(self, record: WorkflowRecord) -> str:
        return await surely(lambda: self.workflows.output(record))

    async def _register(self, home: int) -> None:
        with contextlib.suppress(StoreUnavailable):
            await self.broker.register(home, "w", info="{}", queues=["default"], types=None, lease_ms=60_000)
            return
        await self.broker.retire(home, "w", lost=False)  # perhaps it is there
        await self._register(home)

    async def _work(self, home: int, flow_id: str) -> None:
        """Claim, run and settle one after another; what a lost answer brought is handed back."""
        try:
            jobs = (await self.broker.claim(home, "w", 2)).jobs
        except StoreUnavailable:
            held = (await surely(lambda: self.broker.held(home, "w"))).runs
            outcomes = [Settling(job_id, delivery, "released", 1) for job_id, delivery in held]
            await surely(lambda: self.broker.settle(home, "w", outcomes))
            return
        for job in jobs:
            for outcome in await self._play(job):
                await surely(lambda one=outcome: self.broker.settle(home, "w", [one]))
            _check_maps(await surely(lambda: self.workflows.get(flow_id)))

    async def _play(self, job: ClaimedJob) -> list[Settling]:
        """What a worker does with a claimed job: the outcome to settle, if there is one."""
        is_step = '"step":true' in job.spec
        found = await self.steps.prepare(SimpleNamespace(job=job, worker="w")) if is_step else RunJob(job.data)  # type: ignore[arg-type]
        if isinstance(found, Told):
            return []
        if not isinstance(found, RunJob):
            return [settling(job, found, 1, None)]
        x = msgspec.json.decode(found.data)["x"]
        self.ran.append(x)
        if x == UNLUCKY:
            return [Settling(job.id, job.delivery, "dead", 1, 0, '{"class":"E","message":"no","category":"data"}')]
        return [settling(job, Completed(str(2 * x)), 1, None)]


def _check_maps(record: WorkflowRecord) -> None:
    """No more items at a time than may be."""
    for step in record.steps:
        most = record.plan.by_id[step.id].map and record.plan.by_id[step.id].map.max_concurrency
        if most and step.stats:
            going = (step.begun or 0) - step.stats.ended
            must(0 <= going <= most, f"{going} items of {step.id} at a time")


async def audited(broker: Broker) -> list[Any]:
    """What the auditor finds at once."""
    return list(await audit(broker, pauses=()))


async def surely(call: Callable[[], Awaitable[T]]) -> T:
    """A call that is safe to repeat, until there is an answer."""
    while True:
        with contextlib.suppress(StoreUnavailable):
            return await call()
