"""Every call of the API, with every right and from every site: walked from the table of calls itself."""

import asyncio
import re

import httpx
import pytest

from boltq.broker.api_keys import ApiKeys
from boltq.broker.broker import Broker
from boltq.domain.scopes import Scope
from boltq.server.app import calls_of
from boltq.server.backend import Backend
from boltq.server.http.guard import SAFE_METHODS, SECURITY_HEADERS
from boltq.settings import Settings

pytestmark = pytest.mark.any_partitions  # what it looks at is decided before a partition is asked

CALLS = {call.id: call for call in calls_of(Backend(Broker("localhost"), Settings()))}
OPEN = {"health", "ready"}
"""The calls that need no login. A new one has to be put here on purpose."""
IMPLIED = (Scope.PAYLOAD, Scope.READ)  # who may see what is in jobs may see the jobs
KNOWN = {"whoami"}
"""The calls that every key may make."""

TOKEN = "t" * 43
ULID = "01M800PCTMJT81THNEAH5YZT00"
LISTED = "https://app.example"
HEADERS = {name.decode() for name, _ in SECURITY_HEADERS}

calls = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
unsafe = pytest.mark.parametrize("call", [call for call in CALLS.values() if call.method not in SAFE_METHODS])


@pytest.fixture(scope="module")
def guarded(valkey, serving, partitions):
    """An API that asks for a login."""
    settings = {"namespace": "matrix", "partitions": partitions, "auth": "on", "token": TOKEN}
    with serving(valkey, **settings) as url, httpx.Client(base_url=url, timeout=20) as client:
        yield client


@pytest.fixture(scope="module")
def keys(valkey, guarded):
    """A key of every single scope."""

    async def make():
        async with Broker(valkey, namespace="matrix") as broker:
            ring = ApiKeys(broker)
            made = {scope: await ring.create(f"only-{scope}", [scope], created_by="test") for scope in Scope}
            return {scope: secret.text for scope, (_, secret) in made.items()}

    return asyncio.run(make())


@pytest.fixture(scope="module")
def inviting(valkey, serving):
    """An API on loopback that other pages may use."""
    settings = {"allowed_origins": LISTED, "allowed_hosts": "queue.example", "namespace": "inviting"}
    with serving(valkey, **settings) as url, httpx.Client(base_url=url, timeout=20) as client:
        yield client


def status(client, call, **headers):
    """Its status; what it sends is not waited for."""
    path = re.sub(r"\{(\w+)\}", lambda found: ULID if found[1].endswith("id") else "nowhere", call.path)
    unsafe = call.method not in SAFE_METHODS
    body = b"{}" if call.body else b""
    if unsafe:
        headers = {"Content-Type": "application/json"} | headers
    with client.stream(call.method, path, headers=headers, content=body) as answer:
        assert answer.headers.keys() >= HEADERS, call.id
        if answer.status_code == 401:
            assert answer.headers["www-authenticate"].startswith("Bearer")
        return answer.status_code


def bearer(text):
    return {"Authorization": f"Bearer {text}"}


@calls
def test_without_a_login_only_the_open_calls_are_served(guarded, call):
    assert (call.scope is None) is (call.id in OPEN | KNOWN), "a call without a scope is open: say so in OPEN"
    assert (status(guarded, call) == 401) is (call.id not in OPEN)
    assert status(guarded, call, **bearer(TOKEN)) not in {401, 403}


@calls
def test_each_scope_opens_its_calls_and_no_other(guarded, keys, call):
    for scope, secret in keys.items():
        answered = status(guarded, call, **bearer(secret))
        if call.scope in {None, scope} or scope is Scope.ADMIN or (scope, call.scope) == IMPLIED:
            assert answered not in {401, 403}, scope
        else:
            assert answered == 403, scope


def test_what_is_not_there_tells_no_secret(guarded):
    """404, 405 and the list of calls are the same for everybody."""
    assert guarded.get("/nowhere").status_code == 404
    assert guarded.delete("/api/v1/jobs").status_code == 405
    assert guarded.get("/").status_code == 200


@unsafe
def test_every_host_origin_and_site(inviting, call):
    own = str(inviting.base_url)
    port = own.rpartition(":")[2]
    hosts = {own.removeprefix("http://"): own, f"localhost:{port}": f"http://localhost:{port}"}
    hosts |= {"queue.example": "https://queue.example", "evil.example": "https://evil.example"}
    for host, itself in hosts.items():
        for origin in (None, itself, LISTED, "https://evil.example", f"{LISTED}.evil.example", "null"):
            for site in (None, "none", "same-origin", "same-site", "cross-site"):
                headers = {"Host": host} | ({"Origin": origin} if origin else {})
                headers |= {"Sec-Fetch-Site": site} if site else {}
                answered = status(inviting, call, **headers)
                refused = answered if answered in {403, 421} else None
                assert refused == _expected(host, itself, origin, site), headers


def _expected(host, itself, origin, site):
    """The refusal; None for a request that may pass."""
    if host == "evil.example":
        return 421
    if origin == LISTED or site in {"none", "same-origin"}:
        return None
    return None if site is None and origin in {None, itself} else 403


@calls
def test_a_key_in_the_address_counts_for_nothing(guarded, keys, call):
    path = re.sub(r"\{\w+\}", ULID, call.path)
    for name in ("token", "key", "api_key", "access_token", "authorization"):
        answer = guarded.request(call.method, path, params={name: keys[Scope.ADMIN]}, json={})
        assert (answer.status_code == 401) is (call.id not in OPEN)
