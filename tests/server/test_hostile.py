"""Whatever is sent, the server says what is wrong with it and stays up: never a 5xx."""

import itertools
import json

import pytest
from hypothesis import given, strategies as st

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


@pytest.mark.parametrize(("body", "path"), list(itertools.product(CORPUS, ["/api/v1/jobs", "/submit"])))
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
