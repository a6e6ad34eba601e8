"""What the two documents print that the project began with, typed verbatim; they stand in documents/ as they were.

`TABLE` has every block of code in them, and says what is asserted of it: a test, or that it comes later, and how that
would be seen. A block that is not in the table, and a row that is out of date, fail.

curl is told by its own configuration that `localhost:8080` is where the API of these tests listens, so that its lines
are typed as they are printed. There is no PowerShell here: the requests that it makes are sent byte by byte.
"""

import ast
import json
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from processes import boltq_command, clean_environment, running, wait_until

from boltq.broker.connect import as_url
from boltq.broker.embedded import server_binary
from boltq.settings import BadSetting, Settings

ROOT = Path(__file__).parents[2]
DOCUMENTS = {
    name: (Path(__file__).parent / "documents" / f"{name}.txt").read_text("utf-8") for name in ("first", "second")
}


class Later(NamedTuple):
    """Comes later: until then there is no such file, or no such word in src."""

    file: str = ""
    word: str = ""


class Otherwise(NamedTuple):
    """Another language's way, for which ours is another; with the test of ours."""

    ours: str
    test: str


PAGES = "tests/docs/test_pages.py::"
MAKE = "tests/docs/test_make.py::"
LOAD = "tests/cli/test_load.py::"

TABLE: dict[tuple[str, str], str | Later | Otherwise] = {
    ("first", "git clone https://github.com/yourusername/BoltQ.git"): PAGES + "test_the_calls_of_a_page_work",
    ("first", "make init"): MAKE + "test_init_and_deps_leave_what_is_needed_to_run",
    ("first", "redis-server"): "test_a_server_of_ones_own_is_named_by_redis_addr",
    ("first", "make run-api"): MAKE + "test_run_api_and_run_worker_carry_out_a_job",
    ("first", "make run-worker"): MAKE + "test_run_api_and_run_worker_carry_out_a_job",
    ("first", "curl -X POST http://localhost:8080/submit \\"): "test_the_first_documents_submission",
    ("first", "curl http://localhost:8080/status?id=job_123"): "test_the_first_documents_status",
    ("first", "📄 .gitignore"): Otherwise("ARCHITECTURE.md", PAGES + "test_the_architecture_has_every_key"),
    ("first", "docker build -t boltq ."): Later(file="Dockerfile"),
    ("second", "diagram 1"): Otherwise("README.md", PAGES + "test_the_links_of_a_page_lead_somewhere"),
    ("second", "diagram 2"): Later(file="prometheus.yml"),
    ("second", "BoltQ/"): Otherwise("ARCHITECTURE.md", PAGES + "test_the_architecture_has_every_key"),
    ("second", "# Using Docker"): "test_a_server_of_ones_own_is_named_by_redis_addr",
    ("second", "cd cmd/api"): Otherwise("make run-api", MAKE + "test_run_api_and_run_worker_carry_out_a_job"),
    ("second", "cd cmd/worker"): Otherwise("make run-worker", MAKE + "test_run_api_and_run_worker_carry_out_a_job"),
    ("second", "cd playground"): Later(file="playground/package.json"),
    ("second", "# Build and start all services"): Later(file="docker-compose.yml"),
    ("second", "curl -X POST http://localhost:8080/api/v1/jobs \\"): "test_a_job_is_submitted_and_looked_at",
    ("second", "curl -X GET http://localhost:8080/api/v1/jobs/{job_id}"): "test_a_job_is_submitted_and_looked_at",
    ("second", "curl -X GET http://localhost:8080/api/v1/queues/stats"): "test_the_queues_are_shown",
    ("second", "curl -X POST http://localhost:8080/api/v1/workflows \\"): "test_a_workflow_is_submitted",
    ("second", "// In cmd/worker/main.go"): Otherwise("@app.task", "test_a_new_job_type"),
    ("second", "{"): "test_a_new_job_type",
    ("second", "go test ./..."): Otherwise("make test", MAKE + "test_test_runs_the_tests_that_are_named"),
    ("second", "go test -tags=integration ./..."): Otherwise(
        "make check", MAKE + "test_quick_check_and_night_are_made_of_the_same_steps"
    ),
    ("second", "python cmd/test/performance_test.py --jobs=1000 --concurrency=10"): Otherwise(
        "python scripts/performance_test.py --jobs=1000 --concurrency=10",
        LOAD + "test_the_performance_test_of_the_documents"
    ),
    ("second", 'Invoke-WebRequest -Uri "http://localhost:8080/api/v1/jobs" `'): "test_powershell_submits_a_job",
    ("second", "# Replace JOB_ID with actual ID"): "test_powershell_looks_at_a_job",
    ("second", 'Invoke-WebRequest -Uri "http://localhost:8080/api/v1/queues/stats" `'): (
        "test_powershell_looks_at_the_queues"
    ),
}  # fmt: skip

VARIABLES: dict[str, str | Later] = {
    "PORT": "test_the_port_has_two_names",
    "POLLING_INTERVAL": "test_what_the_first_version_was_told_is_still_taken",
    "REDIS_ADDR": "test_a_server_of_ones_own_is_named_by_redis_addr",
    "API_PORT": "test_the_port_has_two_names",
    "METRICS_PORT": Later(word="METRICS_PORT"),
    "NUM_WORKERS": "test_the_documents_defaults_are_ours",
    "MAX_ATTEMPTS": "test_the_documents_defaults_are_ours",
    "ENVIRONMENT": "test_each_environment_of_the_documents_is_taken",
}

METRICS = [
    "boltq_jobs_submitted_total", "boltq_jobs_processed_total", "boltq_jobs_in_queue", "boltq_job_processing_seconds",
    "boltq_active_workers",
]  # fmt: skip
"""Come with Prometheus: the second document's queries."""


class Block(NamedTuple):
    document: str
    first: str  # its first line that says which it is
    text: str


def _blocks() -> list[Block]:
    found = []
    for name, text in DOCUMENTS.items():
        for match in re.finditer(r"^ *```\w*\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
            first = match[1].strip().splitlines()[0].strip()
            if first.startswith("┌"):
                first = f"diagram {1 + sum(block.first.startswith('diagram') for block in found)}"
            found.append(Block(name, first, match[1]))
    return found


BLOCKS = _blocks()


def text_of(document: str, first: str) -> str:
    """A block as it is printed."""
    return next(block.text for block in BLOCKS if (block.document, block.first) == (document, first))


# The table


def test_every_block_is_in_the_table_and_every_row_is_a_block():
    assert {(block.document, block.first) for block in BLOCKS} == set(TABLE)
    assert len(BLOCKS) == len(TABLE)


@pytest.mark.parametrize("what", [*TABLE.values(), *VARIABLES.values()], ids=str)
def test_what_the_table_says_is_there_or_not_yet(what: Any):
    match what:
        case Later(file=file, word=""):
            assert not (ROOT / file).exists(), f"{file} is there: type what the documents say of it into a test"
        case Later(word=word):
            known = {name for names, _, _ in _settings() for name in names.split(" or ")}
            assert word not in known, f"{word} is there: type what the documents say of it into a test"
        case Otherwise(test=test):
            assert _exists(test), test
        case _:
            assert _exists(what), what


def test_the_queries_of_the_documents_come_with_the_metrics():
    assert re.findall(r"^- `(boltq_\w+)`", DOCUMENTS["second"], re.MULTILINE) == METRICS
    source = "".join(file.read_text("utf-8") for file in (ROOT / "src").rglob("*.py"))
    assert not [name for name in METRICS if name in source], "they are there: assert what each of them counts"


def test_every_variable_of_the_documents_is_in_the_table():
    first = re.findall(r"^- `([A-Z_]+)`: ", DOCUMENTS["first"], re.MULTILINE)
    second = re.findall(r"^\| `([A-Z_]+)` \|", DOCUMENTS["second"], re.MULTILINE)
    assert {*first, *second} == set(VARIABLES)


def _exists(test: str) -> bool:
    file, _, name = test.rpartition("::")
    source = ast.parse((ROOT / (file or "tests/docs/test_documents.py")).read_text("utf-8"))
    functions = {node.name for node in source.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    return name in functions


def _settings() -> list[tuple[str, str, str]]:
    from boltq import settings

    return settings.table()


# The calls


class Site(NamedTuple):
    """An API with a worker; curl's configuration for it."""

    port: int
    folder: Path

    def typed(self, *scripts: str) -> list[tuple[int, Any]]:
        """What is answered to lines of a shell: status and body of each call."""
        known = clean_environment(CURL_HOME=str(self.folder))
        answers = []
        for script in scripts:
            done = subprocess.run(
                ["bash", "-c", script], env=known, capture_output=True, text=True, check=False, timeout=60
            )
            assert done.returncode == 0, done.stderr
            body, _, status = done.stdout.rpartition("\n")
            answers.append((int(status), json.loads(body)))
        return answers

    def get(self, path: str) -> Any:
        ((status, body),) = self.typed(f"curl 'http://localhost:8080{path}'")
        assert status == 200, body
        return body

    def sent(self, *pieces: bytes) -> tuple[int, dict[str, str], bytes]:
        """What is answered to bytes; each further piece goes when the server has said 100 Continue."""
        with (
            closing(socket.create_connection(("127.0.0.1", self.port), timeout=60)) as line,
            line.makefile("rb") as heard,
        ):
            for number, piece in enumerate(pieces):
                line.sendall(piece)
                if number < len(pieces) - 1:
                    assert heard.readline() == b"HTTP/1.1 100 Continue\r\n"
                    assert heard.readline() == b"\r\n"
            status = int(heard.readline().split()[1])
            headers = {}
            while (text := heard.readline().decode().strip()) != "":
                name, _, value = text.partition(":")
                headers[name.lower()] = value.strip()
            return status, headers, heard.read(int(headers["content-length"]))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """What `make run-api` and `make run-worker` start, in a folder of its own."""
    folder = tmp_path_factory.mktemp("documents")
    known = clean_environment(API_PORT="0", BOLTQ_GRACE="1")
    with running(boltq_command("api"), folder, known) as api, running(boltq_command("worker"), folder, known) as worker:
        port = int(api.wait_for(r"listens on http://\S+:(\d+)").group(1))
        worker.wait_for(r"runs: echo")
        config = (
            f'connect-to = "localhost:8080:127.0.0.1:{port}"\nsilent\nshow-error\nwrite-out = "\\n%{{http_code}}"\n'
        )
        (folder / ".curlrc").write_text(config)
        place = Site(port, folder)
        wait_until(lambda: not place.typed(f'curl -d \'{{"type":"echo"}}\' {HERE}')[0][1]["warnings"])
        yield place


HERE = "-H 'Content-Type: application/json' http://localhost:8080/api/v1/jobs"


def test_the_first_documents_submission(site: Site):
    ((status, body),) = site.typed(text_of("first", "curl -X POST http://localhost:8080/submit \\"))
    assert status == 201
    assert body == {"job_id": body["id"], "id": body["id"], "status": "queued", "created": True}
    ended = site.get(f"/api/v1/jobs/{body['id']}?wait=30")
    assert (ended["type"], ended["state"]) == ("email", "completed"), ended
    assert ended["data"] == {
        "recipient": "user@example.com", "subject": "Hello from BoltQ", "body": "This is a test email from BoltQ",
    }  # fmt: skip
    ((status, shown),) = site.typed(f"curl http://localhost:8080/status?id={body['id']}")
    assert (status, shown["status"]) == (200, "completed")


def test_the_first_documents_status(site: Site):
    """Its id is made up: a clear no."""
    ((status, body),) = site.typed(text_of("first", "curl http://localhost:8080/status?id=job_123"))
    assert (status, body["type"]) == (404, "urn:boltq:problem:not-found")
    assert "job_123" in body["detail"]


def test_a_job_is_submitted_and_looked_at(site: Site):
    ((status, body),) = site.typed(text_of("second", "curl -X POST http://localhost:8080/api/v1/jobs \\"))
    assert status == 201
    assert (body["type"], body["priority"], body["state"], body["created"]) == ("echo", "normal", "queued", True)
    assert body["warnings"] == []
    look = text_of("second", "curl -X GET http://localhost:8080/api/v1/jobs/{job_id}")
    ((status, shown),) = site.typed(look.replace("{job_id}", body["id"]))
    assert (status, shown["id"]) == (200, body["id"])
    assert site.get(f"/api/v1/jobs/{body['id']}?wait=30")["result"] == {"message": "Hello World"}
    ((status, shown),) = site.typed(look)  # as it is printed: curl takes the braces off
    assert (status, shown["type"]) == (404, "urn:boltq:problem:not-found")


def test_the_queues_are_shown(site: Site):
    ((status, body),) = site.typed(text_of("second", "curl -X GET http://localhost:8080/api/v1/queues/stats"))
    assert status == 200
    assert "default" in json.dumps(body)


def test_a_workflow_is_submitted(site: Site):
    ((status, body),) = site.typed(text_of("second", "curl -X POST http://localhost:8080/api/v1/workflows \\"))
    assert status == 201, body
    shown = site.get(f"/api/v1/workflows/{body['id']}")
    assert shown["name"] == "Data Processing Pipeline"
    first, then = shown["steps"]
    assert (first["id"], first["job_type"]) == ("step-1", "fetch_data")
    assert (then["id"], then["job_type"], then["depends_on"]) == ("step-2", "process_data", ["step-1"])


TASKS = """
from boltq import BoltQ

app = BoltQ()

@app.task
def new_job_type(param1: str) -> dict[str, str]:
    return {"param1": param1}
"""


def test_a_new_job_type(site: Site):
    """It is accepted before any worker knows it, and waits for one that does."""
    body = text_of("second", "{")
    ((status, submitted),) = site.typed(f"curl -d '{body}' {HERE}")
    assert status == 201
    assert submitted["warnings"] == [
        "no worker has published the job type new_job_type: the job waits for one that does"
    ]
    (site.folder / "my_tasks.py").write_text(TASKS)
    known = clean_environment(BOLTQ_GRACE="1")
    with running(boltq_command("worker", "my_tasks:app"), site.folder, known) as worker:
        worker.wait_for(r"runs: new_job_type")
        ended = site.get(f"/api/v1/jobs/{submitted['id']}?wait=30")
        assert (ended["state"], ended["result"]) == ("completed", {"param1": "value1"})


# PowerShell

WINDOWS_5 = "Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.19041.4522"
CORE_7 = "Mozilla/5.0 (Windows NT 10.0; Microsoft Windows 10.0.19045; en-US) PowerShell/7.4.3"

SUBMIT = 'Invoke-WebRequest -Uri "http://localhost:8080/api/v1/jobs" `'


def spoken(document_line: str) -> tuple[str, str, dict[str, str], str]:
    """The method, target, headers and body that a command of the documents asks for."""
    text = text_of("second", document_line)
    words = dict(re.findall(r'-(Uri|Method|ContentType) "?([^"\s]+)"?', text))
    values = dict(re.findall(r'^\$(\w+) = "([^"]*)"', text, re.MULTILINE))
    target = words["Uri"].removeprefix("http://localhost:8080")
    for name, value in values.items():
        target = target.replace(f"${name}", value)
    body = re.search(r"-Body '(.*?)'", text, re.DOTALL)
    return words["Method"], target, {"Content-Type": words.get("ContentType", "")}, body[1] if body else ""


def windows_5(method: str, target: str, kind: str, body: bytes) -> list[bytes]:
    """Windows PowerShell 5.1: it waits for 100 Continue before it sends a body."""
    head = f"{method} {target} HTTP/1.1\r\nUser-Agent: {WINDOWS_5}\r\n"
    if not body:
        return [f"{head}Host: localhost:8080\r\nConnection: Keep-Alive\r\n\r\n".encode()]
    head += f"Content-Type: {kind}\r\nHost: localhost:8080\r\nContent-Length: {len(body)}\r\n"
    return [f"{head}Expect: 100-continue\r\nConnection: Keep-Alive\r\n\r\n".encode(), body]


def core_7(method: str, target: str, kind: str, body: bytes) -> list[bytes]:
    """PowerShell 7."""
    head = f"{method} {target} HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: {CORE_7}\r\n"
    head += "Accept-Encoding: gzip, deflate, br\r\n"
    length = f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n" if body else ""
    return [f"{head}{length}\r\n".encode() + body]


SHELLS = [pytest.param(windows_5, "latin-1", id="5.1"), pytest.param(core_7, "utf-8", id="7")]
ENDS = [pytest.param("\n", id="lf"), pytest.param("\r\n", id="crlf")]


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize(("shell", "encoding"), SHELLS)
def test_powershell_submits_a_job(site: Site, shell: Any, encoding: str, ends: str):
    method, target, headers, body = spoken(SUBMIT)
    assert (method, target, headers["Content-Type"]) == ("POST", "/api/v1/jobs", "application/json")
    content = body.replace("\n", ends).encode(encoding)
    status, answered, answer = site.sent(*shell(method, target, headers["Content-Type"], content))
    assert status == 201, answer
    assert answered["content-type"] == "application/json"  # what ConvertFrom-Json is given
    job = json.loads(answer)
    assert (job["type"], job["priority"]) == ("echo", "normal")
    assert site.get(f"/api/v1/jobs/{job['id']}?wait=30")["result"] == {"message": "Hello, BoltQ!"}


@pytest.mark.parametrize("shell", [windows_5, core_7])
def test_powershell_submits_other_letters(site: Site, shell: Any):
    """7 sends UTF-8. 5.1 sends Latin-1 unless it is told otherwise: it is told at which place that is no text."""
    method, target, headers, body = spoken(SUBMIT)
    greeting = body.replace("Hello", "Grüße")
    status, _, answer = site.sent(*shell(method, target, headers["Content-Type"], greeting.encode()))
    assert status == 201
    ended = site.get(f"/api/v1/jobs/{json.loads(answer)['id']}?wait=30")
    assert ended["result"] == {"message": "Grüße, BoltQ!"}
    status, _, answer = site.sent(*shell(method, target, headers["Content-Type"], greeting.encode("latin-1")))
    (mistake,) = json.loads(answer)["errors"]
    assert (status, mistake["pointer"]) == (422, "/data/message")
    assert "UTF-8" in mistake["detail"]


@pytest.mark.parametrize(("shell", "encoding"), SHELLS)
def test_powershell_looks_at_a_job(site: Site, shell: Any, encoding: str):
    method, target, _, _ = spoken("# Replace JOB_ID with actual ID")
    assert (method, target) == ("GET", "/api/v1/jobs/your-job-id")
    status, _, answer = site.sent(*shell(method, target, "", b""))
    assert (status, json.loads(answer)["type"]) == (404, "urn:boltq:problem:not-found")
    ((_, body),) = site.typed(f'curl -d \'{{"type":"echo"}}\' {HERE}')
    status, answered, answer = site.sent(*shell(method, target.replace("your-job-id", body["id"]), "", b""))
    assert (status, answered["content-type"]) == (200, "application/json")
    assert json.loads(answer)["id"] == body["id"]


@pytest.mark.parametrize(("shell", "encoding"), SHELLS)
def test_powershell_looks_at_the_queues(site: Site, shell: Any, encoding: str):
    method, target, _, _ = spoken('Invoke-WebRequest -Uri "http://localhost:8080/api/v1/queues/stats" `')
    status, answered, answer = site.sent(*shell(method, target, "", b""))
    assert (status, answered["content-type"]) == (200, "application/json")
    ((_, shown),) = site.typed("curl http://localhost:8080/api/v1/queues/stats")
    assert json.loads(answer).keys() == shown.keys()


# The environment


def test_the_port_has_two_names():
    assert Settings.from_env({}).api_port == 8080
    assert Settings.from_env({"PORT": "9001"}).api_port == 9001
    assert Settings.from_env({"API_PORT": "9002", "PORT": "9001"}).api_port == 9002


def test_the_documents_defaults_are_ours():
    ours = Settings.from_env({})
    table = dict(re.findall(r"^\| `([A-Z_]+)` \| .* \| (\S+) \|$", DOCUMENTS["second"], re.MULTILINE))
    assert table == {
        "API_PORT": "8080", "METRICS_PORT": "9090", "REDIS_ADDR": "localhost:6379", "NUM_WORKERS": "4",
        "MAX_ATTEMPTS": "3", "ENVIRONMENT": "development",
    }  # fmt: skip
    assert str(ours.api_port) == table["API_PORT"]
    assert str(ours.num_workers) == table["NUM_WORKERS"]
    assert str(ours.max_attempts) == table["MAX_ATTEMPTS"]
    assert ours.environment == table["ENVIRONMENT"]
    told = Settings.from_env({"NUM_WORKERS": "16", "MAX_ATTEMPTS": "7"})
    assert (told.num_workers, told.max_attempts) == (16, 7)


def test_each_environment_of_the_documents_is_taken():
    """`dev/prod`, and the default `development`."""
    assert [Settings.from_env({"ENVIRONMENT": name}).in_production for name in ("dev", "prod", "development")] == [
        False, True, False,
    ]  # fmt: skip
    with pytest.raises(BadSetting):
        Settings.from_env({"ENVIRONMENT": "dev/prod"})


def test_what_the_first_version_was_told_is_still_taken():
    assert Settings.from_env({}).polling_interval == 1
    assert Settings.from_env({"POLLING_INTERVAL": "5"}).polling_interval == 5


def test_a_server_of_ones_own_is_named_by_redis_addr(tmp_path: Path):
    """`redis-server`, and REDIS_ADDR as the documents write it: host:port. Without it, BoltQ brings a store."""
    assert as_url("localhost:6379") == "redis://localhost:6379/0"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(server_binary()), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    known = clean_environment(REDIS_ADDR=f"localhost:{port}", API_PORT="0")
    with running(command, tmp_path, {**os.environ, "LC_ALL": "C"}) as store:
        store.wait_for("Ready to accept connections")
        with (
            running(boltq_command("api"), tmp_path, known) as api,
            running(boltq_command("worker"), tmp_path, known) as worker,
        ):
            url = api.wait_for(r"listens on (http://\S+)").group(1)
            worker.wait_for(r"runs: echo")
            for program in (api, worker):
                assert f"the store: localhost:{port}, namespace boltq" in program.output
            assert _echoed(url)
    assert not (tmp_path / ".boltq").exists()


def _echoed(url: str) -> bool:
    import httpx

    job = httpx.post(f"{url}/api/v1/jobs", json={"type": "echo", "data": {"n": 1}}, timeout=30).json()["id"]
    return bool(httpx.get(f"{url}/api/v1/jobs/{job}?wait=30", timeout=60).json()["result"] == {"n": 1})
