"""Workflows over HTTP, as in process: through a real API, with a real worker."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apis import running_api
from waiting import eventually

from boltq import Conflict, InvalidJob, NotFound, WaitTimeout, Workflow, WorkflowCancelled, WorkflowFailed
from boltq.client import AsyncClient, Client, Forbidden, talk
from boltq.client.talk import Lost, Reply
from boltq.client.workflows.answers import StepInfo
from boltq.domain.workflow.mistakes import InvalidWorkflow

ABSENT = "01M80000000000000000000000"


def diamond(n: int = 1) -> Workflow:
    wf = Workflow("diamond", n=n)
    top = wf.options(id="top").step("echo", n=wf.input["n"], text="a b")
    left = wf.options(id="left").step("echo", n=top.result["n"])
    right = wf.options(id="right").step("echo", text=top.result["text"])
    bottom = wf.options(id="bottom").step("echo", left=left.result, right=right.result)
    wf.output({"bottom": bottom.result, "n": wf.input["n"]})
    return wf


def asking(name: str = "asking") -> Workflow:
    wf = Workflow(name)
    said = wf.options(id="ask").approval("Shall we?")
    wf.options(id="then").step("echo", said=said.result["decision"], data=said.result["data"])
    return wf


OUTCOME = {"bottom": {"left": {"n": 1}, "right": {"text": "a b"}}, "n": 1}


def test_a_diamond_runs_and_its_output_comes_back(client: Client, working) -> None:
    with working():
        run = client.submit_workflow(diamond())
        assert run.created
        assert run.result(timeout=60) == OUTCOME
        info = run.info(form=True)
    assert (info.state, info.name, info.input, info.output) == ("completed", "diamond", {"n": 1}, OUTCOME)
    assert info.form["name"] == "diamond"
    assert [len(level) for level in info.levels] == [1, 2, 1]
    left = info.step("left")
    assert (left.inputs, left.result, left.depends_on, left.job_type) == ({"n": 1}, {"n": 1}, ["top"], "echo")
    assert [(source.pointer, source.step) for source in left.sources] == [("/n", "top")]
    assert left.started_at
    assert left.ended_at
    assert info.has_ended
    assert client.job(left.job_id or "").result(timeout=30) == {"n": 1}


async def test_the_same_from_asynchronous_code(async_client: AsyncClient, working) -> None:
    with working():
        run = await async_client.submit_workflow(diamond())
        assert await run.result(timeout=60) == OUTCOME
        assert (await run.wait(timeout=60)).state == "completed"
        assert [found.id async for found in async_client.workflows(state="completed")] == [run.id]
        assert (await async_client.get_workflow(run.id)).output == OUTCOME


def test_the_same_key_is_the_same_workflow(client: Client) -> None:
    first, second = (client.submit_workflow(diamond(), idempotency_key="today") for _ in range(2))
    assert first.id == second.id
    assert (first.created, second.created) == (True, False)
    with pytest.raises(Conflict, match="key"):
        client.submit_workflow(diamond(2), idempotency_key="today")


def test_a_submission_whose_answer_is_lost_is_one_workflow(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk, "PAUSES", (0.01,))
    wire: Any = vars(client)["_wire"]
    exchange, heard = wire.exchange, list[Any]()

    def losing(request: Any) -> Reply | Lost:
        heard.append(exchange(request))
        return Lost("the answer is lost", sent=True) if len(heard) == 1 else heard[-1]

    monkeypatch.setattr(wire, "exchange", losing)
    run = client.submit_workflow(diamond())
    assert run.created
    assert [reply.status for reply in heard] == [201, 200]
    assert [found.id for found in client.workflows()] == [run.id]


def test_a_failed_step_is_raised_with_what_it_failed_of(client: Client, working) -> None:
    wf = Workflow("bad")
    bad = wf.options(id="bad", max_attempts=1).step("spoil", text="no luck")
    wf.options(id="after", after=[bad]).step("echo")
    with working(), pytest.raises(WorkflowFailed, match="its step bad failed: DataError: no luck") as failed:
        client.submit_workflow(wf).result(timeout=60)
    assert failed.value.step == "bad"
    assert getattr(failed.value.error, "category", None) == "data"


def test_a_run_is_repeated_with_other_params(client: Client, working) -> None:
    form: dict[str, Any] = {
        "name": "two",
        "steps": [
            {"id": "good", "job_type": "echo", "params": {"n": 1}},
            {"id": "bad", "job_type": "spoil", "params": {"text": "no luck"}, "depends_on": ["good"]},
        ],
        "output": "{{ steps.good.result }}",
    }
    with working():
        run = client.submit_workflow(form)
        assert run.wait(timeout=60).state == "failed"
        with pytest.raises(InvalidWorkflow):
            run.rerun("from_step", from_step="nowhere")
        again = run.rerun("from_step", from_step="bad", params={"bad": {"text": "still none"}})
        assert (again.generation, again.steps) == (2, ["bad"])
        with pytest.raises(WorkflowFailed, match="still none"):
            run.result(timeout=60)
        assert run.rerun("all", params={"good": {"n": 2}}).steps == ["good", "bad"]
        info = run.wait(timeout=60)
    assert (info.generation, info.step("good").result) == (3, {"n": 2})


def test_a_word_is_taken_once_and_may_come_early(client: Client, working) -> None:
    early = client.submit_workflow(asking())
    assert early.signal("ask", "approve", data={"by": "post"}).verdict == "kept"
    with working():
        assert early.wait(timeout=60).step("then").result == {"said": "approve", "data": {"by": "post"}}
        run = client.submit_workflow(asking())
        step = eventually_waits(client, run.id)
        assert step
        assert step.prompt == "Shall we?"
        assert run.signal("ask", "reject", by="ann", reason="no money").verdict == "taken"
        with pytest.raises(WorkflowFailed, match="its step ask failed"):
            run.result(timeout=60)
        answer = run.info().step("ask").answer
        assert run.signal("ask", "reject", by="ann").verdict == "repeated"
        with pytest.raises(Conflict):
            run.signal("ask", "approve")
    assert answer
    assert (answer.decision, answer.by) == ("reject", "ann")


def test_which_items_failed_and_why(client: Client, working) -> None:
    form = {"name": "w", "steps": [{"id": "each", "job_type": "add", "map": {"over": [1, "x", "y"]},
                                    "params": {"left": "{{ item }}", "right": 1}}]}  # fmt: skip
    with working():
        run = client.submit_workflow(form)
        run.wait(timeout=60)
    page = run.step("each")
    assert [(item.index, item.state) for item in page.items] == [(0, "completed"), (1, "failed"), (2, "failed")]
    assert page.items[1].error
    assert page.items[1].error.category == "data"
    assert client.job(page.items[1].job_id).info().state == "dead"
    first = run.step("each", state=["failed", "cancelled"], limit=1)
    assert [item.index for item in first.items] == [1]
    assert [item.index for item in run.step("each", state="failed", cursor=first.next_cursor).items] == [2]
    assert page.error
    assert "items[1]: DataError" in page.error.message


def test_lists_over_workflows(client: Client, working) -> None:
    inner = Workflow("inner")
    inner.options(id="ask").approval("Shall we?")
    outer = Workflow("outer")
    outer.options(id="mid").workflow(inner)
    with working():
        run = client.submit_workflow(outer)

        async def asked() -> bool:
            return any(one.workflow == "inner" for one in client.approvals())

        asyncio.run(eventually(asked))
        [child] = [one.id for one in client.workflows(within=run.id)]
        [approval] = [one for one in client.approvals() if one.workflow_id == child]
        assert (approval.step, approval.prompt) == ("ask", "Shall we?")
        assert [job.id for job in client.jobs(workflow=child)] == [approval.job_id]
        assert child in {one.id for one in client.workflows(nested=True)}
        assert child not in {one.id for one in client.workflows(nested=False)}
        client.workflow(child).signal("ask", "approve")
        run.wait(timeout=60)
    assert child not in {one.workflow_id for one in client.approvals()}


def eventually_waits(client: Client, workflow_id: str) -> StepInfo | None:
    """The approval step, once it waits for a word."""

    def look() -> StepInfo | None:
        return next((step for step in client.get_workflow(workflow_id).steps if step.state == "waiting"), None)

    return asyncio.run(eventually(look))


def test_what_runs_is_paused_resumed_and_cancelled(client: Client, working) -> None:
    run = client.submit_workflow(diamond())
    assert run.pause("lunch").paused
    assert run.info().paused
    assert not run.resume().paused
    with pytest.raises(WaitTimeout, match="goes on"):
        run.result(timeout=0.3)
    with pytest.raises(Conflict):
        run.delete()
    assert run.cancel("not needed").ending == "cancelled"
    with working(), pytest.raises(WorkflowCancelled):
        run.result(timeout=60)
    with pytest.raises(Conflict):
        run.pause()
    run.delete()
    with pytest.raises(NotFound):
        run.info()


def test_why_it_waits_is_explained(client: Client) -> None:
    run = client.submit_workflow(diamond())
    explained = run.explain()
    steps = {step.id: step for step in explained.steps}
    assert explained.text
    assert steps["bottom"].waits_for
    assert "worker" in steps["top"].text


def test_pages_of_workflows_follow_each_other_without_a_gap(client: Client, partitions: int) -> None:
    ids = [client.submit_workflow(asking(f"w{n % 2}")).id for n in range(7)]
    listed = [found.id for found in client.workflows(limit=3)]
    assert sorted(listed) == sorted(ids)
    if partitions == 1:
        assert listed == ids[::-1], "the newest first"
    assert {found.id for found in client.workflows(name="w1", limit=2)} == set(ids[1::2])
    client.cancel_workflow(ids[0])
    assert [found.id for found in client.workflows(state="cancelled")] == ids[:1]
    assert {found.id for found in client.workflows(state=["running", "cancelled"])} == set(ids)
    assert list(client.workflows(created_before=1_000_000_000)) == []
    page = client.list_workflows(limit=2)
    assert [found.steps for found in page.items] == [2, 2]
    assert client.list_workflows(limit=2, cursor=page.next_cursor).items[0].id == listed[2]


def test_mistakes_are_told_with_their_places(client: Client) -> None:
    circle = {"name": "c", "steps": [{"id": "a", "job_type": "x", "depends_on": ["b"]},
                                     {"id": "b", "job_type": "x", "depends_on": ["a"]}]}  # fmt: skip
    with pytest.raises(InvalidWorkflow) as refused:
        client.submit_workflow(circle)
    assert all(pointer.startswith("/steps/") for pointer, _ in refused.value.errors)
    answer = client.dry_run_workflow(circle)
    assert not answer.valid
    assert {(mistake.pointer, mistake.detail) for mistake in answer.errors} == set(refused.value.errors)
    with pytest.raises(InvalidJob, match="stepz"):
        client.submit_workflow({"name": "c", "stepz": []})
    with pytest.raises(InvalidJob):
        client.submit_workflow("{no json")
    assert list(client.workflows()) == []


def test_a_dry_run_shows_the_plan_and_writes_nothing(client: Client) -> None:
    answer = client.dry_run_workflow(diamond())
    assert answer.valid
    assert [sorted(level) for level in answer.levels] == [["top"], ["left", "right"], ["bottom"]]
    assert (len(answer.longest_path), answer.steps, answer.job_types) == (3, 4, ["echo"])
    assert [(one.job_type, one.queue) for one in answer.unserved] == [("echo", "default")]
    assert list(client.workflows()) == []


def test_what_is_not_there(client: Client) -> None:
    run = client.workflow(ABSENT)
    for act in (run.info, run.wait, run.result, run.explain, run.cancel, run.rerun, run.delete):
        with pytest.raises(NotFound):
            act()
    with pytest.raises(NotFound):
        run.signal("ask", "approve")


@pytest.fixture
def closed(valkey: str, namespace: str, partitions: int, tmp_path: Path) -> Iterator[str]:
    """An API that asks for a login; its token is in the data directory."""
    with running_api(valkey, namespace=namespace, partitions=partitions, auth="on", data_dir=str(tmp_path)) as url:
        yield url


def test_a_key_sees_and_does_what_it_may(closed: str, tmp_path: Path, working) -> None:
    with Client(closed, (tmp_path / "token").read_text().strip()) as owner:
        reader = owner.create_key("reader", ["read"]).key
        mailer = owner.create_key("mailer", ["submit:mail"]).key
        with working():
            run = owner.submit_workflow(diamond())
            assert run.result(timeout=60) == OUTCOME
    with Client(closed, reader) as client:
        info = client.get_workflow(run.id)
        assert (info.hidden, info.output, info.input) == (True, None, None)
        assert (info.step("top").inputs, info.step("top").result) == (None, None)
        with pytest.raises(Forbidden, match="payload"):
            client.workflow(run.id).result(timeout=5)
        with pytest.raises(Forbidden):
            client.workflow(run.id).cancel()
    with Client(closed, mailer) as client, pytest.raises(Forbidden, match="default"):
        client.submit_workflow(diamond())
