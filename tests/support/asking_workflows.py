"""What tests of the API ask about workflows again and again."""

from typing import Any

import httpx

PATH = "/api/v1/workflows"
JSON = {"Content-Type": "application/json"}


def step(name: str, *parents: str, **fields: Any) -> dict[str, Any]:
    """A step of a form; one that says nothing else echoes."""
    kind = {} if fields.keys() & {"wait", "approval", "workflow", "job_type"} else {"job_type": "echo"}
    return {"id": name, "depends_on": list(parents), **kind, **fields}


def form(*steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A workflow's form."""
    return {"name": "a test", "steps": list(steps), **fields}


def submit(http: httpx.Client, *steps: dict[str, Any], **fields: Any) -> str:
    """A new workflow's id."""
    answer = http.post(PATH, json=form(*steps, **fields))
    assert answer.status_code == 201, answer.text
    workflow: str = answer.json()["id"]
    return workflow


def ended(http: httpx.Client, workflow: str, **params: Any) -> dict[str, Any]:
    """The workflow once it has ended."""
    answer = http.get(f"{PATH}/{workflow}", params={"wait": 60, **params})
    assert answer.status_code == 200, answer.text
    view: dict[str, Any] = answer.json()
    assert view["state"] != "running", view
    return view


def steps_of(view: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Its steps by their ids."""
    return {one["id"]: one for one in view["steps"]}


def mistakes(answer: httpx.Response) -> dict[str, str]:
    """What an answer says is wrong, by the place."""
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return {error["pointer"]: error["detail"] for error in answer.json()["errors"]}
