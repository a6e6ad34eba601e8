"""A function of a workflow asks for the results of the steps before it, wherever it runs."""

import asyncio
from typing import Any

import process_tasks
import pytest

from boltq import BoltQ, JobContext, Workflow, WorkflowFailed, current_job, item
from boltq.domain.limits import MAX_BATCH_BYTES
from boltq.domain.outcome import DataError

BIG = 12345678901234567890


@pytest.fixture
def tasks(boltq_app: BoltQ) -> BoltQ:
    """Functions that answer what came before them."""

    @boltq_app.task
    async def give(value: Any) -> Any:
        return value

    @boltq_app.task
    async def fill(size: int) -> str:
        return "x" * size

    @boltq_app.task
    async def fail() -> None:
        raise DataError("no")

    @boltq_app.task
    async def on_loop(ctx: JobContext, number: int = 0) -> dict:
        return await ctx.parents()

    @boltq_app.task
    def in_thread(ctx: JobContext) -> dict:
        return ctx.parents_sync()

    process_tasks.listed(boltq_app, "before", "before_awaited", "leave_a_thread", "hear_the_thread")
    return boltq_app


async def outcome(app: BoltQ, flow: Workflow) -> object:
    return await (await app.submit_workflow(flow)).result(timeout=60)


@pytest.mark.parametrize("name", ["on_loop", "in_thread", "before", "before_awaited"])
async def test_a_function_reads_what_came_before_it(tasks: BoltQ, worker, name: str) -> None:
    """On the loop, in a thread, in a process; of the steps that it depends on, and of no others."""
    flow = Workflow("family")
    first = flow.options(id="first").step("give", value={"big": BIG, "empty": []})
    second = flow.options(id="second", after=[first]).step("give", value=None)
    flow.output(flow.options(after=[second, first]).step(name).result)
    async with worker():
        found = await outcome(tasks, flow)
    expected = {"second": None, "first": {"big": BIG, "empty": []}}
    assert found == ({"once": expected, "again": expected} if name == "before" else expected)


@pytest.mark.parametrize("name", ["on_loop", "in_thread", "before_awaited"])
async def test_outside_of_a_workflow_and_at_its_beginning_there_is_nothing(tasks: BoltQ, worker, name: str) -> None:
    flow = Workflow("alone")
    flow.output(flow.step(name).result)
    async with worker():
        assert await outcome(tasks, flow) == {}
        assert await (await tasks.submit(name)).result(60) == {}


async def test_a_step_without_a_result_is_none(tasks: BoltQ, worker) -> None:
    """One that failed, one that was skipped; a map has the list of its results, and its items have its parents."""
    flow = Workflow("gaps", on_failure_policy="continue")
    bad = flow.options(id="bad", allow_failure=True).step("fail")
    none = flow.options(id="none", when="false").step("give", value=1)
    many = flow.options(id="many", after=[bad], run_if="all_done").map([1, 2]).step("on_loop", number=item)
    flow.output(flow.options(after=[bad, none, many], run_if="all_done").step("on_loop").result)
    async with worker():
        assert await outcome(tasks, flow) == {"bad": None, "none": None, "many": [{"bad": None}, {"bad": None}]}


async def test_too_much_at_once_is_refused(tasks: BoltQ, worker) -> None:
    """Each result has its bound, and so have all together; nothing is cut off."""
    flow = Workflow("large")
    steps = [flow.step("fill", size=1_000_000) for _ in range(MAX_BATCH_BYTES // 1_000_000 + 1)]
    for name in ("on_loop", "in_thread", "before"):
        flow.options(after=steps).step(name)
    async with worker():
        run = await tasks.submit_workflow(flow)
        with pytest.raises(WorkflowFailed, match=rf"the steps before have \d+ bytes; at most {MAX_BATCH_BYTES}"):
            await run.result(timeout=60)


async def test_a_thread_that_outlives_its_run_in_a_process_disturbs_no_other(tasks: BoltQ, worker) -> None:
    async with worker(slots=1):  # so that both run in one child
        first = await tasks.submit("leave_a_thread")
        await first.result(60)
        second = await tasks.submit("hear_the_thread")
        assert await second.result(60) == ["this run of the job is over"]
    assert (await first.record()).log == (await second.record()).log == []


async def test_it_is_there_for_code_below_the_function(tasks: BoltQ, worker) -> None:
    """By `current_job`; and a coroutine that would hold up its loop is told so."""

    @tasks.task
    async def deep() -> dict:
        job = current_job()
        assert job is not None
        with pytest.raises(RuntimeError, match=r"await ctx\.parents"):
            job.parents_sync()
        return await job.parents() | await asyncio.to_thread(job.parents_sync)

    flow = Workflow("deep")
    flow.output(flow.options(after=[flow.step("give", value=7)]).step("deep").result)
    async with worker():
        assert await outcome(tasks, flow) == {"give": 7}


async def test_a_context_that_a_test_makes_has_none() -> None:
    ctx = JobContext("01J00000000000000000000000", "count", "default", 1, 3, lambda *_: None)
    assert (await ctx.parents(), ctx.parents_sync()) == ({}, {})
