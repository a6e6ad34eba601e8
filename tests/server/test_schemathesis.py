"""The API keeps to its own description: Schemathesis asks it thousands of things made from /openapi.json."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from night import by_day

from boltq.domain.job_error import Category, JobError
from boltq.domain.outcome import Cancelled, Completed, Failed

pytestmark = pytest.mark.any_partitions  # what it looks at never gets as far as a partition

SUPPORT = Path(__file__).parent.parent / "support"

CONFIG = Path(__file__).parent / "schemathesis.toml"

EACH = 8  # jobs in each state

OUTCOMES = {
    "running": (None, None),
    "completed": (Completed('{"n": 1}'), None),
    "dead": (Failed(JobError("ValueError", "broke", Category.DATA)), None),
    "retrying": (Failed(JobError("OSError", "gone", Category.TRANSIENT)), 600),
    "cancelled": (Cancelled("not needed"), None),
}


WORKFLOWS = [
    {"name": "there", "steps": [{"id": "alone", "job_type": "echo", "queue": "steps"}]},
    {"name": "there", "steps": [{"id": "ask", "approval": {}}, {"job_type": "echo"}], "queue": "steps"},
]


@pytest.fixture
async def there(http, desk, run_one, tmp_path):
    """A file that says which things there are, after jobs have come into every state."""
    jobs = []
    for state, (outcome, retry_in) in OUTCOMES.items():
        for _ in range(EACH):
            jobs.append(_submitted(http, queue=state))
            await run_one(state, outcome, retry_in)
    jobs += [_submitted(http, queue="queued") for _ in range(EACH)]
    jobs += [_submitted(http, queue="scheduled", delay_seconds=3_600) for _ in range(EACH)]
    things = {"jobs": jobs, "queues": [*OUTCOMES, "queued", "scheduled"]}
    things["keys"] = [_made(http, "keys", name=f"k{n}", scopes=["read"]) for n in range(3)]
    things["operations"] = [_made(http, "bulk", action="cancel", target={"ids": [job]}) for job in jobs[:3]]
    things["workflows"] = [_made(http, "workflows", **form) for form in WORKFLOWS for _ in range(3)]
    for workflow in things["workflows"][:3]:
        assert http.post(f"/api/v1/workflows/{workflow}/cancel").is_success
    things["signals"] = ["ask", "alone"]
    things["workers"] = [worker["id"] for worker in http.get("/api/v1/workers").json()["items"]]
    file = tmp_path / "there.json"
    file.write_text(json.dumps(things))
    return file


def _submitted(http, **more):
    return _made(http, "jobs", type="echo", data={"n": 1}, **more)


def _made(http, what, **body):
    answer = http.post(f"/api/v1/{what}", json=body)
    assert answer.is_success, answer.text
    return answer.json()["id"]


@pytest.mark.timeout(900)
def test_the_api_does_what_its_document_says(api, http, there, tmp_path, request):
    examples = request.config.getoption("--api-examples") or by_day(5, 30)
    program = [sys.executable, "-m", "schemathesis.cli", f"--config-file={CONFIG}", "run", f"{api}/openapi.json"]
    environment = {"PYTHONPATH": str(SUPPORT), "BOLTQ_THERE": str(there), "NO_COLOR": "1"}
    options = [f"--max-examples={examples}"]
    done = subprocess.run(
        program + options, cwd=tmp_path, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    print(done.stdout[-60_000:], done.stderr[-5_000:])
    assert done.returncode == 0
    requests = int(re.search(r"([\d,]+) generated", done.stdout)[1].replace(",", ""))
    assert requests >= 2_000
    assert http.get("/health").status_code == 200
