"""Whatever is sent, the server says what is wrong with it and stays up: never a 5xx."""

import itertools
import json
import re
import resource
import socket
from contextlib import ExitStack
from urllib.parse import urlsplit

import msgspec
import pytest
from api_table import CALLS
from hypothesis import given, strategies as st

from boltq.domain.workflow.form import StepForm, WorkflowForm
from boltq.server.http.openapi import EXAMPLES

pytestmark = pytest.mark.any_partitions  # what it looks at never gets as far as a partition

CORPUS = [
    b"\x00",
    b"\xff\xfe{\x00}\x00",
    b'{"type":"echo"}'.decode().encode("utf-16"),
    b'{"type":"echo","data":' + b'{"a":' * 100_000,
    b"[" * 1_000_000,
    b"]" * 1_000,
    b'"' * 1_001,
    b"\\" * 1_001,
    b'{"type":' + b'"' * 1_001,
    b'{"type":"\\u0000"}',
    b'{"type":"echo","data":{"\\u0000":"\\u0000"}}',
    b'{"type":"\\ud800"}',
    b'{"type":"echo","queue":"\\ud83d"}',
    b'{"\\ud800":1}',
    b'{"type":"echo","\xed\xa0\x80":1}',
    b'{"type":"echo","data":{"a":"\xed\xa0\x80"}}',
    b'{"type":"echo","data":{"a":"\xc0\x80"}}',
    b'{"type":"echo","data":{"a":-0,"b":-0.0,"c":1e-999}}',
    b'{"type":"echo","max_attempts":' + b"9" * 10_000 + b"}",
    b'{"type":"echo","run_at":' + b"9" * 10_000 + b"}",
    b'{"type":"echo","run_at":1e308,"expires_at":-1e308,"delay_seconds":1e308,"expires_in_seconds":-1e308}',
    b'{"type":"echo","run_at":"9999-12-31T23:59:59-23:59","expires_at":"0001-01-01T00:00:00+23:59"}',
    b'{"type":"echo","priority":' + b"1" * 400 + b"}",
    b'{"type":"echo","priority":"' + b"x" * 100_000 + b'"}',
    b'{"type":"' + b"x" * 1_000_000 + b'"}',
    b"{" + b",".join(b'"k%d":1' % n for n in range(20_000)) + b"}",
    b'{"type":"echo",' + b" " * 900_000 + b'"data":{}}',
    b'{"type":"echo","idempotency_key":"\\u0000\\r\\n"}',
    b'{"type":"echo","__proto__":{},"constructor":1}',
    b'{"":1}',
    b'{"/~":1}',
    b"NaN",
    b"{}{}",
    b'{"type":"echo"/**/}',
]


def check(answer, body):
    assert answer.status_code < 500, (answer.status_code, body[:200], answer.text)
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["status"] == answer.status_code
        assert problem["detail"]
        assert len(answer.content) < 100_000


@pytest.mark.parametrize(
    ("body", "path"), list(itertools.product(CORPUS, ["/api/v1/jobs", "/submit", "/api/v1/workflows"]))
)
def test_corpus(http, body, path):
    check(http.post(path, content=body, headers={"Content-Type": "application/json"}), body)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = ["type", "data", "payload", "queue", "priority", "delay_seconds", "run_at", "expires_in_seconds", "expires_at"]
FIELDS += ["max_attempts", "timeout_seconds", "idempotency_key"]


@given(st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), VALUES, max_size=5))
def test_any_json(http, body):
    text = json.dumps({"type": "echo"} | body).encode()
    check(http.post("/api/v1/jobs", content=text, headers={"Content-Type": "application/json"}), text)


STEP_FIELDS = [field.encode_name for field in msgspec.structs.fields(StepForm)]
STEPS = st.dictionaries(st.sampled_from(STEP_FIELDS), VALUES, max_size=4)
WORKFLOW_FIELDS = [field.encode_name for field in msgspec.structs.fields(WorkflowForm)]


@given(st.dictionaries(st.sampled_from(WORKFLOW_FIELDS), VALUES, max_size=3), st.lists(STEPS, max_size=3))
def test_any_workflow(http, body, steps):
    whole = {"name": "any", "queue": "hostile", "steps": [{"job_type": "echo"} | step for step in steps]} | body
    text = json.dumps(whole).encode()
    answer = http.post("/api/v1/workflows", content=text, headers={"Content-Type": "application/json"})
    check(answer, text)
    dry = http.post("/api/v1/workflows?dry_run=true", content=text, headers={"Content-Type": "application/json"})
    check(dry, text)
    if answer.status_code in {201, 422} and dry.status_code == 200:
        assert dry.json()["valid"] == (answer.status_code == 201)


@given(st.binary(max_size=60))
def test_any_bytes(http, body):
    check(http.post("/api/v1/jobs", content=body, headers={"Content-Type": "application/json"}), body)


@given(st.dictionaries(st.text(max_size=10), VALUES, max_size=5))
def test_any_data_survives(http, data):
    text = json.dumps(data)
    body = f'{{"type":"echo","data":{text}}}'.encode()
    answer = http.post("/api/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    check(answer, body)
    if answer.status_code == 201:
        assert f'"data":{text}' in http.get(answer.headers["location"]).text


@given(st.dictionaries(st.text(max_size=10), VALUES, max_size=5))
def test_any_input_survives(http, data):
    text = json.dumps(data)
    body = f'{{"name":"any","queue":"hostile","input":{text},"steps":[{{"job_type":"echo"}}]}}'.encode()
    answer = http.post("/api/v1/workflows", content=body, headers={"Content-Type": "application/json"})
    check(answer, body)
    if answer.status_code == 201:
        assert f'"input":{text}' in http.get(answer.headers["location"]).text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Idempotency-Key", b"\x80\xff"),
        ("Idempotency-Key", b'"'),
        ("traceparent", b"\xff" * 55),
        ("Content-Type", b"application/json; charset=\xff"),
        ("Content-Type", b";;;="),
        ("Origin", b"://"),
        ("Origin", b"\xff"),
        ("Host", b"[:::]:x"),
        ("Host", b"\xff"),
    ],
)
def test_headers(http, name, value):
    headers = [("Content-Type", "application/json")] if name != "Content-Type" else []
    check(http.post("/api/v1/jobs", content=b'{"type":"echo"}', headers=[*headers, (name, value)]), value)


@pytest.mark.parametrize(
    "path", ["/%00", "/%ff", "/api/v1/jobs/%2e%2e", "/api/v1/jobs/%0d%0aX: 1", "//", "/?" + "a" * 9_000]
)
def test_paths(http, path):
    check(http.get(path), path.encode())


# Every call that takes a body

WITH_BODY = [call for call in CALLS if call.body]
every_body = pytest.mark.parametrize("call", WITH_BODY, ids=lambda call: call.id)

NO_JSON = [
    b"\x00",
    b"NaN",
    b"{}{}",
    b"[1,]",
    b"\xef\xbb",
    b"{'a':1}",
    b'{"FIELD":NaN}',
    b'{"FIELD":Infinity}',
    b'{"FIELD":-Infinity}',
    b'{"FIELD":01}',
    b'{"FIELD":"\\ud800"}',
    b'{"\\ud800":1}',
    b'{"FIELD":"\xed\xa0\x80"}',
    b'{"FIELD":"\xff"}',
    b'{"FIELD":"\xc0\x80"}',
    b'{"FIELD":"a\nb"}',
    b'{"FIELD":"\x01"}',
    b'{"FIELD":',
    b'{"FIELD":"',
    b'{"FIELD":1}/**/',
]
NO_OBJECT = [b"[]", b"1", b'"{}"', b"null", b"true", b"[" * 64 + b"]" * 64]
TOO_DEEP = [
    b"[" * 65 + b"]" * 65,
    b'{"FIELD":' * 65 + b"1" + b"}" * 65,
    b'{"FIELD":' + b"[" * 64 + b"]" * 64 + b"}",
    b'{"FIELD":' * 3_000 + b"1" + b"}" * 3_000,
]
TOO_LARGE = [b"[" * 9_000_000, b'{"FIELD":"' + b"x" * 9_000_000 + b'"}', b" " * 9_000_000 + b"{}"]
WRONG = [None, True, False, 0, -1, 1.5, 10**30, 1e308, "", "null", "\u0000", "x" * 60_000, [], [None], [[]], {}]
WRONG += [{"": None}]
WRONG_TEXTS = [b"9" * 10_000, b"-" + b"9" * 400, b"1e999", b"1" + b"0" * 4_300, b"0." + b"1" * 9_000]


@pytest.fixture
def send(http):
    """What sends a body to a call, with real things in its path."""
    made = http.post("/api/v1/jobs", json={"type": "echo", "queue": "hostile"})
    assert made.status_code == 201, made.text
    job = made.json()["id"]

    steps = [{"id": "ask", "approval": {}}]
    made = http.post("/api/v1/workflows", json={"name": "hostile", "steps": steps, "queue": "hostile"})
    assert made.status_code == 201, made.text
    workflow = made.json()["id"]

    def sending(call, body):
        path = re.sub(r"(?<=/jobs/){\w+}", job, call.path)
        path = re.sub(r"(?<=/workflows/){\w+}", workflow, path).replace("/signals/{step}", "/signals/ask")
        path = re.sub(r"(?<=/queues/){\w+}", "hostile", path)
        answer = http.request(call.method, re.sub(r"{\w+}", "nobody", path), content=body, headers=JSON)
        check(answer, body)
        for mistake in answer.json().get("errors", []) if answer.status_code >= 400 else []:
            assert mistake["detail"]
            assert re.fullmatch("(/([^/~]|~0|~1)*)*", mistake["pointer"])
        return answer

    return sending


JSON = {"Content-Type": "application/json"}


def field_of(call):
    return msgspec.structs.fields(call.body)[0].encode_name


def bodies(call, corpus):
    return [body.replace(b"FIELD", field_of(call).encode()) for body in corpus]


def refused(answer, *statuses):
    """404 where the call saw that its thing is not there before it looked at the body; a dry run says no with 200."""
    says_no = answer.status_code == 200 and 422 in statuses and answer.json().get("valid") is False
    return says_no or answer.status_code in {404, *statuses}


@every_body
def test_what_is_no_json_is_malformed(send, call):
    for body in bodies(call, NO_JSON):
        answer = send(call, body)
        assert refused(answer, 400, 422), body
        if answer.status_code == 400:
            assert answer.json()["type"] == "urn:boltq:problem:malformed-json", body


@every_body
def test_what_is_no_object_is_invalid(send, call):
    for body in NO_OBJECT:
        answer = send(call, body)
        assert refused(answer, 422), body
        assert answer.status_code == 404 or [e["pointer"] for e in answer.json()["errors"]] == [""], body


@every_body
def test_what_is_too_deep_is_invalid(send, call):
    for body in bodies(call, TOO_DEEP):
        answer = send(call, body)
        none_accepted = call.id == "submitJobs" and answer.json().get("accepted") == 0
        assert refused(answer, 413, 422) or none_accepted, body[:100]
    assert refused(send(call, b'{"a":' * 100_000), 400, 413, 422)


@every_body
def test_what_is_too_large_is_refused(send, call):
    for body in bodies(call, TOO_LARGE):
        assert refused(send(call, body), 413)


@every_body
def test_an_unknown_field_is_named(send, call):
    body = EXAMPLES.get(call.id, {}) | {"~/ x": 1}
    answer = send(call, json.dumps(body).encode())
    assert refused(answer, 422)
    assert answer.status_code == 404 or "/~0~1 x" in [e["pointer"] for e in answer.json()["errors"]]


@every_body
def test_a_field_may_be_given_once(send, call):
    example = json.dumps(EXAMPLES.get(call.id, {}))[1:-1]
    for field in EXAMPLES.get(call.id, {}) or [field_of(call)]:
        value = json.dumps(EXAMPLES.get(call.id, {}).get(field))
        for spelled in (field, f"\\u{ord(field[0]):04x}{field[1:]}"):
            body = f'{{{example or f"{json.dumps(field)}:{value}"},"{spelled}":{value}}}'
            answer = send(call, body.encode())
            assert refused(answer, 422), body
            assert answer.status_code == 404 or f"/{field}" in [e["pointer"] for e in answer.json()["errors"]], body


@every_body
def test_a_wrong_value_is_named_or_taken(send, call):
    example = EXAMPLES.get(call.id, {})
    for field in msgspec.structs.fields(call.body):
        rest = json.dumps({key: value for key, value in example.items() if key != field.encode_name})[1:-1]
        for value in [json.dumps(value).encode() for value in WRONG] + WRONG_TEXTS:
            body = b'{"%s":%s%s}' % (field.encode_name.encode(), value, f",{rest}".encode() if rest else b"")
            answer = send(call, body)
            if answer.status_code == 422:
                pointers = [mistake["pointer"] for mistake in answer.json()["errors"]]
                assert all(pointers), (body[:100], pointers)


@every_body
def test_a_byte_order_mark_changes_nothing(send, call):
    body = json.dumps(EXAMPLES.get(call.id, {})).encode()
    plain, marked = send(call, body), send(call, b"\xef\xbb\xbf" + body)
    assert (plain.status_code == 422) == (marked.status_code == 422)
    assert marked.status_code != 400


def test_a_slow_body_keeps_nobody_waiting(api, http):
    parts = urlsplit(api)
    body = b'{"type":"echo"}'
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as line:
        line.sendall(b"POST /api/v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n")
        line.sendall(b"content-length: %d\r\n\r\n" % len(body))
        for byte in range(len(body)):
            assert http.post("/api/v1/jobs", json={"type": "echo"}).status_code == 201
            line.sendall(body[byte : byte + 1])
        assert line.recv(1_000).startswith(b"HTTP/1.1 201")


def test_idle_lines_do_not_keep_others_out(api, http):
    """A thousand of them; each takes one end here, and one in the server."""
    idle = 1_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 3 * idle:
        pytest.skip(f"this machine allows {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 3 * idle), hard))
    parts = urlsplit(api)
    with ExitStack() as lines:
        for number in range(idle):
            line = lines.enter_context(socket.create_connection((parts.hostname, parts.port), timeout=20))
            line.sendall([b"", b"POST /api/v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-le"][number % 2])
        assert http.post("/api/v1/jobs", json={"type": "echo"}).status_code == 201
        assert http.get("/health").status_code == 200
    assert http.get("/health").status_code == 200
