"""What a type checker sees of the public names. Checked by `mypy --strict`, never run.

Every `type: ignore` is a promise that this line is an error: an unused one fails the check.
"""

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, assert_type

import boltq.testing
from boltq import (
    Backoff,
    BoltQ,
    Category,
    Job,
    JobContext,
    JobError,
    JobFailed,
    JobRecord,
    JobState,
    NewJob,
    RerunMode,
    Step,
    Task,
    Workflow,
    WorkflowFailed,
    WorkflowRun,
    WorkflowState,
    item,
    size,
)

app = BoltQ()


class Size(NamedTuple):
    width: float
    at: datetime


@app.task
async def add(a: int, b: int = 0) -> int:
    return a + b


@app.task
def shout(text: str) -> str:
    return text.upper()


@app.task(
    name="report.make", queue="reports", timeout=timedelta(minutes=5), backoff=Backoff(base=2), executor="process"
)
def make(job: JobContext, month: str, *, draft: bool = False) -> dict[str, int]:
    job.progress(0.5)
    return {month: int(draft)}


@app.task(
    max_attempts=3, backoff={Category.TRANSIENT: Backoff(), Category.SYSTEM: None}, errors={KeyError: Category.DATA}
)
async def fetch(job: JobContext, url: str) -> list[str]:
    return [url, job.job_id]


@app.task
async def with_context(job: JobContext, n: int) -> bytes:
    return job.job_id.encode() * n


async def tasks_keep_their_parameters() -> None:
    assert_type(await add.submit(1, 2), Job[int])
    assert_type(await add.submit(1, b=2), Job[int])
    assert_type(await shout.submit("x"), Job[str])
    assert_type(shout.submit_sync("x"), Job[str])
    assert_type(add.job(1), NewJob)

    await add.submit("1")  # type: ignore[arg-type]
    await add.submit()  # type: ignore[call-arg]
    await add.submit(1, 2, 3)  # type: ignore[call-arg]
    await add.submit(1, c=3)  # type: ignore[call-arg]
    shout.submit_sync(1)  # type: ignore[arg-type]
    shout.job(txt="x")  # type: ignore[call-arg]


async def the_context_is_not_the_callers_business() -> None:
    assert_type(await make.submit("May"), Job[dict[str, int]])
    assert_type(await make.submit(month="May", draft=True), Job[dict[str, int]])
    assert_type(await fetch.submit("https://example.org"), Job[list[str]])
    assert_type(await with_context.submit(3), Job[bytes])

    await make.submit("May", True)  # type: ignore[call-arg]
    await make.submit(None, "May")  # type: ignore[call-arg, arg-type]
    await fetch.submit(url=3)  # type: ignore[arg-type]
    await with_context.submit("x")  # type: ignore[arg-type]


async def options_keep_the_parameters_too() -> None:
    later = make.options(delay=30, priority="high")
    assert_type(await later.submit("May", draft=True), Job[dict[str, int]])
    assert_type(later.job("May"), NewJob)
    assert_type(await add.options(run_at=datetime.now(UTC), max_attempts=5).submit(1), Job[int])

    await later.submit(5)  # type: ignore[arg-type]
    add.options(dealy=30)  # type: ignore[call-arg]
    add.options(delay="30")  # type: ignore[arg-type]


async def a_handle_knows_the_type_of_its_result() -> None:
    job = await add.submit(1)
    assert_type(await job.result(), int)
    assert_type(await job.result(timeout=2.5), int)
    assert_type(job.result_sync(), int)
    assert_type(await job.record(), JobRecord)
    assert_type(await job.cancel("no need"), JobState)
    assert_type(await (await make.submit("May")).result(), dict[str, int])

    text: str = await job.result()  # type: ignore[assignment]
    await job.result("soon")  # type: ignore[arg-type]
    print(text)


async def a_failure_has_an_error_or_none() -> None:
    try:
        await (await add.submit(1)).result()
    except JobFailed as failed:
        assert_type(failed.error, JobError | None)
        print(failed.error.message)  # type: ignore[union-attr]
        print(failed.error.category.value if failed.error else "")
    except WorkflowFailed as workflow:
        assert_type(workflow.error, JobError | None)
        assert_type(workflow.step, str)


@app.task
def measure(path: Path, at: datetime) -> Size:
    return Size(1.5, at)


async def a_result_is_what_the_function_returns() -> None:
    size = await (await measure.submit(Path("a"), datetime.now(UTC))).result()
    assert_type(size, Size)
    assert_type(size.at, datetime)


async def by_name_anything_goes() -> None:
    assert_type(await app.submit("add", {"a": 1}), Job[Any])
    assert_type(await app.submit("add", {"a": 1}, delay=3), Job[Any])
    assert_type(await app.submit_many([add.job(1), app.job_of("shout", {"text": "x"})]), list[Job[Any]])
    assert_type(app.job("01J00000000000000000000000"), Job[Any])

    await app.submit(add)  # type: ignore[arg-type]
    await app.submit("add", [1])  # type: ignore[arg-type]


def a_task_can_be_handed_on(task: Task[[int], str], give: Callable[[str], Coroutine[Any, Any, Job[str]]]) -> None:
    print(task.name, give)


def tasks_are_values() -> None:
    @app.task
    def digits(n: int) -> str:
        return str(n)

    a_task_can_be_handed_on(digits, shout.submit)
    a_task_can_be_handed_on(shout, shout.submit)  # type: ignore[arg-type]
    a_task_can_be_handed_on(digits, add.submit)  # type: ignore[arg-type]


def registering_is_checked() -> None:
    app.task(timeout="soon")  # type: ignore[call-overload]
    app.task(executor="rocket")  # type: ignore[call-overload]
    app.task(3)  # type: ignore[call-overload]


async def in_tests() -> None:
    async with boltq.testing.inline(app) as inline:
        assert_type(await inline.run_all(), int)
        assert_type(await inline.advance(60), int)
        assert_type(await inline.jobs("dead"), list[JobRecord])
    with boltq.testing.inline_sync(app) as plain:
        assert_type(plain.jobs(JobState.DEAD, queue="mail"), list[JobRecord])


def steps_take_what_the_function_takes() -> None:
    flow = Workflow("w", month="May", timeout="2h")
    assert_type(flow.step(fetch, url="https://example.org"), Step[list[str]])
    assert_type(flow.step(fetch, flow.input["url"]), Step[list[str]])
    assert_type(flow.step(make, "May", draft=True), Step[dict[str, int]])
    assert_type(flow.options(after=[], timeout="5m").step(add, 1), Step[int])
    assert_type(flow.map([1, 2], tolerated_failures=0.05).step(add, item), Step[list[int]])
    assert_type(flow.finally_.step("tidy", anything=[1]), Step[Any])
    assert_type(flow.approval("sure?", timeout="24h"), Step[dict[str, Any]])

    flow.step(fetch, url=3)  # type: ignore[call-overload]
    flow.step(fetch, "https://example.org", 3)  # type: ignore[call-overload]
    flow.step(fetch)  # type: ignore[call-overload]
    flow.step(make, moth="May")  # type: ignore[call-overload]
    flow.map([1]).step(add, "x")  # type: ignore[call-overload]
    flow.options(run_if="never")  # type: ignore[arg-type]
    flow.approval("sure?", on_timeout="ask")  # type: ignore[arg-type]


def results_have_the_types_that_functions_return() -> None:
    flow = Workflow("w")
    rows = flow.step(fetch, "https://example.org")
    assert_type(rows.result, list[str])
    flow.options(when=size(rows.result) > 0).step(shout, rows.result[0])
    flow.step(shout, rows.result)  # type: ignore[call-overload]
    flow.step(add, rows.state)


async def a_workflow_has_a_handle() -> None:
    run = await app.submit_workflow(Workflow("w"), idempotency_key="k")
    assert_type(run, WorkflowRun)
    assert_type(await run.rerun(RerunMode.ALL, params={"a": {"n": 1}}), tuple[str, ...])
    assert_type(run.cancel_sync(), WorkflowState)
    assert_type((await app.submit_workflow({"name": "w", "steps": []})).id, str)

    await run.signal("ok", "maybe")  # type: ignore[arg-type]
    await app.submit_workflow(3)  # type: ignore[arg-type]
