"""What the clients do when things go wrong: what is sent again, what is raised, and what stays secret."""

import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from apis import running_api
from scripted import HANG_UP, Scripted, problem, scripted_server

from boltq import Conflict, InvalidJob, NotFound, QueueFull, StoreFull, StoreUnavailable, StoreUnfit, WaitTimeout
from boltq.client import AsyncClient, BadAnswer, Client, Forbidden, ServerUnavailable, Unauthorized, talk
from boltq.client.place import MAX_TOKEN_CHARS
from boltq.settings import BadSetting

SECRET = "bq_0123456789_" + "s3cret" * 8
SUBMITTED = (201, {}, {"id": "01M80000000000000000000000", "created": True})


@pytest.fixture
def client(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setattr(talk, "PAUSES", (0.01, 0.01, 0.01, 0.01))
    with Client(server.url, SECRET) as opened:
        yield opened


# What is sent again


def test_a_submission_whose_answer_was_lost_is_sent_again_under_the_same_key(server: Scripted, client: Client) -> None:
    server.says(HANG_UP, problem(503, "store-unavailable"), SUBMITTED)
    assert client.submit("echo", {"n": 1}).created
    assert len(server.asked) == 3
    assert len({asked.headers["idempotency-key"] for asked in server.asked}) == 1
    assert {str(asked.body) for asked in server.asked} == {str(server.asked[0].body)}


def test_two_submissions_have_two_keys_and_a_given_key_is_kept(server: Scripted, client: Client) -> None:
    server.says(SUBMITTED)
    client.submit("echo")
    client.submit("echo")
    client.submit("echo", idempotency_key="mine")
    first, second, third = server.asked
    assert first.headers["idempotency-key"] != second.headers["idempotency-key"]
    assert third.body["idempotency_key"] == "mine"
    assert "idempotency-key" not in third.headers


def test_a_repeat_that_finds_its_own_job_was_the_one_that_created_it(server: Scripted, client: Client) -> None:
    server.says(HANG_UP, (200, {}, {"id": "01M80000000000000000000000", "created": False}))
    assert client.submit("echo").created
    assert not client.submit("echo", idempotency_key="mine").created


async def test_the_asynchronous_client_does_the_same(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk, "PAUSES", (0.01, 0.01))
    server.says(HANG_UP, SUBMITTED)
    async with AsyncClient(server.url) as client:
        assert (await client.submit("echo")).created
    assert len(server.asked) == 2


def test_a_wait_goes_on_through_an_outage_for_its_timeout(server: Scripted, client: Client) -> None:
    """Longer than one call is repeated; when its time is over, it says so, and why."""
    then = "2026-01-02T03:04:05Z"
    job = {"id": "01M80000000000000000000000", "type": "x", "queue": "default", "priority": "normal"}
    done = (200, {}, {**job, "state": "completed", "since": then, "created_at": then, "result": 5})
    server.says(*[HANG_UP] * 12, *[problem(503, "store-unavailable")] * 6, done)
    assert client.job("01M80000000000000000000000").result(timeout=30) == 5
    server.says(*[HANG_UP] * 1_000)
    with pytest.raises(WaitTimeout, match="no answer from the API"):
        client.job("01M80000000000000000000000").result(timeout=0.7)


def test_what_must_not_happen_twice_is_not_sent_again(server: Scripted, client: Client) -> None:
    server.says(HANG_UP)
    with pytest.raises(ServerUnavailable, match="the outcome is unknown"):
        client.job("01M80000000000000000000000").replay()
    assert len(server.asked) == 1


def test_the_trying_ends(server: Scripted, client: Client) -> None:
    server.says(problem(503, "store-unavailable"))
    with pytest.raises(StoreUnavailable):
        client.submit("echo")
    assert len(server.asked) == 5


def test_a_request_that_never_left_is_sent_again_whatever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))  # and does not listen
        with (
            Client(f"http://127.0.0.1:{probe.getsockname()[1]}") as client,
            pytest.raises(ServerUnavailable, match="nothing was done"),
        ):
            client.job("01M80000000000000000000000").replay()
    assert len(slept) == len(talk.PAUSES)


def test_the_server_says_when_to_try_again(server: Scripted, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    status, _, body = problem(503, "store-unavailable")
    server.says((status, {"Retry-After": "3"}, body), SUBMITTED)
    client.submit("echo")
    assert slept == [3.0]
    server.says((status, {"Retry-After": "3600"}, body))
    with pytest.raises(StoreUnavailable):
        client.submit("echo")
    assert slept == [3.0]


# What is raised


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (401, "unauthorized", Unauthorized),
        (429, "too-many-failures", Unauthorized),
        (403, "forbidden", Forbidden),
        (404, "not-found", NotFound),
        (409, "conflict", Conflict),
        (409, "count-changed", Conflict),
        (422, "invalid", InvalidJob),
        (413, "too-large", InvalidJob),
        (429, "queue-full", QueueFull),
        (503, "store-full", StoreFull),
        (503, "store-unfit", StoreUnfit),
        (500, "internal", BadAnswer),
        (500, "of-another-century", BadAnswer),
    ],
)
def test_a_problem_is_raised_as_in_process_and_is_not_sent_again(
    server: Scripted, client: Client, status: int, kind: str, error: type[Exception]
) -> None:
    server.says(problem(status, kind))
    with pytest.raises(error):
        client.submit("echo")
    assert len(server.asked) == 1


def test_mistakes_have_their_places(server: Scripted, client: Client) -> None:
    server.says(problem(422, "invalid", errors=[{"pointer": "/data/n", "detail": "required"}]))
    with pytest.raises(InvalidJob) as refused:
        client.submit("echo")
    assert refused.value.errors == [("/data/n", "required")]


@pytest.mark.parametrize(
    "answer",
    [
        (200, {}, b"<html>hello</html>"),
        (200, {}, {"another": "shape"}),
        (200, {}, b""),
        (404, {"content-type": "text/html"}, b"<html>nothing</html>"),
        (418, {}, {"type": "teapot"}),
        (200, {}, b"[" * 10_000),
    ],
)
def test_an_answer_of_somebody_else_is_said_to_be_one(server: Scripted, client: Client, answer) -> None:
    server.says(answer)
    with pytest.raises(BadAnswer):
        client.submit("echo")
    assert len(server.asked) == 1


def test_a_batch_of_which_the_server_forgets_some_is_no_success(server: Scripted, client: Client) -> None:
    server.says((200, {}, {"items": [{"index": 0, "id": "01M80000000000000000000000"}]}))
    with pytest.raises(BadAnswer, match="1 of 2"):
        client.submit_many([client.job_of("echo"), client.job_of("echo")])


def test_fields_that_are_not_known_are_ignored(server: Scripted, client: Client) -> None:
    status, headers, body = SUBMITTED
    server.says((status, headers, {**body, "of_the_future": [1, 2]}))
    assert client.submit("echo").id == body["id"]


def test_waiting_for_a_server_that_answers_too_early_is_no_storm(
    server: Scripted, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    job = {"id": "x", "type": "t", "queue": "q", "priority": "normal", "state": "queued"}
    server.says((200, {}, {**job, "since": "2030-01-01T00:00:00Z", "created_at": "2030-01-01T00:00:00Z"}))
    with pytest.raises(WaitTimeout):
        client.job("x").result(timeout=0.5)
    assert slept
    assert min(slept[:-1], default=talk.LOOK_AGAIN) > 0


# What stays secret


def test_the_token_is_sent_to_the_server_and_said_nowhere(
    server: Scripted, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.says(SUBMITTED, problem(401, "unauthorized"))
    client.submit("echo")
    assert server.asked[0].headers["authorization"] == f"Bearer {SECRET}"
    with pytest.raises(Unauthorized) as refused:
        client.submit("echo")
    said = [repr(client), str(refused.value), repr(refused.value), repr(vars(client)), caplog.text]
    assert not any(SECRET in text for text in said)


def test_no_redirect_is_followed(server: Scripted, client: Client) -> None:
    with scripted_server() as elsewhere:
        elsewhere.says(SUBMITTED)
        server.says((307, {"Location": f"{elsewhere.url}/api/v1/jobs"}, {}))
        with pytest.raises(BadAnswer, match="redirect"):
            client.submit("echo")
        assert elsewhere.asked == []


def test_no_proxy_is_asked_to_carry_the_token_in_plain_text(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted_server() as proxy, monkeypatch.context() as patch:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            patch.setenv(name, proxy.url)
        server.says(SUBMITTED)
        with Client(server.url, SECRET) as client:
            client.submit("echo")
        assert proxy.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8080",
        "ftp://host",
        "http://",
        "http://me:pass1word@host",
        "http://host/?a=b",
        "http://a b",
        "http://h:x",
    ],
)
def test_an_address_that_means_nothing_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(BadSetting) as refused:
        Client(url)
    assert "pass1word" not in str(refused.value)


@pytest.mark.parametrize("token", ["two words", "line\r\nbreak", "é", "x" * (MAX_TOKEN_CHARS + 1)])
def test_a_token_that_cannot_be_sent_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(BadSetting) as refused:
        Client("http://localhost:1", token)
    assert token not in str(refused.value)


# Who one is


@pytest.fixture
def closed(valkey: str, namespace: str, tmp_path: Path) -> Iterator[str]:
    """An API that asks for a login; its token is in the data directory."""
    with running_api(valkey, namespace=namespace, auth="on", data_dir=str(tmp_path)) as url:
        yield url


def test_the_token_of_this_machines_server_is_found(
    closed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Client(closed, "") as stranger, pytest.raises(Unauthorized):
        stranger.submit("echo")
    monkeypatch.setenv("BOLTQ_DATA", str(tmp_path))
    with Client(closed) as client:
        assert client.whoami().name == "token"
    with Client(closed, "wrong" * 10) as stranger, pytest.raises(Unauthorized):
        stranger.whoami()


def test_the_environment_says_where_and_who(closed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOLTQ_URL", closed)
    monkeypatch.setenv("BOLTQ_TOKEN", (tmp_path / "token").read_text().strip())
    with Client() as client:
        assert client.whoami().scopes == ["admin"]


def test_the_token_file_is_for_this_machine_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from boltq.client.place import find_place

    (tmp_path / "token").write_text(SECRET)
    monkeypatch.setenv("BOLTQ_DATA", str(tmp_path))
    assert find_place("http://127.0.0.1:8080").token == SECRET
    assert find_place("http://localhost").token == SECRET
    assert find_place("https://jobs.example.com").token == ""


def test_a_key_has_its_rights_and_no_more(closed: str, tmp_path: Path) -> None:
    with Client(closed, (tmp_path / "token").read_text().strip()) as owner:
        key = owner.create_key("web", ["submit:mail"], expires_in=3600)
        assert key.key not in repr(key)
        with Client(closed, key.key) as web:
            assert web.submit("echo", queue="mail").created
            with pytest.raises(Forbidden, match="queue default"):
                web.submit("echo")
            with pytest.raises(Forbidden):
                web.queues()
        assert [one.name for one in owner.keys().items] == ["web"]
        assert owner.revoke_key(key.id).revoked_at
        assert next(iter(owner.audit().items)).action.startswith("key.")
