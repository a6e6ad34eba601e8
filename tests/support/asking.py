"""What tests of the API ask for again and again."""

from typing import Any

import httpx


def submit(http: httpx.Client, **fields: Any) -> str:
    """A new job's id."""
    answer = http.post("/api/v1/jobs", json={"type": "echo"} | fields)
    assert answer.status_code == 201, answer.text
    job_id: str = answer.json()["id"]
    return job_id


def shown(http: httpx.Client, job_id: str) -> dict[str, Any]:
    """A job with everything."""
    answer = http.get(f"/api/v1/jobs/{job_id}")
    assert answer.status_code == 200
    view: dict[str, Any] = answer.json()
    return view
