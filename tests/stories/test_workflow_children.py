"""Sub-workflows that run again: with the step that they are of, they go on where they failed; alone, they stay its."""

from typing import Any

import pytest

import boltq.testing
from boltq import BoltQ, Conflict, DataError, NotFound, Settings, Workflow, WorkflowRun, item
from boltq.broker.consistency import audit
from boltq.domain.workflow.rerun import RerunMode

app = BoltQ(settings=Settings(redis_addr="unix:///nowhere/in/production"))
DAY = 86_400
broken: set[str] = set()
done: list[str] = []


@app.task
async def work(name: str) -> str:
    """A task of the program under test."""
    if name in broken:
        raise DataError(name)
    done.append(name)
    return name


@pytest.fixture(autouse=True)
def nothing_done():
    done.clear()
    broken.clear()


def inner(name: str = "inner", **input: Any) -> Workflow:
    flow = Workflow(name, on_failure_policy="continue", n="", **input)
    first = flow.options(id="first").step(work, name=f"first{flow.input['n']}")
    second = flow.options(id="second", after=[first]).step(work, name=f"second{flow.input['n']}")
    flow.output([first.result, second.result])
    return flow


async def sub_of(run: WorkflowRun, step: str) -> WorkflowRun:
    return app.workflow((await run.record()).step(step).workflow_id or "")


async def sound() -> bool:
    return await audit((await app.connections()).broker, pauses=()) == []


@pytest.mark.parametrize("mode", ["failed_only", "failed_and_downstream"])
async def test_a_failed_sub_workflow_goes_on_where_it_failed(mode: RerunMode) -> None:
    """Through two levels: what had completed stays, and is the same workflow still."""
    middle, outer = Workflow("middle"), Workflow("outer")
    middle.output(middle.options(id="sub").workflow(inner()).result)
    outer.output(outer.options(id="mid").workflow(middle).result)
    broken.add("second")
    async with boltq.testing.inline(app) as inline:
        run = await app.submit_workflow(outer)
        await inline.run_all()
        child = await sub_of(run, "mid")
        grandchild = await sub_of(child, "sub")
        assert [(await one.record()).state for one in (run, child, grandchild)] == ["failed"] * 3
        broken.clear()
        assert await run.rerun(mode) == ("mid",)
        await inline.run_all()
        assert await run.result() == ["first", "second"]
        assert done == ["first", "second"]
        assert [(await sub_of(run, "mid")).id, (await sub_of(child, "sub")).id] == [child.id, grandchild.id]
        records = [await one.record() for one in (run, child, grandchild)]
        assert [(record.state, record.generation) for record in records] == [("completed", 2)] * 3
        assert (records[1].within, records[2].within) == (run.id, child.id)
        assert records[2].parent_job == records[1].step("sub").job_id
        assert await sound()


async def test_the_items_of_a_map_of_sub_workflows_go_on_too() -> None:
    outer = Workflow("outer")
    outer.output(outer.options(id="each").map(["a", "b", "c"]).workflow(inner(), n=item).result)
    broken.update(("secondb", "firstc"))
    async with boltq.testing.inline(app) as inline:
        run = await app.submit_workflow(outer)
        await inline.run_all()
        before = [one.workflow_id async for one in run.items("each")]
        done.clear()
        broken.clear()
        await run.rerun()
        await inline.run_all()
        assert await run.result() == [["firsta", "seconda"], ["firstb", "secondb"], ["firstc", "secondc"]]
        assert sorted(done) == ["firstc", "secondb", "secondc"]
        assert [one.workflow_id async for one in run.items("each")] == before
        assert await sound()


@pytest.mark.parametrize("how", ["all", "from_step", "params"])
async def test_it_begins_anew_when_it_is_told_so(how: str) -> None:
    outer = Workflow("outer")
    outer.options(id="sub").workflow(inner(), n="1")
    broken.add("second1")
    async with boltq.testing.inline(app) as inline:
        run = await app.submit_workflow(outer)
        await inline.run_all()
        child = await sub_of(run, "sub")
        broken.clear()
        if how == "all":
            await run.rerun("all")
        elif how == "from_step":
            await run.rerun("from_step", from_step="sub")
        else:
            await run.rerun(params={"sub": {"n": "2"}})
        await inline.run_all()
        assert (await sub_of(run, "sub")).id != child.id
        assert done[-2:] == (["first2", "second2"] if how == "params" else ["first1", "second1"])
        assert (await run.record()).state == "completed"


async def test_one_that_was_mended_alone_counts_when_its_parent_runs_again() -> None:
    outer = Workflow("outer")
    outer.output(outer.options(id="sub").workflow(inner()).result)
    broken.add("second")
    async with boltq.testing.inline(app) as inline:
        run = await app.submit_workflow(outer)
        await inline.run_all()
        child = await sub_of(run, "sub")
        broken.clear()
        await child.rerun()
        await inline.run_all()
        await run.rerun()
        await inline.run_all()
        assert await run.result() == ["first", "second"]
        assert (done, (await sub_of(run, "sub")).id) == (["first", "second"], child.id)
        assert await sound()


async def test_a_sub_workflow_that_runs_again_alone_keeps_its_parent() -> None:
    outer = Workflow("outer")
    outer.options(id="sub").workflow(inner())
    broken.add("second")
    async with boltq.testing.inline(app) as inline:
        run = await app.submit_workflow(outer)
        await inline.run_all()
        child = await sub_of(run, "sub")
        before = await child.record()
        broken.clear()
        assert await child.rerun() == ("second",)
        record = await child.record()
        assert (record.within, record.parent_job, record.state) == (run.id, before.parent_job, "running")
        with pytest.raises(Conflict, match="runs again: cancel that first"):
            await run.delete()
        await inline.run_all()
        assert ((await child.record()).state, (await run.record()).state) == ("completed", "failed")
        assert await sound()
        with pytest.raises(Conflict, match=f"is part of {run.id}"):
            await child.delete()
        await run.delete()
        for gone in (run, child):
            with pytest.raises(NotFound):
                await gone.record()
        assert await sound()


@pytest.mark.parametrize("mapped", [False, True])
async def test_a_sub_workflow_that_runs_again_alone_is_waited_for_when_its_step_does(mapped: bool) -> None:
    """Its work is not done a second time beside it; cancelling, pausing and the end reach it as before."""
    flow, outer = Workflow("rests", n=""), Workflow("outer")
    first = flow.options(id="first").step(work, name="first")
    rest = flow.options(id="rest", after=[first]).wait(60)
    flow.options(id="second", after=[rest]).step(work, name="second")
    sub = outer.options(id="sub").map([1]) if mapped else outer.options(id="sub")
    outer.options(id="after", after=[sub.workflow(flow)]).step(work, name="after")
    broken.update({"first"})
    async with boltq.testing.inline(app) as inline:
        run = await app.submit_workflow(outer)
        await inline.run_all()
        [child] = [one for one in await inline.workflows("failed") if one.within]
        broken.clear()
        await app.workflow(child.id).rerun()
        await inline.run_all()
        for mode in ("all", "from_step"):
            with pytest.raises(Conflict, match="runs again: wait for its end, or cancel that first"):
                await run.rerun(mode, from_step="sub" if mode == "from_step" else None)
        await run.rerun()
        await inline.run_all()
        [now] = [one for one in await inline.workflows("running") if one.within]
        assert (now.id, now.parent_job != child.parent_job) == (child.id, True)
        assert (await run.record()).step("sub").state == "running"
        await run.pause()
        assert (await app.workflow(child.id).record()).paused
        await inline.advance(100)
        await run.resume()
        await inline.advance(60)
        assert (await run.record()).state == "completed"
        assert done == ["first", "second", "after"]
        assert await sound()
        await run.delete()
        assert await sound()


async def test_a_sub_workflow_is_waited_for_by_a_workflow_that_was_paused_at_once() -> None:
    flow, outer = Workflow("rests"), Workflow("outer")
    flow.options(id="rest").wait(60)
    outer.options(id="sub").workflow(flow)
    async with boltq.testing.inline(app) as inline:
        run = await app.submit_workflow(outer)
        await inline.run_all()
        child = await sub_of(run, "sub")
        await run.cancel()
        await inline.run_all()
        await child.rerun()
        await inline.run_all()
        await run.rerun()
        await run.pause()
        await run.resume()
        await inline.run_all()
        await run.cancel()
        await inline.run_all()
        assert ((await child.record()).state, (await run.record()).state) == ("cancelled", "cancelled")
        assert await sound()


async def test_what_is_around_a_sub_workflow_is_kept_while_that_runs_again() -> None:
    middle, outer = Workflow("middle"), Workflow("outer")
    flow = Workflow("rests")
    flow.options(id="rest").wait(60 * DAY)
    middle.options(id="sub").workflow(flow)
    outer.options(id="mid").workflow(middle)
    async with boltq.testing.inline(app) as inline:
        run = await app.submit_workflow(outer)
        await inline.advance(60 * DAY)
        grandchild = await sub_of(await sub_of(run, "mid"), "sub")
        assert (await run.record()).state == "completed"
        await grandchild.rerun("all")
        await inline.run_all()
        for _ in range(6):  # it would be kept for a day
            await inline.advance(10 * DAY - 1)
            assert await app.submit_workflow(inner())
        assert (await run.record()).state == "completed"
        await inline.advance(60)
        assert (await grandchild.record()).state == "completed"
        assert await sound()
        await inline.advance(2 * DAY)
        await app.submit_workflow(inner())
        await inline.run_all()
        with pytest.raises(NotFound):
            await run.record()
        with pytest.raises(NotFound):
            await grandchild.record()
        assert await sound()
