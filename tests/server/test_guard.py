"""What a web page of another site can do to the API: nothing."""

import asyncio
import http.client
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from boltq.broker.broker import Broker
from boltq.server.app import calls_of
from boltq.server.backend import Backend
from boltq.server.http.guard import Guard, is_loopback
from boltq.server.http.problems import Problem
from boltq.settings import Settings

pytestmark = pytest.mark.any_partitions  # what it looks at never gets as far as a partition

GUARDED = {"POST", "PUT", "PATCH", "DELETE", "PROPFIND"}
METHODS = ["GET", "HEAD", "OPTIONS", *sorted(GUARDED)]
CALLS = calls_of(Backend(Broker("localhost"), Settings()))
PATHS = [call.path for call in CALLS] + ["/", "/nowhere", "/api/v1/jobs/"]

FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:1"},
    {"Origin": "http://localhost.evil.example"},
    {"Origin": "file://localhost"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "nonsense"},
]
WRONG_HOSTS = [
    "evil.example",
    "127.0.0.1.evil.example",
    "localhost.evil.example:80",
    "localhost.",
    "10.0.0.1",
    "a@localhost",
]


@pytest.fixture(name="client")
def client_fixture(http):  # the name of a module that is used here
    return http


def paths():
    return pytest.mark.parametrize("path", sorted(set(PATHS)))


@paths()
@pytest.mark.parametrize("method", METHODS)
def test_every_route_and_method(client, api, path, method):
    real = path.replace("{id}", "01M800PCTMJT81THNEAH5YZT00").replace("{queue}", "guarded")
    port = api.rpartition(":")[2]

    def status(headers, body=b"{}"):
        kind = {} if "Content-Type" in headers else {"Content-Type": "application/json"}
        content = body if method in GUARDED else b""
        return client.request(method, real, headers=kind | headers, content=content).status_code

    for host in WRONG_HOSTS:
        assert status({"Host": host}) == 421, host
    for headers in FOREIGN:
        assert (status(headers) == 403) is (method in GUARDED), headers
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        assert (status({"Content-Type": kind}) == 415) is (method in GUARDED), kind
    own = [{}, {"Host": f"localhost:{port}"}, {"Host": "[::1]"}, {"Host": "LOCALHOST"}]
    own += [{"Origin": api}, {"Origin": api, "Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}]
    own += [{"Origin": "http://localhost:5173", "Sec-Fetch-Site": "same-origin"}]  # behind a development server
    for headers in own:
        assert status(headers) not in {403, 415, 421, 500}, headers


def test_an_origin_must_fit_the_host(client, api):
    """A page of this very server, whichever of its names was typed; nothing between two of them."""
    port = api.rpartition(":")[2]
    headers = {"Host": f"localhost:{port}", "Origin": f"http://localhost:{port}"}
    assert client.post("/api/v1/jobs", json={"type": "echo"}, headers=headers).status_code == 201
    headers = {"Host": f"localhost:{port}", "Origin": f"http://127.0.0.1:{port}"}
    assert client.post("/api/v1/jobs", json={"type": "echo"}, headers=headers).status_code == 403


@pytest.mark.parametrize("name", ["Host", "Origin", "Content-Type", "Idempotency-Key"])
def test_two_of_a_kind_are_one_too_many(api, name):
    headers = {
        "Host": "localhost",
        "Content-Type": "application/json",
        "Content-Length": "15",
        name: "application/json",
    }
    address = urlsplit(api)
    line = http.client.HTTPConnection(address.hostname, address.port, timeout=5)
    line.putrequest("POST", "/api/v1/jobs", skip_host=True)
    for each in (headers | {"Host": "localhost"}).items():
        line.putheader(*each)
    line.putheader(name, "localhost")
    line.endheaders(b'{"type":"echo"}')
    assert line.getresponse().status == 400
    line.close()


def test_answers_say_how_they_may_be_used(client):
    job = client.post("/api/v1/jobs", json={"type": "echo"})
    for answer in (
        job,
        client.get(job.headers["location"]),
        client.get("/nowhere"),
        client.post("/api/v1/jobs", json=[]),
    ):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in answer.headers
        assert "server" not in answer.headers
    view = client.get(job.headers["location"])
    assert view.headers["cache-control"] == "no-store"
    assert view.headers["content-security-policy"].startswith("default-src 'none'")
    assert view.headers["cross-origin-resource-policy"] == "same-origin"


def test_unknown_paths_and_methods(client):
    answer = client.get("/api/v2/jobs")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "/api/v2/jobs" in answer.json()["detail"]
    answer = client.delete("/api/v1/jobs")
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}
    assert client.get("/submit").headers["allow"] == "POST"


def test_the_root_lists_every_call(client):
    index = client.get("/").json()
    assert index["name"] == "BoltQ"
    assert [call["path"] for call in index["calls"]] == [call.path for call in CALLS]


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)],
)
def test_what_loopback_is(host, expected):
    assert is_loopback(host) is expected


def check(guard, method="POST", **headers):
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    guard.check(method, dict(raw), raw)


HERE, PAGE, FOE = "queue.example:8080", "http://queue.example:8080", "https://evil.example"

VERDICTS = [
    # the browser says | the origin | allowed
    (None, None, True),
    ("same-origin", None, True),
    ("none", None, True),
    ("same-origin", PAGE, True),
    ("same-origin", FOE, True),
    ("same-origin", "null", True),
    ("none", FOE, True),
    ("cross-site", None, False),
    ("cross-site", PAGE, False),
    ("same-site", PAGE, False),
    ("Same-Origin", PAGE, False),
    ("nonsense", None, False),
    ("cross-site", "https://app.example", True),
    ("same-site", "https://APP.example", True),
    ("cross-site", "https://app.example.evil.example", False),
    (None, PAGE, True),
    (None, PAGE.upper(), True),
    (None, "https://queue.example:8080", True),
    (None, "http://queue.example", False),
    (None, "http://queue.example:8081", False),
    (None, FOE, False),
    (None, "https://app.example", True),
    (None, "null", False),
    (None, "ftp://queue.example:8080", False),
    ("", PAGE, True),
    ("", FOE, False),
    ("", None, True),
    (None, "", True),
    ("cross-site", "", False),
]


@pytest.mark.parametrize(("site", "origin", "allowed"), VERDICTS)
@pytest.mark.parametrize("method", METHODS)
def test_who_is_of_this_site(method, site, origin, allowed):
    """As Go's http.CrossOriginProtection judges; but an origin must be one of HTTP."""
    guard = Guard.of_bind("0.0.0.0", origins=["https://app.example"])
    said = {"sec_fetch_site": site, "origin": origin}
    headers = {name: value for name, value in said.items() if value is not None}
    if allowed or method not in GUARDED:
        check(guard, method, host=HERE, content_type="application/json", **headers)
        return
    with pytest.raises(Problem, match="BOLTQ_ALLOWED_ORIGINS") as caught:
        check(guard, method, host=HERE, content_type="application/json", **headers)
    assert (caught.value.kind, caught.value.status) == ("cross-site", 403)
    if origin and "://" in origin:
        assert repr(origin) in str(caught.value)


def test_the_proxy_of_the_docs_keeps_the_port():
    """Or a page's own origin would not fit the Host any more."""
    page = (Path(__file__).parents[2] / "docs/howto/security.md").read_text()
    assert re.findall(r"proxy_set_header Host (\S+);", page) == ["$http_host"]


def test_a_server_for_other_machines_answers_to_any_name_but_not_to_other_sites():
    guard = Guard.of_bind("0.0.0.0")
    check(guard, host="queue.example", content_type="application/json", origin="https://queue.example")
    with pytest.raises(Problem, match="Origin"):
        check(guard, host="queue.example", content_type="application/json", origin="https://evil.example")


@pytest.mark.parametrize(
    ("guard", "hosts"),
    [
        (Guard.of_bind("0.0.0.0", ["queue.example"]), ["queue.example", "QUEUE.example:8080"]),
        (Guard.of_bind("queue.example", login=False), ["queue.example", "queue.example:80"]),
        (Guard.of_bind("::", login=False), []),
    ],
)
def test_once_names_are_listed_or_nobody_logs_in_a_host_has_to_be_known(guard, hosts):
    """Or an address, which no page can rebind, and probes use."""
    for host in [*hosts, "localhost", "127.0.0.1:80", "10.1.2.3", "10.1.2.3:8080", "[2001:db8::1]:8080", "[::1]"]:
        check(guard, host=host, content_type="application/json")
    for host in ("evil.example", "queue.example.evil.example", "10.1.2.3.evil.example", "", "10.1.2", "[evil]"):
        with pytest.raises(Problem, match="BOLTQ_ALLOWED_HOSTS"):
            check(guard, method="GET", host=host)


def test_names_and_origins_can_be_allowed():
    guard = Guard.of_bind("127.0.0.1", names=["queue.example"], origins=["https://app.example"])
    check(guard, host="queue.example", content_type="application/json")
    check(
        guard,
        host="localhost",
        content_type="application/json",
        origin="https://app.example",
        sec_fetch_site="cross-site",
    )
    with pytest.raises(Problem):
        check(guard, host="other.example", content_type="application/json")


def test_websockets_are_refused(api):
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidStatus

    async def knock():
        with pytest.raises(InvalidStatus):
            await connect(api.replace("http", "ws") + "/api/v1/ws")

    asyncio.run(knock())
