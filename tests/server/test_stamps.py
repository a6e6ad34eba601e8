"""Every answer has the id of its request, and the server's time."""

import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from boltq.server.app import create_app
from boltq.server.http.stamps import request_id_of, server_time
from boltq.settings import Settings

pytestmark = pytest.mark.any_partitions  # what it looks at are the headers of answers

REQUESTS = [("GET", "/"), ("GET", "/health"), ("GET", "/api/v1/jobs"), ("GET", "/docs"), ("GET", "/nowhere")]
REQUESTS += [("POST", "/api/v1/jobs"), ("DELETE", "/health"), ("OPTIONS", "/"), ("HEAD", "/health")]


def ask(http, method, path, **headers):
    body = b'{"type":"echo"}' if method == "POST" else b""
    return http.request(method, path, content=body, headers={"Content-Type": "application/json"} | headers)


@pytest.mark.parametrize(("method", "path"), REQUESTS)
def test_both_are_on_every_answer(http, method, path):
    before = datetime.now(UTC) - timedelta(milliseconds=1)  # what is shown has no microseconds
    answer = ask(http, method, path)
    assert before <= datetime.fromisoformat(answer.headers["x-server-time"]) <= datetime.now(UTC)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", answer.headers["x-server-time"])
    assert answer.headers["x-request-id"]
    assert answer.headers["x-request-id"] != ask(http, method, path).headers["x-request-id"]


@pytest.mark.parametrize(("method", "path"), REQUESTS)
def test_the_clients_own_id_is_kept(http, method, path):
    answer = ask(http, method, path, **{"X-Request-Id": "web-1.2_3"})
    assert answer.headers["x-request-id"] == "web-1.2_3"
    if answer.status_code >= 400:
        assert answer.json()["request_id"] == "web-1.2_3"


@pytest.mark.parametrize("unfit", [b"", b"a b", b"a\xff", b"<script>", b"x" * 65, b"\xc3\xbc"])
def test_an_unfit_id_is_replaced(http, unfit):
    answer = http.get("/nowhere", headers={b"X-Request-Id": unfit})
    assert re.fullmatch("[A-Za-z0-9._-]{1,64}", answer.headers["x-request-id"])
    assert answer.headers["x-request-id"] != unfit.decode("latin-1")
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_ids_do_not_repeat():
    assert len({request_id_of({}) for _ in range(1_000)}) == 1_000


def test_a_second_ends_where_the_next_begins(monkeypatch):
    for nanos, text in ((999_999_999, b"1970-01-01T00:00:00.999Z"), (1_000_000_000, b"1970-01-01T00:00:01.000Z")):
        monkeypatch.setattr("boltq.server.http.stamps.time.time_ns", lambda nanos=nanos: nanos)
        assert server_time() == text


async def test_the_log_of_what_broke_has_the_id(caplog, monkeypatch):
    async def broken(*_args):
        raise RuntimeError("planted")

    monkeypatch.setattr("boltq.server.system.health.HealthCalls.health", broken)
    app = create_app(Settings(), "redis://127.0.0.1:1")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        answer = await client.get("/health", headers={"X-Request-Id": "find-me"})
    assert (answer.status_code, answer.json()["request_id"]) == (500, "find-me")
    assert "planted" not in answer.text
    assert [record.getMessage() for record in caplog.records if record.exc_info] == ["request find-me failed"]
