"""Stories of workflows, with real workers."""

import asyncio
import contextlib

import pytest
from waiting import eventually

from boltq import BoltQ, JobContext, WorkflowRun
from boltq.broker.call import Call
from boltq.broker.consistency import audit
from boltq.broker.workflows.records import StepRecord
from boltq.broker.workflows.workflows import Workflows
from boltq.domain.errors import Conflict, LeaseLost, NotFound, StoreUnavailable, WorkflowCancelled, WorkflowFailed
from boltq.domain.job_error import Category
from boltq.domain.outcome import DataError, TransientError
from boltq.domain.workflow.builder import Workflow
from boltq.domain.workflow.refs import failure, item, size
from boltq.domain.workflow.rerun import RerunMode
from boltq.domain.workflow.states import StepState

BIG = 12345678901234567890


async def test_results_go_from_step_to_step_to_the_byte(boltq_app: BoltQ, worker) -> None:
    @boltq_app.task
    async def fetch(month: str) -> dict:
        return {"rows": [], "number": BIG, "month": month, "empty": {}}

    @boltq_app.task
    async def show(rows: list, number: int, title: str, empty: dict) -> list:
        return [rows, number, title, empty]

    flow = Workflow("report", month="2026-11")
    got = flow.step(fetch, month=flow.input["month"])
    shown = flow.step(show, rows=got.result["rows"], number=got.result["number"], title=f"of {got.result['month']}",
                      empty=got.result["empty"])  # fmt: skip
    flow.output({"shown": shown.result, "twice": [got.result["number"], flow.id]})
    async with worker():
        run = await boltq_app.submit_workflow(flow)
        out = await run.result(timeout=60)
    assert out == {"shown": [[], BIG, "of 2026-11", {}], "twice": [BIG, run.id]}
    record = await run.record()
    assert {step.state for step in record.steps} == {StepState.COMPLETED}
    job = await boltq_app.job(record.step("show").job_id).record()
    assert '"title":"of 2026-11"' in job.data.replace('": "', '":"')


async def test_a_step_retries_the_kinds_of_error_that_it_names(boltq_app: BoltQ, worker) -> None:
    """Data errors too, which nobody retries unasked."""

    @boltq_app.task
    async def strict(ctx: JobContext) -> int:
        if ctx.attempt < 3:
            raise DataError("not yet")
        return ctx.attempt

    form = {
        "name": "w",
        "steps": [
            {"id": "asked", "job_type": "strict", "retry": {"base": 0.01, "max": 0.01, "on": ["data"]}},
            {"id": "unasked", "job_type": "strict", "allow_failure": True},
        ],
        "output": ["{{ steps.asked.result }}", "{{ steps.unasked.state }}"],
    }
    async with worker():
        run = await boltq_app.submit_workflow(form)
        assert await run.result(timeout=60) == [3, "failed"]
    assert [step.attempts for step in (await run.record()).steps] == [3, 1]


async def test_a_diamond_joins_once(boltq_app: BoltQ, worker) -> None:
    ran: list[str] = []

    @boltq_app.task
    async def note(name: str) -> str:
        ran.append(name)
        return name

    flow = Workflow("diamond")
    a = flow.options(id="a").step(note, name="a")
    b = flow.options(id="b", after=[a]).step(note, name="b")
    c = flow.options(id="c", after=[a]).step(note, name="c")
    flow.options(id="d").step(note, name=f"d{b.result}{c.result}")
    async with worker():
        await (await boltq_app.submit_workflow(flow)).result(timeout=60)
    assert (sorted(ran[1:3]), ran[0], ran[3]) == (["b", "c"], "a", "dbc")


async def test_a_failure_is_told_and_tidied_up(boltq_app: BoltQ, worker) -> None:
    said: list[str] = []

    @boltq_app.task
    async def fail() -> None:
        raise DataError("it is broken")

    @boltq_app.task
    async def say(text: str) -> None:
        said.append(text)

    flow = Workflow("bad")
    bad = flow.step(fail)
    flow.options(after=[bad]).step(say, text="never")
    flow.on_failure.step(say, text=f"{failure.step}: {failure.message} ({failure.category})")
    flow.finally_.step(say, text="tidy")
    async with worker():
        run = await boltq_app.submit_workflow(flow)
        with pytest.raises(WorkflowFailed, match="fail failed: DataError: it is broken"):
            await run.result(timeout=60)
    assert said == ["fail: it is broken (data)", "tidy"]


async def test_the_end_of_its_time_is_told_as_a_failure(boltq_app: BoltQ, worker) -> None:
    said: list[str] = []

    @boltq_app.task
    async def say(text: str) -> None:
        said.append(text)

    flow = Workflow("late", timeout=0.2)
    flow.options(id="ask").approval("?")
    flow.on_failure.step(say, text=f"{failure.step}: {failure.message} ({failure.category})")
    async with worker():
        run = await boltq_app.submit_workflow(flow)
        with pytest.raises(WorkflowFailed):
            await run.result(timeout=60)
    assert said == ["ask: the workflow's time was up (timeout)"]


async def test_a_step_that_was_cancelled_by_itself_is_told_as_a_failure(boltq_app: BoltQ, worker) -> None:
    said: list[str] = []

    @boltq_app.task
    async def say(text: str) -> None:
        said.append(text)

    flow = Workflow("cut")
    flow.options(id="ask").approval("?")
    flow.on_failure.step(say, text=f"{failure.step}: {failure.message}")
    async with worker():
        run = await boltq_app.submit_workflow(flow)
        await boltq_app.job((await run.record()).step("ask").job_id).cancel()
        with pytest.raises(WorkflowFailed):
            await run.result(timeout=60)
    assert said == ["ask: it was cancelled"]


async def test_a_reference_that_leads_nowhere_ends_its_step(boltq_app: BoltQ, worker) -> None:
    @boltq_app.task
    async def give() -> dict:
        return {"a": 1}

    flow = Workflow("nowhere")
    given = flow.step(give)
    flow.options(id="taken").step(give.name, x=given.result["b"])
    async with worker():
        run = await boltq_app.submit_workflow(flow)
        with pytest.raises(WorkflowFailed, match=r"there is no 'b' in steps\.give\.result"):
            await run.result(timeout=60)
    assert (await run.record()).step("taken").attempts == 1


async def test_when_is_false_skips_and_none_failed_goes_on(boltq_app: BoltQ, worker) -> None:
    @boltq_app.task
    async def add(a: int, b: int) -> int:
        return a + b

    flow = Workflow("maybe")
    first = flow.options(id="first").step(add, a=1, b=2)
    second = flow.options(id="second", when=first.result > 5).step(add, a=first.result, b=1)
    third = flow.options(id="third", after=[second], run_if="none_failed").step(add, a=first.result, b=10)
    flow.output(third.result)
    async with worker():
        run = await boltq_app.submit_workflow(flow)
        assert await run.result(timeout=60) == 13
    record = await run.record()
    assert (record.step("second").state, record.step("second").why) == (StepState.SKIPPED, "when is false")


async def test_a_map_keeps_the_order_and_counts(boltq_app: BoltQ, worker) -> None:
    @boltq_app.task
    async def square(x: int) -> int:
        if x == 3:
            raise DataError("not three")
        return x * x

    flow = Workflow("squares", numbers=[1, 2, 3, 4, 5])
    squares = flow.map(flow.input["numbers"], max_concurrency=2, tolerated_failures=1).step(square, x=item)
    flow.output([squares.result, squares.stats])
    async with worker():
        run = await boltq_app.submit_workflow(flow)
        results, stats = await run.result(timeout=60)
    assert results == [1, 4, None, 16, 25]
    assert stats == {"total": 5, "completed": 4, "failed": 1, "cancelled": 0}


async def test_a_program_sees_which_items_failed(boltq_app: BoltQ, worker) -> None:
    @boltq_app.task(max_attempts=1)
    async def check(x: int) -> int:
        if x % 2:
            raise TransientError(f"{x} is odd")
        return x

    flow = Workflow("checks")
    flow.map(list(range(30)), tolerated_failures=2).step(check, x=item)
    async with worker():
        run = await boltq_app.submit_workflow(flow)
        with pytest.raises(WorkflowFailed) as failed:
            await run.result(timeout=60)
    assert failed.value.error
    assert failed.value.error.category is Category.TRANSIENT  # that of the items
    found = [item async for item in run.items("check", "failed")]
    assert found
    assert {item.index % 2 for item in found} == {1}
    named = [f"items[{item.index}]: TransientError: {item.index} is odd" for item in found[:3]]
    assert failed.value.error.message.endswith("; ".join(named))
    everything = [item.index async for item in run.items("check")]
    assert everything == list(range(30))
    with pytest.raises(NotFound, match="no step nope; it has check"):
        [item async for item in run.items("nope")]


async def test_a_map_of_nothing_and_one_that_lost_too_much(boltq_app: BoltQ, worker) -> None:
    @boltq_app.task
    async def fail(x: int) -> int:
        raise DataError(str(x))

    empty, lost = Workflow("empty"), Workflow("lost")
    empty.output(empty.map([]).step(fail, x=item).result)
    lost.map(list(range(1_200)), max_concurrency=10, tolerated_failures=3).step(fail, x=item)
    async with worker():
        assert await (await boltq_app.submit_workflow(empty)).result(timeout=60) == []
        run = await boltq_app.submit_workflow(lost)
        with pytest.raises(WorkflowFailed, match="items did not succeed"):
            await run.result(timeout=60)
    stats = (await run.record()).step("fail").stats
    assert stats is not None
    assert 4 <= stats.failed < 30


async def test_a_workflow_inside_of_a_workflow(boltq_app: BoltQ, worker) -> None:
    @boltq_app.task
    async def double(x: int) -> int:
        return 2 * x

    inner = Workflow("inner", x=0)
    inner.output(inner.step(double, x=inner.input["x"]).result)
    outer = Workflow("outer")
    first = outer.step(double, x=4)
    once = outer.workflow(inner, x=first.result)
    many = outer.map([1, 2, 3]).workflow(inner, x=item)
    outer.output([once.result, many.result])
    async with worker():
        run = await boltq_app.submit_workflow(outer)
        assert await run.result(timeout=60) == [16, [2, 4, 6]]


async def test_waits_and_a_persons_word(boltq_app: BoltQ, worker) -> None:
    flow = Workflow("patience")
    pause = flow.wait(0.05)
    asked = flow.options(id="ask", after=[pause]).approval("go on?")
    early = flow.options(id="early", after=[pause]).approval("and this?", timeout=3600)
    flow.output([asked.result, early.result])
    async with worker():
        run = await boltq_app.submit_workflow(flow)
        assert await run.signal("early", "approve", data={"n": 1}, by="ann") == "kept"
        assert await run.signal("early", "approve", data={"n": 1}, by="ann") == "repeated"
        for other in ({"data": {"n": 2}, "by": "ann"}, {"data": {"n": 1}, "by": "bob"}):
            with pytest.raises(Conflict, match="ann has answered step early already: approve"):
                await run.signal("early", "approve", **other)
        with pytest.raises(Conflict, match=r"^ann has answered step early already: approve$"):
            await run.signal("early", "reject")

        async def is_asked() -> bool:
            return (await run.record()).step("ask").state is StepState.WAITING

        await eventually(is_asked)
        assert (await run.record()).step("ask").prompt == "go on?"
        assert await run.signal("ask", "approve") == "taken"
        first, second = await run.result(timeout=60)
    assert (first["decision"], second["by"], second["data"]) == ("approve", "ann", {"n": 1})


async def test_an_approval_that_is_run_before_its_time_asks_on_in_the_same_words(boltq_app: BoltQ, worker) -> None:
    flow = Workflow("asked", amount=7)
    flow.options(id="ask").approval(f"pay {flow.input['amount']}?", timeout=3600)
    async with worker():
        run = await boltq_app.submit_workflow(flow)
        step = await _waiting(run, "ask")
        broker = (await boltq_app.connections()).broker
        assert [verdict.ok for verdict in await broker.run_now([step.job_id])] == [True]
        await eventually(lambda: _deliveries(run, "ask", 2))
        again = await _waiting(run, "ask")
        assert (again.prompt, again.due_at) == ("pay 7?", step.due_at)
        await run.cancel()


async def test_more_results_than_a_step_or_the_output_may_refer_to(boltq_app: BoltQ, worker) -> None:
    @boltq_app.task
    async def large(n: int) -> str:
        return "x" * 1_000_000

    @boltq_app.task
    async def count(texts: list[str]) -> int:
        return len(texts)

    few, many = Workflow("few"), Workflow("many", on_failure_policy="continue")
    some = [few.step(large, n=n) for n in range(9)]
    few.output([step.result for step in some])
    several = [many.step(large, n=n) for n in range(9)]
    many.options(id="count").step(count, texts=[step.result for step in several])
    async with worker():
        with pytest.raises(DataError, match="the results that the output refers to have"):
            await (await boltq_app.submit_workflow(few)).result(timeout=60)
        with pytest.raises(WorkflowFailed, match="the results that the step refers to have"):
            await (await boltq_app.submit_workflow(many)).result(timeout=60)


async def test_a_map_whose_items_would_have_too_much_data(boltq_app: BoltQ, worker) -> None:
    """A hundred items that refer to the same large result: it would be stored a hundred times."""

    @boltq_app.task
    async def large() -> str:
        return "x" * 900_000

    @boltq_app.task
    async def count(text: str, n: int) -> int:
        return len(text) + n

    flow = Workflow("many")
    text = flow.step(large)
    flow.map(list(range(100))).step(count, text=text.result, n=item)
    async with worker():
        run = await boltq_app.submit_workflow(flow)
        with pytest.raises(WorkflowFailed, match="the data of 100 items have more than 67108864 bytes together"):
            await run.result(timeout=60)
    assert await audit((await boltq_app.connections()).broker, pauses=()) == []


async def test_the_step_of_a_sub_workflow_says_of_what_that_failed(boltq_app: BoltQ, worker) -> None:
    @boltq_app.task
    async def fail(why: str) -> None:
        raise DataError(why)

    inner = Workflow("inner", on_failure_policy="continue")
    inner.options(allow_failure=True).step(fail, why="this does not matter")
    inner.options(id="bad").step(fail, why="this does")
    outer = Workflow("outer")
    outer.workflow(inner)
    async with worker():
        run = await boltq_app.submit_workflow(outer)
        with pytest.raises(WorkflowFailed, match="its step bad failed: DataError: this does") as raised:
            await run.result(timeout=60)
    assert raised.value.error is not None
    assert raised.value.error.category == "data"


async def _waiting(run: WorkflowRun, step_id: str) -> StepRecord:
    async def waits() -> StepRecord | None:
        step = (await run.record()).step(step_id)
        return step if step.state is StepState.WAITING else None

    return await eventually(waits)


async def _deliveries(run: WorkflowRun, step_id: str, number: int) -> bool:
    return (await run.record()).step(step_id).deliveries >= number


async def test_nobody_answers_in_time(boltq_app: BoltQ, worker) -> None:
    flow, yes = Workflow("no"), Workflow("yes")
    flow.approval("?", timeout=0.05)
    yes.output(yes.approval("?", timeout=0.05, on_timeout="approve").result)
    async with worker():
        with pytest.raises(WorkflowFailed, match="nobody answered in time"):
            await (await boltq_app.submit_workflow(flow)).result(timeout=60)
        assert (await (await boltq_app.submit_workflow(yes)).result(timeout=60))["timed_out"] is True


async def test_a_cancel_stops_what_runs_everywhere_and_tidies_up(boltq_app: BoltQ, worker) -> None:
    tidied: list[str] = []

    @boltq_app.task
    async def hang(x: int = 0) -> None:
        await asyncio.sleep(3600)

    @boltq_app.task
    async def tidy(state: str) -> None:
        tidied.append(state)

    inner, flow = Workflow("inner"), Workflow("long")
    inner.step(hang)
    flow.workflow(inner)
    flow.map(list(range(30)), max_concurrency=2).step(hang, x=item)
    flow.approval("?")
    flow.finally_.step(tidy, state="so")
    async with worker(slots=8):
        run = await boltq_app.submit_workflow(flow)

        async def is_running() -> bool:
            record = await run.record()
            return record.step("hang").begun == 2 and bool(record.step("inner").workflow_id)

        await eventually(is_running)
        await run.cancel()
        with pytest.raises(WorkflowCancelled):
            await run.result(timeout=60)
    assert tidied == ["so"]


async def test_a_paused_workflow_begins_nothing_until_it_is_resumed(boltq_app: BoltQ, worker) -> None:
    @boltq_app.task
    async def one() -> int:
        return 1

    flow = Workflow("paused")
    flow.output(flow.options(after=[flow.step(one)]).step(one).result)
    run = await boltq_app.submit_workflow(flow)
    await run.pause()
    assert (await run.record()).step("one").why == "the workflow is paused"
    async with worker():
        await run.resume()
        assert await run.result(timeout=60) == 1


async def test_only_what_failed_is_run_again(boltq_app: BoltQ, worker) -> None:
    ran: list[str] = []
    broken = [True]

    @boltq_app.task
    async def note(name: str, fails: bool = False) -> str:
        ran.append(name)
        if fails and broken:
            raise DataError("not now")
        return name

    flow = Workflow("again")
    a = flow.options(id="a").step(note, name="a")
    b = flow.options(id="b", after=[a]).step(note, name="b", fails=True)
    flow.output(flow.options(id="c").step(note, name=f"c{b.result}").result)
    async with worker():
        run = await boltq_app.submit_workflow(flow)
        with pytest.raises(WorkflowFailed):
            await run.result(timeout=60)
        broken.clear()
        assert await run.rerun(RerunMode.FAILED_ONLY) == ("b", "c")
        assert await run.result(timeout=60) == "cb"
    assert ran == ["a", "b", "b", "cb"]
    assert (await run.record()).generation == 2


async def test_a_workflow_that_takes_too_long_fails(boltq_app: BoltQ, worker) -> None:
    @boltq_app.task
    async def hang() -> None:
        await asyncio.sleep(3600)

    flow = Workflow("slow", timeout=0.2)
    flow.step(hang)
    async with worker():
        with pytest.raises(WorkflowFailed, match="out of time"):
            await (await boltq_app.submit_workflow(flow)).result(timeout=60)


async def test_the_same_key_is_the_same_workflow(boltq_app: BoltQ) -> None:
    form = '{"name":"w","idempotency_key":"k","steps":[{"job_type":"x"}]}'
    first, second = await boltq_app.submit_workflow(form), await boltq_app.submit_workflow(form)
    assert (first.created, second.created, second.id) == (True, False, first.id)


@pytest.mark.parametrize("answers", ["made twice", "lost"])
async def test_a_call_that_is_made_twice_changes_nothing(
    boltq_app: BoltQ, worker, monkeypatch: pytest.MonkeyPatch, answers: str
) -> None:
    """Each call about a workflow is made twice; or each first answer is lost, and the worker repeats the call."""
    original, lost = Workflows.send, set()

    async def twice(self: Workflows, call: Call[object]) -> object:
        found = await original(self, call)
        if answers == "lost" and call.script in ("flow_step", "flow_look") and (call.script, call.args) not in lost:
            lost.add((call.script, call.args))
            raise StoreUnavailable("lost")
        if answers == "made twice" and call.script == "flow_step":
            with contextlib.suppress(LeaseLost):
                await original(self, call)
        return found

    monkeypatch.setattr(Workflows, "send", twice)
    ran: list[int] = []

    @boltq_app.task
    async def double(x: int) -> int:
        ran.append(x)
        return 2 * x

    inner, flow = Workflow("inner", x=0), Workflow("all")
    inner.output(inner.step(double, x=inner.input["x"]).result)
    first = flow.step(double, x=1)
    many = flow.map([first.result, 3, 4]).step(double, x=item)
    deep = flow.map([10, 20], max_concurrency=1).workflow(inner, x=item)
    none = flow.map([]).step(double, x=item)
    pause = flow.options(after=[deep], when=size(many.result) == 3).wait(0.01)
    yes = flow.options(id="yes", after=[pause]).approval("ok?", timeout=0.01, on_timeout="approve")
    no = flow.options(id="no", when=size(many.result) > 3, after=[many]).step(double, x=99)
    flow.output([many.result, deep.result, none.result, yes.result["timed_out"], no.result])
    async with worker():
        run = await boltq_app.submit_workflow(flow)
        assert await run.result(timeout=60) == [[4, 6, 8], [20, 40], [], True, None]
    assert sorted(ran) == [1, 2, 3, 4, 10, 20]
    assert await audit((await boltq_app.connections()).broker) == []


@pytest.mark.parametrize("goes_on", [True, False])
async def test_a_pause_keeps_back_what_waits_in_a_queue(boltq_app: BoltQ, worker, goes_on: bool) -> None:
    """Items and sub-workflows too; and a workflow that is paused can be cancelled."""

    @boltq_app.task
    async def one(x: int = 1) -> int:
        return x

    inner, flow = Workflow("inner"), Workflow("held")
    inner.output(inner.options(after=[inner.approval("?")]).step(one).result)
    deep, many = flow.workflow(inner), flow.map([1, 2, 3], max_concurrency=1).step(one, x=item)
    flow.output([deep.result, many.result])
    run = await boltq_app.submit_workflow(flow)
    broker = (await boltq_app.connections()).broker
    async with worker():

        async def is_asked() -> bool:
            child = (await run.record()).step("inner").workflow_id
            return bool(child) and (await boltq_app.workflow(child).record()).step("approval").state == "waiting"

        await eventually(is_asked)
        await run.pause()
        await run.pause()
        child = boltq_app.workflow((await run.record()).step("inner").workflow_id or "")
        assert (await child.record()).paused
        assert await audit(broker) == []
        if goes_on:
            await child.signal("approval", "approve")
            await run.resume()
            assert await run.result(timeout=60) == [1, [1, 2, 3]]
        else:
            await run.cancel()
            with pytest.raises(WorkflowCancelled):
                await run.result(timeout=60)
            assert (await child.record()).state == "cancelled"
    assert await audit(broker) == []
