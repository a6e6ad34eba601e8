"""Scripted lives of workflows: together they find every way in which those are known to break (see bugs.FLOW_BUGS)."""

from collections.abc import Callable

from flows import form_of, step
from model.flow_machine import ENDS, Flow, FlowWorld, Held

from boltq.domain.workflow.rerun import RerunMode

FlowScenario = Callable[[FlowWorld], None]
CRY = {"on_failure": [step("cry")]}
TIDY = {"finally": [step("tidy")]}


def claim(world: FlowWorld, n: int = 10) -> dict[str, Held]:
    """What the first worker gets, by steps."""
    return {held.step: held for held in world.claim(min(world.workers), n)}


def tell(world: FlowWorld, *ends: tuple[Held, str], twice: bool = False) -> None:
    world.settle(min(world.workers), ends, twice=twice)


def end_all(world: FlowWorld, flow: Flow, **verbs: str) -> None:
    """Until it has ended; steps that are not named succeed."""
    while not flow.end:
        runs = {held.step: held for held in world.runs.values()} or claim(world)
        assert runs, flow.states
        tell(world, *((held, verbs.get(name, "completed")) for name, held in runs.items()))


def a_diamond(world: FlowWorld) -> None:
    """Both last parents end in one call, which is repeated."""
    flow = world.submit(form_of(step("top"), step("a", "top"), step("b", "top"), step("join", "a", "b"), **TIDY))
    tell(world, (claim(world)["top"], "completed"), twice=True)
    runs = claim(world)
    tell(world, (runs["a"], "completed"), (runs["b"], "completed"), twice=True)
    tell(world, (claim(world)["join"], "completed"), twice=True)
    for number in range(len(world.stale)):
        world.settle_stale(number)
    end_all(world, flow)


def skipped_on_purpose(world: FlowWorld) -> None:
    """What waited for a failure that did not come is skipped, and that is no failure for those behind it."""
    steps = [step("a"), step("b", "a", run_if="one_failed"), step("c", "b", run_if="none_failed"), step("d", "b")]
    flow = world.submit(form_of(*steps))
    end_all(world, flow)
    assert (flow.end, flow.states["c"], flow.states["d"]) == ("completed", "completed", "skipped")


def early_ones(world: FlowWorld) -> None:
    """A step that did not wait for all its parents does not run again when the others end."""
    flow = world.submit(form_of(step("a"), step("b"), step("c", "a", "b", run_if="one_success"), step("d", "c")))
    runs = claim(world)
    tell(world, (runs["a"], "completed"))
    tell(world, (claim(world)["c"], "completed"))
    tell(world, (runs["b"], "completed"))
    end_all(world, flow)


def there_for_a_failure(world: FlowWorld) -> None:
    steps = [step("a"), step("b"), step("c", "b"), step("mend", "a", run_if="one_failed"), step("after", "mend")]
    flow = world.submit(form_of(*steps, policy="fail_fast", **CRY, **TIDY))
    runs = claim(world)
    tell(world, (runs["a"], "dead"))
    world.retire(runs["b"].worker, lost=True)  # it must not run again
    end_all(world, flow)
    assert (flow.states["b"], flow.states["after"], flow.states["cry"]) == ("cancelled", "completed", "completed")


def a_long_cascade(world: FlowWorld) -> None:
    """With small budgets, it takes several calls."""
    chain = [step(f"s{n}", *([f"s{n - 1}"] if n else [])) for n in range(12)]
    flow = world.submit(form_of(*chain, **CRY))
    end_all(world, flow, s0="dead")
    flow = world.submit(form_of(step("top"), *(step(f"s{n}", "top") for n in range(9)), **TIDY))
    end_all(world, flow)


def a_step_comes_back_while_others_are_told(world: FlowWorld) -> None:
    """It does not run again when its workflow was cut short, however much its call has to do elsewhere before that."""
    others = world.submit(form_of(step("top"), *(step(f"s{n}", "top") for n in range(6))))
    top = claim(world)["top"]
    flows = [world.submit(form_of(step("bad"), step("back"), policy="fail_fast")) for _ in range(2)]
    runs = {(held.flow.id, held.step): held for held in world.claim(min(world.workers), 10)}
    tell(world, *((runs[flow.id, "bad"], "dead") for flow in flows))
    back = [(runs[flow.id, "back"], verb) for flow, verb in zip(flows, ("released", "retrying"), strict=True)]
    world.settle(min(world.workers), [*back, (top, "completed")], 10)
    assert [flow.states["back"] for flow in flows] == ["cancelled", "cancelled"]
    assert [flow.end for flow in flows] == ["failed", "failed"]
    end_all(world, others)


def a_pause(world: FlowWorld) -> None:
    flow = world.submit(form_of(step("a"), step("b", "a"), step("c")))
    run = claim(world, 1)["a"]
    world.pause(flow)
    tell(world, (run, "completed"))
    assert not claim(world)
    world.cancel_steps(flow, "c")
    world.resume(flow)
    end_all(world, flow)
    assert (flow.states["b"], flow.states["c"]) == ("completed", "cancelled")


def a_cancel_in_a_pause(world: FlowWorld) -> None:
    """While `finally` is held back: it runs in spite of the cancel."""
    flow = world.submit(form_of(step("a"), **TIDY))
    run = claim(world)["a"]
    world.pause(flow)
    tell(world, (run, "completed"))
    world.cancel(flow)
    end_all(world, flow)


def a_rerun_after_a_pause(world: FlowWorld) -> None:
    """What an earlier pause held back does not begin too early in the next generation."""
    flow = world.submit(form_of(step("a"), step("b", "a"), policy="continue"))
    tell(world, (claim(world)["a"], "completed"))
    world.pause(flow)
    world.cancel_steps(flow, "b")
    world.rerun(flow, RerunMode.ALL)
    world.pause(flow)
    world.resume(flow)
    end_all(world, flow)


def a_handler_is_cancelled(world: FlowWorld) -> None:
    """One of its steps, before its turn: those behind it wait for their turn all the same."""
    handlers = [step("cry"), step("weep", "cry", run_if="all_done")]
    flow = world.submit(form_of(step("a"), on_failure=handlers))
    world.cancel_steps(flow, "cry")
    end_all(world, flow)
    assert flow.states["weep"] == "skipped"


def a_cancel_of_the_handlers(world: FlowWorld) -> None:
    """While they run, after a failure for which others were cancelled."""
    handlers = [step("cry"), step("sigh"), step("weep", "cry")]
    flow = world.submit(form_of(step("a"), step("b", "a"), policy="fail_fast", on_failure=handlers))
    tell(world, (claim(world)["a"], "dead"))
    run = claim(world, 1)
    world.pause(flow)
    world.cancel(flow)
    tell(world, *((held, "cancelled") for held in run.values()))
    assert flow.end


def no_time_left(world: FlowWorld) -> None:
    flow = world.submit(form_of(step("a"), step("b", "a"), timeout_seconds=20, **CRY, **TIDY))
    run = claim(world)["a"]
    world.advance(21_000)
    assert not claim(world)
    tell(world, (run, "retrying"))
    end_all(world, flow)
    assert (flow.end, flow.states["cry"]) == ("failed", "completed")


def every_rerun(world: FlowWorld) -> None:
    steps = [step("a"), step("b", "a"), step("c", "b", allow_failure=True), step("d", "a"), step("e", "c", "d")]
    flow = world.submit(form_of(*steps, **CRY, **TIDY))
    end_all(world, flow, b="dead")
    for mode in RerunMode:
        world.rerun(flow, mode, "d" if mode is RerunMode.FROM_STEP else None)
        end_all(world, flow, **({"b": "dead"} if mode is not RerunMode.FROM_STEP else {}))
    world.rerun(flow, RerunMode.FAILED_ONLY)
    assert flow.end == "completed"


def poison(world: FlowWorld) -> None:
    flow = world.submit(form_of(step("a"), step("b", "a", run_if="one_failed")))
    for _ in range(3):
        world.lose(claim(world)["a"].worker)
    end_all(world, flow)
    assert flow.states["b"] == "completed"


def every_person(world: FlowWorld) -> None:
    """Who steers what has ended is refused; a step is cancelled in each state."""
    for verb in ("completed", "dead", "cancelled"):
        flow = world.submit(form_of(step("a")))
        run = claim(world)["a"]
        if verb == "cancelled":
            world.cancel(flow)
        tell(world, (run, verb))
        for steer in (world.cancel, world.pause, world.resume):
            steer(flow)
    names = ("good", "bad", "tried", "runs", "queued")
    steps = [*(step(name) for name in names), step("later", "runs"), step("passed", "good", run_if="one_failed")]
    flow = world.submit(form_of(*steps))
    runs = claim(world, 4)
    tell(world, (runs["good"], "completed"), (runs["bad"], "dead"), (runs["tried"], "retrying"))
    for one in (*names, "later", "passed", "queued"):
        world.cancel_steps(flow, one)
    tell(world, (runs["runs"], "completed"))


def asked_to_stop(world: FlowWorld) -> None:
    """However it ends then, it does not run again."""
    for verb in ENDS:
        flow = world.submit(form_of(step("a"), step("b", "a"), **TIDY))
        run = claim(world)["a"]
        world.pause(flow)
        world.cancel(flow)
        tell(world, (run, verb))
        end_all(world, flow)
        flow = world.submit(form_of(step("a")))
        tell(world, (claim(world)["a"], verb))
        world.advance(10_000)
        if not flow.end:
            end_all(world, flow)


def a_sleeper(world: FlowWorld) -> None:
    """A worker that found nothing is handed what becomes ready."""
    assert not claim(world)
    flow = world.submit(form_of(step("a"), step("b", "a")))
    assert world.runs
    end_all(world, flow)


FLOW_SCENARIOS: list[FlowScenario] = [
    a_diamond, skipped_on_purpose, early_ones, there_for_a_failure, a_long_cascade, a_pause,
    a_step_comes_back_while_others_are_told, a_cancel_in_a_pause,
    a_rerun_after_a_pause, a_handler_is_cancelled, a_cancel_of_the_handlers, no_time_left, every_rerun, poison,
    every_person, asked_to_stop, a_sleeper,
]  # fmt: skip
