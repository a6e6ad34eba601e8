"""What a type checker sees of the HTTP clients. Checked by `mypy --strict`, never run.

Every `type: ignore` is a promise that this line is an error: an unused one fails the check.
"""

from datetime import timedelta
from typing import Any, assert_type

from boltq import JobState, Workflow
from boltq.client import (
    AsyncClient,
    AsyncJob,
    AsyncWorkflowRun,
    Client,
    Job,
    JobInfo,
    JobSummary,
    WorkflowInfo,
    WorkflowRun,
    WorkflowSummary,
)
from boltq.client.answers import JobAfter, OperationInfo, QueueInfo, QueueStanding
from boltq.client.workflows.answers import (
    WorkflowDryRun,
    WorkflowExplanation,
    WorkflowRerun,
    WorkflowSignal,
    WorkflowStanding,
)
from boltq.domain.workflow.states import StepState, WorkflowState


def the_plain_client() -> None:
    with Client("https://jobs.example.com", token="bq_…") as client:
        job = client.submit("email", {"to": "a@example.com"}, delay=timedelta(minutes=5), tags=["new"])
        assert_type(job, Job)
        assert_type(job.result(timeout=3), Any)
        assert_type(job.info(), JobInfo)
        assert_type(job.cancel("no need"), JobAfter)
        assert_type(job.replay(data={"to": "b@example.com"}, priority="high"), JobAfter)
        assert_type(client.pause("mail", "no provider"), QueueStanding)
        assert_type(client.queue("mail"), QueueInfo)
        assert_type(client.bulk("cancel", queue="mail", expect_count=3), OperationInfo)
        assert_type(list(client.jobs(state=[JobState.DEAD], type="email")), list[JobSummary])

        client.submit("email", dealy=5)  # type: ignore[call-arg]
        client.submit("email", delay="5")  # type: ignore[arg-type]
        client.pause(3)  # type: ignore[arg-type]
        client.pause("mail", why="x")  # type: ignore[call-arg]
        client.jobs(stat="dead")  # type: ignore[call-arg]
        job.cancel(job.id, "x")  # type: ignore[call-arg]
        job.edit(queue="other")  # type: ignore[call-arg]


async def the_asynchronous_client() -> None:
    async with AsyncClient() as client:
        job = await client.submit("email", {"to": "a@example.com"})
        assert_type(job, AsyncJob)
        assert_type(await job.result(), Any)
        assert_type(await job.info(wait=3), JobInfo)
        assert_type(await client.queue("mail"), QueueInfo)
        assert_type([found async for found in client.jobs(tag="new")], list[JobSummary])
        assert_type(await client.finished("op_…", timeout=60), OperationInfo)

        await client.queue()  # type: ignore[call-arg]
        print(client.queue("mail").name)  # type: ignore[attr-defined]


def workflows() -> None:
    with Client() as client:
        run = client.submit_workflow({"name": "one", "steps": [{"job_type": "email"}]}, idempotency_key="today")
        assert_type(run, WorkflowRun)
        assert_type(client.submit_workflow(Workflow("two")), WorkflowRun)
        assert_type(run.result(timeout=3), Any)
        assert_type(run.wait(), WorkflowInfo)
        assert_type(run.info(form=True).step("email").state, StepState)
        assert_type(run.explain(), WorkflowExplanation)
        assert_type(run.pause("lunch"), WorkflowStanding)
        assert_type(run.rerun("from_step", from_step="email", params={"email": {"to": "b"}}), WorkflowRerun)
        assert_type(run.signal("ask", "approve", data={"n": 1}, by="ann"), WorkflowSignal)
        assert_type(client.dry_run_workflow("{}"), WorkflowDryRun)
        assert_type(client.get_workflow(run.id, wait=3), WorkflowInfo)
        assert_type(list(client.workflows(state=[WorkflowState.FAILED], name="one")), list[WorkflowSummary])

        client.submit_workflow(3)  # type: ignore[arg-type]
        client.workflows(stat="failed")  # type: ignore[call-arg]
        run.rerun("some")  # type: ignore[arg-type]
        run.signal("ask", "maybe")  # type: ignore[arg-type]
        run.cancel(run.id, "x")  # type: ignore[call-arg]


async def workflows_without_blocking() -> None:
    async with AsyncClient() as client:
        run = await client.submit_workflow(Workflow("two"))
        assert_type(run, AsyncWorkflowRun)
        assert_type(await run.result(timeout=3), Any)
        assert_type(await run.wait(), WorkflowInfo)
        assert_type(await run.cancel(), WorkflowStanding)
        assert_type([found async for found in client.workflows(state="failed")], list[WorkflowSummary])
        assert_type(await client.explain_workflow(run.id), WorkflowExplanation)

        print(client.get_workflow(run.id).name)  # type: ignore[attr-defined]
