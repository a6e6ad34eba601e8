"""A worker may be killed between any two calls about a step: the next one takes it up, and the end is the same."""

import random as chance
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from boltq.broker.broker import Broker
from boltq.broker.call import Call
from boltq.broker.consistency import audit
from boltq.broker.knobs import DEFAULT_KNOBS
from boltq.broker.settling import Settling, settling
from boltq.broker.workflows.workflows import Workflows
from boltq.domain.job import ClaimedJob
from boltq.domain.outcome import Completed
from boltq.domain.workflow.builder import Workflow
from boltq.domain.workflow.prepare import RunJob
from boltq.domain.workflow.refs import item, size
from boltq.domain.workflow.states import WorkflowState
from boltq.worker.steps import Steps, Told


class Killed(BaseException):
    """The worker's process is gone."""


def everything() -> Workflow:
    inner, flow = Workflow("inner", x=0), Workflow("all", on_failure_policy="continue")
    inner.output(inner.step("double", x=inner.input["x"]).result)
    first = flow.options(id="first").step("double", x=1)
    many = flow.map([first.result, 3, 4, 5, 6], max_concurrency=2, tolerated_failures=1).step("double", x=item)
    deep = flow.map([10, 20]).workflow(inner, x=item)
    pause = flow.options(id="pause", after=[deep], when=size(many.result) == 5).wait(0.02)
    yes = flow.options(id="yes", after=[pause]).approval("ok?", timeout=0.02, on_timeout="approve")
    no = flow.options(id="no", when=size(many.result) > 5).step("double", x=99)
    flow.options(id="bad").step("double", x=first.result["nothing"])
    flow.finally_.options(id="tidy").step("double", x=many.stats["completed"])
    flow.output([many.result, deep.result, yes.result["timed_out"], no.result])
    return flow


@pytest.mark.parametrize("seed", range(12))
async def test_it_ends_the_same_whenever_workers_die(
    valkey: str, namespace: str, partitions: int, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    random, now = chance.Random(seed), [1_800_000_000_000]
    original = Workflows.send

    async def deadly(self: Workflows, call: Call[Any]) -> Any:
        mortal = call.script in ("flow_step", "flow_look")
        if mortal and random.random() < 0.1:
            raise Killed
        found = await original(self, call)
        if mortal and random.random() < 0.15:
            raise Killed
        return found

    monkeypatch.setattr(Workflows, "send", deadly)
    knobs = replace(DEFAULT_KNOBS, poison_limit=1_000)
    async with Broker(valkey, namespace=namespace, partitions=partitions, knobs=knobs, now=lambda: now[0]) as broker:
        workflows, flow = Workflows(broker), everything()
        run = await workflows.submit(flow.compile(), flow.json())
        home, number, ran = broker.layout.of_id(run.id), 0, []
        while (record := await workflows.get(run.id)).state is WorkflowState.RUNNING:
            number, now[0] = number + 1, now[0] + 10
            assert number < 2_000
            worker = f"w{number}"
            await broker.register(home, worker, info="{}", queues=["default"], types=None, lease_ms=60_000)
            try:
                for job in (await broker.claim(home, worker, random.randint(1, 3))).jobs:
                    await broker.settle(home, worker, await played(Steps(broker), job, worker, ran))
            except Killed:
                pass
            await broker.retire(home, worker, lost=True)
            assert await audit(broker, pauses=()) == []
        assert record.state is WorkflowState.FAILED  # because of "bad"
        assert record.step("tidy").state == "completed"
        output = msgspec.json.decode(await workflows.output(record))
    assert output == [[4, 6, 8, None, 12], [20, 40], True, None]
    assert sorted(ran) == [1, 2, 3, 4, 4, 5, 6, 10, 20]


async def played(steps: Steps, job: ClaimedJob, worker: str, ran: list[int]) -> list[Settling]:
    """What a worker does with a claimed job: the outcome to settle, if there is one."""
    is_step = '"step":true' in job.spec
    found = await steps.prepare(SimpleNamespace(job=job, worker=worker)) if is_step else RunJob(job.data)  # type: ignore[arg-type]
    if isinstance(found, Told):
        return []
    if not isinstance(found, RunJob):
        return [settling(job, found, 1, None)]
    x = msgspec.json.decode(found.data)["x"]
    ran.append(x)
    if x == 5:
        return [Settling(job.id, job.delivery, "dead", 1, 0, '{"class":"E","message":"five","category":"data"}')]
    return [settling(job, Completed(str(2 * x)), 1, None)]
