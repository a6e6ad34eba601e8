"""Stories of workflows that are sent as JSON, and of the handle by which a program steers them."""

import pytest

from boltq import (
    BoltQ,
    Conflict,
    DataError,
    InvalidWorkflow,
    JobContext,
    NotFound,
    RerunMode,
    TransientError,
    WorkflowFailed,
    WorkflowState,
)

BIG = 123456789012345678901234567890


async def test_a_form_with_everything_in_it_runs(boltq_app: BoltQ, worker) -> None:
    told: list[str] = []

    @boltq_app.task(name="http.get")
    async def fetch(job: JobContext, url: str) -> dict:
        if job.attempt < 3:
            raise TransientError("not yet")
        return {"url": url, "orders": [1, 2, 3, 4], "big": BIG, "none": []}

    @boltq_app.task(name="invoice.render")
    async def render(order: int) -> int:
        if order == 3:
            raise DataError("no paper")
        return order * 10

    @boltq_app.task(name="mail.bulk")
    async def send(ids: list, big: int, none: list) -> dict:
        return {"count": len(ids), "big": big, "none": none, "ids": ids}

    @boltq_app.task
    async def close(n: int) -> int:
        return n + 1

    @boltq_app.task(name="tmp.cleanup")
    async def cleanup(state: str) -> None:
        told.append(state)

    form = {
        "name": "invoice-run",
        "input": {"month": "2026-11"},
        "timeout": "2h",
        "priority": "high",
        "steps": [
            {"id": "fetch", "job_type": "http.get", "params": {"url": "https://x/{{ input.month }}"}, "timeout": "5m",
             "retry": {"max_attempts": 3, "backoff": "fixed", "base": "10ms", "on": ["transient"]}},
            {"id": "each", "job_type": "invoice.render", "depends_on": ["fetch"], "params": {"order": "{{ item }}"},
             "map": {"over": "{{ steps.fetch.result.orders }}", "as": "item", "tolerate_failures": "25%"}},
            {"id": "review", "type": "approval", "depends_on": ["each"], "when": "steps.each.stats.failed > 0",
             "prompt": "{{ steps.each.stats.failed }} failed", "timeout": "24h", "on_timeout": "reject"},
            {"id": "send", "job_type": "mail.bulk", "depends_on": ["each", "review"], "run_if": "none_failed",
             "params": {"ids": "{{ steps.each.results }}", "big": "{{ steps.fetch.result.big }}",
                        "none": "{{ steps.fetch.result.none }}"}},
            {"id": "wait", "type": "wait", "for": "20ms", "depends_on": ["send"]},
            {"id": "ledger", "type": "workflow", "input": {"n": "{{ steps.each.stats.completed }}"}, "timeout": "1h",
             "workflow": {"name": "close", "output": "{{ steps.c.result }}",
                          "steps": [{"id": "c", "job_type": "close", "params": {"n": "{{ input.n }}"}}]},
             "depends_on": ["wait"]},
        ],
        "finally": [{"job_type": "tmp.cleanup", "params": {"state": "{{ workflow.state }}"}}],
        "output": {"sent": "{{ steps.send.result }}", "ledger": "{{ steps.ledger.result }}"},
    }  # fmt: skip
    async with worker():
        run = await boltq_app.submit_workflow(form, idempotency_key="november")
        assert await run.signal("review", "approve", by="ann") in ("kept", "taken")
        out = await run.result(timeout=60)
        again = await boltq_app.submit_workflow(form, idempotency_key="november")
    assert out == {"sent": {"count": 4, "big": BIG, "none": [], "ids": [10, 20, None, 40]}, "ledger": 4}
    assert (again.id, again.created) == (run.id, False)
    assert told == ["completed"]


async def test_it_runs_again_with_other_params_and_is_forgotten(boltq_app: BoltQ, worker) -> None:
    @boltq_app.task
    async def halve(n: int) -> int:
        if n % 2:
            raise DataError(f"{n} is odd")
        return n // 2

    steps = [
        {"id": "a", "job_type": "halve", "params": {"n": 4}},
        {"id": "b", "job_type": "halve", "params": {"n": "{{ input.n }}"}, "depends_on": ["a"]},
    ]
    form = {"name": "w", "input": {"n": 3}, "steps": steps, "output": "{{ steps.b.result }}"}
    async with worker():
        run = await boltq_app.submit_workflow(form)
        with pytest.raises(WorkflowFailed, match="3 is odd"):
            await run.result(timeout=60)
        edited = {"b": {"n": "{{ steps.a.result }}"}}
        with pytest.raises(InvalidWorkflow, match="no such step"):
            await run.rerun(params={"c": {}})
        assert await run.rerun(RerunMode.FROM_STEP, from_step="b", params=edited) == ("b",)
        assert await run.result(timeout=60) == 1
    await run.delete()
    with pytest.raises(NotFound):
        await run.record()


def test_every_call_of_the_handle_has_a_synchronous_twin(boltq_app: BoltQ) -> None:
    form = {"name": "w", "steps": [{"id": "ok", "approval": {}}]}
    run = boltq_app.submit_workflow_sync(form, idempotency_key="k")
    assert run.pause_sync() == "running"
    assert run.record_sync().paused
    assert run.resume_sync() == "running"
    with pytest.raises(InvalidWorkflow, match="/decision: 'maybe' is none of approve, reject"):
        run.signal_sync("ok", "maybe")  # type: ignore[arg-type]
    assert run.signal_sync("ok", "approve", data={"n": 1}, by="ann") == "kept"
    with pytest.raises(Conflict):
        run.delete_sync()
    assert run.cancel_sync() is WorkflowState.CANCELLED
    assert run.rerun_sync("all") == ("ok",)
    assert run.cancel_sync() is WorkflowState.CANCELLED
    run.delete_sync()
    with pytest.raises(NotFound):
        run.record_sync()


async def test_mistakes_are_told_before_anything_is_stored(boltq_app: BoltQ) -> None:
    with pytest.raises(InvalidWorkflow) as error:
        await boltq_app.submit_workflow({"name": "w", "steps": [{"type": "wait", "for": "soon"}]})
    assert [at for at, _ in error.value.errors] == ["/steps/0/for"]
    assert (await (await boltq_app.connections()).workflows.list()).workflows == []
