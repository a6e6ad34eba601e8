"""Earlier runs of a workflow stay readable after it was run again."""

import pytest
from flows import form_of, step
from hands import all_keys, begin

import boltq.testing
from boltq import BoltQ, DataError, NotFound, Settings, Workflow, item
from boltq.broker.broker import Broker
from boltq.broker.consistency import audit
from boltq.domain.job_error import error_of
from boltq.domain.workflow.rerun import RerunMode

app = BoltQ(settings=Settings(redis_addr="unix:///nowhere/in/production"))
broken: set[str] = set()
SAME = ("id", "job_id", "attempts", "error", "answer", "stats", "started_at", "ended_at", "worker", "why")


@app.task
async def work(name: str) -> str:
    """A task of the program under test."""
    if name in broken:
        raise DataError(f"{name} is broken")
    return f"{name} is done"


async def test_how_each_run_ended_stays_readable() -> None:
    flow = Workflow("runs", on_failure_policy="continue")
    first = flow.options(id="first").step(work, name="first")
    flow.options(id="second").step(work, name="second")
    flow.options(id="each", after=[first]).map(["a", "b"]).step(work, name=item)
    flow.options(id="ask", after=[first]).approval("?")
    broken.update(("second", "b"))
    async with boltq.testing.inline(app) as inline:
        run = await app.submit_workflow(flow)
        await run.signal("ask", "reject", by="ann")
        await inline.run_all()
        workflows = (await app.connections()).workflows
        before = await run.record()
        data_before = await workflows.data(before)
        assert (before.state, before.generation, before.latest) == ("failed", 1, 1)
        broken.discard("second")
        await run.rerun(params={"second": {"name": "other"}})
        await run.signal("ask", "approve", by="bob")
        await inline.run_all()
        middle = await run.record()
        broken.clear()
        await run.rerun("all")
        await run.signal("ask", "approve", by="cy")
        await inline.run_all()
        assert await audit((await app.connections()).broker, pauses=()) == []
        for generation, expected in ((1, before), (2, middle)):
            found = await run.record(generation)
            assert (found.generation, found.latest) == (generation, 3)
            assert (found.state, found.since, found.states) == (expected.state, expected.since, expected.states)
            for old, now in zip(found.steps, expected.steps, strict=True):
                assert [getattr(old, name) for name in SAME] == [getattr(now, name) for name in SAME]
        oldest = await run.record(1)
        assert "items[1]: DataError: b is broken" in error_of(oldest.step("each").error or "").message
        assert await workflows.data(oldest) == data_before
        assert data_before["second"].inputs == '{"name":"second"}'
        assert (await workflows.data(await run.record(2)))["second"].inputs == '{"name":"other"}'
        latest = await run.record()
        assert (latest.state, latest.generation) == ("completed", 3)
        assert (await run.record(3)).states == latest.states
        for generation in (4, 1_000):
            with pytest.raises(NotFound):
                await run.record(generation)


async def test_the_output_of_an_earlier_run_is_that_of_then() -> None:
    flow = Workflow("outputs")
    flow.output(flow.options(id="a").step(work, name="one").result)
    async with boltq.testing.inline(app) as inline:
        run = await app.submit_workflow(flow)
        await inline.run_all()
        await run.rerun("all", params={"a": {"name": "two"}})
        await inline.run_all()
        workflows = (await app.connections()).workflows
        assert await workflows.output(await run.record()) == '"two is done"'
        assert await workflows.output(await run.record(1)) == '"one is done"'


async def test_only_so_many_runs_are_kept_and_they_go_with_the_workflow(broker: Broker) -> None:
    run, hands = await begin(broker, form_of(step("a"), step("b", "a")))
    for _ in range(13):
        await hands.finish(run)
        await hands.workflows.rerun(run, RerunMode.ALL)
    await hands.finish(run)
    assert (await hands.workflows.get(run)).generation == 14
    for generation in range(4, 14):
        record = await hands.workflows.get(run, generation=generation)
        assert (record.generation, record.state) == (generation, "completed")
    with pytest.raises(NotFound, match="generation 3"):
        await hands.workflows.get(run, generation=3)
    assert await audit(broker, pauses=()) == []
    await hands.workflows.delete(run)
    assert [key for key in await all_keys(broker) if run in key] == []
