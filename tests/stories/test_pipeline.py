"""A pipeline on real input: CSV comes over HTTP, is made smaller, and its summary goes out by a real mail server."""

import asyncio
import json

import httpx
import pytest
from apis import running_api
from built_in import OPERATIONS, surroundings, with_tasks

from boltq import Workflow, WorkflowFailed, failure


def pipeline(url: str) -> Workflow:
    """Fetches, adds up, mails; each step takes what it needs from the one before."""
    flow = Workflow("sales", url=url, to="boss@example.com")
    fetched = flow.step("fetch_data", url=flow.input["url"], numbers=True)
    sums = flow.step("process_data", rows=fetched.result["rows"], operations=OPERATIONS)
    sent = flow.step(
        "email",
        to=flow.input["to"],
        subject=f"Sales in {sums.result['summary']['groups']} cities",
        body=f"Most in {sums.result['rows'][0]['city']}: {sums.result['rows'][0]['total']}",
        table=sums.result["rows"],
    )
    flow.output({"rows": sums.result["rows"], "mail": sent.result["sent"]})
    return flow


def arrived(mails) -> None:
    """The one mail says what the file says."""
    [mail] = mails
    assert (mail["To"], mail["Subject"]) == ("boss@example.com", "Sales in 2 cities")
    assert mail.get_content().splitlines() == ["Most in Ghent: 13", "", "city   total", "Ghent  13", "Lille  4"]


async def test_a_file_is_fetched_added_up_and_mailed(boltq_app, worker):
    async with surroundings(boltq_app, worker) as (app, url, mails):
        run = await app.submit_workflow(pipeline(f"{url}/data.csv"))
        output = await run.result(timeout=60)
    assert output == {"rows": [{"city": "Ghent", "total": 13}, {"city": "Lille", "total": 4}], "mail": True}
    arrived(mails)


async def test_the_same_over_http(boltq_app, worker):
    """The workflow that was written in Python is JSON, which anybody could have sent."""
    async with surroundings(boltq_app, worker) as (app, url, mails):
        view = await posted(app, pipeline(f"{url}/data.csv").json())
    assert (view["state"], view["output"]["mail"]) == ("completed", True)
    assert [step["state"] for step in view["steps"]] == ["completed"] * 3
    assert view["steps"][1]["sources"][0] == {
        "pointer": "/rows",
        "reference": "steps.fetch_data.result.rows",
        "step": "fetch_data",
    }
    arrived(mails)


async def test_the_first_documents_workflow_runs_to_its_end(boltq_app, worker):
    """Verbatim but for the URL. Its second step says only on whom it depends, and takes that one's rows."""
    typed = """{
        "name": "Data Processing Pipeline",
        "steps": [
          {
            "job_type": "fetch_data",
            "params": {
              "url": "https://example.com/data.csv"
            }
          },
          {
            "job_type": "process_data",
            "params": {
              "operation": "transform"
            },
            "depends_on": ["step-1"]
          }
        ]
      }"""
    async with surroundings(boltq_app, worker) as (app, url, _):
        view = await posted(app, typed.replace("https://example.com", url))
    assert (view["name"], view["state"]) == ("Data Processing Pipeline", "completed")
    assert [step["id"] for step in view["steps"]] == ["step-1", "step-2"]
    assert view["steps"][1]["result"] == {
        "rows": [
            {"city": "Ghent", "kind": "tea", "amount": "3"},
            {"city": "Lille", "kind": "tea", "amount": "4"},
            {"city": "Ghent", "kind": "oil", "amount": "10"},
            {"city": "Bruges", "kind": "oil", "amount": ""},
        ],
        "count": 4,
    }


async def test_a_file_that_is_not_there_is_told_and_tidied_up(boltq_app, worker):
    """The fetch fails at once, and what follows never begins; somebody gets a mail; the last step runs anyway."""
    async with surroundings(boltq_app, worker) as (app, url, mails):
        flow = pipeline(f"{url}/gone.csv")
        flow.on_failure.step(
            "email",
            to="ops@example.com",
            subject=f"{failure.step} failed",
            body=f"{failure.category}: {failure.message}",
        )
        flow.finally_.step("email", to="ops@example.com", subject="The end", body=f"of {flow.id}")
        run = await app.submit_workflow(flow)
        with pytest.raises(WorkflowFailed, match=r"its step fetch_data failed: .*404"):
            await run.result(timeout=60)
        record = await run.record()
    assert [step.state for step in record.steps] == ["failed", "cancelled", "cancelled", "completed", "completed"]
    assert record.step("fetch_data").attempts == 1
    assert [mail["Subject"] for mail in mails] == ["fetch_data failed", "The end"]
    assert mails[0].get_content().startswith("data: ")
    assert "404" in mails[0].get_content()
    assert mails[1].get_content().strip() == f"of {run.id}"


async def test_which_rows_process_data_takes_without_being_told(boltq_app, worker):
    """Those of the one step before it, or none: it does not guess, and says what to write instead."""
    app = with_tasks(boltq_app)

    def flow(*before: dict, **params: object) -> str:
        steps = [{"job_type": "echo", "params": data} for data in before]
        last = {
            "job_type": "process_data",
            "params": params,
            "depends_on": [f"step-{n + 1}" for n in range(len(before))],
        }
        return json.dumps({"name": "guess", "steps": [*steps, last]})

    some, other = {"rows": [{"a": 1}]}, {"rows": [{"a": 2}]}
    async with app, worker(app):
        run = await app.submit_workflow(flow(some, other, rows="{{ steps.step-2.result.rows }}"))
        await run.result(60)
        record = await app.job((await run.record()).step("step-3").job_id).record()
        assert json.loads(record.result)["rows"] == [{"a": 2}]
        for form, reason in (
            (flow(some, other), r"depends on step-1, step-2: say whose rows .*\{\{ steps.step-1.result.rows \}\}"),
            (flow({"rows": 7}), "the result of the step step-1 has no rows"),
            (flow(), "give `rows` or `from_job`, or have the step depend on"),
            (flow(some, rows=[], from_job="x"), "not both"),
        ):
            run = await app.submit_workflow(form)
            with pytest.raises(WorkflowFailed, match=reason) as caught:
                await run.result(60)
            assert caught.value.error.category == "data"


async def posted(app, form: str) -> dict:
    """What became of a workflow that is sent to the API."""
    settings = app.settings

    def send() -> dict:
        with (
            running_api(settings.redis_addr, namespace=settings.namespace, partitions=settings.partitions) as url,
            httpx.Client(base_url=url, timeout=90) as http,
        ):
            answer = http.post("/api/v1/workflows", content=form, headers={"Content-Type": "application/json"})
            assert answer.status_code == 201, answer.text
            return http.get(f"/api/v1/workflows/{answer.json()['id']}", params={"wait": 30}).json()

    return await asyncio.to_thread(send)
