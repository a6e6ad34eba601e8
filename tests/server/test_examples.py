"""What the project's first documents tell users to type, verbatim: with curl, and as PowerShell sends it."""

import json
import shutil
import subprocess

import pytest

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")

SUBMIT = r"""
curl -X POST http://localhost:8080/api/v1/jobs \
  -H "Content-Type: application/json" \
  -d '{
    "type": "echo",
    "data": {
      "message": "Hello World"
    },
    "priority": 1,
    "delay_seconds": 0
  }'
"""

STATUS = "curl -X GET http://localhost:8080/api/v1/jobs/{job_id}"

STATS = "curl -X GET http://localhost:8080/api/v1/queues/stats"

FIRST_SUBMIT = r"""
curl -X POST http://localhost:8080/submit \
  -H "Content-Type: application/json" \
  -d '{
    "type": "email",
    "payload": {
      "recipient": "user@example.com",
      "subject": "Hello from BoltQ",
      "body": "This is a test email from BoltQ"
    }
  }'
"""

FIRST_STATUS = "curl http://localhost:8080/status?id=job_123"

POWERSHELL_BODY = """{
    "type": "echo",
    "data": {
      "message": "Hello, BoltQ!"
    },
    "priority": 1
  }"""


@pytest.fixture
def shell(api):
    """Runs what a user types, on the port that the test's API has; the answer as (status, JSON)."""

    def run(command: str) -> tuple[int, dict]:
        typed = command.strip().replace("http://localhost:8080", api.replace("127.0.0.1", "localhost"))
        options = ' -sS -w "\\n%{http_code}"'
        done = subprocess.run(["sh", "-c", typed + options], capture_output=True, text=True, timeout=30, check=True)
        body, _, status = done.stdout.rpartition("\n")
        return int(status), json.loads(body)

    return run


def test_job_submission_and_status_check(shell):
    status, job = shell(SUBMIT)
    assert status == 201
    assert job["state"] == "queued"
    status, view = shell(STATUS.replace("{job_id}", job["id"]))
    assert status == 200
    assert view["type"] == "echo"
    assert view["data"] == {"message": "Hello World"}
    assert view["priority"] == "normal"


def test_queue_stats(shell):
    shell(SUBMIT)
    status, stats = shell(STATS)
    assert status == 200
    assert stats["totals"]["queued"] >= 1
    assert "default" in [queue["name"] for queue in stats["queues"]]


def test_the_placeholder_itself_is_a_404(shell):
    status, problem = shell("curl -g -X GET http://localhost:8080/api/v1/jobs/{job_id}")
    assert status == 404
    assert "not a job id" in problem["detail"]


def test_the_first_versions_submit_and_status(shell):
    status, job = shell(FIRST_SUBMIT)
    assert status == 201
    assert job["job_id"] == job["id"]
    assert job["status"] == "queued"
    status, view = shell(FIRST_STATUS.replace("job_123", job["job_id"]))
    assert status == 200
    assert view["job_id"] == job["id"]
    assert view["status"] == view["state"] == "queued"
    assert view["data"]["recipient"] == "user@example.com"
    status, problem = shell(FIRST_STATUS)
    assert status == 404
    assert problem["type"] == "urn:boltq:problem:not-found"


def test_powershell(http):
    """Invoke-WebRequest as PowerShell 5.1 and 7 send it: Expect in the old one, no charset in either."""
    agent = "Mozilla/5.0 (Windows NT 10.0; Microsoft Windows 10.0.19045; en-US) PowerShell/7.4.1"
    headers = {"User-Agent": agent, "Content-Type": "application/json", "Connection": "Keep-Alive"}
    for extra in ({}, {"Expect": "100-continue"}):
        answer = http.post("/api/v1/jobs", content=POWERSHELL_BODY, headers=headers | extra)
        assert answer.status_code == 201
        assert http.get(f"/api/v1/jobs/{answer.json()['id']}").json()["data"] == {"message": "Hello, BoltQ!"}
    assert http.get("/api/v1/queues/stats", headers={"User-Agent": agent}).status_code == 200


def test_powershell_posts_nothing_as_a_form(http):
    """`Invoke-WebRequest -Method POST` without a body claims to send a form."""
    job = http.post("/api/v1/jobs", json={"type": "echo"}).json()["id"]
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": "0"}
    assert http.post(f"/api/v1/jobs/{job}/cancel", headers=headers).status_code == 200


def test_a_large_body_by_curl(api, tmp_path):
    """From 1 MiB on curl asks first (Expect: 100-continue)."""
    for size, status in ((1 << 20, "422"), (1_000_000, "201"), (1_300_000, "413")):
        (tmp_path / "body").write_text(json.dumps({"type": "echo", "data": {"a": "x" * size}}))
        command = f"curl -sS -o /dev/null -w '%{{http_code}}' -X POST {api}/api/v1/jobs -d @{tmp_path}/body"
        command += ' -H "Content-Type: application/json"'
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, check=True)
        assert done.stdout == status
