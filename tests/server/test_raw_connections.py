"""One connection with more on it than a request: wishes for other protocols, many requests at once, unread answers."""

import asyncio
import contextlib
import json
import re
import socket
import time
from urllib.parse import urlsplit

import httpx
import pytest
from apis import memory_of, raw

from boltq.server.http.protocol import MAX_PIPELINED, UNREAD_PATROLS, BoundedProtocol

pytestmark = pytest.mark.any_partitions  # what it looks at is how bytes are read

START = b"POST /api/v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
BODY = b'{"type":"echo"}'
GET = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"
H2C = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"
SOCKET = b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: YQ==\r\n"
LENGTH = b"content-length: 15\r\n\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"
IN_CHUNKS = b"5\r\n" + BODY[:5] + b"\r\na\r\n" + BODY[5:] + b"\r\n0\r\n\r\n"


def statuses(answers: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1.1 (\d+)", answers)]


def piecewise(api: str, *pieces: bytes, answers: int) -> bytes:
    """What comes back when the pieces are sent one after the other, until there are so many answers or no more come."""
    parts, got = urlsplit(api), b""
    with socket.create_connection((parts.hostname, parts.port), timeout=2) as line, contextlib.suppress(TimeoutError):
        for piece in pieces:
            line.sendall(piece)
            time.sleep(0.05 if len(pieces) < 100 else 0.001)
        while len(statuses(got)) < answers and (more := line.recv(65_536)):
            got += more
    return got


def in_turns(api: str, piece: bytes, times: int, answers: int) -> bytes:
    """What comes back when a piece is sent so many times, each when the one before has had its answers."""
    parts, got = urlsplit(api), b""
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as line:
        for turn in range(1, times + 1):
            line.sendall(piece)
            while len(statuses(got)) < turn * answers and (more := line.recv(65_536)):
                got += more
    return got


# Wishes for another protocol (Java's HttpClient has one for h2c with each first request)


@pytest.mark.parametrize("wish", [H2C, SOCKET, b"connection: upgrade\r\nupgrade: foo/2, bar\r\n"])
@pytest.mark.parametrize(("framing", "body"), [(LENGTH, BODY), (CHUNKED, IN_CHUNKS)])
def test_a_request_that_wishes_for_another_protocol_keeps_its_body(api, wish, framing, body):
    head, behind = START + wish + framing, START + LENGTH + BODY
    assert statuses(piecewise(api, head + body, answers=1)) == [201]
    assert statuses(piecewise(api, head, body, answers=1)) == [201]
    assert statuses(piecewise(api, head + body[:7], body[7:], answers=1)) == [201]
    assert statuses(piecewise(api, head + body + behind, answers=2)) == [201, 201]
    assert statuses(piecewise(api, head + body, head + body, behind, answers=3)) == [201, 201, 201]
    assert statuses(piecewise(api, *(bytes([one]) for one in head + body + behind), answers=2)) == [201, 201]


@pytest.mark.parametrize("begin", [START + H2C, b"CONNECT /api/v1/jobs HTTP/1.1\r\nhost: localhost\r\n"])
def test_a_body_is_never_the_next_request(api, begin):
    head = begin + b"content-length: %d\r\n\r\n" % len(GET)
    assert 200 not in statuses(piecewise(api, head, GET, answers=2))
    assert 200 not in statuses(piecewise(api, head + GET, answers=2))
    assert statuses(piecewise(api, head, GET, GET, answers=2))[1:] == [200], "the connection goes on behind it"


def test_bodies_behind_such_a_wish_have_the_usual_bounds(api):
    head = START + H2C + b"content-length: %d\r\n\r\n" % (5 << 20)
    assert statuses(raw(api, head + b'{"type":"' + b"x" * 100_000, answers=None)) == [413]
    trailers = b"".join(b"x-%d: 1\r\n" % number for number in range(5_000))
    assert statuses(raw(api, START + H2C + CHUNKED + IN_CHUNKS[:-2] + trailers, answers=None))[-1] == 431


def test_what_follows_a_wish_without_a_body_is_answered(api):
    get = GET.replace(b"\r\n\r\n", b"\r\n" + H2C + b"\r\n")
    assert statuses(piecewise(api, get + GET + get + GET, answers=4)) == [200] * 4


def test_nobody_is_made_a_web_socket(api):
    get = b"GET /api/v1/queues HTTP/1.1\r\nhost: localhost\r\n" + SOCKET + b"\r\n"
    assert statuses(piecewise(api, get + GET, answers=2)) == [200, 200]
    assert statuses(piecewise(api, get.replace(b"localhost", b"evil.example"), answers=1)) == [421]


# Many requests at once


def test_as_many_as_may_wait_are_answered(api):
    assert statuses(piecewise(api, GET * MAX_PIPELINED, answers=MAX_PIPELINED)) == [200] * MAX_PIPELINED
    few = START + LENGTH + BODY
    assert statuses(in_turns(api, few * 20, times=20, answers=20)) == [201] * 400


def test_more_are_told_to_wait_behind_the_answers_to_those_before(api):
    answers = piecewise(api, GET * 300, answers=400)
    assert statuses(answers) == [200] * (MAX_PIPELINED + 1) + [429]
    last = answers.rpartition(b"HTTP/1.1 429")[2]
    assert b"connection: close" in last
    assert json.loads(last.partition(b"\r\n\r\n")[2])["type"] == "urn:boltq:problem:too-many-waiters"


@pytest.mark.parametrize("request_", [GET, GET.replace(b"/health", b"/openapi.json"), START + LENGTH + BODY])
def test_a_flood_of_requests_whose_answers_nobody_reads_takes_little_memory(process, request_):
    url, pid = process
    assert httpx.get(f"{url}/openapi.json").status_code == 200
    assert httpx.post(f"{url}/api/v1/jobs", json={"type": "echo"}).status_code == 201
    before, parts = memory_of(pid), urlsplit(url)
    with contextlib.ExitStack() as lines:
        for _ in range(30):
            line = lines.enter_context(socket.socket())
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            line.connect((parts.hostname, parts.port))
            line.settimeout(0.05)
            with contextlib.suppress(OSError):
                for _ in range(8):
                    line.sendall(request_ * (64_000 // len(request_)))
        assert httpx.get(f"{url}/health", timeout=30).status_code == 200
        grown = memory_of(pid) - before
    assert grown < 50 << 20, f"{grown >> 20} MiB"


# Unread answers


class Line(asyncio.Transport):
    """A connection whose client takes what the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 0
        self.ended = ""

    def get_write_buffer_size(self) -> int:
        return self.left

    def abort(self) -> None:
        self.ended = "aborted"

    def close(self) -> None:
        self.ended = self.ended or "closed"


def watched(line: Line) -> BoundedProtocol:
    protocol = BoundedProtocol.__new__(BoundedProtocol)
    protocol.transport = line
    protocol.scope, protocol.cycle = {"method": "GET"}, None
    return protocol


def test_who_takes_nothing_of_an_answer_is_given_up():
    line = Line()
    line.left = 100_000
    protocol = watched(line)
    for _ in range(UNREAD_PATROLS):
        protocol.patrol()
    assert not line.ended
    protocol.patrol()
    assert line.ended == "aborted"


def test_who_takes_a_little_now_and_then_is_not():
    line = Line()
    protocol = watched(line)
    for left in range(100_000, 0, -1_000):
        line.left = left
        for _ in range(UNREAD_PATROLS):
            protocol.patrol()
    line.left = 0
    for _ in range(3 * UNREAD_PATROLS):
        protocol.patrol()
    assert not line.ended
