"""What people do to a workflow over HTTP: cancel, pause, resume, rerun, answer, delete; and that it is noted."""

import pkgutil
import threading

import httpx
import pytest
from asking_workflows import JSON, PATH, ended, form, mistakes, step, steps_of, submit
from crews import HELD
from waiting import eventually

from boltq.broker.audit_log import AuditLog
from boltq.domain.ids import new_id
from boltq.domain.outcome import Completed

pytestmark = pytest.mark.usefixtures("crew")


def act(http, workflow, verb, **body):
    return http.post(f"{PATH}/{workflow}/{verb}", json=body)


def shown(http, workflow):
    return http.get(f"{PATH}/{workflow}").json()


def states(view):
    return {one["id"]: one["state"] for one in view["steps"]}


def actions(view):
    return {one["name"] for one in view["actions"] if one["allowed"]}


def conflict(answer, *words):
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:boltq:problem:conflict"), answer.text
    for word in words:
        assert word in answer.json()["detail"]
    return answer.json()


async def until(http, workflow, **wanted):
    """The workflow once its steps stand so."""

    def look():
        view = shown(http, workflow)
        return view if wanted.items() <= states(view).items() else None

    return await eventually(look)


async def entries(desk, target) -> list[tuple]:
    page = await AuditLog(desk).page(limit=200)
    return [(one.action, one.by, one.reason) for one in page.entries if one.target == target]


# Cancel, pause, resume


async def test_cancel(http, desk, run_one):
    workflow = submit(http, step("a", queue="nobody"), step("b", "a"), **{"finally": [step("last", queue="by-hand")]})
    answer = act(http, workflow, "cancel", reason="not needed")
    assert answer.status_code == 202  # `finally` runs
    assert (answer.json()["state"], answer.json()["ending"]) == ("running", "cancelled")
    assert actions(answer.json()) == {"pause"}
    assert http.get(f"{PATH}/{workflow}/explain").json()["text"].startswith("it is being ended (cancelled)")
    assert act(http, workflow, "cancel").status_code == 202
    await run_one("by-hand", Completed("1"))
    view = ended(http, workflow)
    assert (view["state"], view["ending"]) == ("cancelled", "cancelled")
    assert states(view) == {"a": "cancelled", "b": "cancelled", "last": "completed"}
    again = act(http, workflow, "cancel")
    assert (again.status_code, again.json()["state"]) == (200, "cancelled")
    assert ("workflow.cancel", "local", "not needed") in await entries(desk, workflow)


async def test_cancel_stops_what_runs(http):
    HELD.clear()
    workflow = submit(http, step("a", job_type="hold"))
    await until(http, workflow, a="running")
    assert act(http, workflow, "cancel").status_code in {200, 202}  # its worker may have been quick
    assert states(ended(http, workflow)) == {"a": "cancelled"}


def test_cancel_of_what_only_waits_ends_it_at_once(http):
    workflow = submit(http, step("a", queue="nobody"))
    answer = act(http, workflow, "cancel")
    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    assert actions(answer.json()) == {"rerun", "delete"}


async def test_pause_and_resume(http, desk):
    workflow = submit(http, step("a", queue="nobody"), step("b"), step("c", "b"))
    workflow_2 = submit(http, step("x", approval={}), step("y", "x"))
    await until(http, workflow_2, x="waiting")
    answer = act(http, workflow_2, "pause", reason="wait")
    assert (answer.status_code, answer.json()["paused"], actions(answer.json())) == (200, True, {"cancel", "resume"})
    assert act(http, workflow_2, "pause").status_code == 200
    act(http, workflow_2, "signals/x", decision="approve")
    view = await until(http, workflow_2, x="completed", y="queued")
    assert view["paused"] is True
    assert steps_of(view)["y"]["why"] == "the workflow is paused"
    explained = http.get(f"{PATH}/{workflow_2}/explain").json()
    assert explained["text"].startswith("it is paused")
    assert [one["code"] for one in explained["steps"]] == ["paused"]
    answer = act(http, workflow_2, "resume")
    assert (answer.status_code, answer.json()["paused"]) == (200, False)
    assert ended(http, workflow_2)["state"] == "completed"
    noted = await entries(desk, workflow_2)
    assert ("workflow.pause", "local", "wait") in noted
    assert ("workflow.resume", "local", "") in noted
    act(http, workflow, "cancel")


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_what_has_ended_is_not_steered(http, verb):
    workflow = submit(http, step("a"))
    ended(http, workflow)
    problem = conflict(act(http, workflow, verb), "completed")
    assert (problem["id"], problem["state"]) == (workflow, "completed")
    assert {one["name"] for one in problem["actions"] if one["allowed"]} == {"rerun", "delete"}
    conflict(act(http, workflow, "cancel"), "completed")


# Rerun


async def test_what_failed_is_run_again_with_other_params(http, desk):
    workflow = submit(
        http,
        step("good", job_type="give", params={"value": 1}),
        step("bad", "good", job_type="add", params={"left": "{{ steps.good.result }}", "right": "{{ input.n }}"}),
        step("after", "bad", job_type="give", params={"value": "{{ steps.bad.result }}"}),
        input={"n": "no number"},
        output="{{ steps.after.result }}",
    )
    view = ended(http, workflow)
    assert (view["state"], states(view)["good"], states(view)["bad"]) == ("failed", "completed", "failed")
    first = steps_of(view)["good"]["job_id"]
    big = 12345678901234567890123
    body = f'{{"params":{{"bad":{{"left":{big},"right":"{{{{ steps.good.result }}}}"}}}},"reason":"fixed"}}'
    answer = http.post(f"{PATH}/{workflow}/rerun", content=body, headers=JSON)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["id"], found["generation"], found["steps"]) == (workflow, 2, ["bad", "after"])
    assert found["state"] in {"running", "completed"}  # its worker may have been quick
    view = ended(http, workflow)
    assert (view["state"], view["generation"], view["output"]) == ("completed", 2, big + 1)
    assert steps_of(view)["good"]["job_id"] == first
    assert ("workflow.rerun", "local", "fixed") in await entries(desk, workflow)


def test_the_modes_of_a_rerun(http):
    workflow = submit(http, step("a"), step("b", "a"), step("c", "b"))
    ended(http, workflow)
    conflict(act(http, workflow, "rerun"), "nothing")
    assert act(http, workflow, "rerun", mode="from_step", from_step="b").json()["steps"] == ["b", "c"]
    ended(http, workflow)
    assert act(http, workflow, "rerun", mode="all").json()["steps"] == ["a", "b", "c"]
    assert ended(http, workflow)["generation"] == 3


@pytest.mark.parametrize(
    ("body", "pointer", "word"),
    [
        ({"mode": "some"}, "/mode", "use all, failed_only, failed_and_downstream, from_step"),
        ({"mode": "from_step"}, "/from_step", "required"),
        ({"mode": "from_step", "from_step": "zzz"}, "/from_step", "no step"),
        ({"mode": "all", "from_step": "bad"}, "/from_step", "only with"),
        ({"params": {"zzz": {}}}, "/params/zzz", "no such step"),
        ({"params": {"good": {}}}, "/params/good", "does not begin anew"),
        ({"params": {"bad": []}}, "/params/bad", "object"),
        ({"params": {"bad": {"left": "{{ steps.zzz.result }}", "right": 1}}}, "/params/bad/left", "no step"),
        ({"params": {"bad": {"left": "x", "right": 1}}}, "/params/bad/left", "integer"),
        ({"params": {"bad": {"left": 1}}}, "/params/bad/right", "required"),
        ({"params": {"bad": {"left": 1, "right": 1}}, "reason": "x" * 501}, "/reason", "at most"),
        ({"colour": "red"}, "/colour", "unknown"),
    ],
)
def test_a_bad_rerun_is_named_and_changes_nothing(http, body, pointer, word):
    workflow = submit(http, step("good"), step("bad", "good", job_type="spoil"), step("then", "good", job_type="add",
                      params={"left": "{{ steps.good.state }}", "right": 1}, when="false"))  # fmt: skip
    if "bad" in str(body):
        workflow = submit(http, step("good"), step("bad", "good", job_type="add",
                          params={"left": "{{ steps.good.state }}", "right": 1}))  # fmt: skip
    before = ended(http, workflow)
    found = mistakes(act(http, workflow, "rerun", **body))
    assert list(found) == [pointer]
    assert word in found[pointer]
    assert shown(http, workflow) == before


def test_a_sub_workflow_has_no_form_of_its_own(http):
    workflow = submit(http, step("inner", workflow=form(step("x"))))
    inner = steps_of(ended(http, workflow))["inner"]["workflow_id"]
    shown_with_form = http.get(f"{PATH}/{inner}", params={"form": True})
    assert shown_with_form.json()["form"] is None
    answer = act(http, inner, "rerun", mode="all", params={"x": {"n": 1}})
    assert "no form of its own" in mistakes(answer)["/params"]
    assert act(http, inner, "rerun", mode="all").json()["steps"] == ["x"]


def test_what_runs_is_not_run_again(http):
    workflow = submit(http, step("a", queue="nobody"))
    conflict(act(http, workflow, "rerun"))
    conflict(act(http, workflow, "rerun", params={"a": {}}), "has not ended")


def test_other_params_need_the_right_to_submit(http, keyed):
    workflow = submit(http, step("a", job_type="spoil", queue="work"))
    ended(http, workflow)
    with keyed("operate") as client:
        assert act(client, workflow, "rerun", params={"a": {"text": "x"}}).status_code == 403
        assert act(client, workflow, "rerun").status_code == 200
    ended(http, workflow)
    with keyed("operate", "submit:work") as client:
        assert act(client, workflow, "rerun", params={"a": {"text": "y"}}).status_code == 200
    assert steps_of(ended(http, workflow))["a"]["inputs"] == {"text": "y"}


def test_other_params_need_the_right_for_every_queue_of_a_sub_workflow(http, keyed):
    inner = form(step("x"), step("y", workflow=form(step("z", queue="nobody"))))
    workflow = submit(http, step("first", queue="nobody"), step("s", "first", workflow=inner), queue="work")
    act(http, workflow, "cancel")
    for scopes, status in ((["submit:work"], 403), (["submit:nobody"], 403), (["submit:work", "submit:nobody"], 200)):
        with keyed("operate", *scopes) as client:
            answer = act(client, workflow, "rerun", mode="all", params={"s": {"n": 1}})
        assert answer.status_code == status, answer.text
    act(http, workflow, "cancel")


@pytest.mark.parametrize(
    "place", ["boltq.broker.workflows.reruns.compile_workflow", "boltq.server.workflows.actions.form_of"]
)
def test_others_are_answered_while_large_params_are_compiled(http, api, monkeypatch, place):
    workflow = submit(http, step("a", queue="nobody"))
    act(http, workflow, "cancel")
    begun, others, answers = threading.Event(), threading.Event(), []
    original = pkgutil.resolve_name(place)

    def slow(given):
        begun.set()
        assert others.wait(60), "nobody else was answered"
        return original(given)

    monkeypatch.setattr(place, slow)
    body = {"mode": "all", "params": {"a": {"text": "x" * (32 << 10)}}}
    url = f"{api}{PATH}/{workflow}/rerun"
    asking = threading.Thread(target=lambda: answers.append(httpx.post(url, json=body, timeout=90)))
    asking.start()
    assert begun.wait(60)
    assert http.get(PATH).status_code == 200
    others.set()
    asking.join()
    assert [answer.status_code for answer in answers] == [200]
    act(http, workflow, "cancel")


# Answers


async def test_an_answer_is_taken_once(http, desk):
    workflow = submit(http, step("ask", approval={"prompt": "go?"}), output="{{ steps.ask.result }}")
    view = await until(http, workflow, ask="waiting")
    assert steps_of(view)["ask"]["prompt"] == "go?"
    assert steps_of(view)["ask"]["why"] == "it waits for a person's answer: go?"
    body = '{"decision":"approve","data":{"n":12345678901234567890123,"e":[]},"reason":"looks fine"}'
    answer = http.post(f"{PATH}/{workflow}/signals/ask", content=body, headers=JSON)
    assert (answer.status_code, answer.json()) == (200, {"id": workflow, "step": "ask", "verdict": "taken"})
    view = ended(http, workflow)
    assert view["output"] == {
        "decision": "approve", "by": "local", "data": {"n": 12345678901234567890123, "e": []}, "timed_out": False,
    }  # fmt: skip
    assert '"n":12345678901234567890123,"e":[]' in http.get(f"{PATH}/{workflow}").text
    same = '{"decision":"approve", "data":{"e":[],  "n":12345678901234567890123}}'  # however it is written
    again = http.post(f"{PATH}/{workflow}/signals/ask", content=same, headers=JSON)
    assert (again.status_code, again.json()["verdict"]) == (200, "repeated")
    conflict(act(http, workflow, "signals/ask", decision="reject"), "local has answered", "approve")
    data = {"n": 12345678901234567890123, "e": []}
    for other in ({}, {"data": {**data, "e": [0]}}, {"data": data, "by": "bob"}):
        conflict(act(http, workflow, "signals/ask", decision="approve", **other), "local has answered", "approve")
    assert steps_of(shown(http, workflow))["ask"]["answer"]["by"] == "local"
    assert ("workflow.approve", "local", "looks fine") in await entries(desk, f"{workflow}/ask")


def test_an_answer_may_come_early(http):
    workflow = submit(http, step("first", queue="nobody-early"), step("ask", "first", approval={}))
    answer = act(http, workflow, "signals/ask", decision="reject", by="ann")
    assert (answer.status_code, answer.json()["verdict"]) == (200, "kept")
    assert steps_of(shown(http, workflow))["ask"]["answer"] == {
        "decision": "reject", "data": None, "by": "ann", "timed_out": False,
    }  # fmt: skip
    act(http, workflow, "cancel")
    later = submit(http, step("ask", approval={}, when="false"))
    ended(http, later)
    conflict(act(http, later, "signals/ask", decision="approve"), "skipped", "no answer")


def test_who_answers_is_known_by_the_key(http, keyed):
    workflow = submit(http, step("first", queue="nobody-early"), step("ask", "first", approval={}))
    with keyed("operate") as client:
        assert act(client, workflow, "signals/ask", decision="approve").status_code == 200
    assert steps_of(shown(http, workflow))["ask"]["answer"]["by"].startswith("key-")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/decision"),
        ({"decision": "maybe"}, "/decision"),
        ({"decision": "approve", "by": "x" * 101}, "/by"),
        ({"decision": "approve", "by": "a\nb"}, "/by"),
        ({"decision": "approve", "more": 1}, "/more"),
    ],
)
def test_a_bad_answer_is_named(http, body, pointer):
    workflow = submit(http, step("first", queue="nobody-early"), step("ask", "first", approval={}))
    assert list(mistakes(act(http, workflow, "signals/ask", **body))) == [pointer]
    assert steps_of(shown(http, workflow))["ask"]["answer"] is None


def test_only_a_step_that_asks_takes_an_answer(http):
    workflow = submit(http, step("a", queue="nobody"))
    for name in ("a", "zzz", "%2e%2e"):
        answer = act(http, workflow, f"signals/{name}", decision="approve")
        assert answer.status_code == 404, name


# Delete


async def test_delete(http, desk):
    workflow = submit(http, step("a", params={"x": 1}), step("b", "a", workflow=form(step("x"))))
    view = ended(http, workflow)
    jobs = [one["job_id"] for one in view["steps"]]
    answer = http.delete(f"{PATH}/{workflow}", headers={"X-BoltQ-Reason": "tidy"})
    assert (answer.status_code, answer.content) == (204, b"")
    assert http.get(f"{PATH}/{workflow}").status_code == 404
    assert http.delete(f"{PATH}/{workflow}").status_code == 404
    assert workflow not in http.get(PATH, params={"limit": 200}).text
    await eventually(lambda: [http.get(f"/api/v1/jobs/{job}").status_code for job in jobs] == [404, 404])
    assert ("workflow.delete", "local", "tidy") in await entries(desk, workflow)


async def test_a_sub_workflow_goes_with_its_workflow_until_it_is_let_go(http, desk):
    """As many earlier ones are after a rerun: its parent is known, but it is kept by itself."""
    workflow = submit(http, step("a", workflow=form(step("x"), name="let go")))
    inner = steps_of(ended(http, workflow))["a"]["workflow_id"]
    for view in (shown(http, inner), *http.get(PATH, params={"name": "let go"}).json()["items"]):
        reasons = {one["name"]: one["reason"] for one in view["actions"]}
        assert reasons["delete"] == f"it is part of workflow {workflow}: delete that"
    problem = conflict(http.delete(f"{PATH}/{inner}"), "part of")
    assert "delete" not in actions(problem)
    place = f"{desk.layout.prefix(desk.layout.of_id(inner))}workflow:{inner}"
    assert await desk.redis.hdel(place, "within") == 1
    assert shown(http, inner)["parent_job"]
    assert "delete" in actions(shown(http, inner))
    assert http.delete(f"{PATH}/{inner}").status_code == 204


def test_what_runs_is_not_deleted(http):
    workflow = submit(http, step("a", queue="nobody"))
    conflict(http.delete(f"{PATH}/{workflow}"), "cancel it first")
    assert shown(http, workflow)["state"] == "running"


@pytest.mark.parametrize(
    ("method", "path"),
    [*[("POST", verb) for verb in ("cancel", "pause", "resume", "rerun", "signals/a")], ("DELETE", "")],
)
def test_what_is_not_there(http, keyed, method, path):
    body = {"decision": "approve"} if "signals" in path else {}
    for workflow in (new_id(0), "nothing"):
        answer = http.request(method, f"{PATH}/{workflow}/{path}".rstrip("/"), json=body)
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:boltq:problem:not-found")
    with keyed("read", "submit") as client:
        answer = client.request(method, f"{PATH}/{new_id(0)}/{path}".rstrip("/"), json=body)
        assert answer.status_code == 403


# The job of a step


async def test_a_steps_job_is_not_run_again_by_itself(http):
    workflow = submit(http, step("bad", job_type="spoil"))
    job = steps_of(ended(http, workflow))["bad"]["job_id"]
    for verb in ("replay", "retry"):
        problem = conflict(http.post(f"/api/v1/jobs/{job}/{verb}"), f"step of the workflow {workflow}", "rerun")
        assert "replay" not in actions(problem)
    listed = [http.get(f"/api/v1/{place}", params={"limit": 200}).json()["items"] for place in ("jobs", "dead-letters")]
    found = [one for items in listed for one in items if one["id"] == job]
    assert len(found) == 2
    for view in (http.get(f"/api/v1/jobs/{job}").json(), *found):
        replay = next(one for one in view["actions"] if one["name"] == "replay")
        assert (replay["allowed"], replay["reason"]) == (False, f"it is a step of workflow {workflow}: rerun that")
    waiting = submit(http, step("a", queue="nobody"), step("b", "a"))
    blocked = steps_of(shown(http, waiting))["b"]["job_id"]
    conflict(http.delete(f"/api/v1/jobs/{blocked}"), f"step of the workflow {waiting}", "cancel")
    problem = conflict(http.patch(f"/api/v1/jobs/{blocked}", json={"priority": 2}), "blocked")
    assert "its workflow" in next(one for one in problem["actions"] if one["name"] == "edit")["reason"]
    why = http.get(f"/api/v1/jobs/{blocked}").json()["why"]
    assert (why["code"], waiting in why["text"]) == ("blocked", True)


def test_what_a_step_is_given_comes_from_its_workflow(http):
    """Its job has the right of way changed, but not its data; and it says itself what may be done to it."""
    workflow = submit(http, step("one", queue="nobody"), step("two", "one", job_type="give", params={"value": 1}))
    job = http.get(f"{PATH}/{workflow}").json()["steps"][0]["job_id"]
    place = f"/api/v1/jobs/{job}"
    refused = http.patch(place, json={"data": {"a": 1}})
    assert (refused.status_code, refused.json()["detail"]) == (
        409,
        f"it is a step of the workflow {workflow}: rerun, cancel or delete that",
    )
    assert http.patch(place, json={"priority": "high"}).status_code == 200
    actions = {one["name"]: one["reason"] for one in http.get(place).json()["actions"] if not one["allowed"]}
    assert actions["delete"] == f"it is a step of workflow {workflow}: cancel that"
    assert http.delete(place).status_code == 409


def test_an_earlier_run_is_shown_as_it_ended(http):
    bad = step("bad", job_type="add", params={"left": "{{ input.x }}", "right": 1})
    workflow = submit(http, step("good", params={"n": 1}), bad, input={"x": "x"}, on_failure_policy="continue")
    before = ended(http, workflow)
    answer = act(http, workflow, "rerun", params={"bad": {"left": 1, "right": 1}})
    assert answer.status_code == 200, answer.text
    now = ended(http, workflow)
    assert (now["state"], now["generation"], now["latest_generation"]) == ("completed", 2, 2)
    found = http.get(f"{PATH}/{workflow}", params={"generation": 1}).json()
    assert (found["state"], found["generation"], found["latest_generation"]) == ("failed", 1, 2)
    assert found["steps"] == before["steps"]
    assert {action["name"] for action in found["actions"] if action["allowed"]} == set()
    page = http.get(f"{PATH}/{workflow}/steps/bad", params={"generation": 1}).json()
    assert (page["state"], page["error"]["category"], page["inputs"]) == ("failed", "data", {"left": "x", "right": 1})
    assert http.get(f"{PATH}/{workflow}", params={"generation": 3}).status_code == 404
    assert http.get(f"{PATH}/{workflow}", params={"generation": 0}).status_code == 422
