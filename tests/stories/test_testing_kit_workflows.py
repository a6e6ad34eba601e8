"""How a program that uses BoltQ tests its workflows: in the test itself, and without waiting for any clock."""

import pytest

import boltq.testing
from boltq import (
    Backoff,
    BoltQ,
    JobContext,
    JobFailed,
    Settings,
    Workflow,
    WorkflowCancelled,
    WorkflowFailed,
    failure,
    item,
    size,
)

app = BoltQ(settings=Settings(redis_addr="unix:///nowhere/in/production"))
said: list[str] = []
DAY = 86_400


@app.task(backoff=Backoff(base=60, factor=1, cap=60))
async def say(text: str) -> str:
    """A task of the program under test."""
    if "!" in text:
        raise ConnectionError("too loud")
    said.append(text)
    return text


@app.task
def count(ctx: JobContext) -> dict[str, int]:
    """Another one, which looks at what came before it."""
    return {step: len(result) for step, result in ctx.parents_sync().items()}


@pytest.fixture(autouse=True)
def nothing_said():
    said.clear()


def rounds(names: list[str]) -> Workflow:
    """A workflow of the program under test."""
    flow = Workflow("rounds", names=names)
    greeted = flow.options(id="greet").map(flow.input["names"], max_concurrency=2).step(say, text=item)
    flow.options(id="none", when=size(greeted.result) == 0).step(say, text="nobody")
    flow.output(flow.options(after=[greeted]).step(count).result)
    return flow


async def test_a_workflow_runs_in_the_test_itself():
    """`run_all` runs its steps and what they begin; nothing is left that could still happen."""
    async with boltq.testing.inline(app) as inline:
        run = await app.submit_workflow(rounds(["Ann", "Bob", "Cy"]))
        assert said == []
        await inline.run_all()
        assert await run.result() == {"greet": 3}
        assert sorted(said) == ["Ann", "Bob", "Cy"]
        [record] = await inline.workflows("completed")
        assert (record.id, record.step("none").why) == (run.id, "when is false")
        assert await inline.run_all() == 0


async def test_a_step_waits_for_the_tests_clock():
    """A pause of three days takes a millisecond; and what comes after it waits as long."""
    async with boltq.testing.inline(app) as inline:
        flow = Workflow("later")
        first = flow.step(say, text="now")
        pause = flow.options(after=[first]).wait(3 * DAY)
        flow.options(after=[pause]).step(say, text="then")
        run = await app.submit_workflow(flow)
        await inline.advance(3 * DAY - 1)
        assert said == ["now"]
        assert (await run.record()).step("wait").state == "waiting"
        await inline.advance(1)
        assert said == ["now", "then"]


async def test_a_person_answers_or_does_not():
    async with boltq.testing.inline(app) as inline:
        flow = Workflow("ask")
        asked = flow.options(id="ask").approval("say it?", timeout=DAY)
        flow.options(after=[asked]).step(say, text=asked.result["by"])
        yes, never = await app.submit_workflow(flow), await app.submit_workflow(flow)
        await inline.run_all()
        assert [one.step("ask").prompt for one in await inline.workflows("running")] == ["say it?"] * 2
        await yes.signal("ask", "approve", by="Ann")
        await inline.run_all()
        assert said == ["Ann"]
        await inline.advance(DAY)
        with pytest.raises(WorkflowFailed, match="nobody answered in time"):
            await never.result()


async def test_a_step_is_retried_and_its_failure_is_told():
    """By the step's own options, each backoff at its longest; then the handlers run."""
    async with boltq.testing.inline(app) as inline:
        flow = Workflow("loud")
        flow.options(max_attempts=2, backoff=Backoff(base=600, factor=1, cap=600)).step(say, text="hey!")
        flow.on_failure.step(say, text=f"{failure.step}: {failure.message}")
        flow.finally_.step(say, text="the end")
        run = await app.submit_workflow(flow)
        await inline.run_all()
        assert await inline.advance(599) == 0
        assert said == []
        await inline.advance(1)
        assert said == ["say: too loud", "the end"]
        with pytest.raises(WorkflowFailed, match="too loud"):
            await run.result()
        [dead] = await inline.jobs("dead")
        with pytest.raises(JobFailed, match="too loud"):
            await app.job(dead.id).result()


async def test_a_workflow_may_run_out_of_time():
    """Its time goes by the test's clock too, though no job is due then."""
    async with boltq.testing.inline(app) as inline:
        flow = Workflow("slow", timeout=DAY)
        flow.approval("?")
        flow.finally_.step(say, text="the end")
        run = await app.submit_workflow(flow)
        await inline.advance(DAY - 1)
        assert said == []
        await inline.advance(2)
        assert said == ["the end"]
        with pytest.raises(WorkflowFailed, match="out of time"):
            await run.result()


async def test_workflows_in_workflows_and_cancelling():
    async with boltq.testing.inline(app) as inline:
        outer = Workflow("outer")
        outer.output(outer.workflow(rounds([]), names=["Ann"]).result)
        run, stopped = await app.submit_workflow(outer), await app.submit_workflow(rounds(["Bob"]))
        await stopped.cancel()
        await inline.run_all()
        assert await run.result() == {"greet": 1}
        with pytest.raises(WorkflowCancelled):
            await stopped.result()
        found = [(record.name, record.state.value) for record in await inline.workflows()]
        assert sorted(found) == [("outer", "completed"), ("rounds", "cancelled"), ("rounds", "completed")]
        assert said == ["Ann"]


def test_plain_tests_have_the_same():
    """With `inline_sync`, and the calls that end in `_sync`."""
    with boltq.testing.inline_sync(app) as inline:
        run = app.submit_workflow_sync(rounds(["Ann"]))
        inline.run_all()
        assert run.result_sync() == {"greet": 1}
        assert [record.state for record in inline.workflows()] == ["completed"]
    app.close_sync()


async def test_a_paused_queue_does_not_hold_the_clock_up():
    """What is due there stays; the clock goes on."""
    async with boltq.testing.inline(app) as inline:
        await say.options(delay=60, queue="held").submit("later")
        await (await app.connections()).broker.pause("held")
        assert await inline.advance(3_600) == 0
        assert said == []
