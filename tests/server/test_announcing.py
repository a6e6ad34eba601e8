"""Each request that the API has answered is announced, with the path by which it is described."""

import httpx
import pytest
from apis import raw, running_api
from waiting import eventually

from boltq.domain.happenings import RequestAnswered
from boltq.telemetry.listeners import Listeners


@pytest.fixture(scope="module")
def heard() -> list[RequestAnswered]:
    return []


@pytest.fixture(scope="module")
def heard_api(valkey, api_namespace, partitions, heard):
    listeners = Listeners()
    listeners.attach(heard.append)
    with running_api(valkey, listeners, namespace=api_namespace, partitions=partitions) as url:
        yield url


@pytest.mark.parametrize(
    ("method", "path", "route", "status"),
    [
        ("POST", "/api/v1/jobs", "/api/v1/jobs", 201),
        ("GET", "/api/v1/jobs/01M80000000000000000000000", "/api/v1/jobs/{id}", 404),
        ("PUT", "/api/v1/jobs", "/api/v1/jobs", 405),
        ("GET", "/health", "/health", 200),
        ("GET", "/nowhere", "", 404),
    ],
)
async def test_a_request_that_was_answered(heard_api, heard, method, path, route, status):
    heard.clear()
    body = {"type": "echo"} if method == "POST" else None
    async with httpx.AsyncClient(base_url=heard_api, timeout=20) as client:
        assert (await client.request(method, path, json=body)).status_code == status
    [answered] = await eventually(lambda: list(heard))
    assert (answered.method, answered.route, answered.status) == (method, route, status)
    assert 0 < answered.seconds < 20


async def test_what_is_refused_before_it_has_a_route(heard_api, heard):
    heard.clear()
    request = b"GET /health HTTP/1.1\r\nhost: elsewhere.example\r\n\r\n"
    assert raw(heard_api, request).startswith(b"HTTP/1.1 421")
    [answered] = await eventually(lambda: list(heard))
    assert (answered.route, answered.status) == ("", 421)
