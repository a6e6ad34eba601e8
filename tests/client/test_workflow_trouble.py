"""What the clients do about workflows when things go wrong: what is sent again, what is sent, and what is raised."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from scripted import HANG_UP, Scripted, problem

from boltq import DataError, InvalidJob, StoreUnavailable, WaitTimeout, Workflow, WorkflowCancelled, WorkflowFailed
from boltq.client import AsyncClient, Client, Forbidden, ServerUnavailable, WorkflowRun, talk
from boltq.domain.workflow.form import as_json, read_form
from boltq.domain.workflow.mistakes import InvalidWorkflow

ID = "01M80000000000000000000000"
SUBMITTED = (201, {}, {"id": ID, "name": "one", "state": "running", "created": True, "steps": 1, "warnings": []})
FORM = {"name": "one", "steps": [{"job_type": "echo"}]}
KEYED = {**FORM, "idempotency_key": "mine"}
MOMENT = "2030-01-01T00:00:00.000Z"


@pytest.fixture
def client(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setattr(talk, "PAUSES", (0.01, 0.01))
    with Client(server.url) as opened:
        yield opened


@pytest.fixture
def run(client: Client) -> WorkflowRun:
    return client.workflow(ID)


def ended(state: str, **more: Any) -> tuple[int, dict[str, str], Any]:
    about = {"id": ID, "name": "one", "state": state, "created_at": MOMENT, "since": MOMENT, "steps": []}
    return 200, {}, {**about, **more}


# What is sent


def test_a_submission_whose_answer_was_lost_is_sent_again_under_the_same_key(server: Scripted, client: Client) -> None:
    server.says(HANG_UP, problem(503, "store-unavailable"), (200, {}, {**SUBMITTED[2], "created": False}))
    assert client.submit_workflow(FORM).created, "nobody else has that key, so it was this submission"
    assert len(server.asked) == 3
    assert len({asked.headers["idempotency-key"] for asked in server.asked}) == 1
    assert [asked.body for asked in server.asked] == [FORM] * 3


async def test_the_asynchronous_client_does_the_same(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk, "PAUSES", (0.01, 0.01))
    server.says(HANG_UP, SUBMITTED)
    async with AsyncClient(server.url) as client:
        assert (await client.submit_workflow(FORM)).created
    assert len({asked.headers["idempotency-key"] for asked in server.asked}) == 1
    assert len(server.asked) == 2


def test_a_key_of_ones_own_is_kept_and_may_have_been_there(server: Scripted, client: Client) -> None:
    server.says((200, {}, {**SUBMITTED[2], "created": False}))
    runs = [
        client.submit_workflow(KEYED),
        client.submit_workflow(FORM, idempotency_key="given"),
        client.submit_workflow(FORM),
    ]
    assert [run.created for run in runs] == [False, False, True]
    own, given, made = server.asked
    assert "idempotency-key" not in own.headers
    assert own.body["idempotency_key"] == "mine"
    assert given.headers["idempotency-key"] == "given"
    assert made.headers["idempotency-key"] not in {"", "given"}


def test_every_way_to_write_a_workflow_is_the_same_workflow(server: Scripted, client: Client) -> None:
    text = '{"name":"one","steps":[{"id":"echo","job_type":"echo","params":{"n":12345678901234567890,"z":0,"a":1}}]}'
    server.says(SUBMITTED)
    for workflow in (text, read_form(text)):
        client.submit_workflow(workflow)
    written = Workflow("one")
    written.step("echo", n=12345678901234567890, z=0, a=1)
    client.submit_workflow(written)
    sent = [json.dumps(asked.body, separators=(",", ":")) for asked in server.asked]
    assert [as_json(read_form(body)) for body in sent] == [as_json(read_form(text))] * 3


def test_what_is_no_json_is_not_sent_and_text_goes_as_it_is(server: Scripted, client: Client) -> None:
    with pytest.raises(InvalidWorkflow, match="not JSON"):
        client.submit_workflow({"name": "one", "steps": [object()]})
    assert server.asked == []
    with pytest.raises(InvalidWorkflow):
        client.rerun_workflow(ID, params={"a": {"b": object()}})
    assert server.asked == []


def test_a_dry_run_says_so_and_has_no_key(server: Scripted, client: Client) -> None:
    server.says((200, {}, {"valid": False, "errors": [{"pointer": "/steps/0/id", "detail": "no"}], "levels": []}))
    answer = client.dry_run_workflow(KEYED)
    assert not answer.valid
    assert [(mistake.pointer, mistake.detail) for mistake in answer.errors] == [("/steps/0/id", "no")]
    assert server.asked[0].path == "/api/v1/workflows/dry-run"
    assert "idempotency-key" not in server.asked[0].headers


def test_words_that_are_not_given_are_not_sent(server: Scripted, run: WorkflowRun) -> None:
    server.says((200, {}, {"id": ID, "step": "ask", "verdict": "taken"}))
    run.signal("ask", "approve")
    run.signal("ask/2", "reject", data=False, by="ann", reason="no money")
    assert [asked.body for asked in server.asked] == [
        {"decision": "approve"},
        {"decision": "reject", "data": False, "by": "ann", "reason": "no money"},
    ]
    assert server.asked[1].path.endswith("/signals/ask%2F2")
    server.says((200, {}, {"id": ID, "state": "running", "generation": 2, "steps": ["a"]}))
    assert run.rerun("from_step", from_step="a", params={"a": {"n": 2}}).generation == 2
    assert server.asked[2].body == {"mode": "from_step", "from_step": "a", "params": {"a": {"n": 2}}}


@pytest.mark.parametrize("act", ["rerun", "delete"])
def test_what_must_not_happen_twice_is_not_sent_again(server: Scripted, run: WorkflowRun, act: str) -> None:
    server.says(HANG_UP)
    with pytest.raises(ServerUnavailable, match="the outcome is unknown"):
        getattr(run, act)()
    assert len(server.asked) == 1


def test_what_is_the_same_when_it_comes_twice_is_sent_again(server: Scripted, run: WorkflowRun) -> None:
    standing = (200, {}, {"id": ID, "state": "running", "paused": True})
    for act in (run.cancel, run.pause, run.resume):
        server.says(HANG_UP, standing)
        assert act("because").state == "running"
    server.says(HANG_UP, (200, {}, {"id": ID, "step": "ask", "verdict": "repeated"}))
    assert run.signal("ask", "approve").verdict == "repeated"
    assert len(server.asked) == 8


# What is raised


def test_mistakes_of_a_workflow_are_those_of_a_workflow(server: Scripted, client: Client) -> None:
    server.says(problem(422, "invalid", errors=[{"pointer": "/steps/1/depends_on", "detail": "a circle: a, b"}]))
    for refused in (
        lambda: client.submit_workflow(FORM),
        lambda: client.dry_run_workflow(FORM),
        lambda: client.rerun_workflow(ID),
    ):
        with pytest.raises(InvalidWorkflow) as found:
            refused()
        assert found.value.errors == [("/steps/1/depends_on", "a circle: a, b")]
    with pytest.raises(InvalidJob) as of_a_job:
        client.submit("echo")
    assert not isinstance(of_a_job.value, InvalidWorkflow)


def test_a_result_is_the_output(server: Scripted, run: WorkflowRun) -> None:
    server.says(problem(503, "store-unavailable"), ended("completed", output={"n": 12345678901234567890}))
    assert run.result(timeout=5) == {"n": 12345678901234567890}
    assert "wait=" in server.asked[0].path


def test_a_failure_names_the_step_that_had_to_succeed(server: Scripted, run: WorkflowRun) -> None:
    def failed(step: str, **more: Any) -> dict[str, Any]:
        error = {"class": "DataError", "message": f"{step} is bad", "category": "data"}
        return {"id": step, "state": "failed", "error": error, **more}

    steps = [failed("spare", allow_failure=True), {"id": "good", "state": "completed"}, failed("a"), failed("b")]
    server.says(ended("failed", steps=[*steps, failed("after", group="finally")]))
    with pytest.raises(WorkflowFailed, match="its step a failed: DataError: a is bad") as found:
        run.result()
    assert found.value.step == "a"
    assert getattr(found.value.error, "message", "") == "a is bad"
    server.says(ended("failed", ending="timed_out"))
    with pytest.raises(WorkflowFailed, match="ran out of time") as late:
        run.result()
    assert (late.value.step, late.value.error) == ("", None)


def test_an_end_without_an_output_says_why(server: Scripted, run: WorkflowRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk, "LONGEST_AWAY", 0.0)
    server.says(ended("cancelled", ending="cancelled"))
    with pytest.raises(WorkflowCancelled, match=ID):
        run.result()
    server.says(ended("completed", output_error="steps.a.result.x is not there"))
    with pytest.raises(DataError, match=r"steps\.a\.result\.x"):
        run.result()
    server.says(ended("completed", hidden=True))
    with pytest.raises(Forbidden, match="payload"):
        run.result()
    server.says(problem(503, "store-unavailable"))
    with pytest.raises(StoreUnavailable):
        run.result()


def test_waiting_ends_in_time_and_is_no_storm(
    server: Scripted, run: WorkflowRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    server.says(ended("running"))
    with pytest.raises(WaitTimeout, match=f"workflow {ID} has not ended within 0.5 s; it goes on"):
        run.wait(timeout=0.5)
    assert min(slept[:-1], default=talk.LOOK_AGAIN) > 0


def test_fields_that_are_not_known_are_ignored(server: Scripted, run: WorkflowRun) -> None:
    server.says(ended("completed", of_the_future=1, steps=[{"id": "a", "state": "completed", "new": [1]}]))
    info = run.info()
    assert (info.step("a").state, info.step("a").result, info.output) == ("completed", None, None)
    with pytest.raises(KeyError):
        info.step("b")
