"""Submitting over HTTP: what is accepted, what comes back, and what is said of mistakes."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import httpx
import pytest

from boltq.domain import limits
from boltq.domain.outcome import Completed
from boltq.server.http.body import MAX_BYTES

JSON = {"Content-Type": "application/json"}


def post(http, body, headers=JSON, path="/api/v1/jobs"):
    content = body if isinstance(body, bytes | str) else json.dumps(body)
    return http.post(path, content=content, headers=headers)


def mistakes(answer) -> dict[str, str]:
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return {error["pointer"]: error["detail"] for error in answer.json()["errors"]}


def shown(http, answer):
    assert answer.status_code in {200, 201}, answer.text
    return http.get(f"/api/v1/jobs/{answer.json()['id']}").json()


def test_a_job_is_created_and_can_be_looked_at(http):
    answer = post(http, {"type": "echo", "data": {"message": "hi"}})
    assert answer.status_code == 201
    job = answer.json()
    assert job == {
        "id": job["id"],
        "type": "echo",
        "queue": "default",
        "priority": "normal",
        "state": "queued",
        "created": True,
        "warnings": [
            "no worker has published the job type echo: the job waits for one that does",
            "no live worker serves queue default in this store: the job waits for one",
        ],
    }
    assert limits.ID.fullmatch(job["id"])
    assert answer.headers["location"] == f"/api/v1/jobs/{job['id']}"
    view = http.get(answer.headers["location"]).json()
    assert view["data"] == {"message": "hi"}
    assert view["state"] == "queued"
    assert [action["name"] for action in view["actions"] if action["allowed"]] == ["cancel", "edit", "delete"]
    assert view["created_by"] is None
    assert view["attempt"] == view["attempts"] == 0
    assert view["result"] is view["error"] is view["started_at"] is view["finished_at"] is None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", view["created_at"])


def test_every_field_arrives(http):
    answer = post(
        http,
        {
            "type": "report",
            "data": {"a": 1},
            "queue": "slow",
            "priority": "high",
            "delay_seconds": 60.5,
            "expires_in_seconds": 600,
            "max_attempts": 7,
            "timeout_seconds": 1.5,
            "tags": ["monthly", "eu"],
            "title": "The report of May",
        },
    )
    assert answer.json()["state"] == "scheduled"
    job = shown(http, answer)
    assert (job["type"], job["queue"], job["priority"]) == ("report", "slow", "high")
    assert (job["max_attempts"], job["timeout_seconds"]) == (7, 1.5)
    assert job["tags"] == ["monthly", "eu"]
    assert job["title"] == "The report of May"
    listed = http.get("/api/v1/jobs", params={"queue": job["queue"]}).json()["items"]
    assert [(one["title"], one["max_attempts"]) for one in listed if one["id"] == job["id"]] == [
        ("The report of May", job["max_attempts"])
    ]
    created, run_at, expires_at = (datetime.fromisoformat(job[key]) for key in ("created_at", "run_at", "expires_at"))
    assert (run_at - created).total_seconds() == 60.5
    assert (expires_at - created).total_seconds() == 600


@pytest.mark.parametrize(
    ("given", "word"),
    [(0, "low"), (1, "normal"), (2, "high"), ("low", "low"), ("normal", "normal"), ("high", "high"), ("HIGH", "high")],
)
def test_priorities_are_words_or_numbers(http, given, word):
    for _ in range(2):  # the second one takes the short way
        answer = post(http, {"type": "echo", "priority": given})
        assert answer.json()["priority"] == word
        assert shown(http, answer)["priority"] == word


@pytest.mark.parametrize(
    ("run_at", "seen"),
    [
        ("2040-01-31T09:30:00Z", "2040-01-31T09:30:00.000Z"),
        ("2040-01-31T09:30:00.25+02:00", "2040-01-31T07:30:00.250Z"),
        (2211528600, "2040-01-30T09:30:00.000Z"),
        (2211528600.5, "2040-01-30T09:30:00.500Z"),
    ],
)
def test_run_at_is_rfc3339_or_unix_seconds(http, run_at, seen):
    job = shown(http, post(http, {"type": "echo", "run_at": run_at, "expires_at": run_at}))
    assert job["state"] == "scheduled"
    assert job["run_at"] == job["expires_at"] == seen


def test_a_time_in_the_past_is_now(http):
    assert post(http, {"type": "echo", "run_at": "2001-01-01T00:00:00Z"}).json()["state"] == "queued"


def test_null_means_not_given_where_nothing_is_the_default(http):
    names = ["delay_seconds", "run_at", "expires_in_seconds", "expires_at", "max_attempts", "timeout_seconds"]
    body = {"type": "echo", **dict.fromkeys([*names, "idempotency_key"])}
    assert post(http, body).status_code == 201


def test_data_is_kept_as_it_was_written(http):
    data = (
        '{"z": 1, "a": 12345678901234567890123,  "f": 1.10, "e": [], "o": {}, "u": "\\u00e9\\ud83d\\ude00é", "n": 1E2}'
    )
    for path, name in (("/api/v1/jobs", "data"), ("/submit", "payload")):
        answer = post(http, f'{{"type": "echo", "{name}": {data}}}'.encode(), path=path)
        text = http.get(f"/api/v1/jobs/{answer.json()['id']}").text
        assert f'"data":{data}' in text


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("type", ""),
        ("type", "a b"),
        ("type", 7),
        ("type", None),
        ("type", "x" * 101),
        ("type", "{evil}"),
        ("queue", ""),
        ("queue", "-x"),
        ("queue", "a\n"),
        ("queue", None),
        ("data", []),
        ("data", "text"),
        ("data", None),
        ("data", 1),
        ("priority", 3),
        ("priority", -1),
        ("priority", 1.5),
        ("priority", "urgent"),
        ("priority", True),
        ("delay_seconds", -1),
        ("delay_seconds", "5"),
        ("delay_seconds", True),
        ("delay_seconds", 1e300),
        ("delay_seconds", 10**400),
        ("run_at", "tomorrow"),
        ("run_at", "2030-01-01T00:00:00"),
        ("run_at", "2030-01-01"),
        ("run_at", "2030-02-30T00:00:00Z"),
        ("run_at", -1),
        ("run_at", 1e18),
        ("expires_in_seconds", 0),
        ("expires_in_seconds", -0.5),
        ("expires_at", "never"),
        ("max_attempts", 0),
        ("max_attempts", 1001),
        ("max_attempts", 1.5),
        ("max_attempts", 10**30),
        ("timeout_seconds", 0),
        ("timeout_seconds", -3),
        ("timeout_seconds", 604801),
        ("idempotency_key", ""),
        ("idempotency_key", "é"),
        ("idempotency_key", "a\nb"),
        ("idempotency_key", "x" * 201),
        ("tags", "one"),
        ("tags", [1]),
        ("tags", ["no way"]),
        ("tags", ["twice", "twice"]),
        ("tags", [f"t{n}" for n in range(11)]),
        ("tags", None),
        ("title", 5),
        ("title", "x" * 201),
        ("title", "two\nlines"),
    ],
)
def test_a_bad_field_is_named(http, field, value):
    found = mistakes(post(http, {"type": "echo"} | {field: value}))
    assert list(found) == [f"/{field}"], found


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("type", "x" * 100),
        ("queue", "A.b_c-9"),
        ("idempotency_key", "~" * 200),
        ("max_attempts", 1000),
        ("max_attempts", 1),
        ("timeout_seconds", 604800),
        ("delay_seconds", 10 * 365 * 86_400),
        ("delay_seconds", 0),
        ("delay_seconds", 1e-9),
        ("tags", [f"t{n}" for n in range(10)]),
        ("tags", ["x" * 100]),
        ("tags", []),
    ],
)
def test_limits_are_allowed(http, field, value):
    assert post(http, {"type": "echo"} | {field: value}).status_code == 201


def test_a_typo_is_not_lost(http):
    found = mistakes(post(http, {"type": "echo", "delay": 5, "payload": {}, "zzz/~": 1}))
    assert found["/delay"] == "unknown field; did you mean delay_seconds?"
    assert found["/payload"] == "unknown field; did you mean data?"
    assert "known: type, data" in found["/zzz~1~0"]


def test_all_mistakes_are_named_at_once(http):
    body = {"data": 3, "queue": "no way", "priority": "urgent", "delay_seconds": -1, "run_at": "x", "nope": 1}
    assert set(mistakes(post(http, body))) == {
        "/type",
        "/data",
        "/queue",
        "/priority",
        "/delay_seconds",
        "/run_at",
        "/nope",
    }


def test_two_times_are_one_too_many(http):
    body = {"type": "e", "delay_seconds": 1, "run_at": 1, "expires_in_seconds": 1, "expires_at": 1}
    assert set(mistakes(post(http, body))) == {"/run_at", "/expires_at"}


@pytest.mark.parametrize(
    "body",
    [
        b'{"type":"a","type":"b"}',
        b'{"type":"a","data":{},"data":{}}',
        b'{"type":"a","t\\u0079pe":"b"}',
        b'{"type":"a" , "data": {"type": 1}, "type":"a"}',
    ],
)
def test_a_field_given_twice_is_refused(http, body):
    assert list(mistakes(post(http, body)).values()) == ["given more than once"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"type":"a","data":{"type":"x","data":{"data":{}}}}',
        b'{"type":"echo","data":{"k":"\\"type\\": 1, \\"type\\": 2"}}',
        b'{"type":"echo","idempotency_key":"\\"type\\":\\"type\\":"}',
    ],
)
def test_what_only_looks_like_a_repeat_is_accepted(http, body):
    assert post(http, body).status_code == 201


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b"{", (1, 2)),
        (b'{"type":"echo",}', (1, 16)),
        (b'{"type":"echo"} x', (1, 18)),
        (b'{\n  "type": "echo",\n  data: {}\n}', (3, 3)),
        (b'{"type":"echo","data":{"a":NaN}}', (1, 28)),
        (b'{"type":"echo","data":{"a":Infinity}}', (1, 28)),
        (b"{'type':'echo'}", (1, 2)),
        (b'{"type":"echo","data":{"a":01}}', None),
        (b"", None),
        (b"   ", None),
        (b"type=echo", None),
    ],
)
def test_malformed_json_is_told_where(http, body, place):
    answer = post(http, body)
    assert answer.status_code == 400, answer.text
    problem = answer.json()
    assert problem["type"] == "urn:boltq:problem:malformed-json"
    if place:
        assert (problem["line"], problem["column"]) == place, problem


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"type":"echo","data":{"a":"\\ud800"}}', "/data/a"),
        (b'{"type":"echo","data":{"a":"\\udc00 and more of it"}}', "/data/a"),
        (b'{"type":"\xff"}', "/type"),
        (b'{"\xff":1}', "/?"),
    ],
)
def test_a_text_that_is_none_is_told_where(http, body, pointer):
    assert list(mistakes(post(http, body))) == [pointer]


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"1", b"null", b"true"])
def test_the_body_is_an_object(http, body):
    assert list(mistakes(post(http, body))) == [""]


def test_a_byte_order_mark_is_harmless(http):
    assert post(http, b'\xef\xbb\xbf{"type":"echo"}').status_code == 201


@pytest.mark.parametrize("number", ["1e999", "1" * 5_000, "-1e400"])
def test_numbers_that_no_worker_could_read_are_refused(http, number):
    (pointer,) = mistakes(post(http, f'{{"type":"echo","data":{{"a":{number}}}}}'))
    assert pointer.startswith("/data")


def test_data_that_is_not_utf8_is_refused(http):
    assert post(http, b'{"type":"echo","data":{"a":"\xff"}}').status_code == 422


# Limits, at the limit and one beyond


def nested(depth: int) -> str:
    """A body whose brackets go so deep; the body and its data are the first two."""
    return '{"type":"echo","data":{"a":' + "[" * (depth - 2) + "]" * (depth - 2) + "}}"


def test_depth(http):
    assert post(http, nested(64)).status_code == 201
    assert list(mistakes(post(http, nested(65)))) == [""]
    assert post(http, nested(200_000)).status_code == 422


def test_wide_is_not_deep(http):
    data = {"rows": [{"a": [1], "text": "[[[{{{" * 30, "q": '\\"[\\'} for _ in range(500)]}
    assert post(http, {"type": "echo", "data": data}).status_code == 201


def sized(size: int) -> bytes:
    """A body whose data has so many bytes."""
    return b'{"type":"echo","data":{"a":"' + b"x" * (size - len(b'{"a":""}')) + b'"}}'


def test_size_of_data(http):
    assert post(http, sized(limits.MAX_DATA_BYTES)).status_code == 201
    assert list(mistakes(post(http, sized(limits.MAX_DATA_BYTES + 1)))) == ["/data"]
    wide = b'{"type":"echo","data":{"a":"' + "é".encode() * (limits.MAX_DATA_BYTES // 2) + b'"}}'
    assert list(mistakes(post(http, wide))) == ["/data"]


def test_size_of_body(http):
    body = sized(1_000)
    assert post(http, body + b" " * (MAX_BYTES - len(body))).status_code == 201
    answer = post(http, body + b" " * (MAX_BYTES - len(body) + 1))
    assert answer.status_code == 413
    assert answer.json()["type"] == "urn:boltq:problem:too-large"


def test_size_is_counted_and_not_believed(http):
    def chunks():
        for _ in range(MAX_BYTES // 1_000 + 2):
            yield b" " * 1_000

    answer = http.post("/api/v1/jobs", content=chunks(), headers=JSON)
    assert answer.status_code == 413


def test_a_body_in_small_pieces_arrives_whole(http):
    def chunks():
        for letter in b'{"type":"echo","data":{"message":"in pieces"}}':
            yield bytes([letter])

    answer = http.post("/api/v1/jobs", content=chunks(), headers=JSON)
    assert shown(http, answer)["data"] == {"message": "in pieces"}


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ({"a": [0] * 10_000}, None),
        ({"a": [0] * 10_001}, "/data/a"),
        ({str(n): 0 for n in range(10_000)}, None),
        ({str(n): 0 for n in range(10_001)}, "/data"),
        ({"a": {"b/~": [1, {str(n): 0 for n in range(10_001)}]}}, "/data/a/b~1~0/1"),
        ({"a": [[0] * 9_000] * 9}, None),
        ({"a": "," * 20_000}, None),
        ({"a": "x" * 500_000}, None),
    ],
    ids=["items", "items+1", "keys", "keys+1", "inner", "in all", "commas", "long text"],
)
def test_how_many_items_and_keys(http, data, place):
    answer = post(http, {"type": "echo", "data": data})
    if place is None:
        assert answer.status_code == 201, answer.text
    else:
        assert mistakes(answer) == {place: "more than 10000 items"}


# Content types


@pytest.mark.parametrize(
    "kind",
    ["application/json", "application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"', "application/json ;"],
)
def test_json_may_be_called_so(http, kind):
    assert post(http, {"type": "echo"}, {"Content-Type": kind}).status_code == 201


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "application/json, text/plain",
        "text/plain; a=application/json",
        "application/json; charset=utf-16",
    ],
)
def test_anything_else_is_refused(http, kind):
    answer = post(http, {"type": "echo"}, {} if kind is None else {"Content-Type": kind})
    assert answer.status_code == 415
    assert answer.json()["type"] == "urn:boltq:problem:not-json"


def test_the_other_word_is_named_where_it_stands(http):
    """In each form the pointer leads to what was sent, and the hint to what is known."""
    first = post(http, {"type": "echo", "data": {"a": 1}}, path="/submit")
    assert mistakes(first) == {"/data": "unknown field; did you mean payload?"}
    both = post(http, {"type": "echo", "data": {"a": 1}, "payload": []}, path="/submit")
    assert mistakes(both) == {"/data": "unknown field; did you mean payload?", "/payload": "must be a JSON object"}
    ours = post(http, {"type": "echo", "payload": {"a": 1}, "data": []})
    assert mistakes(ours) == {"/payload": "unknown field; did you mean data?", "/data": "must be a JSON object"}
    batch = http.post("/api/v1/jobs/batch", json={"jobs": [{"type": "echo", "kwargs": {}}]}).json()["items"][0]
    assert batch["errors"] == [{"pointer": "/jobs/0/kwargs", "detail": "unknown field; did you mean data?"}]
    steps = {"name": "n", "steps": [{"job_type": "echo", "data": {}}, {"job_type": "echo", "payload": {}}]}
    assert mistakes(http.post("/api/v1/workflows", json=steps)) == {
        "/steps/0/data": "unknown field; did you mean params?",
        "/steps/1/payload": "unknown field; did you mean params?",
    }
    assert mistakes(http.get("/api/v1/jobs?sate=dead")) == {"/sate": "unknown parameter; did you mean state?"}


# Idempotency


def test_the_same_key_and_body_make_one_job(http):
    body = {"type": "echo", "data": {"n": 1}, "idempotency_key": "order-1"}
    first, second = post(http, body), post(http, body)
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json() == first.json() | {"created": False}


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/submit", "/api/v1/jobs/batch"])
def test_what_has_ended_waits_for_nobody(http, path):
    """Neither for a worker of its type nor for one of its queue; while it waits, both are said."""
    body = {"type": "of-nobody", "queue": "of-nobody", "idempotency_key": f"ended{path}"}

    def told() -> list[str]:
        if path.endswith("batch"):
            return http.post(path, json={"jobs": [body]}).json()["items"][0]["warnings"]
        return post(http, body, path=path).json().get("warnings", [])

    job = post(http, body).json()["id"]
    assert ["waits for one" in warning for warning in told()] == [True, True]
    assert http.post(f"/api/v1/jobs/{job}/cancel").status_code == 200
    assert told() == []


def test_the_header_is_the_same_as_the_field(http):
    first = post(http, {"type": "echo", "idempotency_key": "order-2"})
    second = post(http, {"type": "echo"}, JSON | {"Idempotency-Key": "order-2"})
    third = post(http, {"type": "echo", "idempotency_key": "order-2"}, JSON | {"Idempotency-Key": '"order-2"'})
    assert first.json()["id"] == second.json()["id"] == third.json()["id"]
    assert [answer.status_code for answer in (first, second, third)] == [201, 200, 200]


def test_the_answer_to_a_repeat_tells_how_the_job_stands_now(http):
    body = {"type": "echo", "idempotency_key": "order-3"}
    job = post(http, body).json()["id"]
    http.post(f"/api/v1/jobs/{job}/cancel")
    assert post(http, body).json()["state"] == "cancelled"


async def test_what_is_not_there_is_never_called_completed(http, run_one):
    """Its key is free again when it has not completed; when it has, nobody knows any more how it ended."""
    for end in ("delete it", "complete it, then delete it"):
        body = {"type": "echo", "queue": f"gone-{end[0]}", "idempotency_key": f"order-{end}"}
        job = post(http, body).json()["id"]
        if end != "delete it":
            await run_one("gone-c", Completed("1"))
        assert http.delete(f"/api/v1/jobs/{job}").status_code in {200, 204}
        calls = [post(http, body)] if end == "delete it" else []
        calls += [post(http, body), http.post("/api/v1/jobs/batch", json={"jobs": [body]})]
        if end == "delete it":
            assert calls[0].status_code == 201
            assert calls[0].json()["id"] != job
            assert calls[1].json()["state"] == "queued"
            assert calls[2].json()["items"][0]["state"] == "queued"
            continue
        assert calls[0].status_code == 200
        for answer in (calls[0].json(), calls[1].json()["items"][0]):
            assert (answer["id"], answer["created"], answer["state"]) == (job, False, None)
            assert ["no longer kept" in warning for warning in answer["warnings"]][-1:] == [True]


async def test_nor_in_the_words_of_the_first_version(http, run_one):
    body = {"type": "echo", "queue": "gone-first", "idempotency_key": "order-first"}
    job = post(http, body, path="/submit").json()["id"]
    await run_one("gone-first", Completed("1"))
    assert http.delete(f"/api/v1/jobs/{job}").status_code in {200, 204}
    answer = post(http, body, path="/submit").json()
    assert (answer["id"], answer["created"], answer["status"]) == (job, False, "unknown")


async def test_nor_is_a_workflow(http, run_one):
    body = {"name": "gone", "queue": "gone-steps", "idempotency_key": "w", "steps": [{"job_type": "echo"}]}
    workflow = http.post("/api/v1/workflows", json=body).json()["id"]
    await run_one("gone-steps", Completed("1"))
    assert http.delete(f"/api/v1/workflows/{workflow}").status_code in {200, 204}
    answer = http.post("/api/v1/workflows", json=body)
    assert answer.status_code == 200
    assert (answer.json()["id"], answer.json()["state"]) == (workflow, None)
    assert "no longer kept" in answer.json()["warnings"][-1]
    again = http.post("/api/v1/workflows", json=body | {"idempotency_key": "v"}).json()["id"]
    assert http.post(f"/api/v1/workflows/{again}/cancel").status_code == 200
    assert http.delete(f"/api/v1/workflows/{again}").status_code in {200, 204}
    assert http.post("/api/v1/workflows", json=body | {"idempotency_key": "v"}).json()["state"] == "running"


def test_the_same_key_for_another_job_is_a_conflict(http):
    assert post(http, {"type": "echo", "idempotency_key": "order-4"}).status_code == 201
    answer = post(http, {"type": "echo", "data": {"other": 1}, "idempotency_key": "order-4"})
    assert answer.status_code == 409
    assert "order-4" in answer.json()["detail"]


def test_a_repeat_in_another_trace_is_still_a_repeat(http):
    keys = [JSON | {"Idempotency-Key": "order-5", "traceparent": f"00-{n:032x}-{n:016x}-01"} for n in (1, 2)]
    assert [post(http, {"type": "echo"}, headers).status_code for headers in keys] == [201, 200]


def test_two_keys_are_one_too_many(http):
    answer = post(http, {"type": "echo", "idempotency_key": "a"}, JSON | {"Idempotency-Key": "b"})
    assert list(mistakes(answer)) == ["/idempotency_key"]
    headers = [*JSON.items(), ("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    assert post(http, {"type": "echo"}, headers).status_code == 400


@pytest.mark.parametrize("key", ["", "x" * 201, "caf\xe9"])
def test_a_bad_key_is_refused(http, key):
    answer = post(http, {"type": "echo"}, JSON | {"Idempotency-Key": key.encode("latin-1")})
    assert list(mistakes(answer)) == ["/idempotency_key"]


def test_fifty_at_once_make_one_job(http):
    body = {"type": "echo", "data": {"n": 50}, "idempotency_key": "crowd"}
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: post(http, body), range(50)))
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [201]


# Traces


def test_the_trace_goes_with_the_job(http):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert shown(http, post(http, {"type": "echo"}, JSON | {"traceparent": trace}))["traceparent"] == trace
    assert shown(http, post(http, {"type": "echo"}, JSON | {"traceparent": "nonsense"}))["traceparent"] is None


# A crowd


def test_many_jobs_at_once_are_all_there(api):
    limit = httpx.Limits(max_connections=16)
    with httpx.Client(base_url=api, limits=limit) as http, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: post(http, {"type": "echo", "queue": "crowd", "data": {"n": n}}), range(400)))
        assert {answer.status_code for answer in answers} == {201}
        stats = http.get("/api/v1/queues/stats").json()
    crowd = next(queue for queue in stats["queues"] if queue["name"] == "crowd")
    assert crowd["queued"] == 400
    assert len({answer.json()["id"] for answer in answers}) == 400
