"""The server around the application: its port, its bounds, its end."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection
from urllib.parse import urlsplit

import httpx
import pytest
from apis import PROGRAM, raw

from boltq.server.http.protocol import MAX_HEAD_BYTES, BoundedProtocol
from boltq.server.serve import CannotListen, listen

pytestmark = pytest.mark.any_partitions  # what it looks at is how a server begins and ends


def head(size: int) -> bytes:
    """A GET whose request line and headers have so many bytes by the server's count."""
    path, names = b"/health", [(b"host", b"localhost"), (b"x", b"")]
    rest = size - len(path) - sum(len(name) + len(value) + 4 for name, value in names)
    return b"GET /health HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * rest + b"\r\n\r\n"


def test_a_head_has_a_limit(api):
    assert raw(api, head(MAX_HEAD_BYTES)).startswith(b"HTTP/1.1 200")
    answer = raw(api, head(MAX_HEAD_BYTES + 1))
    assert answer.startswith(b"HTTP/1.1 431")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["type"] == "urn:boltq:problem:head-too-large"


def test_a_head_without_an_end_is_cut_off(api):
    parts = urlsplit(api)
    with socket.create_connection((parts.hostname, parts.port), timeout=5) as line:
        line.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n")
        sent = 0
        try:
            while sent < 200:
                line.sendall(b"x: " + b"a" * 1_000 + b"\r\n")
                time.sleep(0.001)
                sent += 1
        except OSError:
            pass
        assert sent < 100


def test_a_head_that_begins_behind_a_long_body_is_counted_alone(api):
    """In the same piece of data, and it goes on in the next one."""
    one = b'{"type":"echo","data":{"x":"' + b"a" * 50_000 + b'"}}'
    about = b"host: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(one)
    submit = b"POST /api/v1/jobs HTTP/1.1\r\n" + about + one
    begun, rest = b"GET /health HTTP/1.1\r\nhost: loc", b"alhost\r\n\r\n"
    parts = urlsplit(api)
    with socket.create_connection((parts.hostname, parts.port), timeout=5) as line:
        line.sendall(submit[:1_000])
        time.sleep(0.05)  # so that the next piece begins within the body
        line.sendall(submit[1_000:] + begun)
        assert line.recv(65_536).startswith(b"HTTP/1.1 201")
        line.sendall(rest)
        assert line.recv(65_536).startswith(b"HTTP/1.1 200")


def test_many_requests_on_one_line_are_not_one_large_head(api):
    one = b"GET /health HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 3_000 + b"\r\n\r\n"
    assert raw(api, one * 20, answers=None).count(b"HTTP/1.1 200") == 20


def test_a_large_body_is_no_large_head(api):
    body = b'{"type":"echo","data":{"a":"' + b"x" * 200_000 + b'"}}'
    start = (
        b"POST /api/v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    )
    assert raw(api, (start % len(body)) + body).startswith(b"HTTP/1.1 201")
    assert raw(api, ((start % len(body)) + body) * 2, answers=None).count(b"HTTP/1.1 201") == 2


@pytest.mark.parametrize("junk", [b"\x16\x03\x01\x02\x00", b"HELLO\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x00" * 100])
def test_what_is_no_http_is_refused(api, junk):
    answer = raw(api, junk)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"application/problem+json" in answer


@pytest.mark.parametrize(
    "headers",
    [
        b"content-length: 5\r\ncontent-length: 6\r\n",
        b"content-length: 5\r\ntransfer-encoding: chunked\r\n",
        b"transfer-encoding: chunked, identity\r\n",
        b"content-length: -1\r\n",
        b"content-length: 1e3\r\n",
    ],
)
def test_smuggling_is_refused(api, headers):
    start = b"POST /api/v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    assert raw(api, start + headers + b"\r\n{}   0\r\n\r\n").startswith(b"HTTP/1.1 400")


def test_a_client_that_leaves_is_no_error(api):
    parts = urlsplit(api)
    for part in (b"POST /api/v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n",):
        with socket.create_connection((parts.hostname, parts.port), timeout=5) as line:
            line.sendall(part + b"content-length: 50\r\n\r\n{")
    assert httpx.get(f"{api}/health").status_code == 200


def test_who_sends_too_slowly_is_given_up():
    class Line:
        closed = False

        def close(self):
            self.closed = True

        def get_write_buffer_size(self):
            return 0

    class Cycle:
        more_body = True

    connection = BoundedProtocol.__new__(BoundedProtocol)
    connection.transport, connection.scope, connection.cycle = Line(), {"method": "POST"}, Cycle()
    connection.patrol()
    assert not connection.transport.closed
    connection.cycle.more_body = False  # it came in time
    connection.patrol()
    connection.scope = {}  # the next one has begun
    connection.patrol()
    assert not connection.transport.closed
    connection.patrol()
    assert connection.transport.closed


def test_answers_are_not_held_back(http):
    """Nagle's algorithm and delayed acknowledgements together would make each of them take 40 ms."""
    started = time.perf_counter()
    for _ in range(20):
        http.post("/api/v1/jobs", json={"type": "echo"})
    assert time.perf_counter() - started < 20 * 0.035


def test_a_taken_port_is_explained():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen, match=f"port {port}: another program.*API_PORT"):
            listen("127.0.0.1", port)


def test_an_address_of_another_machine_is_explained():
    with pytest.raises(CannotListen, match="BOLTQ_HOST"):
        listen("192.0.2.1", 0)


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 0)])
def test_a_program_that_runs_until_told_to_stop(valkey, sent, status):
    command = [sys.executable, "-c", PROGRAM, valkey]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        line = program.stdout.readline()
        assert line.startswith("BoltQ's API listens on http://127.0.0.1:")
        url = urlsplit(line.split()[-1])
        kept = HTTPConnection(url.hostname, url.port, timeout=5)
        kept.request("GET", "/health")
        assert kept.getresponse().status == 200  # and the connection stays open
        os.kill(program.pid, sent)
        out, err = program.communicate(timeout=20)
        assert (program.returncode, out, err) == (status, "", "")
        kept.close()


def test_a_request_under_way_is_answered_before_the_end(valkey):
    command = [sys.executable, "-c", PROGRAM, valkey]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        url = urlsplit(program.stdout.readline().split()[-1])
        body = b'{"type":"echo"}'
        with socket.create_connection((url.hostname, url.port), timeout=10) as line:
            start = b"POST /api/v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            line.sendall(start + b"content-length: %d\r\n\r\n" % len(body) + body[:5])
            time.sleep(0.3)
            os.kill(program.pid, signal.SIGTERM)
            time.sleep(0.5)
            line.sendall(body[5:])
            assert line.recv(65_536).startswith(b"HTTP/1.1 201")
        _, err = program.communicate(timeout=20)
        assert (program.returncode, err) == (0, "")
