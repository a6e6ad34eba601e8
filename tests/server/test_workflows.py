"""Workflows over HTTP: submitting them, what is refused and why, looking at them with all their steps."""

import asyncio
import json
import threading
from typing import Any

import httpx
import pytest
from asking_workflows import JSON, PATH, ended, form, mistakes, step, steps_of, submit
from crews import HELD
from waiting import eventually

from boltq.domain.ids import new_id
from boltq.domain.workflow.compiler import Examined
from boltq.server.http.guard import Headers
from boltq.server.workflows.forms import read_workflow

pytestmark = pytest.mark.usefixtures("crew")

FIRST_DOCUMENTS = (
    '{"name":"Data Processing Pipeline","steps":[{"job_type":"fetch_data","params":'
    '{"url":"https://example.com/data.csv"}},{"job_type":"process_data","params":{"operation":"transform"},'
    '"depends_on":["step-1"]}]}'
)


# Submit


@pytest.mark.parametrize("dry_run", [False, True])
def test_others_are_answered_while_a_large_form_is_compiled(http, api, monkeypatch, dry_run):
    begun, others = threading.Event(), threading.Event()

    def read(body: bytes, headers: Headers) -> Examined:
        begun.set()
        assert others.wait(60), "nobody else was answered"
        return read_workflow(body, headers)

    monkeypatch.setattr("boltq.server.workflows.reading.read_workflow", read)
    answers: list[httpx.Response] = []
    large = form(step("one"), input={"text": "x" * (32 << 10)})
    url, params = f"{api}{PATH}", {"dry_run": dry_run}
    asking = threading.Thread(target=lambda: answers.append(httpx.post(url, json=large, params=params, timeout=90)))
    asking.start()
    assert begun.wait(60)
    assert http.get(PATH).status_code == 200
    others.set()
    asking.join()
    assert [answer.status_code for answer in answers] == [200 if dry_run else 201]


def test_the_form_of_the_first_documents_is_taken_as_it_is(http):
    answer = http.post(PATH, content=FIRST_DOCUMENTS, headers=JSON)
    assert answer.status_code == 201, answer.text
    found = answer.json()
    assert answer.headers["location"] == f"{PATH}/{found['id']}"
    assert (found["name"], found["state"], found["created"], found["steps"]) == (
        "Data Processing Pipeline",
        "running",
        True,
        2,
    )
    assert any("fetch_data" in warning for warning in found["warnings"])
    shown = http.get(answer.headers["location"], params={"form": True})
    assert f'"form":{FIRST_DOCUMENTS}' in shown.text
    view = shown.json()
    assert [(one["id"], one["job_type"], one["depends_on"]) for one in view["steps"]] == [
        ("step-1", "fetch_data", []),
        ("step-2", "process_data", ["step-1"]),
    ]


def test_a_workflow_runs_to_its_end(http):
    workflow = submit(
        http,
        step("one", job_type="give", params={"value": 2}),
        step("two", job_type="give", params={"value": 3}),
        {
            "id": "sum",
            "job_type": "add",
            "params": {"left": "{{ steps.one.result }}", "right": "{{ steps.two.result }}"},
        },
        input={"who": "ann"},
        output={"sum": "{{ steps.sum.result }}", "for": "{{ input.who }}"},
    )
    view = ended(http, workflow)
    assert (view["state"], view["ended"], view["failed"]) == ("completed", 3, 0)
    assert (view["output"], view["output_error"], view["input"]) == ({"sum": 5, "for": "ann"}, None, {"who": "ann"})
    assert (view["generation"], view["paused"], view["ending"], view["form"]) == (1, False, None, None)
    assert view["finished_at"] == view["since"] >= view["created_at"]
    assert view["levels"] == [["one", "two"], ["sum"]]
    found = steps_of(view)
    assert [found[name]["state"] for name in ("one", "two", "sum")] == ["completed"] * 3
    last = found["sum"]
    assert (last["depends_on"], last["level"], last["run_if"]) == (["one", "two"], 1, "all_success")
    assert (last["inputs"], last["result"]) == ({"left": 2, "right": 3}, 5)
    assert last["sources"] == [
        {"pointer": "/left", "reference": "steps.one.result", "step": "one"},
        {"pointer": "/right", "reference": "steps.two.result", "step": "two"},
    ]
    assert (last["job_state"], last["attempts"], last["deliveries"]) == ("completed", 1, 1)
    assert last["worker"]
    assert last["started_at"] <= last["ended_at"]
    assert last["run_ms"] >= 0
    assert found["one"]["sources"] == []


def test_what_is_in_it_comes_through_to_the_byte(http):
    value = '{"z":12345678901234567890123456789,"a":[],"o":{},"f":1.10,"é":"\\u00e9"}'
    text = (
        f'{{"name":"bytes","input":{value},"output":"{{{{ steps.two.result }}}}","steps":['
        f'{{"id":"one","job_type":"give","params":{{"value":{value}}}}},'
        '{"id":"two","job_type":"give","params":{"value":"{{ input }}","n":"{{ steps.one.result.z }}"},'
        '"depends_on":["one"]}]}'
    )
    text = text.replace(',"n":"{{ steps.one.result.z }}"', "")
    answer = http.post(PATH, content=text.encode(), headers=JSON)
    assert answer.status_code == 201, answer.text
    workflow = answer.json()["id"]
    ended(http, workflow)
    shown = http.get(f"{PATH}/{workflow}", params={"form": True}).text
    assert f'"input":{value}' in shown
    assert f'"inputs":{{"value":{value}}}' in shown
    assert text.split('"input":')[1].split(',"output"')[0] in shown
    view = json.loads(shown)
    assert view["state"] == "completed"
    assert steps_of(view)["one"]["result"] == json.loads(value)
    assert view["output"] == json.loads(value)
    assert '"a":[]' in shown.split('"output":')[1]


def test_the_same_key_submits_once(http):
    body, key = form(step("a")), {"Idempotency-Key": "once"}
    first = http.post(PATH, json=body, headers=key)
    ended(http, first.json()["id"])
    again = http.post(PATH, json=body, headers=key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]
    assert (again.json()["created"], again.json()["state"]) == (False, "completed")
    in_body = http.post(PATH, json=body | {"idempotency_key": "once"})
    assert (in_body.status_code, in_body.json()["id"]) == (200, first.json()["id"])
    other = http.post(PATH, json=form(step("b")), headers=key)
    assert (other.status_code, other.json()["type"]) == (409, "urn:boltq:problem:conflict")
    differs = http.post(PATH, json=body | {"idempotency_key": "twice"}, headers=key)
    assert list(mistakes(differs)) == ["/idempotency_key"]
    assert list(mistakes(http.post(PATH, json=body, headers={"Idempotency-Key": ""}))) == ["/idempotency_key"]


def test_what_nobody_runs_is_said(http):
    answer = http.post(PATH, json=form(step("a", job_type="unheard-of"), step("b", queue="nobody-there"), step("c")))
    assert answer.status_code == 201
    first, second = answer.json()["warnings"]
    assert "unheard-of" in first
    assert "nobody-there" in second


@pytest.mark.parametrize(
    ("fields", "pointer", "word"),
    [
        ({"steps": [step("a", "b"), step("b", "a")]}, "/steps/0/depends_on", "a needs b needs a"),
        ({"steps": [step("a", "a")]}, "/steps/0/depends_on/0", "itself"),
        ({"steps": [step("alpha"), step("b", "alpa")]}, "/steps/1/depends_on/0", "did you mean alpha"),
        ({"steps": [step("a"), step("a")]}, "/steps/1/id", "another step a"),
        ({"steps": [step("a b")]}, "/steps/0/id", "not a step's id"),
        ({"steps": []}, "/steps", "at least one"),
        ({"steps": [step("a", params={"x": "{{ steps.b.result }}"})]}, "/steps/0/params/x", "no step 'b'"),
        ({"steps": [step("a", params={"x": "{{ steps.a.result }}"})]}, "/steps/0/params/x", "itself"),
        ({"steps": [step("a", params={"x": "{{ input.y }}"})], "input": {}}, "/steps/0/params/x", "no such thing"),
        ({"steps": [step("a", params={"x": "{{ steps.a"})]}, "/steps/0/params/x", ""),
        ({"steps": [step("a", when="1 +")]}, "/steps/0/when", ""),
        ({"steps": [step("a", job_type="no way")]}, "/steps/0/job_type", "not a name"),
        ({"steps": [step("a", tenant="t")]}, "/steps/0/tenant", ""),
        ({"steps": [step("a", retry={"max_attempts": 0})]}, "/steps/0/retry/max_attempts", "from 1"),
        ({"steps": [step("a", map={"over": 7})]}, "/steps/0/map/over", "list"),
        ({"steps": [{"id": "a"}]}, "/steps/0/job_type", "required"),
        ({"steps": [step("a", params=[])]}, "/steps/0/params", "object"),
        ({"steps": [step("a", workflow=form(step("x", "y")))]}, "/steps/0/workflow/steps/0/depends_on/0", "no step"),
        ({"finally": [step("f", "a")], "steps": [step("a")]}, "/finally/0/depends_on/0", "same list"),
        ({"name": ""}, "/name", "empty"),
        ({"name": 7}, "/name", "expected str"),
        ({"output": "{{ steps.zzz.result }}"}, "/output", "no step"),
        ({"on_failure_policy": "maybe"}, "/on_failure_policy", "fail_fast"),
        ({"steps": [step(f"s{n}") for n in range(1_001)]}, "/steps", "1000 steps"),
    ],
)  # fmt: skip
def test_a_bad_workflow_is_refused_with_the_place(http, fields, pointer, word):
    body = form(step("a")) | fields
    found = mistakes(http.post(PATH, json=body))
    assert word in found[pointer], found
    dry = http.post(PATH, params={"dry_run": True}, json=body)
    assert (dry.status_code, dry.json()["valid"]) == (200, False)
    assert {one["pointer"]: one["detail"] for one in dry.json()["errors"]} == found


def test_all_mistakes_are_named_at_once(http):
    found = mistakes(http.post(PATH, json={"nam": "x", "steps": [{"id": 7, "job_type": "x"}, {"params": "{}"}]}))
    assert {"/nam", "/name", "/steps/0/id"} <= set(found)
    assert "did you mean name" in found["/nam"]


def test_long_keys_are_not_repeated_whole(http):
    long = "~/" * 100_000
    for body in (
        form(step("a")) | {long: 1},
        form(step("a", params={long: {long: "{{ nothing }}"}})),
        form(step("a")) | {"steps": [step("a"), {long: 1, "job_type": "echo"}]},
    ):
        answer = http.post(PATH, json=body)
        assert mistakes(answer)
        assert len(answer.content) < 100_000
        assert all(one["pointer"].startswith("/") for one in answer.json()["errors"])


def test_what_is_no_json_and_what_is_too_large(http):
    answer = http.post(PATH, content=b'{"name":', headers=JSON)
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:boltq:problem:malformed-json")
    large = json.dumps(form(step("a"), input={"x": "y" * (1 << 20)}))
    answer = http.post(PATH, content=large, headers=JSON)
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:boltq:problem:too-large")
    twice = b'{"name":"a","steps":[{"job_type":"echo","params":{"a":1,"\\u0061":2}}]}'
    assert mistakes(http.post(PATH, content=twice, headers=JSON)) == {"/steps/0/params/a": "given more than once"}
    deep = b'{"name":"a","steps":[{"job_type":"echo","params":{"a":' + b"[" * 64 + b"]" * 64 + b"}}]}"
    assert mistakes(http.post(PATH, content=deep, headers=JSON)) == {"": "nested too deeply"}
    huge = b'{"name":"a","steps":[{"job_type":"echo","params":{"a":' + b"9" * 5_000 + b"}}]}"
    assert list(mistakes(http.post(PATH, content=huge, headers=JSON))) == ["/steps/0/params"]


def test_a_large_workflow_is_taken(http):
    steps = [step("s0")] + [step(f"s{n}", f"s{(n - 1) // 2}") for n in range(1, 1_000)]
    workflow = submit(http, *steps, queue="nobody-large")
    view = http.get(f"{PATH}/{workflow}").json()
    assert len(view["steps"]) == 1_000
    assert len(view["levels"]) == 10
    assert [one["why"] for one in view["steps"][1:3]] == ["it waits for s0"] * 2


def test_params_of_known_types_are_checked_where_they_have_no_references(http):
    bad = form(
        step("a", job_type="add", params={"left": "x"}),
        step("b", "a", job_type="add", params={"left": "{{ steps.a.result }}"}),
        step("c", workflow=form(step("d", job_type="add", params={"left": 1, "right": 2, "more": 3}))),
    )

    def found():
        answer = http.post(PATH, params={"dry_run": True}, json=bad).json()
        return {one["pointer"] for one in answer["errors"]}

    pointers = {"/steps/0/params/left", "/steps/0/params/right", "/steps/2/workflow/steps/0/params/more"}
    assert found() == pointers
    assert set(mistakes(http.post(PATH, json=bad))) == pointers


def test_a_dry_run_says_what_would_become_of_it_and_writes_nothing(http):
    before = http.get(PATH, params={"name": "a dry one"}).json()["items"]
    body = form(
        step("a"),
        step("b", "a"),
        step("c", "a", job_type="unheard-of", queue="elsewhere"),
        step("d", "b", "c", workflow=form(step("x", job_type="add", params={"left": 1, "right": 1}))),
        step("e"),
        **{"finally": [step("f")]},
    )
    answer = http.post(PATH, params={"dry_run": True}, json=body | {"name": "a dry one"})
    assert answer.status_code == 200
    found = answer.json()
    assert (found["valid"], found["errors"], found["steps"]) == (True, [], 7)
    assert found["levels"] == [["a", "e"], ["b", "c"], ["d"]]
    assert found["longest_path"] in (["a", "b", "d"], ["a", "c", "d"])
    assert found["job_types"] == ["add", "echo", "unheard-of"]
    assert [(one["job_type"], one["queue"]) for one in found["unserved"]] == [("unheard-of", "elsewhere")]
    assert len(found["warnings"]) == 1
    assert http.get(PATH, params={"name": "a dry one"}).json()["items"] == before == []


def test_a_dry_run_names_paused_queues(http):
    http.post("/api/v1/jobs", json={"type": "echo", "queue": "asleep"})
    http.post("/api/v1/queues/asleep/pause", json={"reason": "night"})
    found = http.post(PATH, params={"dry_run": True}, json=form(step("a", queue="asleep"))).json()
    assert any("paused" in warning and "night" in warning for warning in found["warnings"])


def test_a_dry_run_says_what_a_full_queue_would(http, partitions):
    if partitions > 1:
        pytest.skip("each partition has its share of a limit")
    http.post("/api/v1/jobs", json={"type": "echo", "queue": "narrow"})
    assert http.patch("/api/v1/queues/narrow", json={"max_depth": 3}).status_code == 200
    for steps, warned in ((2, False), (3, True)):
        body = form(*(step(f"s{n}", queue="narrow") for n in range(steps)), step("later", "s0", queue="narrow"))
        found = http.post(PATH, params={"dry_run": True}, json=body).json()["warnings"]
        assert any("queue narrow is full for it" in warning for warning in found) is warned, found
        assert http.post(PATH, json=body).status_code == (429 if warned else 201)


def test_a_long_prompt_is_whole_in_one_place(http):
    prompt = "Is it? " * 1000
    ask = {"id": "ask", "type": "approval", "prompt": "{{ input.text }}"}
    workflow = submit(http, ask, input={"text": prompt})

    async def is_asked():
        return steps_of(http.get(f"{PATH}/{workflow}").json())["ask"]["prompt"] == prompt

    asyncio.run(eventually(is_asked))
    why = steps_of(http.get(f"{PATH}/{workflow}").json())["ask"]["why"]
    [asked] = http.get(f"{PATH}/{workflow}/explain").json()["steps"]
    assert why == asked["text"] == f"it waits for a person's answer: {prompt[:300]}…"
    http.post(f"{PATH}/{workflow}/cancel")


# Rights


def test_the_right_to_submit_is_needed_for_every_queue(keyed):
    inner = form(step("x", queue="secret"))
    with keyed("submit:open") as client:
        assert client.post(PATH, json=form(step("a", queue="open"))).status_code == 201
        for body in (
            form(step("a", queue="open"), step("b", queue="secret")),
            form(step("a"), queue="secret"),
            form(step("a", queue="open"), step("b", workflow=inner), queue="open"),
            form(step("a", queue="open"), **{"finally": [step("f", queue="secret")]}),
        ):
            for params in ({}, {"dry_run": True}):
                answer = client.post(PATH, json=body, params=params)
                assert answer.status_code == 403, answer.text
        assert client.get(PATH).status_code == 403


def test_who_may_not_see_what_is_in_jobs_sees_only_how_they_stand(http, keyed):
    secret = "hush-hush"
    workflow = submit(
        http,
        step("a", params={"x": secret}),
        step("b", "a", job_type="spoil", params={"text": secret}),
        step("c", approval={"prompt": f"{secret} {{{{ input.s }}}}"}),
        input={"s": secret},
        output=secret,
        on_failure_policy="continue",
    )
    with keyed("read") as client:
        asked = client.get(f"{PATH}/{workflow}", params={"form": True})
        assert (asked.status_code, asked.json()["hidden"]) == (200, True)
        http.post(f"{PATH}/{workflow}/signals/c", json={"decision": "reject", "data": secret})
        view = ended(client, workflow, form=True)
        assert {one["id"]: one["state"] for one in view["steps"]} == {"a": "completed", "b": "failed", "c": "failed"}
        assert (view["input"], view["output"], view["form"]) == (None, None, None)
        everything = [asked.text, json.dumps(view), client.get(f"{PATH}/{workflow}/explain").text]
        everything.append(client.get(PATH).text)
    assert not [text for text in everything if secret in text]
    with keyed("payload") as client:
        shown = client.get(f"{PATH}/{workflow}", params={"form": True}).text
        assert shown.count(secret) >= 5
        assert '"hidden":false' in shown


# Look


def test_a_workflow_that_is_not_there(http):
    for path in (new_id(0), "nothing", f"{new_id(0)}/explain"):
        answer = http.get(f"{PATH}/{path}")
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:boltq:problem:not-found")
    assert http.get(f"{PATH}/{new_id(0)}", params={"wait": 5}).status_code == 404


def test_waiting_for_the_end(http, api):
    HELD.clear()
    workflow = submit(http, step("a", job_type="hold"))
    assert http.get(f"{PATH}/{workflow}", params={"wait": 0.05}).json()["state"] == "running"
    answers = []
    asking = threading.Thread(
        target=lambda: answers.append(httpx.get(f"{api}{PATH}/{workflow}", params={"wait": 60}, timeout=90).json())
    )
    asking.start()
    HELD.set()
    asking.join(90)
    assert answers[0]["state"] == "completed"
    HELD.clear()
    for wait in ("-1", "61", "x", "nan"):
        assert list(mistakes(http.get(f"{PATH}/{workflow}", params={"wait": wait}))) == ["/wait"]


ITEMS = [1, "x", 3, "y", 5]


def spread(**fields: Any) -> dict[str, Any]:
    """A map of which those items fail that are no numbers."""
    return step("spread", job_type="add", params={"left": "{{ item }}", "right": 1}, map={"over": ITEMS, **fields})


def items_of(http, workflow: str, name: str, **params: Any) -> list[dict[str, Any]]:
    """All items, page by page."""
    found: list[dict[str, Any]] = []
    while True:
        page = http.get(f"{PATH}/{workflow}/steps/{name}", params=params).json()
        found += page["items"]
        if not page["next_cursor"]:
            return found
        params["cursor"] = page["next_cursor"]


def test_which_items_failed_and_why(http):
    workflow = submit(http, spread())
    error = steps_of(ended(http, workflow))["spread"]["error"]
    assert (error["class"], error["category"]) == ("MapFailed", "data")
    assert error["message"].startswith("2 of 5 items did not succeed (2 failed); 0 may; items[1]: DataError: ")
    assert "; items[3]: DataError: " in error["message"]
    page = http.get(f"{PATH}/{workflow}/steps/spread").json()
    assert (page["id"], page["state"], page["workflow"], page["next_cursor"]) == ("spread", "failed", workflow, None)
    assert [(item["index"], item["state"]) for item in page["items"]] == [
        (0, "completed"), (1, "failed"), (2, "completed"), (3, "failed"), (4, "completed"),
    ]  # fmt: skip
    for item in page["items"]:
        job = http.get(f"/api/v1/jobs/{item['job_id']}").json()
        assert (item["job_state"], item["attempts"], item["error"]) == (job["state"], 1, job["error"])
        assert item["started_at"] <= item["ended_at"]
    failed = http.get(f"{PATH}/{workflow}/steps/spread", params={"state": "failed"}).json()["items"]
    assert failed == [page["items"][1], page["items"][3]]
    assert items_of(http, workflow, "spread", limit=2) == page["items"]
    assert items_of(http, workflow, "spread", limit=1, state="failed,cancelled") == failed


def test_the_counts_of_a_map_are_those_of_its_items(http):
    """What never began, because enough had failed before, is listed as cancelled, and counted so."""
    told = step("told", params={"stats": "{{ steps.spread.stats }}"})
    workflow = submit(http, spread(max_concurrency=1), **{"finally": [told]})
    steps = steps_of(ended(http, workflow))
    states = [item["state"] for item in items_of(http, workflow, "spread")]
    assert states == ["completed", "failed", "cancelled", "cancelled", "cancelled"]
    counts = {"total": 5, "completed": 1, "failed": 1, "cancelled": 3}
    assert (steps["spread"]["map"], steps["told"]["result"]["stats"]) == ({**counts, "begun": 2}, counts)
    why = steps["spread"]["error"]["message"]
    assert why.startswith("4 of 5 items did not succeed (1 failed, 3 did not begin); 0 may; items[1]: DataError: ")


def test_items_that_have_not_ended_are_told_apart(http):
    workflow = submit(http, step("many", job_type="hold", map={"over": [1, 2, 3, 4], "max_concurrency": 2}))

    async def some_run():
        return [item["state"] for item in items_of(http, workflow, "many")] == ["running"] * 2 + ["pending"] * 2

    asyncio.run(eventually(some_run))
    assert [item["index"] for item in items_of(http, workflow, "many", state="pending", limit=1)] == [2, 3]
    assert [item["index"] for item in items_of(http, workflow, "many", state="running")] == [0, 1]
    http.post(f"{PATH}/{workflow}/cancel")
    HELD.set()
    try:
        ended(http, workflow)
    finally:
        HELD.clear()
    assert {item["state"] for item in items_of(http, workflow, "many")} <= {"cancelled", "completed"}


def test_the_items_of_a_map_of_workflows_lead_to_these(http):
    inner = form(step("x", job_type="add", params={"left": "{{ input.n }}", "right": 1}), input={"n": 0})
    workflow = submit(http, step("subs", workflow=inner, params={"n": "{{ item }}"}, map={"over": [1, "x"]}))
    error = steps_of(ended(http, workflow))["subs"]["error"]
    assert error["category"] == "data"
    good, bad = items_of(http, workflow, "subs")
    assert (good["state"], bad["state"], bad["error"]["class"]) == ("completed", "failed", "WorkflowFailed")
    assert http.get(f"{PATH}/{bad['workflow_id']}").json()["state"] == "failed"
    assert http.get(f"{PATH}/{good['workflow_id']}").json()["state"] == "completed"


def test_an_items_error_needs_the_right_to_see_it(http, keyed):
    workflow = submit(http, spread())
    ended(http, workflow)
    with keyed("read") as client:
        page = client.get(f"{PATH}/{workflow}/steps/spread").json()
    assert [item["error"] for item in page["items"]] == [None] * 5
    assert (page["hidden"], page["error"], page["inputs"]) == (True, None, None)


def test_a_step_without_items_is_shown_too_and_one_that_is_not_there_is_404(http):
    workflow = submit(http, step("a", params={"n": 1}))
    ended(http, workflow)
    page = http.get(f"{PATH}/{workflow}/steps/a").json()
    assert (page["result"], page["items"], page["next_cursor"]) == ({"n": 1}, [], None)
    missing = http.get(f"{PATH}/{workflow}/steps/b")
    assert (missing.status_code, "has no step b; it has a" in missing.text) == (404, True)
    assert http.get(f"{PATH}/{workflow}/steps/a", params={"cursor": "nonsense"}).status_code == 422
    assert http.get(f"{PATH}/{workflow}/steps/a", params={"state": "dead"}).status_code == 422


def test_every_kind_of_step_is_shown(http):
    workflow = submit(
        http,
        step("spread", job_type="give", params={"value": "{{ item }}"}, map={"over": [1, 2, 3]}),
        step("inner", workflow=form(step("x", params={"n": "{{ input.n }}"}), output="{{ steps.x.result }}"),
             params={"n": "{{ input.n }}"}),
        step("pause", wait={"seconds": 0.05}),
        step("ask", approval={"prompt": "Is {{ input.n }} enough?"}),
        step("never", when="input.n > 5"),
        input={"n": 1},
        **{"finally": [step("last", run_if="all_done")]},
    )  # fmt: skip
    http.post(f"{PATH}/{workflow}/signals/ask", json={"decision": "approve", "data": [1], "by": "ann"})
    view = ended(http, workflow)
    assert view["state"] == "completed"
    found = steps_of(view)
    spread = found["spread"]
    assert spread["map"] == {"total": 3, "begun": 3, "completed": 3, "failed": 0, "cancelled": 0}
    assert (spread["inputs"], spread["result"]) == ({"value": "{{ item }}"}, [1, 2, 3])
    inner = found["inner"]
    assert (inner["type"], inner["inputs"], inner["result"]) == ("workflow", {"n": 1}, {"n": 1})
    sub = http.get(f"{PATH}/{inner['workflow_id']}").json()
    assert (sub["parent_job"], sub["state"], sub["input"]) == (inner["job_id"], "completed", {"n": 1})
    assert found["pause"]["run_ms"] >= 50  # not only the last run of its job
    assert (found["pause"]["type"], found["pause"]["inputs"], found["pause"]["job_type"]) == ("wait", None, None)
    assert found["ask"]["answer"] == {"decision": "approve", "data": [1], "by": "ann", "timed_out": False}
    assert (found["never"]["state"], found["never"]["why"], found["never"]["inputs"]) == (
        "skipped",
        "when is false",
        None,
    )
    assert (found["last"]["group"], found["last"]["run_if"]) == ("finally", "all_done")


def test_inputs_are_shown_once_they_are_known(http):
    workflow = submit(
        http,
        step("a"),
        step("b", "a", queue="nobody-inputs", params={"x": "{{ steps.a.state }}"}),
        step("c", "gone", params={"x": "{{ steps.gone.result.nothing }}"}, job_type="echo"),
        step("gone", job_type="give", params={"value": {}}),
        on_failure_policy="continue",
    )

    async def settled():
        view = http.get(f"{PATH}/{workflow}").json()
        found = steps_of(view)
        return found if (found["b"]["state"], found["c"]["state"]) == ("queued", "failed") else None

    found = asyncio.run(eventually(settled))
    assert found["a"]["inputs"] == {}
    assert (found["b"]["inputs"], found["b"]["sources"][0]["step"]) == (None, "a")
    assert found["c"]["inputs"] is None  # it could not be filled in
    assert found["c"]["error"]["category"] == "data"
    assert "steps.gone.result.nothing" in found["c"]["error"]["message"]


def test_an_output_that_leads_nowhere_is_said(http):
    workflow = submit(http, step("a"), output="{{ steps.a.result.missing }}")
    view = ended(http, workflow)
    assert (view["state"], view["output"]) == ("completed", None)
    assert "missing" in view["output_error"]


def test_what_does_not_fit_is_left_out_and_said(http):
    big = "x" * 900_000
    workflow = submit(
        http,
        *[step(f"s{n}", job_type="give", params={"value": "{{ input.big }}"}) for n in range(4)],
        step("last", "s0", "s1", "s2", "s3", job_type="give", params={"value": 1}),
        input={"big": big},
    )
    ended(http, workflow)
    answer = http.get(f"{PATH}/{workflow}")
    found = steps_of(answer.json())
    assert [found[f"s{n}"]["truncated"] for n in range(4)] == [False, False, True, True]
    assert (found["last"]["truncated"], found["last"]["result"]) == (False, 1)
    assert found["s3"]["inputs"] is found["s3"]["result"] is None
    assert len(answer.content) < 6 << 20


def test_a_job_names_its_step(http):
    workflow = submit(http, step("spread", job_type="give", params={"value": "{{ item }}"}, map={"over": [7]}))
    view = ended(http, workflow)
    job = http.get(f"/api/v1/jobs/{steps_of(view)['spread']['job_id']}").json()
    assert job["workflow"] == {"id": workflow, "step": "spread", "item": None}
    items = [
        one["id"] for one in http.get("/api/v1/jobs", params={"type": "give", "workflow": workflow}).json()["items"]
    ]
    places = [http.get(f"/api/v1/jobs/{item}").json()["workflow"] for item in items]
    assert {"id": workflow, "step": "spread", "item": 1} in places
    plain = http.post("/api/v1/jobs", json={"type": "echo"}).json()["id"]
    assert http.get(f"/api/v1/jobs/{plain}").json()["workflow"] is None


def test_meta_tells_of_workflows(http):
    meta = http.get("/api/v1/meta").json()
    assert meta["features"]["workflows"] is True
    assert meta["limits"]["workflow_steps"] == 1_000


# Lists


def test_workflows_are_listed_page_by_page(http):
    made = [submit(http, step("a"), step("b", "a"), name="of a list") for _ in range(5)]
    for workflow in made:
        ended(http, workflow)
    failed = submit(http, step("a", job_type="spoil"), step("b", "a"), name="of a list")
    ended(http, failed)
    found, cursor = [], None
    while True:
        page = http.get(PATH, params={"name": "of a list", "limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        found += page["items"]
        assert len(page["items"]) <= 2
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(one["id"] for one in found) == sorted([*made, failed])
    lines = {one["id"]: one for one in found}
    assert (lines[failed]["state"], lines[failed]["steps"], lines[failed]["ended"], lines[failed]["failed"]) == (
        "failed", 2, 2, 1,
    )  # fmt: skip
    assert (lines[made[0]]["state"], lines[made[0]]["ended"], lines[made[0]]["failed"]) == ("completed", 2, 0)
    view = http.get(f"{PATH}/{failed}").json()
    assert {key: view[key] for key in lines[failed] if key != "steps"} == {
        key: value for key, value in lines[failed].items() if key != "steps"
    }

    def ids(**params):
        answer = http.get(PATH, params={"name": "of a list", **params})
        assert answer.status_code == 200, answer.text
        return {one["id"] for one in answer.json()["items"]}

    assert ids(state="failed") == {failed}
    assert ids(state="failed,completed") == {*made, failed}
    assert ids(state="cancelled") == set()
    when = view["created_at"]
    assert failed in ids(created_after=when)
    assert failed not in ids(created_before=when)
    assert ids(created_after="2001-01-01T00:00:00Z", created_before="2001-01-02T00:00:00Z") == set()
    assert ids(created_before="0") == set()


@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        ({"state": "dead"}, "/state"),
        ({"limit": 0}, "/limit"),
        ({"limit": 201}, "/limit"),
        ({"cursor": "nonsense"}, "/cursor"),
        ({"cursor": "LTF8"}, "/cursor"),  # -1|
        ({"created_after": "yesterday"}, "/created_after"),
        ({"colour": "red"}, "/colour"),
    ],
)
def test_a_bad_question_is_named(http, params, pointer):
    assert list(mistakes(http.get(PATH, params=params))) == [pointer]


def test_a_bad_state_is_told_the_good_ones(http):
    found = mistakes(http.get(PATH, params={"state": "dead"}))
    assert found["/state"].endswith("; use running, completed, failed, cancelled")


# Explain


def explained(http, workflow):
    answer = http.get(f"{PATH}/{workflow}/explain")
    assert answer.status_code == 200, answer.text
    view = answer.json()
    return view, {one["id"]: one for one in view["steps"]}


def test_it_is_explained_what_a_workflow_waits_for(http):
    workflow = submit(
        http,
        step("fine", job_type="give", params={"value": 1}),
        step("unheard", job_type="unheard-of", queue="work"),
        step("alone", queue="nobody-at-all"),
        step("after", "fine", "alone"),
        step("ask", approval={"prompt": "shall we?", "timeout_seconds": 3_600}),
        step("later", wait={"seconds": 3_600}),
        step("again", job_type="falter", retry={"backoff": {"base_seconds": 3_000, "floor_seconds": 2_000,
                                                            "cap_seconds": 3_000}}),
        step("spread", job_type="unheard-of", map={"over": [1, 2]}, queue="work"),
        step("inner", workflow=form(step("x", approval={}))),
        on_failure_policy="continue",
    )  # fmt: skip

    async def settled():
        _, found = explained(http, workflow)
        codes = {name: one["code"] for name, one in found.items()}
        return found if codes == {
            "unheard": "type_without_worker", "alone": "no_worker", "after": "pending", "ask": "approval",
            "later": "waiting", "again": "retrying", "spread": "type_without_worker", "inner": "workflow",
        } else None  # fmt: skip

    found = asyncio.run(eventually(settled))
    assert "unheard-of" in found["unheard"]["text"]
    assert "nobody-at-all" in found["alone"]["text"]
    assert (found["after"]["waits_for"], found["after"]["text"]) == (["alone"], "it waits for alone")
    assert "shall we?" in found["ask"]["text"]
    assert found["ask"]["until"]
    assert found["later"]["until"]
    assert "attempt 1 of 5 failed (transient)" in found["again"]["text"]
    assert found["again"]["until"]
    assert found["spread"]["text"].startswith("0 of its 2 items have ended, 2 have begun; no live worker")
    view, _ = explained(http, workflow)
    assert view["state"] == "running"
    assert view["text"].startswith("1 of its 9 steps have ended")
    shown = steps_of(http.get(f"{PATH}/{workflow}").json())
    assert shown["again"]["error"]["category"] == "transient"
    assert shown["again"]["due_at"] == found["again"]["until"]
    assert shown["ask"]["prompt"] == "shall we?"
    http.post(f"{PATH}/{workflow}/cancel")
    view = ended(http, workflow)
    about, found = explained(http, workflow)
    assert about["text"] == "it was cancelled"
    assert found["ask"]["text"] == "the workflow was cancelled"


def test_it_is_explained_why_a_workflow_failed(http):
    workflow = submit(
        http, step("bad", job_type="spoil", params={"text": "no good"}), step("after", "bad"), step("ask", approval={})
    )
    ended(http, workflow)
    view, found = explained(http, workflow)
    assert view["text"] == "its step bad failed"
    assert "no good" in found["bad"]["text"]
    assert "category data" in found["bad"]["text"]
    assert found["after"]["code"] in {"skipped", "cancelled"}
    assert found["ask"]["text"] == "it was cancelled after the step bad had failed"


# Why, through the border of a sub-workflow


def reasons_of(http, workflow: str) -> dict[str, dict[str, Any]]:
    return {one["id"]: one for one in http.get(f"{PATH}/{workflow}/explain").json()["steps"]}


def test_explain_goes_through_the_border_of_a_sub_workflow(http):
    deep = form(step("x", queue="nobody-deep"))
    middle = form(step("ok"), step("sub", "ok", workflow=deep))
    workflow = submit(http, step("mid", workflow=middle), step("many", workflow=deep, map={"over": [1, 2]}))
    reason = "no live worker serves queue nobody-deep"

    async def told():
        found = reasons_of(http, workflow)
        return reason in found["mid"]["text"] and reason in found["many"]["text"]

    asyncio.run(eventually(told))
    found = reasons_of(http, workflow)
    [inner] = found["mid"]["workflows"]
    assert [one["id"] for one in inner["steps"]] == ["sub"]
    [deepest] = inner["steps"][0]["workflows"]
    assert [(one["id"], one["state"], one["code"]) for one in deepest["steps"]] == [("x", "queued", "no_worker")]
    assert len(found["many"]["workflows"]) == 2
    assert f"step sub of {inner['id']}" in found["mid"]["text"]


def test_explain_says_what_failed_inside(http):
    deep = form(step("x", job_type="spoil", params={"text": "no rows"}))
    workflow = submit(http, step("mid", workflow=form(step("sub", workflow=deep))))
    ended(http, workflow)
    mid = reasons_of(http, workflow)["mid"]
    assert "no rows" in mid["text"]
    assert [one["id"] for one in mid["workflows"][0]["steps"][0]["workflows"][0]["steps"]] == ["x"]


def test_a_workflow_and_a_step_say_as_much_as_explain(http):
    workflow = submit(
        http,
        step("lonely", queue="nobody-lonely"),
        step("bad", job_type="spoil", allow_failure=True),
        step("never", when="false"),
        step("ask", approval={"prompt": "go?"}),
        step("later", "lonely"),
        step("mid", workflow=form(step("x", queue="nobody-lonely"))),
        on_failure_policy="continue",
    )

    async def settled():
        states = {one["id"]: one["state"] for one in http.get(f"{PATH}/{workflow}").json()["steps"]}
        return (states["bad"], states["ask"], states["mid"]) == ("failed", "waiting", "running")

    asyncio.run(eventually(settled))
    told = {name: one["text"] for name, one in reasons_of(http, workflow).items()}
    shown = {name: one["why"] for name, one in steps_of(http.get(f"{PATH}/{workflow}").json()).items()}
    assert shown == told
    assert {name: http.get(f"{PATH}/{workflow}/steps/{name}").json()["why"] for name in told} == told
    assert "nobody-lonely" in told["lonely"]


# Lists over workflows


def paged(http, path: str, **params: Any) -> list[dict[str, Any]]:
    """All items, page by page."""
    found: list[dict[str, Any]] = []
    while True:
        answer = http.get(path, params=params)
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        if not answer.json()["next_cursor"]:
            return found
        params["cursor"] = answer.json()["next_cursor"]


def test_jobs_are_listed_by_workflow(http):
    workflow = submit(http, step("first"), spread(tolerated_failures=5), step("last", "spread", job_type="spoil"))
    submit(http, step("other"))
    ended(http, workflow)
    steps = steps_of(shown := http.get(f"{PATH}/{workflow}").json())
    items = [item["job_id"] for item in items_of(http, workflow, "spread")]
    expected = {step["job_id"] for step in shown["steps"]} | set(items)
    for limit in (1, 2, 3, 200):
        found = paged(http, "/api/v1/jobs", workflow=workflow, limit=limit)
        assert {job["id"] for job in found} == expected
        assert len(found) == len(expected)
        ids = [job["id"] for job in found]
        assert ids[ids.index(steps["spread"]["job_id"]) + 1 :][: len(items)] == items
    dead = paged(http, "/api/v1/jobs", workflow=workflow, state="dead", limit=2)
    assert {job["id"] for job in dead} == {items[1], items[3], steps["last"]["job_id"]}
    assert {job["id"] for job in paged(http, "/api/v1/jobs", workflow=workflow, type="add")} == set(items)
    assert http.get("/api/v1/jobs", params={"workflow": "no id"}).status_code == 422
    assert http.get("/api/v1/jobs", params={"workflow": "0" * 26}).status_code == 404
    assert http.get("/api/v1/jobs", params={"workflow": workflow, "cursor": "nonsense"}).status_code == 422


def test_sub_workflows_are_listed_over_all_and_by_their_parent(http):
    inner = form(step("x", params={"n": "{{ input.n }}"}), input={"n": 0}, name="an inner one")
    workflow = submit(http, step("subs", workflow=inner, params={"n": "{{ item }}"}, map={"over": [1, 2, 3]}))
    ended(http, workflow)
    children = {item["workflow_id"] for item in items_of(http, workflow, "subs")}
    assert {one["id"] for one in paged(http, PATH, within=workflow, limit=1)} == children
    found = paged(http, PATH, nested=True, name="an inner one")
    assert children <= {one["id"] for one in found}
    assert {one["within"] for one in found if one["id"] in children} == {workflow}
    outermost = paged(http, PATH, nested=False)
    assert workflow in {one["id"] for one in outermost}
    assert {one["within"] for one in outermost} == {None}
    assert paged(http, PATH, within=next(iter(children))) == []
    refused = http.get(PATH, params={"within": workflow, "state": "failed"})
    assert list(mistakes(refused)) == ["/state"]
    assert http.get(PATH, params={"within": "0" * 26}).status_code == 404


def test_what_waits_for_a_person_is_listed_over_all_workflows(http, keyed):
    ask = step("ask", approval={"prompt": "Is {{ input.n }} enough?", "timeout_seconds": 600})
    outer = submit(http, step("mid", workflow=form(ask, input={"n": 1}, name="inner")), name="outer of approvals")
    other = submit(http, ask, input={"n": 2}, name="other")

    def mine() -> dict[str, dict[str, Any]]:
        within = {one["id"] for one in paged(http, PATH, within=outer)}
        found = paged(http, "/api/v1/approvals", state="waiting", limit=1)
        return {one["workflow"]: one for one in found if one["workflow_id"] in within | {other}}

    async def both():
        return len(mine()) == 2

    asyncio.run(eventually(both))
    asked = mine()["inner"]
    assert (asked["step"], asked["prompt"], asked["paused"]) == ("ask", "Is 1 enough?", False)
    assert asked["since"] < asked["due_at"]
    with keyed("read") as client:
        assert {one["prompt"] for one in client.get("/api/v1/approvals").json()["items"]} == {None}
    http.post(f"{PATH}/{other}/pause")
    assert (mine()["other"]["paused"], mine()["other"]["due_at"]) == (True, None)
    signal = f"{PATH}/{asked['workflow_id']}/signals/ask"
    assert http.post(signal, json={"decision": "approve"}).json()["verdict"] == "taken"
    http.post(f"{PATH}/{other}/cancel")
    assert (ended(http, outer)["state"], ended(http, other)["state"]) == ("completed", "cancelled")
    assert mine() == {}
    assert http.get("/api/v1/approvals", params={"state": "ended"}).status_code == 422
