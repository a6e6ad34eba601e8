"""Workflows that are deleted or pruned: gone at once, and nothing of them stays in the store."""

from typing import Any

import pytest
from flows import form_of, plan_of, step
from hands import Hands, all_keys, begin
from msgspec.structs import replace

from boltq.broker.broker import Broker
from boltq.broker.call import Call
from boltq.broker.consistency import audit
from boltq.broker.knobs import DEFAULT_KNOBS
from boltq.broker.workflows.workflows import Workflows
from boltq.domain.errors import Conflict, NotFound
from boltq.domain.ids import new_id
from boltq.domain.outcome import DataError
from boltq.domain.workflow.rerun import RerunMode

STAYS = {"partition", "queues", "events", "queue:default"}


def fails(**_: Any) -> None:
    raise DataError("no")


def rich_form(items: int = 3) -> str:
    """A step, a map, a sub-workflow with a map of its own, and a map of sub-workflows."""
    inner = {"name": "inner", "steps": [step("x"), step("m", "x", map={"over": [1, 2]})]}
    return form_of(
        step("a"),
        step("many", "a", map={"over": list(range(items))}),
        step("sub", workflow=inner),
        step("subs", workflow=inner, map={"over": [1, 2, 3]}),
    )


async def left_over(broker: Broker, hands: Hands) -> list[str]:
    """The keys that tell of workflows or jobs, once the worker has left."""
    await broker.retire(hands.home, hands.name, lost=False)
    return [
        key for key in await all_keys(broker) if key not in STAYS and not key.startswith(("series:", "idle:", "gone:"))
    ]


async def test_nothing_of_a_deleted_workflow_is_left(broker: Broker) -> None:
    run, hands = await begin(broker, rich_form())
    assert (await hands.finish(run)).state == "completed"
    await hands.workflows.delete(run)
    with pytest.raises(NotFound):
        await hands.workflows.get(run)
    assert (await hands.workflows.list()).workflows == []
    assert await audit(broker, pauses=()) == []
    assert await left_over(broker, hands) == []


async def test_a_running_one_an_unknown_one_and_a_part_of_another_cannot_be_deleted(broker: Broker) -> None:
    run, hands = await begin(broker, rich_form())
    with pytest.raises(Conflict, match="is running: cancel it first"):
        await hands.workflows.delete(run)
    await hands.work()
    child = (await hands.workflows.get(run)).step("sub").workflow_id
    assert child
    with pytest.raises(Conflict, match=f"is part of {run}: delete that"):
        await hands.workflows.delete(child)
    await hands.workflows.delete(run)
    for gone in (run, child):
        with pytest.raises(NotFound):
            await hands.workflows.delete(gone)


async def test_a_sub_workflow_that_was_run_again_by_itself_still_goes_with_its_parent(broker: Broker) -> None:
    run, hands = await begin(broker, form_of(step("sub", workflow={"name": "inner", "steps": [step("x")]})))
    child = (await hands.finish(run)).step("sub").workflow_id
    assert child
    await hands.workflows.rerun(child, RerunMode.ALL)
    with pytest.raises(Conflict, match="runs again"):
        await hands.workflows.delete(run)
    assert (await hands.finish(child)).within == run
    with pytest.raises(Conflict, match="is part of"):
        await hands.workflows.delete(child)
    await hands.workflows.delete(run)
    assert await left_over(broker, hands) == []


async def test_a_sub_workflow_is_not_run_again_while_its_step_waits_for_it(broker: Broker) -> None:
    run, hands = await begin(broker, form_of(step("sub", workflow={"name": "inner", "steps": [step("x")]})))
    await hands.do(await hands.claim())
    await hands.do(await hands.claim())
    child = (await hands.workflows.get(run)).step("sub").workflow_id
    assert child
    assert (await hands.workflows.get(child)).state == "completed"
    with pytest.raises(Conflict, match="waits for"):
        await hands.workflows.rerun(child, RerunMode.ALL)
    assert (await hands.finish(run)).state == "completed"


def with_budget(most: int) -> Any:
    """Scripts that do so little in one call."""

    def tiny(name: str, text: str) -> str:
        assert name != "lib/flow.lua" or "MOST = 300, CLEARED = 200" in text
        return text.replace("MOST = 300, CLEARED = 200", f"MOST = {most}, CLEARED = {most}")

    return tiny


async def test_a_delete_that_is_broken_off_is_finished_by_workers(
    valkey: str, namespace: str, partitions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each of its calls, nobody sees any of it, and the store is in order."""
    async with Broker(valkey, namespace=namespace, partitions=partitions, rewrite=with_budget(5)) as broker:
        run, hands = await begin(broker, rich_form(items=20))
        await hands.finish(run)
        original, calls = Workflows.send, 0

        async def broken(self: Workflows, call: Call[Any]) -> Any:
            nonlocal calls
            if call.script == "flow_delete":
                calls += 1
                if calls == 3:
                    raise RuntimeError("broken off")
            return await original(self, call)

        monkeypatch.setattr(Workflows, "send", broken)
        with pytest.raises(RuntimeError):
            await hands.workflows.delete(run)
        for _ in range(200):
            assert (await hands.workflows.list()).workflows == []
            with pytest.raises(NotFound):
                await hands.workflows.get(run)
            assert await audit(broker, pauses=()) == []
            if not [key for key in await all_keys(broker) if key.startswith("workflow")]:
                break
            await hands.claim()
        assert await left_over(broker, hands) == []


async def test_ten_thousand_items_are_deleted_in_bounded_calls(broker: Broker) -> None:
    run, hands = await begin(broker, form_of(step("many", map={"over": list(range(10_000))})))
    await hands.finish(run)
    await hands.workflows.delete(run)
    assert await left_over(broker, hands) == []


@pytest.mark.parametrize("works", [True, False])
async def test_maps_and_sub_workflows_are_kept_for_a_time_and_then_gone_with_all_keys(
    valkey: str, namespace: str, partitions: int, works: bool
) -> None:
    """Jobs of items, sub-workflows and their maps too; and nothing of them before."""
    now = [1_800_000_000_000]
    knobs = replace(DEFAULT_KNOBS, keep_completed_ms=10_000, keep_dead_ms=10_000)
    async with Broker(valkey, namespace=namespace, partitions=partitions, knobs=knobs, now=lambda: now[0]) as broker:
        functions = {"t": (lambda **_: 1) if works else fails}
        run, hands = await begin(broker, rich_form(), functions)
        await hands.finish(run)
        home = broker.layout.of_id(run)
        now[0] += 9_000
        await hands.work()
        assert len((await hands.workflows.get(run)).steps) == 4
        now[0] += 20_000
        again, _ = await begin(broker, form_of(step("b")), functions, workflow_id=new_id(home))
        await hands.work()  # the end of a workflow is when others are pruned
        with pytest.raises(NotFound):
            await hands.workflows.get(run)
        await broker.extend(home, hands.name, 60_000)
        while (await broker.reap(home, hands.name)).more:
            pass
        own = (again, (await hands.workflows.get(again)).step("b").job_id)
        kinds = ("workflow:", "job:", "log:", "runs:")
        left = [key for key in await all_keys(broker) if key.startswith(kinds) and key.split(":")[1] not in own]
        assert left == []
        assert await audit(broker, pauses=()) == []


async def test_a_sub_workflow_lives_as_long_as_the_workflow_that_it_is_part_of(valkey: str, namespace: str) -> None:
    """Its output is read after its end, when the step that waits for it goes on; its keep time may be over then."""
    now = [1_800_000_000_000]
    knobs = replace(DEFAULT_KNOBS, keep_completed=1, keep_completed_ms=1, keep_dead_ms=1)
    async with Broker(valkey, namespace=namespace, knobs=knobs, now=lambda: now[0]) as broker:
        inner = {"name": "inner", "steps": [step("x")], "output": "{{ steps.x.result }}"}
        form = form_of(step("sub", workflow=inner), step("after", "sub", params={"x": "{{ steps.sub.result }}"}))
        _, hands = await begin(broker, form, {"t": lambda x=7: x})
        for _ in range(2):
            await hands.do(await hands.claim())
        now[0] += 60_000
        await begin(broker, form_of(step("other")))
        gathers, other = await hands.claim()
        await hands.do([other])  # its end is when others are pruned
        await hands.do([gathers])
        await hands.work()
        assert hands.ran == [{}, {}, {"x": 7}]
        assert await audit(broker, pauses=()) == []


@pytest.mark.parametrize("state", ["completed", "failed", "cancelled"])
async def test_the_key_of_one_that_has_not_completed_is_free_again(broker: Broker, state: str) -> None:
    form = form_of(step("a"))
    plan, workflows = plan_of(form), Workflows(broker)
    run = await workflows.submit(plan, form, key="k")
    if state == "cancelled":
        await workflows.cancel(run.id)
    else:
        does = fails if state == "failed" else lambda **_: 1
        hands = await Hands(broker, broker.layout.of_id(run.id), {"t": does}).register()
        await hands.finish(run.id)
    assert (await workflows.summary(run.id)).state == state
    await workflows.delete(run.id)
    again = await workflows.submit(plan, form, key="k")
    assert again.created is (state != "completed")
    assert (again.id == run.id) is (state == "completed")
