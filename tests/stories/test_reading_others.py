"""`process_data` reads another job's result as whoever submitted it may: never with the worker's own rights."""

from functools import partial

import pytest
from built_in import with_tasks
from waiting import eventually

from boltq import BoltQ, JobFailed, Workflow
from boltq.broker.workflows.workflows import Workflows
from boltq.domain.job import NewJob

ROWS = '{"rows":[{"city":"Ghent"}]}'
REFUSED = r"from_job: there is no such job that its submitter may read"


async def submit(app: BoltQ, job_type: str, data: str, by: str) -> str:
    """A job as the API stores it for somebody."""
    (answer,) = await (await app.connections()).broker.submit([NewJob(type=job_type, data=data, created_by=by)])
    return answer.id


def reading(job_id: str, *, joined: bool) -> str:
    if joined:
        return f'{{"rows":[{{"city":"Ghent"}}],"operations":[{{"op":"join","on":"city","from_job":"{job_id}"}}]}}'
    return f'{{"from_job":"{job_id}"}}'


@pytest.mark.parametrize("joined", [False, True])
async def test_who_reads_whose_job(boltq_app, worker, joined) -> None:
    app = with_tasks(boltq_app)
    async with app, worker(app):
        of = {by: await submit(app, "echo", ROWS, by) for by in ("ann", "bob", "")}
        for job_id in of.values():
            await app.job(job_id).result(60)
        allowed = [("ann", "ann"), ("", "ann"), ("", ""), ("token", "ann"), ("token", "")]
        for by, whose in allowed:
            found = app.job(await submit(app, "process_data", reading(of[whose], joined=joined), by))
            assert (await found.result(60))["count"] == 1
        for by, whose in (("ann", "bob"), ("ann", ""), ("bob", "ann"), ("nobody", "ann")):
            job = app.job(await submit(app, "process_data", reading(of[whose], joined=joined), by))
            with pytest.raises(JobFailed, match=REFUSED) as caught:
                await job.result(60)
            assert of[whose] not in str(caught.value)


async def ended(workflows: Workflows, workflow_id: str) -> bool:
    return (await workflows.get(workflow_id)).state != "running"


async def test_a_step_reads_as_whoever_submitted_its_workflow(boltq_app, worker) -> None:
    app = with_tasks(boltq_app)
    async with app, worker(app):
        job_id = await submit(app, "echo", ROWS, "ann")
        await app.job(job_id).result(60)
        inner = Workflow("inner")
        inner.output = inner.step("process_data", from_job=job_id).result
        outer = Workflow("outer")
        outer.workflow(inner)
        workflows = (await app.connections()).workflows
        ends = {}
        for flow in (inner, outer):
            for by in ("ann", "bob", ""):
                made = await workflows.submit(flow.compile(), flow.json(), by=by)
                await eventually(partial(ended, workflows, made.id))
                ends[flow.name, by] = (await workflows.get(made.id)).state
        assert ends == {
            ("inner", "ann"): "completed",
            ("inner", "bob"): "failed",
            ("inner", ""): "completed",
            ("outer", "ann"): "completed",
            ("outer", "bob"): "failed",
            ("outer", ""): "completed",
        }
