"""Maps in the store: which items run again, pause and resume, and what a worker leaves half done."""

import contextlib
import random as chance
from typing import Any

import pytest
from flows import form_of, plan_of, step
from hands import Hands, all_keys, begin
from map_rules import items_to_rerun
from msgspec.structs import replace

from boltq.broker import calls
from boltq.broker.broker import Broker
from boltq.broker.call import Call
from boltq.broker.consistency import audit
from boltq.broker.knobs import DEFAULT_KNOBS
from boltq.broker.search import Search
from boltq.broker.workflows.records import WorkflowLine
from boltq.broker.workflows.workflows import Workflows
from boltq.domain.errors import Conflict, NotFound, QueueFull
from boltq.domain.filters import JobFilter
from boltq.domain.outcome import DataError
from boltq.domain.workflow.rerun import RerunMode
from boltq.domain.workflow.states import StepState


class Items:
    """A function that fails for some items as long as they are in `bad`."""

    def __init__(self, bad: set[int]) -> None:
        self.bad = bad

    def __call__(self, x: int, y: Any = None) -> int:
        if x in self.bad:
            raise DataError(f"not {x}")
        return 10 * x


def mapped(name: str, count: int, *parents: str, **fields: Any) -> dict[str, Any]:
    """A map over 0, 1, 2 and so on."""
    options = {key: fields.pop(key) for key in ("max_concurrency", "tolerated_failures") if key in fields}
    given = {"over": list(range(count)), **options}
    return step(name, *parents, map=given, params={"x": "{{ item }}", **fields.pop("params", {})}, **fields)


async def ends_of_items(hands: Hands, workflow: str, total: int) -> list[StepState]:
    """Where the items of the map, which is the first step, stand."""
    prefix = f"{hands.broker.layout.prefix(hands.home)}workflow:{workflow}:map:1:"
    good = {int(number) for number in await hands.broker.redis.smembers(f"{prefix}good")}
    return [StepState.COMPLETED if n + 1 in good else StepState.FAILED for n in range(total)]


@pytest.mark.parametrize("seed", range(25))
async def test_only_the_items_that_did_not_succeed_begin_anew(broker: Broker, seed: int) -> None:
    """Again and again, until all succeed; in whatever order they end, and however many may run at a time."""
    random = chance.Random(seed)
    total = random.randint(2, 40)
    bad = {n for n in range(total) if random.random() < 0.4}
    items = Items(set(bad))
    options: dict[str, Any] = {"tolerated_failures": random.choice([0, 1, total // 2])}
    if random.random() < 0.7:
        options["max_concurrency"] = random.randint(1, total)
    mode = random.choice([RerunMode.FAILED_ONLY, RerunMode.FAILED_AND_DOWNSTREAM])
    form = form_of(mapped("m", total, **options), step("after", "m", params={"x": "{{ steps.m.result }}"}))
    run, hands = await begin(broker, form, {"t": lambda x: items(x) if isinstance(x, int) else x})
    for _ in range(total):
        for _ in range(10 * total):
            jobs = await hands.claim(random.randint(1, total))
            random.shuffle(jobs)
            for job in jobs:
                await hands.do([job])
            if (await hands.workflows.get(run)).state != "running":
                break
        record = await hands.workflows.get(run)
        assert await audit(broker, pauses=()) == []
        if record.state == "completed":
            break
        again = [{"x": n} for n in items_to_rerun(await ends_of_items(hands, run, total))]
        items.bad = {n for n in items.bad if random.random() < 0.5}
        hands.ran.clear()
        assert await hands.workflows.rerun(run, mode) == ("m", "after")
        stats = (await hands.workflows.get(run)).step("m").stats
        if stats and items.bad == set():
            await hands.finish(run)
            assert sorted(map(repr, hands.ran[:-1])) == sorted(map(repr, again))
    stats = (await hands.workflows.get(run)).step("m").stats
    assert stats is not None
    assert stats.total == total
    assert hands.ran[-1] == {"x": [None if n in items.bad else 10 * n for n in range(total)]}


@pytest.mark.parametrize(
    ("mode", "from_step"), [(RerunMode.ALL, None), (RerunMode.FROM_STEP, "m"), (RerunMode.FAILED_ONLY, None)]
)
async def test_all_and_from_step_run_every_item_again(broker: Broker, mode: RerunMode, from_step: str | None) -> None:
    items = Items({3})
    run, hands = await begin(broker, form_of(mapped("m", 6)), {"t": items})
    await hands.finish(run)
    hands.ran.clear()
    items.bad.clear()
    await hands.workflows.rerun(run, mode, from_step=from_step)
    record = await hands.finish(run)
    assert record.state == "completed"
    expected = {3} | {n for n in range(6) if record.generation and mode is not RerunMode.FAILED_ONLY}
    assert {row["x"] for row in hands.ran} >= expected
    if mode is not RerunMode.FAILED_ONLY:
        assert sorted(row["x"] for row in hands.ran) == [0, 1, 2, 3, 4, 5]


async def test_all_items_run_again_when_something_before_the_map_does(broker: Broker) -> None:
    """For they may be given something else then."""
    items = Items({2, 100})
    before = step("before", params={"x": 100}, allow_failure=True)
    form = form_of(before, mapped("m", 4, "before", params={"y": "{{ steps.before.result }}"}))
    run, hands = await begin(broker, form, {"t": items})
    await hands.finish(run)
    hands.ran.clear()
    items.bad.clear()
    assert await hands.workflows.rerun(run, RerunMode.FAILED_ONLY) == ("before", "m")
    assert (await hands.finish(run)).state == "completed"
    assert [row["x"] for row in hands.ran] == [100, 0, 1, 2, 3]
    assert {row.get("y") for row in hands.ran} == {None, 1000}


async def test_a_map_whose_results_are_too_large_runs_all_items_again(broker: Broker) -> None:
    sizes = [600_000]
    run, hands = await begin(broker, form_of(mapped("m", 2)), {"t": lambda x: "y" * sizes[0]})
    record = await hands.finish(run)
    assert "bytes together" in (record.step("m").error or "")
    sizes[0] = 3
    await hands.workflows.rerun(run, RerunMode.FAILED_ONLY)
    assert (await hands.finish(run)).state == "completed"
    assert len(hands.ran) == 4


async def test_sub_workflows_of_items_that_completed_stay_and_the_others_go_on(broker: Broker) -> None:
    items = Items({1})
    inner = {"name": "inner", "input": {"x": 0}, "steps": [step("s", params={"x": "{{ input.x }}"})]}
    form = form_of(
        step("subs", workflow=inner, map={"over": [0, 1, 2]}, params={"x": "{{ item }}"}),
        step("sub", workflow=inner, params={"x": 1}),
        policy="continue",
    )
    run, hands = await begin(broker, form, {"t": items})
    first = (await hands.finish(run)).step("sub").workflow_id
    assert len((await hands.workflows.list()).workflows) == 5
    items.bad.clear()
    hands.ran.clear()
    await hands.workflows.rerun(run, RerunMode.FAILED_ONLY)
    record = await hands.finish(run)
    assert (record.state, hands.ran) == ("completed", [{"x": 1}, {"x": 1}])
    assert first
    assert record.step("sub").workflow_id == first
    again = await hands.workflows.get(first)
    assert (again.state, again.generation) == ("completed", 2)
    assert len((await hands.workflows.list()).workflows) == 5
    await hands.workflows.delete(run)
    assert (await hands.workflows.list()).workflows == []


async def test_reruns_do_not_pile_up_sub_workflows(valkey: str, namespace: str, partitions: int) -> None:
    """Only so many of earlier runs are kept for as long as the workflow; the others have a time of their own."""
    now = [1_800_000_000_000]

    def few(_: str, text: str) -> str:
        return text.replace("MOST_OLD = 20000", "MOST_OLD = 4")

    options: dict[str, Any] = {"namespace": namespace, "partitions": partitions, "now": lambda: now[0]}
    async with Broker(valkey, rewrite=few, **options) as broker:
        form = form_of(step("subs", workflow={"name": "inner", "steps": [step("s")]}, map={"over": [1, 2, 3]}))
        run, hands = await begin(broker, form)
        await hands.finish(run)
        for _ in range(7):
            now[0] += 80_000_000
            await hands.workflows.rerun(run, RerunMode.ALL)
            await hands.finish(run)
            assert len((await hands.workflows.list()).workflows) <= 1 + 4 + 3 * 3
        assert await audit(broker, pauses=()) == []


# Pause


async def test_items_that_wait_in_a_queue_wait_for_the_resume(broker: Broker) -> None:
    run, hands = await begin(broker, form_of(mapped("m", 50)), {"t": Items(set())})
    await hands.do(await hands.claim(1))
    running = await hands.claim(7)
    assert await hands.workflows.pause(run) == "running"
    assert await audit(broker, pauses=()) == []
    await hands.do(running)
    assert await hands.claim() == []
    await hands.workflows.resume(run)
    assert (await hands.finish(run)).state == "completed"
    assert len(hands.ran) == 50
    assert await audit(broker, pauses=()) == []


@pytest.mark.parametrize("then", ["resume", "cancel", "resume and pause"])
async def test_a_pause_and_what_follows_are_carried_out_in_many_calls(
    valkey: str, namespace: str, partitions: int, then: str
) -> None:
    def tiny(_: str, text: str) -> str:
        return text.replace("MOST = 300", "MOST = 3")

    inner = {
        "name": "inner",
        "input": {"x": 0},
        "steps": [step("s", params={"x": "{{ input.x }}"}), step("t", "s", params={"x": 5})],
    }
    form = form_of(mapped("m", 20), step("subs", workflow=inner, map={"over": [1] * 9}, params={"x": "{{ item }}"}))
    async with Broker(valkey, namespace=namespace, partitions=partitions, rewrite=tiny) as broker:
        run, hands = await begin(broker, form, {"t": Items(set())})
        for _ in range(4):
            await hands.do(await hands.claim(2))
        await hands.workflows.pause(run)
        await hands.work()
        assert (await hands.workflows.get(run)).paused
        assert await audit(broker, pauses=()) == []
        ran = len(hands.ran)
        assert ran < 38
        if then == "cancel":
            await hands.workflows.cancel(run)
            assert (await hands.finish(run)).state == "cancelled"
        else:
            if then != "resume":
                await broker.send(calls.workflows.steer(hands.home, run, "resume"))
                await hands.workflows.pause(run)
            await hands.workflows.resume(run)
            assert (await hands.finish(run)).state == "completed"
            assert len(hands.ran) == 38
        assert await audit(broker, pauses=()) == []
        states = {line.state for line in (await hands.workflows.list()).workflows}
        assert states <= ({"cancelled", "completed"} if then == "cancel" else {"completed"})


async def test_what_begins_under_a_paused_workflow_is_paused_and_goes_on_with_it(broker: Broker) -> None:
    """A sub-workflow, one inside of that, those of a map's items, and items."""
    deepest = {"name": "deepest", "steps": [step("x"), step("y", "x")]}
    inner = {"name": "inner", "steps": [step("deep", workflow=deepest), step("after", "deep")]}
    form = form_of(
        step("sub", workflow=inner),
        step("subs", workflow=inner, map={"over": [1, 2]}),
        mapped("items", 3),
    )
    run, hands = await begin(broker, form, {"t": lambda **_: 1})
    top = await hands.claim()  # they run when the pause comes
    assert len(top) == 3
    await hands.workflows.pause(run)
    await hands.do(top)
    assert await hands.claim() == []
    child = (await hands.workflows.get(run)).step("sub").workflow_id
    assert child
    assert (await hands.workflows.get(child)).paused
    await hands.workflows.resume(run)
    below = await hands.claim()  # the step `deep` of the sub-workflow, the items, and those that begin sub-workflows
    await hands.workflows.pause(run)
    await hands.do(below)
    await hands.do(await hands.claim())  # the map of items gathers its results: its last item has ended
    assert await hands.claim() == []
    lines = (await hands.workflows.list()).workflows
    assert {line.name for line in lines} == {"w", "inner", "deepest"}
    assert {line.paused for line in lines} == {True}
    assert await audit(broker, pauses=()) == []
    await hands.workflows.resume(run)
    lines = (await hands.workflows.list()).workflows
    assert {line.paused for line in lines} == {False}
    assert (await hands.finish(run)).state == "completed"
    assert await audit(broker, pauses=()) == []


# Bounds


@pytest.mark.parametrize(("bad", "state"), [(490, "completed"), (500, "completed"), (501, "failed"), (510, "failed")])
async def test_a_map_of_ten_thousand_of_which_five_percent_may_fail(broker: Broker, bad: int, state: str) -> None:
    items = Items(set(range(0, 10_000, 10_000 // bad)[:bad]))
    form = form_of(
        mapped("m", 10_000, tolerated_failures="5%"), step("n", "m", params={"x": "{{ steps.m.stats.failed }}"})
    )
    run, hands = await begin(broker, form, {"t": items})
    items.bad.discard(bad)
    record = await hands.finish(run)
    stats = record.step("m").stats
    assert stats
    assert (record.state, stats.total) == (state, 10_000)
    if state == "completed":
        assert (stats.failed, stats.completed, len(hands.ran)) == (len(items.bad), 10_000 - len(items.bad), 10_001)
    assert await audit(broker, pauses=()) == []


async def test_an_expansion_that_a_crash_broke_off_is_gone_on_with_by_another_worker(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No item is made twice, and none is left out."""
    run, hands = await begin(broker, form_of(mapped("m", 1_700)), {"t": Items(set())})
    original, told = Workflows.send, []

    async def killed(self: Workflows, call: Call[Any]) -> Any:
        if call.script == "flow_step":
            told.append(call.args[3])
            if len(told) == 3:
                raise KeyboardInterrupt
        return await original(self, call)

    monkeypatch.setattr(Workflows, "send", killed)
    with pytest.raises(KeyboardInterrupt):
        await hands.do(await hands.claim(1))
    assert told == ["items"] * 3
    assert await audit(broker, pauses=()) == []
    await broker.retire(hands.home, hands.name, lost=True)
    other = await Hands(broker, hands.home, hands.functions).register()
    record = await other.finish(run)
    assert record.state == "completed"
    assert sorted(row["x"] for row in other.ran) == list(range(1_700))
    assert await audit(broker, pauses=()) == []


async def test_a_map_whose_worker_is_lost_for_good_while_it_expands_leaves_no_item_behind(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, hands = await begin(broker, form_of(mapped("m", 1_200)), {"t": Items(set())})
    original = Workflows.send

    async def killed(self: Workflows, call: Call[Any]) -> Any:
        if call.script == "flow_step" and call.args[3] == "expand":
            raise KeyboardInterrupt
        return await original(self, call)

    monkeypatch.setattr(Workflows, "send", killed)
    for _ in range(3):
        claimed = await hands.claim(1)
        with pytest.raises(KeyboardInterrupt):
            await hands.do(claimed)
        await broker.begin(hands.home, hands.name, claimed[0])
        await broker.retire(hands.home, hands.name, lost=True)
        hands = await Hands(broker, hands.home, hands.functions).register()
    record = await hands.finish(run)
    assert (record.state, hands.ran) == ("failed", [])
    key = f"{broker.layout.prefix(hands.home)}queue:default"
    assert await broker.redis.zcard(f"{key}:blocked") == 0
    assert await audit(broker, pauses=()) == []


# Whatever people do


def random_flow(random: chance.Random) -> str:
    """Steps of every kind, with maps and sub-workflows inside of each other."""
    deepest = {"name": "deepest", "input": {"x": 0}, "steps": [step("d", params={"x": "{{ input.x }}"})]}
    inner = {
        "name": "inner",
        "input": {"x": 0},
        "on_failure_policy": random.choice(["fail_fast", "continue"]),
        "steps": [
            step("i", params={"x": "{{ input.x }}"}),
            step("is", "i", workflow=deepest, map={"over": [1, 2, 3]}, params={"x": "{{ item }}"}),
        ],
        "finally": [step("f", params={"x": 0})],
    }
    most = random.choice([{}, {"max_concurrency": 2}])
    kinds = [
        lambda: {"params": {"x": random.randint(0, 9)}},
        lambda: {"params": {"x": "{{ item }}"}, "map": {"over": list(range(random.randint(0, 12))), **most}},
        lambda: {"params": {"x": "{{ item }}"}, "map": {"over": [4, 5, 6, 7], **most}, "workflow": inner},
        lambda: {"params": {"x": random.randint(0, 9)}, "workflow": inner},
        lambda: {"wait": {"seconds": random.choice([0.001, 30])}},
        lambda: {"approval": {"prompt": "?", "timeout_seconds": 60, "on_timeout": "approve"}},
    ]
    rules = ["all_success", "all_success", "all_done", "none_failed"]
    steps: list[dict[str, Any]] = []
    for n in range(random.randint(2, 6)):
        parents = random.sample([s["id"] for s in steps], random.randint(0, min(2, n)))
        steps.append(step(f"s{n}", *parents, run_if=random.choice(rules), **random.choice(kinds)()))
    late = {"timeout_seconds": random.choice([5, 100])} if random.random() < 0.2 else {}
    handlers = {name: [step(name[0], params={"x": 0})] for name in ("on_failure", "finally") if random.random() < 0.5}
    return form_of(*steps, policy=random.choice(["fail_fast", "continue"]), **handlers, **late)


class Crowd:
    """People and workers who do one thing after another to a workflow or one inside of it, by chance."""

    def __init__(self, broker: Broker, run: str, hands: Hands, random: chance.Random, now: list[int]) -> None:
        self.broker, self.run, self.hands, self.random, self.now = broker, run, hands, random, now
        self.workflows = hands.workflows

    async def act(self) -> None:
        """Do something; what is refused does not matter."""
        acts = [self.pause, self.resume, self.cancel, self.rerun, self.wait, self.lose, self.work]
        [act] = self.random.choices(acts, [10, 15, 5, 5, 5, 10, 50])
        self.now[0] += 100
        with contextlib.suppress(Conflict):
            await act()
        if self.random.random() < 0.2:
            assert await audit(self.broker, pauses=()) == []

    async def all(self) -> list[WorkflowLine]:
        """All workflows that there are."""
        return (await self.workflows.list(limit=1_000)).workflows

    async def one(self) -> str:
        """The workflow mostly, otherwise any."""
        return self.run if self.random.random() < 0.7 else self.random.choice(sorted([w.id for w in await self.all()]))

    async def pause(self) -> None:
        await self.workflows.pause(await self.one())

    async def resume(self) -> None:
        await self.workflows.resume(await self.one())

    async def cancel(self) -> None:
        await self.workflows.cancel(await self.one())

    async def rerun(self) -> None:
        modes = [RerunMode.FAILED_ONLY, RerunMode.FAILED_AND_DOWNSTREAM, RerunMode.ALL]
        await self.workflows.rerun(await self.one(), self.random.choice(modes))

    async def wait(self) -> None:
        self.now[0] += 30_000

    async def lose(self) -> None:
        """The worker is lost with what it has."""
        await self.hands.claim(self.random.randint(1, 5))
        await self.broker.retire(self.hands.home, self.hands.name, lost=True)
        self.hands = await Hands(self.broker, self.hands.home, self.hands.functions).register()

    async def work(self) -> None:
        jobs = await self.hands.claim(self.random.randint(1, 8))
        first = self.random.sample(jobs, self.random.randint(0, len(jobs)))
        await self.hands.do(first)
        await self.hands.do([job for job in jobs if job not in first])

    async def come_to_an_end(self) -> str:
        """Nobody does anything any more but to resume and to work; the state of the workflow at the end."""
        for _ in range(100):
            running = [w for w in await self.all() if w.state == "running"]
            if not running:
                return (await self.workflows.get(self.run)).state
            for paused in running:
                with contextlib.suppress(Conflict):
                    await self.workflows.resume(paused.id)
            await self.hands.work()
            await self.wait()
        raise AssertionError(f"it is stuck: {running}")


@pytest.mark.parametrize("most", [3, 2_000])
@pytest.mark.parametrize("seed", range(12))
async def test_whatever_people_do_it_comes_to_an_end(
    valkey: str, namespace: str, partitions: int, seed: int, most: int
) -> None:
    """Pauses, resumes, cancels, reruns, lost workers and time that goes by, in any order; then it is deleted."""
    random, now = chance.Random(seed), [1_800_000_000_000]

    def tiny(_: str, text: str) -> str:
        return text.replace("MOST = 300, CLEARED = 200", f"MOST = {most}, CLEARED = {most}")

    knobs = replace(DEFAULT_KNOBS, poison_limit=100)
    options: dict[str, Any] = {"namespace": namespace, "partitions": partitions, "knobs": knobs, "now": lambda: now[0]}
    async with Broker(valkey, rewrite=tiny, **options) as broker:
        items = Items({n for n in range(12) if random.random() < 0.15})
        run, hands = await begin(broker, random_flow(random), {"t": items})
        crowd = Crowd(broker, run, hands, random, now)
        for _ in range(60):
            await crowd.act()
        items.bad.clear()
        await crowd.come_to_an_end()
        assert await audit(broker, pauses=()) == []
        with contextlib.suppress(Conflict):  # there is nothing to run again
            await crowd.workflows.rerun(run, random.choice([RerunMode.FAILED_ONLY, RerunMode.ALL]))
            state = await crowd.come_to_an_end()
            assert state == "completed" or (await crowd.workflows.get(run)).ending == "timed_out"
        while lines := await crowd.all():
            for line in lines:
                with contextlib.suppress(Conflict, NotFound):  # it is part of another
                    await crowd.workflows.delete(line.id)
        await broker.retire(crowd.hands.home, crowd.hands.name, lost=False)
        kinds = ("workflow", "job:", "runs:", "worker:")
        assert [key for key in await all_keys(broker) if key.startswith(kinds)] == []
        assert await audit(broker, pauses=()) == []


async def test_the_tags_of_a_workflow_are_those_of_its_jobs(broker: Broker) -> None:
    """Of its steps, of the items of a map, of its sub-workflows; and of what begins anew."""
    items = Items({1})
    inner = {"name": "inner", "steps": [{"id": "i", "job_type": "t"}]}
    form = form_of(mapped("m", 2), step("s", workflow=inner), step("z", "m"), tags=["a", "b"])
    run, hands = await begin(broker, form, {"t": lambda x=0: items(x)})

    async def count(*tags: str) -> int:
        return sum((await Search(broker).count(JobFilter(tags=tags)))[0].values())

    await hands.finish(run)
    assert await count("b", "a") == await count("a") == 6
    assert await count("other") == 0
    items.bad.clear()
    await hands.workflows.rerun(run, RerunMode.FAILED_ONLY)
    await hands.finish(run)
    assert await count("a", "b") == 6 + 3  # the map, one item, and what comes after them


async def test_a_workflow_does_not_pass_a_queues_limit_with_what_begins_at_once(
    broker: Broker, partitions: int
) -> None:
    """What begins later was accepted with it, and is never refused."""
    if partitions > 1:
        pytest.skip("each partition has its share of a limit")
    workflows = Workflows(broker)
    steps = [step("a"), step("b"), *(step(f"later{n}", "a") for n in range(5))]
    await broker.limit("default", 1)
    with pytest.raises(QueueFull, match="default"):
        await workflows.submit(plan_of(form_of(*steps)), form_of(*steps))
    assert (await workflows.list()).workflows == []
    await broker.limit("default", 2)
    run, hands = await begin(broker, form_of(*steps))
    with pytest.raises(QueueFull, match="default"):
        await workflows.submit(plan_of(form_of(step("c"))), form_of(step("c")), workflow_id=f"{'0' * 24}{run[-2:]}")
    form = form_of(step("x", queue="other"), step("y", "x"))
    with pytest.raises(QueueFull, match="default"):  # not at once, but there is no room at all
        await workflows.submit(plan_of(form), form, workflow_id=f"{'1' * 24}{run[-2:]}")
    assert [one.id for one in (await workflows.list()).workflows] == [run]
    assert (await hands.finish(run)).state == "completed"
