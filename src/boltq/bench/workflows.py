"""The figures about workflows: how many steps a second, and what a step costs the server beside a plain job."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from boltq.bench.figure import Bench, Figure
from boltq.bench.processes import cpu_file, end, start_workers
from boltq.bench.store import done, server_seconds, until
from boltq.broker.broker import Broker
from boltq.broker.workflows.workflows import Workflows
from boltq.domain.job import NewJob
from boltq.domain.workflow.bounds import MAX_MAP_ITEMS, MAX_STEPS
from boltq.domain.workflow.builder import Workflow
from boltq.domain.workflow.refs import item

CALLERS: Final = 16  # that submit one workflow, or as many jobs as it has steps, after the other
TURNS: Final = 2  # in which jobs and steps alternate, so that both have the same weather
DIAMOND: Final = 4  # steps


class StepsSpent(msgspec.Struct):
    """What some jobs or steps have taken, until all of them had ended. Seconds."""

    count: int = 0
    draining: float = 0.0
    server: float = 0.0  # its processor time, from the first submit on

    @property
    def per_s(self) -> float:
        """How many a second, on a full queue."""
        return self.count / self.draining

    @property
    def server_us(self) -> float:
        """The server's microseconds for each."""
        return self.server / self.count * 1e6


async def workflow_diamond(bench: Bench) -> list[Figure]:
    """Diamonds of four steps, and as many plain jobs in turn with them: one worker, submits of four."""
    n = max(bench.jobs // 100, TURNS)
    plain, steps, referring = StepsSpent(), StepsSpent(), StepsSpent()
    async with _worker(bench) as drain:
        for _ in range(TURNS):
            await drain(plain, n // TURNS, DIAMOND, _jobs)
            await drain(steps, n // TURNS, DIAMOND, _workflows(diamond(refers=False)))
            await drain(referring, n // TURNS, DIAMOND, _workflows(diamond(refers=True)))
    drained = f"drain {n:,} diamonds of 4 steps, 1 worker process"
    to_job, ref_to_job = steps.server_us / plain.server_us, referring.server_us / plain.server_us
    return [
        Figure("workflow_diamond_steps_per_s", drained, steps.per_s, "steps/s"),
        Figure("workflow_job_server_us", "server time per plain job, submitted 4 at once", plain.server_us, "µs"),
        Figure("workflow_step_server_us", "server time per step of a diamond", steps.server_us, "µs"),
        Figure("workflow_step_to_job", "the step, as a multiple of the job", to_job, "", "≤ 2"),
        Figure("workflow_ref_steps_per_s", "the same diamonds, 3 of 4 steps read a result", referring.per_s, "steps/s"),
        Figure("workflow_ref_step_server_us", "server time per step of those", referring.server_us, "µs"),
        Figure("workflow_ref_step_to_job", "that step, as a multiple of the job", ref_to_job, ""),
    ]


async def workflow_chain(bench: Bench) -> list[Figure]:
    """Steps of which each waits for the one before: what counts is the way from an end to the next beginning."""
    n, spent = min(max(bench.jobs // 100, 2), MAX_STEPS), StepsSpent()
    async with _worker(bench) as drain:
        await drain(spent, 1, n, _workflows(chain(n)))
    what = f"a chain of {n:,} steps, one after the other"
    return [
        Figure("workflow_chain_steps_per_s", what, spent.per_s, "steps/s"),
        Figure("workflow_chain_step_server_us", "server time per step of the chain", spent.server_us, "µs"),
    ]


async def workflow_map(bench: Bench) -> list[Figure]:
    """One step, done once for each item of a list."""
    n, spent = min(max(bench.jobs // 10, 2), MAX_MAP_ITEMS), StepsSpent()
    async with _worker(bench) as drain:
        await drain(spent, 1, n, _workflows(spread(n)), control_jobs=1)
    what = f"a map of {n:,} items, until its results are gathered"
    return [
        Figure("workflow_map_items_per_s", what, spent.per_s, "items/s"),
        Figure("workflow_map_item_server_us", "server time per item of the map", spent.server_us, "µs"),
    ]


def diamond(*, refers: bool) -> Workflow:
    """One step, two that follow it, and one that follows both; with `refers`, they take each other's results."""
    flow = Workflow("diamond")
    first = flow.step("same", i=1)
    middle = [flow.options(after=[first]).step("same", i=first.result if refers else 1) for _ in range(2)]
    flow.options(after=middle).step("same", i=middle[0].result if refers else 1)
    return flow


def chain(n: int) -> Workflow:
    """Steps of which each follows the one before."""
    flow = Workflow("chain")
    step = flow.step("same", i=0)
    for i in range(1, n):
        step = flow.options(after=[step]).step("same", i=i)
    return flow


def spread(n: int) -> Workflow:
    """One step for each number below n."""
    flow = Workflow("spread")
    flow.map(list(range(n))).step("same", i=item)
    return flow


Submit = Callable[[Broker, int], Awaitable[object]]  # of a number of steps
Drain = Callable[..., Awaitable[None]]


@asynccontextmanager
async def _worker(bench: Bench) -> AsyncIterator[Drain]:
    """One worker process, and what has it do a number of jobs that were put into a paused queue."""
    broker, ended = bench.broker, 0

    async def drain(spent: StepsSpent, n: int, size: int, submit: Submit, control_jobs: int = 0) -> None:
        nonlocal ended
        ended += n * size + control_jobs
        await broker.pause("default")
        before = await server_seconds(broker)
        await _all(lambda: submit(broker, size), n)
        began = time.perf_counter()
        await broker.resume("default")
        await until(lambda: done(broker, ended), "the worker", pause=0.02)
        spent.draining += time.perf_counter() - began
        spent.server += await server_seconds(broker) - before
        spent.count += n * size

    with cpu_file() as cpu:
        running = await start_workers(broker, bench.settings, bench.slots, 1, str(cpu))
        yield drain
        await end(running)


async def _all(submit: Callable[[], Awaitable[object]], n: int) -> None:
    numbers = iter(range(n))

    async def caller() -> None:
        for _ in numbers:
            await submit()

    await asyncio.gather(*(caller() for _ in range(CALLERS)))


async def _jobs(broker: Broker, n: int) -> Sequence[object]:
    return await broker.submit([NewJob(type="same", data='{"i":1}') for _ in range(n)])


def _workflows(flow: Workflow) -> Submit:
    plan, form = flow.compile(), flow.json()

    async def submit(broker: Broker, _: int) -> object:
        return await Workflows(broker).submit(plan, form)

    return submit
