"""Who gets in: tokens, keys, failed logins, other sites' pages; and what never gets out."""

import asyncio
import http.client
import itertools
import os
import re
import stat
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import httpx
import pytest
import redis
from processes import boltq_command, clean_environment, running, wait_until
from servers import running_server

from boltq.broker.api_keys import ApiKeys
from boltq.broker.broker import Broker
from boltq.broker.embedded import server_binary
from boltq.domain.api_keys import ApiKey, new_secret
from boltq.domain.errors import StoreUnavailable
from boltq.domain.scopes import Scope
from boltq.server.http import auth
from boltq.server.http.auth import FRESH_SECONDS, MOST_FAILURES, Failures, Gate
from boltq.server.http.caller import LOCAL, NOBODY, TOKEN
from boltq.server.http.guard import SECURITY_HEADERS
from boltq.server.http.problems import Problem
from boltq.server.http.token import asks_for_login, token_of
from boltq.settings import OPEN_NETWORK, BadSetting, Settings

T = "t" * 43
PLANTED = "s3cr3t-Pl4nted-in-this-very-test-0123456789"


def bearer(text):
    return {"Authorization": f"Bearer {text}"}


@pytest.fixture(scope="module")
def guarded(valkey, serving, partitions):
    """An API that asks for a login."""
    settings = {"namespace": "auth", "partitions": partitions, "auth": "on", "token": T}
    with serving(valkey, **settings) as url, httpx.Client(base_url=url, timeout=20) as client:
        yield client


@pytest.fixture
def make(guarded):
    """Makes a key; its id and its secret."""

    def make(*scopes, **more):
        made = guarded.post("/api/v1/keys", json={"name": "web", "scopes": scopes} | more, headers=bearer(T))
        assert made.status_code == 201, made.text
        return made.json()["id"], made.json()["key"]

    return make


@pytest.fixture
def patient(valkey, serving):
    """One that has seen no login fail."""
    settings = {"namespace": "patient", "auth": "on", "token": T}
    with serving(valkey, **settings) as url, httpx.Client(base_url=url, timeout=20) as client:
        yield client


# Whether a login is asked for

LOOPBACK = ["127.0.0.1", "127.9.9.9", "::1", "localhost"]
OTHERS = ["0.0.0.0", "::", "10.1.2.3", "::ffff:127.0.0.1", "queue.example", "localhost.example"]
BINDS = [(host, True) for host in LOOPBACK] + [(host, False) for host in OTHERS]


@pytest.mark.parametrize(
    ("host", "settings", "asked"),
    [
        (host, {"auth": on, "token": token, "open_network": understood}, on == "on" or not (local or understood))
        for (host, local), on, token, understood in itertools.product(
            BINDS, ["", "on"], ["", T], ["", OPEN_NETWORK]
        )
    ],
)  # fmt: skip
def test_the_start_matrix(tmp_path, host, settings, asked):
    """Bind, token and open setting: a login is asked for on every bind but loopback, unless somebody understands."""
    settings = Settings(api_host=host, data_dir=str(tmp_path / "data"), **settings)
    settings.check()
    assert asks_for_login(settings) is asked
    token = token_of(settings)
    assert (token is not None) is asked
    assert (tmp_path / "data" / "token").exists() is (asked and not settings.token)
    if token and settings.token:
        assert (token.text, token.made) == (T, False)


@pytest.mark.parametrize("value", ["1", "yes", "true", "i-understand", "I-understand ", "I understand"])
def test_nothing_but_the_exact_words_opens_the_network(value):
    environ = {"BOLTQ_HOST": "0.0.0.0", "BOLTQ_ALLOW_UNAUTHENTICATED_NETWORK": value}
    if value.strip() == OPEN_NETWORK:  # as with all settings, blanks around it do not count
        assert not asks_for_login(Settings.from_env(environ))
        return
    with pytest.raises(BadSetting, match="only I-understand counts"):
        Settings.from_env(environ)


def test_a_token_that_is_too_short_is_refused_and_not_repeated():
    with pytest.raises(BadSetting, match="32 to 512") as refused:
        Settings.from_env({"BOLTQ_TOKEN": "hunter2"})
    assert "hunter2" not in str(refused.value)
    assert PLANTED not in repr(Settings(token=PLANTED, smtp_url=PLANTED))


def test_the_token_is_made_once_and_kept_for_its_owner_only(tmp_path):
    settings = Settings(auth="on", data_dir=str(tmp_path / "data"))
    made = token_of(settings)
    assert made.made
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", made.text)
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.path.parent.stat().st_mode) == 0o700
    assert [file.name for file in made.path.parent.iterdir()] == ["token"]
    again = token_of(settings)
    assert (again.text, again.made) == (made.text, False)
    made.path.chmod(0o644)
    assert token_of(settings).text == made.text
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o600


def test_two_that_make_it_at_once_have_the_same(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    settings = Settings(auth="on", data_dir=str(tmp_path / "data"))
    with ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(lambda _: token_of(settings), range(8)))
    assert len({token.text for token in tokens}) == 1
    assert sum(token.made for token in tokens) == 1
    assert [file.name for file in (tmp_path / "data").iterdir()] == ["token"]


def test_a_file_without_a_token_is_not_overwritten(tmp_path):
    (tmp_path / "token").write_text("my shopping list")
    with pytest.raises(BadSetting, match="has no token in it"):
        token_of(Settings(auth="on", data_dir=str(tmp_path)))
    assert (tmp_path / "token").read_text() == "my shopping list"
    with pytest.raises(BadSetting, match="BOLTQ_TOKEN"):
        token_of(Settings(auth="on", data_dir=str(tmp_path / "token")))


@contextmanager
def api(folder, valkey, *words, **environment):
    known = clean_environment(REDIS_ADDR=valkey, BOLTQ_NAMESPACE=f"start-{os.getpid()}", **environment)
    with running(boltq_command("api", "--port", "0", *words), folder, known) as program:
        url = program.wait_for(r"listens on (http://\S+)").group(1)
        yield program, url
        program.terminate()
        assert program.wait() == 0


@pytest.mark.slow
def test_a_server_for_other_machines_makes_a_token_and_shows_it_once(tmp_path, valkey):
    with api(tmp_path, valkey, "--host", "0.0.0.0") as (program, url):
        token = program.wait_for(r"shown once and kept in \S+/\.boltq/token: (\S+)").group(1)
        program.wait_for("a login is asked for")
        assert (tmp_path / ".boltq" / "token").read_text().strip() == token
        assert httpx.get(f"{url}/api/v1/jobs").status_code == 401
        assert httpx.get(f"{url}/health").status_code == 200
        assert httpx.get(f"{url}/api/v1/jobs", headers=bearer(token)).status_code == 200
        assert httpx.get(f"{url}/api/v1/jobs", headers=bearer(token) | {"Host": "any.example"}).status_code == 200
        assert program.output.count(token) == 1
    with api(tmp_path, valkey, "--host", "0.0.0.0") as (program, url):
        program.wait_for("a login is asked for")
        assert token not in program.output
        assert httpx.get(f"{url}/api/v1/jobs", headers=bearer(token)).status_code == 200


@pytest.mark.slow
def test_a_server_on_loopback_asks_nobody(tmp_path, valkey):
    with api(tmp_path, valkey, BOLTQ_TOKEN=T) as (program, url):
        program.wait_for("BOLTQ_AUTH=on")
        assert httpx.get(f"{url}/api/v1/whoami").json()["name"] == "local"
        assert httpx.get(f"{url}/api/v1/whoami", headers={"X-Forwarded-For": "8.8.8.8"}).status_code == 200
        assert not (tmp_path / ".boltq").exists()


@pytest.mark.slow
def test_a_server_that_is_open_on_purpose_says_so(tmp_path, valkey):
    open_on_purpose = {"BOLTQ_HOST": "0.0.0.0", "BOLTQ_ALLOW_UNAUTHENTICATED_NETWORK": "I-understand"}
    with api(tmp_path, valkey, **open_on_purpose) as (program, url):
        program.wait_for("nobody has to log in")
        assert httpx.get(f"{url}/api/v1/jobs").status_code == 200
        assert httpx.get(f"{url}/api/v1/jobs", headers={"Host": "rebound.example"}).status_code == 421


@pytest.mark.slow
def test_boltq_dev_is_the_same(tmp_path):
    known = clean_environment(API_PORT="0", BOLTQ_AUTH="on")
    with running(boltq_command("dev"), tmp_path, known) as program:
        url = program.wait_for(r"API\s+(http://\S+)").group(1)
        token = program.wait_for(r"shown once and kept in \S+: (\S+)").group(1)
        line = program.wait_for(r"(curl -X POST (?:.|\n)+?}}')").group(1)
        assert "Authorization: Bearer $(cat" in line
        assert token not in line
        assert httpx.get(f"{url}/api/v1/jobs").status_code == 401
        assert httpx.get(f"{url}/api/v1/jobs", headers=bearer(token)).status_code == 200
        program.interrupt()
        assert program.wait() == 0


# Logging in


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Basic dDp0", f"Basic {T}", T, f"Token {T}", f"Bearer {T}x", f"Bearer {T[:-1]}", f"Bearer {T} {T}",
     f"Bearer,{T}", "Bearer bq_", "Bearer bq_0123456789_short", "Bearer " + "x" * 9_000,
     pytest.param(f"Bearer {new_secret().text}", id="a key nobody made")],
)  # fmt: skip
def test_headers_that_are_no_login(patient, header):
    answer = patient.get("/api/v1/jobs", headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith('Bearer realm="boltq"')
    problem = answer.json()
    assert problem["type"] == "urn:boltq:problem:unauthorized"
    assert T not in answer.text


@pytest.mark.parametrize("header", [f"Bearer {T}", f"bearer {T}", f"BEARER   {T}"])
def test_headers_that_are_one(guarded, header):
    assert guarded.get("/api/v1/whoami", headers={"Authorization": header}).json()["name"] == "token"


def test_two_logins_are_one_too_many(guarded):
    address = urlsplit(str(guarded.base_url))
    line = http.client.HTTPConnection(address.hostname, address.port, timeout=5)
    line.putrequest("GET", "/api/v1/jobs")
    for text in (T, new_secret().text):
        line.putheader("Authorization", f"Bearer {text}")
    line.endheaders()
    assert line.getresponse().status == 400
    line.close()


def test_who_a_caller_is(guarded, make):
    assert guarded.get("/api/v1/whoami").status_code == 401
    assert guarded.get("/api/v1/whoami", headers=bearer(T)).json() == {
        "name": "token", "scopes": ["admin"], "key_id": None, "expires_at": None,
    }  # fmt: skip
    key_id, secret = make("read", "submit:emails")
    me = guarded.get("/api/v1/whoami", headers=bearer(secret)).json()
    assert me == {"name": "web", "scopes": ["read", "submit:emails"], "key_id": key_id, "expires_at": None}


def test_a_key_without_its_secret_is_nothing(guarded, make):
    key_id, secret = make("admin")
    for wrong in (f"bq_{key_id}_{'A' * 43}", secret[:-1] + ("x" if secret[-1] != "x" else "y")):
        assert guarded.get("/api/v1/whoami", headers=bearer(secret)).status_code == 200
        assert guarded.get("/api/v1/whoami", headers=bearer(wrong)).status_code == 401
    assert guarded.get("/api/v1/whoami", headers=bearer(secret)).status_code == 200


def test_a_key_for_some_queues(guarded, make):
    _, secret = make("submit:emails", "submit:mail-*")

    def submit(**body):
        answer = guarded.post("/api/v1/jobs", json={"type": "echo"} | body, headers=bearer(secret))
        return answer.status_code

    assert submit(queue="emails") == submit(queue="mail-eu") == 201
    assert submit() == submit(queue="mail") == submit(queue="emails2") == 403
    refused = guarded.post("/api/v1/jobs", json={"type": "echo", "queue": "x"}, headers=bearer(secret))
    assert refused.json()["scope"] == "submit"
    first = guarded.post("/submit", json={"type": "echo", "queue": "x"}, headers=bearer(secret))
    assert first.status_code == 403


def test_without_the_right_nothing_is_read(guarded, make):
    """A body that could not even be decoded: the caller was sent away before."""
    _, secret = make("read")
    junk = {"content": b"{" * 1_000, "headers": {"Content-Type": "application/json"}}
    assert guarded.post("/api/v1/jobs", **junk).status_code == 401
    junk["headers"] |= bearer(secret)
    assert guarded.post("/api/v1/jobs", **junk).status_code == 403


def test_a_jobs_author_is_its_key(guarded, make):
    _, secret = make("submit", "read")
    where = guarded.post("/api/v1/jobs", json={"type": "echo"}, headers=bearer(secret)).headers["location"]
    assert guarded.get(where, headers=bearer(secret)).json()["created_by"] == "web"
    where = guarded.post("/api/v1/jobs", json={"type": "echo"}, headers=bearer(T)).headers["location"]
    assert guarded.get(where, headers=bearer(T)).json()["created_by"] == "token"


def test_who_changes_a_jobs_data_is_its_author_from_then_on(guarded, make):
    """Else whoever may operate could have a job read what only its first submitter may."""
    _, secret = make("operate", "read", name="desk")
    job = {"type": "echo", "delay_seconds": 900}
    where = guarded.post("/api/v1/jobs", json=job, headers=bearer(T)).headers["location"]
    for change, author in (({"priority": "high"}, "token"), ({"data": {"from_job": "x"}}, "desk")):
        assert guarded.patch(where, json=change, headers=bearer(secret)).status_code == 200
        assert guarded.get(where, headers=bearer(T)).json()["created_by"] == author


def test_payloads_are_for_who_may_see_them(guarded, make):
    body = {"type": "echo", "data": {"card": PLANTED}}
    where = guarded.post("/api/v1/jobs", json=body, headers=bearer(T)).headers["location"]
    assert PLANTED in guarded.get(where, headers=bearer(T)).text
    for scopes, seen in ((["read"], False), (["payload"], True)):
        answer = guarded.get(where, headers=bearer(make(*scopes)[1]))
        assert answer.status_code == 200
        assert (PLANTED in answer.text) is seen


def test_keys_are_made_listed_and_revoked(guarded, make):
    key_id, secret = make("read", expires_in_seconds=3_600)
    assert guarded.get("/api/v1/jobs", headers=bearer(secret)).status_code == 200
    listed = guarded.get("/api/v1/keys", headers=bearer(T))
    key = next(key for key in listed.json()["items"] if key["id"] == key_id)
    assert (key["name"], key["scopes"], key["created_by"]) == ("web", ["read"], "token")
    assert key["last_used_at"]
    assert key["expires_at"] > key["created_at"]
    assert secret not in listed.text
    assert "digest" not in listed.text
    revoked = guarded.delete(f"/api/v1/keys/{key_id}", headers=bearer(T))
    assert revoked.status_code == 200
    assert revoked.json()["revoked_at"]
    assert guarded.delete(f"/api/v1/keys/{key_id}", headers=bearer(T)).json() == revoked.json()
    refused = wait_until(lambda: refusal(guarded, secret))
    assert "revoked" in refused.json()["detail"]
    noted = guarded.get("/api/v1/audit", params={"action": "key.revoke"}, headers=bearer(T)).json()["items"]
    assert any(key_id in entry["target"] for entry in noted)


def test_a_key_runs_out(guarded, make):
    _, secret = make("read", expires_in_seconds=2)
    refused = wait_until(lambda: refusal(guarded, secret))
    assert "run out" in refused.json()["detail"]


def refusal(client, secret):
    answer = client.get("/api/v1/jobs", headers=bearer(secret))
    return answer if answer.status_code == 401 else None


@pytest.mark.parametrize("key_id", ["0123456789", "x", "UPPERCASE0", "0123456789" * 50])
def test_a_key_that_is_not_there(guarded, key_id):
    assert guarded.delete(f"/api/v1/keys/{key_id}", headers=bearer(T)).status_code == 404


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"scopes": ["read"]}, "/name"),
        ({"name": "a b", "scopes": ["read"]}, "/name"),
        ({"name": "token", "scopes": ["read"]}, "/name"),
        ({"name": "web", "scopes": []}, "/scopes"),
        ({"name": "web", "scopes": ["read"] * 101}, "/scopes"),
        ({"name": "web", "scopes": ["reed"]}, "/scopes/0"),
        ({"name": "web", "scopes": ["read", "operate:x"]}, "/scopes/1"),
        ({"name": "web", "scopes": ["read"], "expires_in_seconds": 0}, "/expires_in_seconds"),
        ({"name": "web", "scopes": ["read"], "secret": "mine"}, "/secret"),
    ],
)
def test_a_key_that_cannot_be(guarded, body, pointer):
    answer = guarded.post("/api/v1/keys", json=body, headers=bearer(T))
    assert answer.status_code == 422
    assert any(mistake["pointer"] == pointer for mistake in answer.json()["errors"]) or pointer == "/name"


def test_ready_tells_strangers_no_details(guarded, make):
    assert guarded.get("/ready").json() == {"status": "ready"}
    assert guarded.get("/ready", headers=bearer(make("metrics")[1])).json() == {"status": "ready"}
    assert "store" in guarded.get("/ready", headers=bearer(make("read")[1])).json()


def test_on_loopback_a_key_counts_and_no_other_header_does(http, api_namespace, valkey):
    """So that rights can be tried out at home, and a proxy's own login is no mistake."""

    async def make():
        async with Broker(valkey, namespace=api_namespace) as broker:
            return (await ApiKeys(broker).create("web", ["read"], created_by="test"))[1].text

    secret = asyncio.run(make())
    assert http.get("/api/v1/whoami", headers=bearer(secret)).json()["name"] == "web"
    assert http.get("/api/v1/keys", headers=bearer(secret)).status_code == 403
    assert http.get("/api/v1/whoami", headers=bearer(new_secret().text)).status_code == 401
    for header in ("Basic dDp0", "Bearer of.another.kind", "Negotiate abc"):
        assert http.get("/api/v1/whoami", headers={"Authorization": header}).json()["name"] == "local"


# While the store is away


def test_while_the_store_is_away_known_keys_go_on_and_others_are_told_to_wait(serving, monkeypatch):
    monkeypatch.setattr(auth, "FRESH_SECONDS", 0.0)  # each request asks for its key again
    with (
        running_server(server_binary()) as store,
        serving(store, auth="on", token=T) as url,
        httpx.Client(base_url=url, timeout=30) as client,
    ):
        known, other = (
            client.post("/api/v1/keys", json={"name": "web", "scopes": ["read"]}, headers=bearer(T)).json()["key"]
            for _ in range(2)
        )
        assert client.get("/api/v1/whoami", headers=bearer(known)).status_code == 200
        with suppress(redis.RedisError):
            redis.Redis.from_url(store).shutdown(nosave=True)
        assert client.get("/api/v1/whoami", headers=bearer(known)).status_code == 200
        assert client.get("/api/v1/whoami", headers=bearer(T)).status_code == 200
        answer = client.get("/api/v1/whoami", headers=bearer(other))
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert "nothing was done" in answer.json()["detail"]


# The gate by itself, with a clock that can be turned


class Keys:
    """A store of keys that counts what it is asked."""

    def __init__(self):
        self.there = {}
        self.asked = self.told = 0
        self.away = False

    def put(self, *scopes, **more):
        secret = new_secret()
        self.there[secret.id] = ApiKey(secret.id, "web", secret.digest, scopes, "test", 0, **more)
        return secret

    async def get(self, key_id):
        self.asked += 1
        await asyncio.sleep(0)
        if self.away:
            raise StoreUnavailable("away")
        return self.there.get(key_id)

    async def all(self):
        self.asked += 1
        return list(self.there.values())

    async def note_use(self, key_id):
        self.told += 1
        if self.away:
            raise StoreUnavailable("away")
        return self.there[key_id]


class Clock:
    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def keys():
    return Keys()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def gate(keys, clock):
    return Gate(lambda: keys, T, clock)


async def enter(gate, text, client=("10.0.0.1", 5)):
    headers = {b"authorization": b"Bearer " + text.encode()}
    return gate.known(headers) or await gate.admit(headers, client)


async def refused(gate, text, client=("10.0.0.1", 5)):
    with pytest.raises(Problem) as problem:
        await enter(gate, text, client)
    return problem.value


async def test_strangers_and_the_token_need_no_store(gate, keys):
    assert gate.known({}) is NOBODY
    assert gate.known({b"authorization": f"Bearer {T}".encode()}) is TOKEN
    assert Gate(lambda: keys, None).known({}) is LOCAL
    assert keys.asked == 0


async def test_a_key_is_asked_for_every_few_seconds_and_its_use_told_once_a_minute(gate, keys, clock):
    secret = keys.put("read")
    for _ in range(100):
        assert (await enter(gate, secret.text)).name == "web"
    assert (keys.asked, keys.told) == (1, 1)
    for _ in range(601):  # a minute
        clock.now += 0.1
        await enter(gate, secret.text)
    assert keys.asked <= 1 + 60 / FRESH_SECONDS
    assert keys.told == 2


async def test_many_at_once_ask_once(gate, keys):
    secret = keys.put("read")
    callers = await asyncio.gather(*(enter(gate, secret.text) for _ in range(50)))
    assert len({id(caller) for caller in callers}) == 1
    assert keys.asked == 1


async def test_a_revoked_key_is_out_within_five_seconds(gate, keys, clock):
    secret = keys.put("read")
    await enter(gate, secret.text)
    keys.there[secret.id] = ApiKey(secret.id, "web", secret.digest, ("read",), "test", 0, revoked_at=1)
    clock.now += 4.9
    assert (await refused(gate, secret.text)).kind == "unauthorized"
    gone = keys.put("read")
    await enter(gate, gone.text)
    del keys.there[gone.id]
    clock.now += 4.9
    assert (await refused(gate, gone.text)).kind == "unauthorized"


async def test_a_key_runs_out_while_it_is_at_hand(gate, keys, monkeypatch):
    secret = keys.put("read", expires_at=5_000)
    monkeypatch.setattr(auth.time, "time", lambda: 4.999)
    await enter(gate, secret.text)
    monkeypatch.setattr(auth.time, "time", lambda: 5.0)
    assert "run out" in str(await refused(gate, secret.text))


async def test_a_key_goes_on_while_the_store_is_away(gate, keys, clock):
    secret, unknown = keys.put("read"), keys.put("read")
    await enter(gate, secret.text)
    keys.away = True
    for _ in range(200):
        clock.now += 1
        assert (await enter(gate, secret.text)).name == "web"
    assert keys.asked < 250
    assert (await refused(gate, unknown.text)).kind == "store-unavailable"
    keys.away = False
    del keys.there[secret.id]
    clock.now += 1
    assert (await refused(gate, secret.text)).kind == "unauthorized"


async def test_a_wrong_secret_fails_though_the_key_is_at_hand(gate, keys):
    secret = keys.put("admin")
    await enter(gate, secret.text)
    wrong = f"bq_{secret.id}_{'A' * 43}"
    assert (await refused(gate, wrong)).kind == "unauthorized"
    assert keys.asked == 1


async def test_a_key_is_checked_for_the_queue_and_the_scope(gate, keys):
    caller = await enter(gate, keys.put("submit:mail-*", "read").text)
    caller.check(Scope.SUBMIT, "mail-eu")
    for scope, queue in ((Scope.SUBMIT, "x"), (Scope.OPERATE, None)):
        with pytest.raises(Problem, match="needs the scope") as problem:
            caller.check(scope, queue)
        assert problem.value.kind == "forbidden"
    with pytest.raises(Problem) as problem:
        NOBODY.check(Scope.READ)
    assert problem.value.kind == "unauthorized"


# Failed logins


async def test_after_too_many_failures_an_address_has_to_wait(gate, keys, clock):
    for _ in range(MOST_FAILURES):
        assert (await refused(gate, new_secret().text)).kind == "unauthorized"
    asked = keys.asked
    for _ in range(50):
        problem = await refused(gate, new_secret().text)
        assert (problem.kind, problem.headers["Retry-After"]) == ("too-many-failures", "1")
    problem = await refused(gate, "no key at all")
    assert (problem.kind, problem.headers["Retry-After"]) == ("too-many-failures", "60")
    assert keys.asked == asked + 1, "the store is asked every second, however many try"
    assert (await refused(gate, new_secret().text, ("10.0.0.2", 5))).kind == "unauthorized"
    assert (await refused(gate, new_secret().text, None)).kind == "unauthorized"
    clock.now += 60
    assert (await refused(gate, new_secret().text)).kind == "unauthorized"


async def test_who_knows_a_right_key_gets_in_whatever_others_do(gate, keys, clock):
    """Behind a proxy all have one address: an attacker must not shut the others out."""
    secret, never_seen = keys.put("read"), keys.put("read")
    await enter(gate, secret.text)
    for _ in range(MOST_FAILURES + 5):
        await refused(gate, new_secret().text)
    clock.now += 1
    assert (await enter(gate, never_seen.text)).name == "web"
    assert (await enter(gate, secret.text)).name == "web"
    assert await enter(gate, T) is TOKEN
    for _ in range(MOST_FAILURES + 5):
        problem = await refused(gate, f"bq_{secret.id}_{'A' * 43}")
    assert problem.kind == "too-many-failures"
    assert (await enter(gate, secret.text)).name == "web"


async def test_the_addresses_of_one_network_are_counted_together(gate):
    for number in range(MOST_FAILURES):
        await refused(gate, new_secret().text, (f"2001:db8::{number}:1", 5))
    assert (await refused(gate, new_secret().text, ("2001:db8::ffff:2", 5))).kind == "too-many-failures"
    assert (await refused(gate, new_secret().text, ("2001:db8:0:1::1", 5))).kind == "unauthorized"


def test_addresses_are_forgotten_and_never_too_many(clock, monkeypatch):
    monkeypatch.setattr(auth, "MOST_ADDRESSES", 3)
    failures = Failures(clock)
    for _ in range(MOST_FAILURES):
        failures.note("a")
    assert failures.too_many("a") == 60
    for other in "bcdefg":
        failures.note(other)
        assert len(failures._counts) <= 3
    assert failures.too_many("a") == 0


async def test_keys_at_hand_are_never_too_many(gate, keys, monkeypatch):
    monkeypatch.setattr(auth, "MAX_KEYS", 5)
    for secret in [keys.put("read") for _ in range(20)]:
        assert (await enter(gate, secret.text)).name == "web"
    assert len(gate._ring._held) <= 5


def test_the_limit_over_http(valkey, serving):
    with serving(valkey, namespace="limit", auth="on", token=T) as url, httpx.Client(base_url=url) as client:
        for _ in range(MOST_FAILURES):
            assert client.get("/api/v1/jobs", headers=bearer("wrong")).status_code == 401
        answer = client.get("/api/v1/jobs", headers=bearer("wrong"))
        assert answer.status_code == 429
        assert 0 < int(answer.headers["retry-after"]) <= 60
        assert answer.json()["type"] == "urn:boltq:problem:too-many-failures"
        assert client.get("/api/v1/jobs", headers=bearer(T)).status_code == 200
        assert client.get("/api/v1/jobs").status_code == 401, "who says nothing has not failed"


# Pages of other sites


@pytest.fixture(scope="module")
def inviting(valkey, serving):
    """An API that asks for a login, and that one other site's pages may use."""
    settings = {
        "namespace": "cors",
        "auth": "on",
        "token": T,
        "allowed_origins": "https://app.example, http://b.example:8",
    }
    with serving(valkey, **settings) as url, httpx.Client(base_url=url) as client:
        yield client


def preflight(client, origin, **more):
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    return client.options("/api/v1/jobs", headers={"Origin": origin} | asks | more)


@pytest.mark.parametrize("origin", ["https://app.example", "http://b.example:8"])
def test_a_listed_site_may_ask_and_read(inviting, origin):
    answer = preflight(inviting, origin)
    assert answer.status_code == 204
    assert answer.content == b""
    assert answer.headers["access-control-allow-origin"] == origin
    assert "authorization" in answer.headers["access-control-allow-headers"]
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert answer.headers["vary"] == "Origin"
    headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
    for answer in (
        inviting.post("/api/v1/jobs", json={"type": "echo"}, headers=headers | bearer(T)),
        inviting.post("/api/v1/jobs", json={"type": "echo"}, headers=headers),
        inviting.post("/api/v1/jobs", content=b"x", headers=headers | bearer(T)),
        inviting.get("/nowhere", headers=headers),
        inviting.get("/api/v1/jobs", headers=headers | bearer(T)),
    ):
        assert answer.headers["access-control-allow-origin"] == origin
        assert "x-request-id" in answer.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "https://app.example.evil.example", "http://app.example", "null", "*"]
)
def test_no_other_site_is_told_anything(inviting, origin):
    answers = [preflight(inviting, origin), inviting.get("/health", headers={"Origin": origin})]
    answers.append(inviting.post("/api/v1/jobs", json={"type": "echo"}, headers={"Origin": origin} | bearer(T)))
    assert [answer.status_code for answer in answers] == [405, 200, 403]
    for answer in answers:
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_preflight_to_a_wrong_host_is_refused(inviting):
    assert preflight(inviting, "https://app.example", Host="evil.example").status_code == 421


def test_without_a_list_no_site_is_invited(http):
    answer = preflight(http, "https://app.example")
    assert answer.status_code == 405
    assert "access-control-allow-origin" not in answer.headers


# What is on every answer


def test_every_answer_has_the_security_headers(guarded, make):
    wanted = {name.decode(): value.decode() for name, value in SECURITY_HEADERS}
    assert wanted.keys() == {
        "cache-control", "content-security-policy", "cross-origin-opener-policy", "cross-origin-resource-policy",
        "referrer-policy", "x-content-type-options",
    }  # fmt: skip
    assert wanted["content-security-policy"].startswith("default-src 'none'")
    job = guarded.post("/api/v1/jobs", json={"type": "echo"}, headers=bearer(T))
    for answer in (
        job,  # of the quick way
        guarded.get(job.headers["location"], headers=bearer(T)),
        guarded.get("/"),
        guarded.get("/health"),
        guarded.get("/nowhere"),
        guarded.delete("/health"),
        guarded.get("/api/v1/jobs"),
        guarded.post("/api/v1/jobs", content=b"{", headers=bearer(T) | {"Content-Type": "application/json"}),
        guarded.get("/api/v1/keys", headers=bearer(make("read")[1])),
        guarded.get("/", headers={"Host": "evil.example"}),
    ):
        assert {name: answer.headers.get(name) for name in wanted} == wanted, answer.status_code
        for name in wanted:
            assert len(answer.headers.get_list(name)) == 1


def test_so_has_what_is_no_http(guarded):
    import socket

    address = urlsplit(str(guarded.base_url))
    for junk in (b"HELLO\r\n\r\n", b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 20_000 + b"\r\n\r\n"):
        with socket.create_connection((address.hostname, address.port), timeout=5) as line:
            line.sendall(junk)
            answer = b"".join(iter(lambda: line.recv(65_536), b"")).partition(b"\r\n\r\n")[0]
        for name, value in SECURITY_HEADERS:
            assert name + b": " + value in answer


def test_with_too_many_connections_the_next_is_told_to_come_again(valkey, serving, monkeypatch):
    import socket

    from boltq.server.http import protocol

    monkeypatch.setattr(protocol, "MAX_CONNECTIONS", 2)
    with serving(valkey, namespace="crowd") as url:
        address = urlsplit(url)
        idle = [socket.create_connection((address.hostname, address.port)) for _ in range(2)]
        answer = httpx.get(f"{url}/health")
        assert answer.status_code == 503
        assert answer.json()["type"] == "urn:boltq:problem:too-many-connections"
        assert answer.headers["x-content-type-options"] == "nosniff"
        for line in idle:
            line.close()
        wait_until(lambda: httpx.get(f"{url}/health").status_code == 200)


# What never gets out


@pytest.mark.slow
def test_a_planted_secret_appears_nowhere(tmp_path, valkey):
    wrong = f"bq_0123456789_{PLANTED}"[:57].ljust(57, "x")
    environment = {
        "BOLTQ_AUTH": "on", "BOLTQ_TOKEN": PLANTED, "BOLTQ_LOG_LEVEL": "debug",
        "BOLTQ_SMTP_URL": f"smtp://mailer:{PLANTED}@mail.example:587", "BOLTQ_EMAIL_FROM": "a@b.example",
    }  # fmt: skip
    with api(tmp_path, valkey, **environment) as (program, url):
        for text in (PLANTED + "x", wrong, f"bq_{PLANTED}"):
            assert httpx.get(f"{url}/api/v1/jobs", headers=bearer(text)).status_code == 401
        assert httpx.get(f"{url}/api/v1/jobs", params={"token": PLANTED}).status_code == 401
        assert httpx.get(f"{url}/{PLANTED}", headers=bearer(PLANTED)).status_code == 404
        program.wait_for("a login from 127.0.0.1 failed")
    assert PLANTED not in program.output


@pytest.mark.slow
def test_the_stores_password_appears_nowhere(tmp_path):
    """Also while the store refuses it, and while it is gone."""
    with running_server(server_binary()) as store:
        path = urlsplit(store).path
        admin = redis.Redis(unix_socket_path=path, password=PLANTED)
        redis.Redis(unix_socket_path=path).config_set("requirepass", PLANTED)
        address = f"unix://:{PLANTED}@{path}"
        known = clean_environment(REDIS_ADDR=address, BOLTQ_LOG_LEVEL="debug")
        with api(tmp_path, address) as (program, url), running(boltq_command("worker"), tmp_path, known) as worker:
            worker.wait_for("runs: ")
            assert httpx.post(f"{url}/api/v1/jobs", json={"type": "echo"}).status_code == 201
            admin.config_set("requirepass", "another")
            redis.Redis(unix_socket_path=path, password="another").client_kill_filter(_type="normal", skipme=False)
            wait_until(lambda: httpx.get(f"{url}/ready").status_code == 503)
            answer = httpx.get(f"{url}/api/v1/jobs")
            assert answer.status_code >= 500
            assert PLANTED not in answer.text
            late = running(boltq_command("worker"), tmp_path, known)
            with late as refused:
                refused.wait_for("(?i)wrongpass|refuses|does not answer|invalid")
                refused.terminate()
                refused.wait()
            worker.terminate()
            worker.wait()
    outputs = program.output + worker.output + refused.output
    assert PLANTED not in outputs
    with running(boltq_command("doctor"), tmp_path, known) as doctor:
        assert doctor.wait() == 3
    assert PLANTED not in doctor.output
