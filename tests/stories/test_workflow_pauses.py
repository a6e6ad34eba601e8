"""In a pause no time passes: what is left of waits, of approvals' timeouts and of the workflow's own is left then."""

from datetime import UTC, datetime, timedelta

import pytest

import boltq.testing
from boltq import BoltQ, Settings, Workflow, WorkflowFailed, WorkflowRun
from boltq.broker.consistency import audit
from boltq.domain.workflow.states import StepState

app = BoltQ(settings=Settings(redis_addr="unix:///nowhere/in/production"))
HOUR = 3_600


@app.task
async def note(text: str = "") -> str:
    """A task of the program under test."""
    return text


async def standing(run: WorkflowRun, step: str) -> StepState:
    return (await run.record()).step(step).state


async def sound() -> bool:
    return await audit((await app.connections()).broker, pauses=()) == []


@pytest.mark.parametrize("nested", [False, True])
async def test_a_wait_stands_still(nested: bool) -> None:
    """Paused with a quarter of an hour left, for a day: a quarter of an hour is left after that."""
    flow = Workflow("waits")
    flow.options(id="rest").wait(HOUR)
    outer = Workflow("outer")
    outer.map([1]).workflow(flow) if nested else None
    async with boltq.testing.inline(app) as inline:
        run = await app.submit_workflow(outer if nested else flow)
        await inline.advance(0.75 * HOUR)
        inner = run
        if nested:
            [inner] = [app.workflow(record.id) for record in await inline.workflows() if record.name == "waits"]
        before = (await inner.record()).step("rest")
        assert (before.state, before.due_at is None) == ("waiting", False)
        await run.pause()
        assert await sound()
        await inline.advance(24 * HOUR)
        step = (await inner.record()).step("rest")
        assert (step.state, step.due_at) == ("waiting", None)
        assert step.why == "it waits for its time, which stands still: the workflow is paused"
        await run.resume()
        assert await sound()
        step = (await inner.record()).step("rest")
        assert (step.state, step.due_at) == ("waiting", round(1_000 * (inline.now + 0.25 * HOUR)))
        await inline.advance(0.25 * HOUR - 1)
        assert await standing(inner, "rest") == "waiting"
        await inline.advance(1)
        assert (await inner.record()).state == "completed"


async def test_an_approvals_timeout_stands_still_and_an_answer_counts_in_the_pause() -> None:
    flow = Workflow("asks", on_failure_policy="continue")
    flow.options(id="late").approval("late?", timeout=HOUR)
    flow.options(id="answered").approval("answered?", timeout=HOUR)
    flow.options(id="endless").approval("endless?")
    async with boltq.testing.inline(app) as inline:
        run = await app.submit_workflow(flow)
        await inline.advance(0.5 * HOUR)
        await run.pause()
        await inline.advance(24 * HOUR)
        assert [step.state for step in (await run.record()).steps] == ["waiting"] * 3
        assert await run.signal("answered", "approve", by="ann") == "taken"
        await inline.run_all()
        assert await standing(run, "answered") == "completed"
        assert await sound()
        await run.resume()
        await inline.advance(0.5 * HOUR - 1)
        assert await standing(run, "late") == "waiting"
        await inline.advance(1)
        late = (await run.record()).step("late")
        assert (late.state, '"timed_out":true' in (late.answer or "")) == ("failed", True)
        assert await run.signal("endless", "approve") == "taken"
        await inline.run_all()
        assert (await run.record()).state == "failed"


async def test_the_workflows_own_time_stands_still() -> None:
    flow = Workflow("slow", timeout=HOUR)
    flow.options(id="ask").approval("?")
    async with boltq.testing.inline(app) as inline:
        run = await app.submit_workflow(flow)
        await inline.advance(0.5 * HOUR)
        await run.pause()
        await inline.advance(24 * HOUR)
        assert (await run.record()).state == "running"
        await run.resume()
        assert (await run.record()).deadline == round(1_000 * (inline.now + 0.5 * HOUR))
        await inline.advance(0.5 * HOUR - 1)
        assert (await run.record()).state == "running"
        await inline.advance(1)
        with pytest.raises(WorkflowFailed, match="ran out of time"):
            await run.result()


@pytest.mark.parametrize("hours", [1, 24])
async def test_a_moment_is_not_put_off_by_a_pause(hours: int) -> None:
    """One that comes in the pause is over when that ends."""
    async with boltq.testing.inline(app) as inline:
        moment = datetime.fromtimestamp(inline.now, UTC) + timedelta(hours=2)
        flow = Workflow("until")
        flow.options(id="rest").wait(until=moment)
        run = await app.submit_workflow(flow)
        await inline.run_all()
        await run.pause()
        await inline.advance(hours * HOUR)
        assert await standing(run, "rest") == "waiting"
        await run.resume()
        await inline.advance(0)
        assert await standing(run, "rest") == ("waiting" if hours == 1 else "completed")
        await inline.advance(HOUR)
        assert (await run.record()).state == "completed"


async def test_a_wait_that_begins_in_the_pause_and_one_that_is_cancelled_in_it() -> None:
    flow = Workflow("waits")
    flow.options(id="rest").wait(HOUR)
    many = flow.options(id="many").map([1, 2]).step(note, text="x")
    flow.options(id="last", after=[many]).wait(HOUR)
    async with boltq.testing.inline(app) as inline:
        run = await app.submit_workflow(flow)
        await inline.run_all()
        for _ in range(2):
            await run.pause()
            await inline.advance(24 * HOUR)
            await run.resume()
        await run.pause()
        await run.cancel()
        await inline.run_all()
        assert (await run.record()).states == {"rest": "cancelled", "many": "completed", "last": "cancelled"}
        assert await sound()
