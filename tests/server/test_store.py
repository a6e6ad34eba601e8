"""What the API says while its store is away, full or unfit."""

import shutil
import socket
import subprocess
import time

import httpx
import pytest
import redis

from boltq.broker.embedded import server_binary
from boltq.server import backend

JOB = {"type": "echo", "data": {"n": 1}}


class Server:
    """A server that can be killed and started again, on the same data."""

    def __init__(self, folder, *options):
        self.folder, self.options = folder, options
        self.socket = folder / "s"
        self.process = None

    @property
    def url(self):
        return f"unix://{self.socket}"

    @property
    def client(self):
        return redis.Redis(unix_socket_path=str(self.socket))

    def start(self):
        command = [str(server_binary()), "--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.folder)]
        command += ["--appendonly", "yes", "--appendfsync", "always", "--save", "", *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        for _ in range(500):
            try:
                self.client.ping()
                return self
            except redis.RedisError:
                time.sleep(0.02)
        raise AssertionError("the server does not answer")

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait(10)


def submit_until(http, is_it) -> httpx.Response:
    """Submits jobs until the status is as wanted; the last answer."""
    deadline = time.monotonic() + 30
    while not is_it((answer := http.post("/api/v1/jobs", json=JOB)).status_code):
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.01)
    return answer


@pytest.fixture
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("s")
    server = Server(folder)
    yield server
    server.kill()
    shutil.rmtree(folder, ignore_errors=True)


def test_a_store_that_dies_and_comes_back(server, serving):
    server.start()
    with serving(server.url) as url, httpx.Client(base_url=url, timeout=30) as http:
        kept = http.post("/api/v1/jobs", json=JOB).json()["id"]
        server.kill()

        answer = http.post("/api/v1/jobs", json=JOB)
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        problem = answer.json()
        assert problem["type"] == "urn:boltq:problem:store-unavailable"
        assert "Idempotency-Key" in problem["detail"]
        assert str(server.folder) not in answer.text
        for path in (f"/api/v1/jobs/{kept}", "/api/v1/jobs", "/api/v1/queues/stats", "/api/v1/workers", "/ready"):
            answer = http.get(path)
            assert answer.status_code == 503, path
            assert answer.headers["retry-after"]
            assert str(server.folder) not in answer.text
        assert http.post(f"/api/v1/jobs/{kept}/cancel").status_code == 503
        assert http.post("/api/v1/queues/default/pause").status_code == 503
        assert http.get("/health").status_code == 200

        server.start()
        assert http.post("/api/v1/jobs", json=JOB).status_code == 201
        assert http.get(f"/api/v1/jobs/{kept}").json()["state"] == "queued"
        assert http.get("/ready").status_code == 200
        assert http.get("/api/v1/queues/stats").json()["totals"]["queued"] == 2


def test_an_answer_that_got_lost_does_not_make_two_jobs(server, serving):
    server.start()
    with serving(server.url) as url, httpx.Client(base_url=url, timeout=30) as http:
        headers = {"Idempotency-Key": "once"}
        assert http.post("/api/v1/jobs", json=JOB, headers=headers).status_code == 201
        server.kill()
        assert http.post("/api/v1/jobs", json=JOB, headers=headers).status_code == 503
        server.start()
        assert http.post("/api/v1/jobs", json=JOB, headers=headers).status_code == 200


def test_the_api_may_start_before_its_store(server, serving):
    with serving(server.url) as url, httpx.Client(base_url=url, timeout=30) as http:
        assert http.get("/health").status_code == 200
        assert http.get("/ready").status_code == 503
        assert http.post("/api/v1/jobs", json=JOB).status_code == 503
        assert http.get("/api/v1/jobs").status_code == 503
        server.start()
        deadline = time.monotonic() + 10
        while http.get("/ready").status_code != 200 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert http.post("/api/v1/jobs", json=JOB).status_code == 201


def test_a_full_store(server, serving):
    server.start()
    with serving(server.url) as url, httpx.Client(base_url=url, timeout=30) as http:
        job = http.post("/api/v1/jobs", json=JOB).json()["id"]
        server.client.config_set("maxmemory", "1mb")
        answer = http.post("/api/v1/jobs", json=JOB)
        assert answer.status_code == 503
        assert answer.json()["type"] == "urn:boltq:problem:store-full"
        assert answer.headers["retry-after"]
        assert http.get(f"/api/v1/jobs/{job}").status_code == 200
        assert http.post(f"/api/v1/jobs/{job}/cancel").status_code == 200
        server.client.config_set("maxmemory", "0")
        assert http.post("/api/v1/jobs", json=JOB).status_code == 201


def test_a_nearly_full_store_takes_no_new_jobs_and_does_everything_else(server, serving, monkeypatch):
    monkeypatch.setattr(backend, "LOOK_AGAIN_SECONDS", 0.05)
    server.start()
    with serving(server.url, memory_limit=0.5) as url, httpx.Client(base_url=url, timeout=30) as http:
        job = http.post("/api/v1/jobs", json=JOB).json()["id"]
        server.client.config_set("maxmemory", int(server.client.info("memory")["used_memory"] * 1.5))
        refused = submit_until(http, lambda status: status != 201)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert refused.json()["type"] == "urn:boltq:problem:store-full"
        assert "50%" in refused.json()["detail"]
        assert http.post("/submit", json={"type": "echo"}).status_code == 503
        assert http.post("/api/v1/jobs/batch", json={"jobs": [JOB]}).status_code == 503
        assert http.get(f"/api/v1/jobs/{job}").status_code == 200
        assert http.patch(f"/api/v1/jobs/{job}", json={"priority": 2}).status_code == 200
        assert http.post(f"/api/v1/jobs/{job}/cancel").status_code == 200
        assert http.post(f"/api/v1/jobs/{job}/replay", json={"priority": 1}).status_code == 503  # it would be a new one
        assert http.post(f"/api/v1/jobs/{job}/replay").status_code == 200
        server.client.config_set("maxmemory", "0")
        submit_until(http, lambda status: status == 201)


def test_a_full_queue(valkey, serving):
    with serving(valkey, namespace="full-queue", max_queue_depth=2) as url, httpx.Client(base_url=url) as http:
        assert [http.post("/api/v1/jobs", json=JOB).status_code for _ in range(2)] == [201, 201]
        answer = http.post("/api/v1/jobs", json=JOB)
        assert answer.status_code == 429
        assert answer.headers["retry-after"]
        assert answer.json()["type"] == "urn:boltq:problem:queue-full"
        assert http.post("/api/v1/jobs", json=JOB | {"queue": "other"}).status_code == 201


def test_ready_names_what_is_wrong_with_the_store(server, serving):
    server.start()
    with serving(server.url) as url, httpx.Client(base_url=url) as http:
        ready = http.get("/ready").json()
        assert ready["status"] == "ready"
        assert ready["store"]["flavour"] == "valkey"
        assert ready["warnings"] == []
        server.client.config_set("maxmemory-policy", "allkeys-lru")
        server.client.config_set("appendonly", "no")
        warnings = http.get("/ready").json()["warnings"]
        assert [warning["problem"].split()[0] for warning in warnings] == ["maxmemory-policy", "the"]


def test_a_password_in_the_address_is_told_to_nobody(serving):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    store = f"redis://user:hunter2@127.0.0.1:{port}/0"
    with serving(store) as url, httpx.Client(base_url=url, timeout=30) as http:
        for answer in (http.get("/ready"), http.post("/api/v1/jobs", json=JOB), http.get("/")):
            assert "hunter2" not in answer.text
