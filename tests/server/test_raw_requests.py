"""What arrives over a socket byte by byte: it is answered with the reason, and its memory has a bound."""

import contextlib
import json
import re
import socket
import time
from urllib.parse import quote_from_bytes, urlsplit

import httpx
import pytest
from api_table import CALLS
from apis import memory_of, raw

from boltq.domain.outcome import Completed
from boltq.server.http.complaints import MOST_LINES, WINDOW_SECONDS, Complaints
from boltq.server.http.held import FREE_BYTES, MAX_HELD_BYTES
from boltq.server.http.openapi import EXAMPLES
from boltq.server.http.protocol import MAX_HEAD_BYTES

pytestmark = pytest.mark.any_partitions  # what it looks at is how bytes are read

START = b"POST /api/v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
BODY = b'{"type":"echo"}'
JSON = {"Content-Type": "application/json"}


def status_of(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:100]
    return int(answer[9:12])


def problem_of(answer: bytes) -> dict:
    return json.loads(answer.partition(b"\r\n\r\n")[2])


# Text that is none

LATIN = "Grüße".encode("latin-1")
NO_TEXTS = [LATIN, b"\xff", b"a\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf8\x88\x80\x80\x80", b"\xf4\x90\x80\x80"]


@pytest.mark.parametrize("text", NO_TEXTS)
@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/api/v1/jobs", b'{"type":"echo","data":{"a":[1,{"b":"%b"}]}}', "/data/a/1/b"),
        ("/api/v1/jobs", b'{"type":"echo","data":{"big":%b,"a":"\\u00e4%%b"}}' % (b"9" * 5_000), "/data/a"),
        ("/api/v1/jobs?dry_run=true", b'{"type":"echo","data":{"a":"%b"}}', "/data/a"),
        ("/api/v1/jobs", b'{"type":"echo","tags":["good","%b"]}', "/tags/1"),
        ("/api/v1/jobs", b'{"type":"%b"}', "/type"),
        ("/api/v1/jobs", b'{"type":"echo","idempotency_key":"%b"}', "/idempotency_key"),
        ("/api/v1/jobs", b'{"type":"echo","unknown":"%b"}', "/unknown"),
        ("/submit", b'{"type":"echo","payload":{"a":"%b"}}', "/payload/a"),
        ("/api/v1/workflows", b'{"name":"%b","steps":[{"job_type":"echo"}]}', "/name"),
        ("/api/v1/workflows", b'{"name":"n","steps":[{"job_type":"echo","params":{"a":"%b"}}]}', "/steps/0/params/a"),
        ("/api/v1/workflows?dry_run=true", b'{"name":"n","input":{"a":"%b"},"steps":[]}', "/input/a"),
    ],
)
def test_text_that_is_not_utf8_is_named_by_its_place(http, path, body, pointer, text):
    """What Windows PowerShell 5.1 sends when nobody tells it otherwise."""
    answer = http.post(path, content=body % text, headers=JSON)
    assert answer.status_code == (200 if "dry_run" in path else 422), answer.text
    if answer.status_code == 200:
        assert answer.json()["valid"] is False
    (mistake,) = answer.json()["errors"]
    assert mistake["pointer"] == pointer
    assert mistake["detail"].startswith("not UTF-8")


def test_a_key_that_is_not_utf8_is_shown_as_far_as_it_can_be(http):
    answer = http.post("/api/v1/jobs", content=b'{"type":"echo","data":{"Gr\xfc\xdfe":1}}', headers=JSON)
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/data/Gr??e"]


def test_half_a_character_is_named_by_its_place(http):
    answer = http.post("/api/v1/jobs", content=b'{"type":"echo","data":{"a":"\\ud83d"}}', headers=JSON)
    assert answer.status_code == 422
    (mistake,) = answer.json()["errors"]
    assert mistake["pointer"] == "/data/a"
    assert mistake["detail"].startswith("has half of a character"), "the bytes are UTF-8"


@pytest.mark.parametrize(("path", "name"), [("/api/v1/jobs", "data"), ("/submit", "payload")])
@pytest.mark.parametrize("number", [b"1e999", b"-1e400", b"1" + b"0" * 400 + b".0"])
def test_a_number_that_nothing_can_hold_is_named_by_its_place(http, path, name, number):
    data = b'{"a":[1,{"b":%b}],"c/d":%b,"e":1e300}' % (number, number)
    answer = http.post(path, content=b'{"type":"echo","%b":%b}' % (name.encode(), data), headers=JSON)
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {"pointer": f"/{name}/{place}", "detail": "number out of range"} for place in ("a/1/b", "c~1d")
    ]


def test_a_whole_character_is_none_of_them(http):
    answer = http.post(
        "/api/v1/jobs", content='{"type":"echo","data":{"a":"\\ud83d\\ude00 äß😀"}}'.encode(), headers=JSON
    )
    assert answer.status_code == 201
    assert http.get(answer.headers["location"]).json()["data"] == {"a": "😀 äß😀"}


def test_bytes_outside_of_a_text_are_named_by_line_and_column(http):
    answer = http.post("/api/v1/jobs", content=b'{"type":"echo",\n "data":\xe4}', headers=JSON)
    assert answer.status_code == 400
    assert (answer.json()["line"], answer.json()["column"]) == (2, 9)
    assert "not UTF-8" in answer.json()["detail"]


@pytest.mark.parametrize("text", NO_TEXTS)
def test_in_a_batch_it_is_the_matter_of_its_item(http, text):
    body = b'{"jobs":[{"type":"echo"},{"type":"echo","data":{"a":"%b"}},{"type":"%b"},{"type":"echo"}]}'
    answer = http.post("/api/v1/jobs/batch", content=body % (text, text), headers=JSON)
    assert answer.status_code == 200, answer.text
    items = answer.json()["items"]
    assert [item.get("created") for item in items] == [True, None, None, True]
    assert [item["errors"][0]["pointer"] for item in items[1:3]] == ["/jobs/1/data/a", "/jobs/2/type"]


@pytest.mark.parametrize(
    "half", [rb"\ud800", rb"\udc00", rb"\uD83D x", rb"\ud800\u0041", rb"\\\udfff", rb"\ude00\ud83d"]
)
def test_half_a_character_in_a_batch_is_the_matter_of_its_item(http, half):
    """All others are taken as they were written, whole characters of two escapes too."""
    good = rb'{"type":"echo","data":{"a":"\ud83d\ude00 \\ud800"}}'
    bad = rb'{"type":"echo","data":{"a":["' + half + rb'"]}}'
    body = rb'{"jobs":[' + b" , ".join([good, bad, rb'"jobs"', rb'{"type":"' + half + rb'"}', good]) + b"]}"
    answer = http.post("/api/v1/jobs/batch", content=body, headers=JSON)
    assert answer.status_code == 200, answer.text
    items = answer.json()["items"]
    assert [item.get("state") for item in items] == ["queued", None, None, None, "queued"]
    assert [error["pointer"] for item in items for error in item.get("errors", [])] == [
        "/jobs/1/data/a/0", "/jobs/2", "/jobs/3/type",
    ]  # fmt: skip
    for item in (items[0], items[4]):
        assert http.get(f"/api/v1/jobs/{item['id']}").json()["data"] == {"a": "😀 \\ud800"}


def test_what_is_around_the_items_is_the_matter_of_all(http):
    answer = http.post("/api/v1/jobs/batch", content=b'{"jobs":[{"type":"echo"}],"\xe4":1}', headers=JSON)
    assert answer.status_code in {400, 422}


WITH_BODY = [call for call in CALLS if call.body]


@pytest.mark.parametrize("call", WITH_BODY, ids=lambda call: call.id)
def test_no_call_breaks_on_it(http, call):
    """At each text of its example in turn, key or value."""
    job = http.post("/api/v1/jobs", json={"type": "echo", "queue": "raw"}).json()["id"]
    path = re.sub(r"(?<=/jobs/){\w+}", job, call.path)
    path = re.sub(r"{\w+}", "nobody", path)
    example = json.dumps(EXAMPLES.get(call.id) or {"reason": "why"})
    for found in re.finditer(r'"', example):
        body = example[: found.end()].encode() + b"\xe4" + example[found.end() :].encode()
        answer = http.request(call.method, path, content=body, headers=JSON)
        assert answer.status_code < 500, (body, answer.text)
        assert answer.status_code >= 400 or answer.json().get("rejected") or answer.json().get("valid") is False, body


@pytest.mark.parametrize("text", NO_TEXTS)
@pytest.mark.parametrize("path", ["/api/v1/workflows?name=", "/api/v1/jobs?cursor=", "/status?id=", "/api/v1/jobs?"])
def test_a_query_that_is_not_utf8_is_named_by_its_parameter(http, path, text):
    answer = http.get(path + quote_from_bytes(text, safe=""))
    assert answer.status_code == 422, answer.text
    (mistake,) = answer.json()["errors"]
    name = path.partition("?")[2].rstrip("=")
    assert mistake["detail"].startswith("not UTF-8")
    assert mistake["pointer"] == (
        f"/{name}" if name else f"/{text.decode('utf-8', 'surrogateescape')}".encode("utf-8", "replace").decode()
    )


@pytest.mark.parametrize("text", NO_TEXTS)
@pytest.mark.parametrize("path", ["/api/v1/jobs/{}", "/api/v1/queues/{}/pause", "/{}", "/api/v1/workers/{}/drain"])
def test_a_path_that_is_not_utf8_is_refused(http, path, text):
    answer = http.get(path.format(quote_from_bytes(text, safe="")))
    assert answer.status_code == 400, answer.text
    assert "not UTF-8" in answer.json()["detail"]


@pytest.mark.parametrize("text", NO_TEXTS)
def test_a_header_that_is_not_utf8_is_refused(api, http, text):
    for header, place in ((b"idempotency-key", "/idempotency_key"),):
        answer = raw(api, START + header + b": " + text + b"\r\ncontent-length: 15\r\n\r\n" + BODY)
        assert status_of(answer) == 422
        assert [error["pointer"] for error in problem_of(answer)["errors"]] == [place]
    pause = b"POST /api/v1/queues/raw/pause HTTP/1.1\r\nhost: localhost\r\nx-boltq-reason: %b\r\n\r\n"
    assert status_of(raw(api, pause % text)) == 422
    assert status_of(raw(api, pause % "Grüße".encode())) == 200
    assert "Grüße" in http.get("/api/v1/queues/raw").text
    assert http.post("/api/v1/queues/raw/resume").status_code == 200


# Heads

ODD = [
    b"content-length: " + b"9" * 5_000 + b"\r\n\r\n",
    b"content-length: " + b"0" * 5_000 + b"\r\n\r\n",
    b"content-length: " + b"0" * 5_000 + b"15\r\n\r\n" + BODY,
    b"content-length: " + b"0" * 5_000 + b"9999999\r\n\r\n",
    b"content-length: 18446744073709551616\r\n\r\n",
    b"content-length: 9223372036854775807\r\n\r\n",
    b"content-length: -15\r\n\r\n" + BODY,
    b"content-length: +15\r\n\r\n" + BODY,
    b"content-length: 0x0f\r\n\r\n" + BODY,
    b"content-length: 15.0\r\n\r\n" + BODY,
    b"content-length: 1_5\r\n\r\n" + BODY,
    "content-length: \u0661\r\n\r\n".encode() + BODY,
    b"content-length:\r\n\r\n",
    b"content-length: 15, 15\r\n\r\n" + BODY,
    b"content-length: 15\r\ncontent-length: 15\r\n\r\n" + BODY,
    b"content-length: 15\r\ntransfer-encoding: chunked\r\n\r\nf\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"transfer-encoding: chunked\r\ncontent-length: 15\r\n\r\nf\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n" + BODY,
    b"transfer-encoding: chunked\r\n\r\n-1\r\n" + BODY,
    b"transfer-encoding: chunked\r\n\r\nxyz\r\n" + BODY,
    b"transfer-encoding: chunked\r\n\r\nf;" + b"x" * 100_000 + b"\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"content-type: application/json\r\ncontent-length: 15\r\n\r\n" + BODY,
    b"expect: 200-ok\r\ncontent-length: 15\r\n\r\n" + BODY,
    b"upgrade: h2c\r\nconnection: upgrade, http2-settings\r\ncontent-length: 15\r\n\r\n" + BODY,
    b"upgrade: websocket\r\nconnection: upgrade, close\r\n\r\n",
    b"connection: close, close, keep-alive\r\ncontent-length: 15\r\n\r\n" + BODY,
    b"authorization: Bearer \xff\xfe\r\ncontent-length: 15\r\n\r\n" + BODY,
    b"authorization: \r\ncontent-length: 15\r\n\r\n" + BODY,
    b"authorization: Bearer bq_" + "ä".encode() + b"_x\r\ncontent-length: 15\r\n\r\n" + BODY,
    b"x-request-id: \xff\r\ncontent-length: 15\r\n\r\n" + BODY,
    b"x-request-id: a\x00b\r\ncontent-length: 15\r\n\r\n" + BODY,
    b"x\xff: 1\r\ncontent-length: 15\r\n\r\n" + BODY,
    b": 1\r\ncontent-length: 15\r\n\r\n" + BODY,
    b"x : 1\r\ncontent-length: 15\r\n\r\n" + BODY,
    b"x: 1\r\n folded\r\ncontent-length: 15\r\n\r\n" + BODY,
    b"x: 1\ncontent-length: 15\n\n" + BODY,
    b"x: a\rb\r\ncontent-length: 15\r\n\r\n" + BODY,
    b"traceparent: \xff\r\ncontent-length: 15\r\n\r\n" + BODY,
    b"idempotency-key: \r\ncontent-length: 15\r\n\r\n" + BODY,
    b"origin: \r\ncontent-length: 15\r\n\r\n" + BODY,
    b"sec-fetch-site: \xff\r\ncontent-length: 15\r\n\r\n" + BODY,
    b"content-encoding: \xff\r\ncontent-length: 15\r\n\r\n" + BODY,
    b"accept: \xff\r\naccept-encoding: \xff\r\ncontent-length: 15\r\n\r\n" + BODY,
    b"".join(b"x-%d: 1\r\n" % number for number in range(1_000)) + b"content-length: 15\r\n\r\n" + BODY,
]


@pytest.mark.parametrize("rest", ODD)
@pytest.mark.parametrize("path", [b"/api/v1/jobs", b"/api/v1/workflows", b"/api/v1/bulk"])
def test_no_head_breaks_the_server(api, rest, path):
    answer = raw(api, START.replace(b"/api/v1/jobs", path) + rest)
    if answer:
        assert status_of(answer) < 500, answer
        assert b"x-request-id: " in answer.lower() or b"WebSocket" in answer


ODD_TARGETS = [
    b"*",
    b"http://localhost/health",
    b"localhost:80",
    b"/\xff",
    b"/health?\xff=1",
    b"//",
    b"/%",
    b"/%0",
    b"/health#x",
]


@pytest.mark.parametrize("target", ODD_TARGETS)
@pytest.mark.parametrize("method", [b"GET", b"OPTIONS", b"CONNECT", b"POST", b"PRI"])
def test_no_target_breaks_the_server(api, target, method):
    answer = raw(api, method + b" " + target + b" HTTP/1.1\r\nhost: localhost\r\n\r\n")
    assert not answer or status_of(answer) < 500


def test_a_length_of_thousands_of_digits_is_refused_as_too_large_or_no_number(api):
    assert status_of(raw(api, START + ODD[0])) in {400, 413}
    assert status_of(raw(api, START + ODD[2])) in {201, 400}
    assert status_of(raw(api, START + ODD[3])) in {400, 413}


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"br", b"gzip, identity", b"zstd, br"])
@pytest.mark.parametrize("path", ["/api/v1/jobs", "/submit", "/api/v1/jobs/batch", "/api/v1/workflows"])
def test_a_packed_body_is_refused(http, path, coding):
    answer = http.post(path, content=b"\x1f\x8b", headers=JSON | {"Content-Encoding": coding.decode()})
    assert answer.status_code == 415
    assert answer.json()["type"] == "urn:boltq:problem:packed"
    assert answer.headers["accept-encoding"] == "identity"


def test_identity_is_no_packing(http):
    answer = http.post("/api/v1/jobs", json={"type": "echo"}, headers={"Content-Encoding": "identity"})
    assert answer.status_code == 201


@pytest.mark.parametrize("coding", [b"gzip", b"gzip, chunked", b"x", b"identity, chunked", b"GZIP,CHUNKED"])
@pytest.mark.parametrize("method", [b"POST /api/v1/jobs", b"GET /health"])
def test_a_transfer_coding_that_nobody_knows_is_not_implemented(api, method, coding):
    head = method + b" HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    answer = raw(api, head + b"transfer-encoding: " + coding + b"\r\n\r\n0\r\n\r\n")
    assert status_of(answer) == 501, answer
    assert problem_of(answer)["type"] == "urn:boltq:problem:unknown-coding"


def test_chunks_are_known_in_any_case(api):
    answer = raw(api, START + b"transfer-encoding: ChunKed\r\n\r\nf\r\n" + BODY + b"\r\n0\r\n\r\n")
    assert status_of(answer) == 201


# Behind a body


def test_trailers_are_no_headers(api, http):
    """Nobody has judged them: they must not say who asks, or what the key is."""
    chunks = b"f\r\n" + BODY + b"\r\n0\r\nidempotency-key: from-a-trailer\r\nx-y: z\r\n\r\n"
    answers = [raw(api, START + b"transfer-encoding: chunked\r\n\r\n" + chunks) for _ in range(2)]
    assert [status_of(answer) for answer in answers] == [201, 201]


@pytest.mark.parametrize("line", [b"a:b\r\n", b"a: " + b"b" * 1_000 + b"\r\n"])
def test_trailers_have_the_bound_of_a_head(api, line):
    begin = START + b"transfer-encoding: chunked\r\n\r\nf\r\n" + BODY + b"\r\n0\r\n"
    few = line * (MAX_HEAD_BYTES // 2 // (len(line) + 2))
    assert status_of(raw(api, begin + few + b"\r\n")) == 201
    many = line * (2 * MAX_HEAD_BYTES // len(line))
    answer = raw(api, begin + many + b"\r\n")
    assert status_of(answer) == 431, answer


@pytest.mark.parametrize("piece", [b"a:b\r\n" * 1_000, b"a" * 5_000, b"a: " + b"b" * 5_000, b";x=" + b"y" * 5_000])
@pytest.mark.parametrize("path", [b"/api/v1/jobs", b"/nowhere"])
def test_what_has_no_end_behind_a_body_is_cut_off(api, piece, path):
    """Headers, one header's name, its value, what may stand behind a chunk's length; read by a call or by none."""
    begin = START.replace(b"/api/v1/jobs", path) + b"transfer-encoding: chunked\r\n\r\nf\r\n" + BODY + b"\r\n0"
    begin += b"" if piece.startswith(b";") else b"\r\n"
    assert sent_until_cut_off(api, begin, piece, 4 << 20) < 2 << 20


def sent_until_cut_off(api: str, begin: bytes, piece: bytes, most: int) -> int:
    parts = urlsplit(api)
    sent = 0
    with socket.create_connection((parts.hostname, parts.port), timeout=5) as line, contextlib.suppress(OSError):
        line.sendall(begin)
        while sent < most:
            line.sendall(piece)
            sent += len(piece)
            time.sleep(0.0005)
    return sent


# A client that has said all


def half_closed(api: str, request: bytes) -> bytes:
    parts = urlsplit(api)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as line:
        line.sendall(request)
        line.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := line.recv(65_536):
            answer += chunk
        return answer


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (START + b"content-length: 15\r\n\r\n" + BODY, 201),
        (START + b"transfer-encoding: chunked\r\n\r\nf\r\n" + BODY + b"\r\n0\r\n\r\n", 201),
        (b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n", 200),
        (b"GET /health HTTP/1.0\r\nhost: localhost\r\n\r\n", 200),
        (b"GET /api/v1/queues HTTP/1.1\r\nhost: localhost\r\n\r\n", 200),
        (b"GET /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n", 404),
        (START + b"content-length: 16\r\n\r\n" + BODY, 400),
    ],
)
def test_who_shuts_the_sending_half_gets_the_answer(api, request_, status):
    answer = half_closed(api, request_)
    assert status_of(answer) == status, answer


def test_each_of_several_gets_its_answer(api):
    get = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"
    answer = half_closed(api, get + START + b"content-length: 15\r\n\r\n" + BODY + get)
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"201", b"200"]


def test_what_is_broken_behind_a_request_waits_for_its_turn(api):
    get = b"GET /api/v1/queues HTTP/1.1\r\nhost: localhost\r\n\r\n"
    assert re.findall(rb"HTTP/1.1 (\d+)", raw(api, get + get + b"\x00\x01\r\n\r\n", answers=None)) == [
        b"200",
        b"200",
        b"400",
    ]
    bad_chunk = START + b"transfer-encoding: chunked\r\n\r\nxyz\r\n"
    assert re.findall(rb"HTTP/1.1 (\d+)", raw(api, get + get + bad_chunk, answers=None)) == [b"200", b"200", b"400"]


async def test_who_waits_and_shuts_the_sending_half_is_answered_at_once(api, http, run_one):
    """It looks as if it had left, and must not keep a place among those who wait."""
    job = http.post("/api/v1/jobs", json={"type": "echo", "queue": "half"}).json()["id"]
    get = f"GET /api/v1/jobs/{job}?wait=60 HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
    answer = half_closed(api, get)
    assert (status_of(answer), problem_of(answer)["state"]) == (200, "queued")
    await run_one("half", Completed("1"))
    assert problem_of(half_closed(api, get))["state"] == "completed"


# The memory of all


def test_trailers_without_end_take_no_memory(process):
    url, pid = process
    assert httpx.post(f"{url}/api/v1/jobs", json={"type": "echo"}).status_code == 201
    before = memory_of(pid)
    begin = START + b"transfer-encoding: chunked\r\n\r\nf\r\n" + BODY + b"\r\n0\r\n"
    for _ in range(10):
        sent_until_cut_off(url, begin, b"a:b\r\n" * 10_000, 100 << 20)
    assert memory_of(pid) - before < 20 << 20


def test_half_sent_bodies_share_a_bound(process):
    """Sixty batches, each but for its last byte: some are told to come again, and small ones get through."""
    url, pid = process
    assert httpx.post(f"{url}/api/v1/jobs", json={"type": "echo"}).status_code == 201
    before = memory_of(pid)
    parts, size = urlsplit(url), 8 << 20
    head = START.replace(b"/jobs", b"/jobs/batch") + b"content-length: %d\r\n\r\n" % size
    with contextlib.ExitStack() as lines:
        waiting, refused = [], []
        for _ in range(60):
            line = lines.enter_context(socket.create_connection((parts.hostname, parts.port), timeout=10))
            with contextlib.suppress(OSError):
                line.sendall(head + b'{"jobs":[{"type":"' + b"x" * (size - 20))
            line.setblocking(False)
            waiting.append(line)
        for line in waiting:
            with contextlib.suppress(BlockingIOError, ConnectionResetError):
                refused.append(line.recv(65_536))
        grown = memory_of(pid) - before
        small = httpx.post(f"{url}/api/v1/jobs", json={"type": "echo", "data": {"x": "y" * (FREE_BYTES - 100)}})
        assert small.status_code == 201
        large = httpx.post(f"{url}/api/v1/jobs", json={"type": "echo", "data": {"x": "y" * 600_000}})
        answers = [status_of(answer) for answer in refused if answer]
    assert set(answers) == {503}
    assert large.status_code == 201 or large.headers["retry-after"] == "1"
    assert grown < 2 * MAX_HELD_BYTES, f"{grown >> 20} MiB"
    for _ in range(100):  # what they took is free again
        batch = {"jobs": [{"type": "echo", "data": {"x": "y" * 900_000}}] * 8}
        if httpx.post(f"{url}/api/v1/jobs/batch", json=batch, timeout=20).status_code == 200:
            break
        time.sleep(0.1)
    else:
        pytest.fail("the room is not free again")


# The log


def test_who_sends_what_is_no_http_is_in_the_log_a_few_times_a_minute(valkey, namespace, serving, caplog):
    with serving(valkey, namespace=namespace) as url:
        for _ in range(3 * MOST_LINES):
            raw_quick(url, b"\x16\x03\x01\r\n\r\n")
    lines = [record.getMessage() for record in caplog.records if record.name == "boltq.server.http.complaints"]
    assert len(lines) == MOST_LINES
    assert all("127.0.0.1, port " in line and "400" in line for line in lines)
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]


def raw_quick(url: str, request: bytes) -> None:
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=5) as line:
        line.sendall(request)
        assert line.recv(100).startswith(b"HTTP/1.1 400")


def test_those_that_are_not_told_are_counted(caplog):
    now = [100.0]
    complaints = Complaints(lambda: now[0])
    for _ in range(MOST_LINES + 5):
        complaints.tell(("10.0.0.1", 80), 400, "why")
    now[0] += WINDOW_SECONDS
    complaints.tell(("10.0.0.2", 80), 431, "what" * 1_000)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == MOST_LINES + 2
    assert lines[0] == "a request from 10.0.0.1, port 80 was refused with 400: why"
    assert lines[-2].startswith("5 more")
    assert len(lines[-1]) < 300
