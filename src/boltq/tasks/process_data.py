"""The job type `process_data`: filter, sort, group and join rows, by a list of operations."""

import asyncio
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from boltq.app import BoltQ
from boltq.domain.api_keys import OWNER
from boltq.domain.context import current_job
from boltq.domain.errors import NotFound
from boltq.domain.job import JobRecord
from boltq.domain.outcome import DataError, RetryLater
from boltq.domain.parameters import told
from boltq.domain.states import TERMINAL, JobState
from boltq.domain.workflow.bounds import MAX_NESTING
from boltq.tasks.operations import Aggregate, AnyOperation, Join, Row, Unfit
from boltq.tasks.reading import MAX_ROWS

Rows = Annotated[
    list[Row] | None,
    Meta(
        description="The rows; or else give from_job; in a workflow, those of the step before where neither is given",
        examples=[[{"city": "Ghent", "amount": 3}]],
    ),
]
FromJob = Annotated[
    str | None, Meta(description="The id of a completed job: its result has the rows, as that of fetch_data")
]
Operations = Annotated[
    list[AnyOperation],
    Meta(
        description="What is done, in this order",
        max_length=50,
        examples=[
            [
                {"op": "filter", "field": "amount", "is": ">", "value": 0},
                {"op": "aggregate", "by": ["city"], "measures": [{"function": "sum", "field": "amount"}]},
                {"op": "sort", "by": "sum_amount", "descending": True},
            ]
        ],
    ),
]


def add_process_data(app: BoltQ) -> None:
    """Register the task with an application."""

    @app.task
    async def process_data(
        rows: Rows = None,
        from_job: FromJob = None,
        operations: Operations = [],  # noqa: B006 - it is not changed
        operation: Literal["transform"] = "transform",  # noqa: ARG001 - of the first documents; there is no other
    ) -> dict[str, Any]:
        """Filter, select, sort, aggregate, join, limit, rename and convert rows, by a list of operations."""
        given = await _given(app, rows, from_job)
        filled = [await _filled(app, at, one) for at, one in enumerate(operations)]
        return await asyncio.to_thread(process, given, filled)


async def _given(app: BoltQ, rows: list[Row] | None, from_job: str | None) -> list[Row]:
    """The rows that the data say; in a workflow, where they say nothing, those of the one step before."""
    if rows is not None and from_job is not None:
        raise DataError("give `rows` or `from_job`, not both")
    if rows is not None:
        return rows
    if from_job is not None:
        return await _rows_of_job(app, from_job, "from_job")
    job = current_job()
    return _rows_of_parent(await job.parents() if job else {})


def _rows_of_parent(parents: dict[str, Any]) -> list[Row]:
    if not parents:
        raise DataError("give `rows` or `from_job`, or have the step depend on the one whose rows it takes")
    first = next(iter(parents))
    if len(parents) > 1:
        named = ", ".join(list(parents)[:10])
        reference = f"{{{{ steps.{first}.result.rows }}}}"
        raise DataError(f'rows: the step depends on {named}: say whose rows it takes, such as "rows": "{reference}"')
    return _rows_in(parents[first], f"rows: the result of the step {first}")


def process(rows: list[Row], operations: list[AnyOperation]) -> dict[str, Any]:
    """The rows that the operations make of these, and their number. Raises DataError that names the operation."""
    if len(rows) > MAX_ROWS:
        raise DataError(f"rows: more than {MAX_ROWS}")
    summary = None
    for at, operation in enumerate(operations):
        try:
            made = operation.run(rows)
        except Unfit as error:
            raise DataError(f"{_called(at, operation)}: {error}") from None
        if isinstance(operation, Aggregate):
            summary = {"rows": len(rows), "groups": len(made)}
        rows = made
    return {"rows": rows, "count": len(rows)} | ({"summary": summary} if summary else {})


def _called(at: int, operation: AnyOperation) -> str:
    return f"operations[{at}] ({operation.__struct_config__.tag})"


async def _filled(app: BoltQ, at: int, operation: AnyOperation) -> AnyOperation:
    """The operation with the rows of the job that it names."""
    if not (isinstance(operation, Join) and operation.from_job):
        return operation
    rows = await _rows_of_job(app, operation.from_job, f"{_called(at, operation)}: from_job")
    return msgspec.structs.replace(operation, rows=rows, from_job=None)


async def _rows_of_job(app: BoltQ, job_id: str, field: str) -> list[Row]:
    """The rows in a job's result, which whoever submitted this job may see. Raises DataError.

    Raises RetryLater while that job has not ended.
    """
    try:
        job = await app.job(job_id).record()
    except NotFound:
        job = None
    if job is None or not await _may_read(app, job):  # in the same words: who may not read it, may not ask for it
        raise DataError(f"{field}: there is no such job that its submitter may read, or it is too old to be kept")
    if job.state not in TERMINAL:
        raise RetryLater(message=f"{field}: that job is {job.state}, its result is not there yet")
    if job.state is not JobState.COMPLETED:
        raise DataError(f"{field}: that job is {job.state}, so it has no result")
    return _rows_in(msgspec.json.decode(job.result or "null"), f"{field}: the result of that job")


async def _may_read(app: BoltQ, other: JobRecord) -> bool:
    """Whether who submitted the job that runs here may read another: see docs/decisions/0020."""
    own = current_job()
    if own is None:  # somebody calls the function itself
        return True
    author = await _author_of(app, await app.job(own.job_id).record())
    return author in {"", OWNER} or (author != _NOBODY and author == await _author_of(app, other))


async def _author_of(app: BoltQ, job: JobRecord) -> str:
    """Who submitted a job; a step's, who submitted the workflow. "" for who has the store, or does not log in."""
    workflow_id = job.workflow_id
    for _ in range(MAX_NESTING + 1):
        if job.created_by or workflow_id is None:
            return job.created_by or ""
        try:
            workflow = await app.workflow(workflow_id).record()
        except NotFound:
            return _NOBODY
        if workflow.within is None:
            return workflow.created_by or ""
        workflow_id = workflow.within
    return _NOBODY


_NOBODY: Final = "?"  # no submitter has this name


def _rows_in(result: Any, where: str) -> list[Row]:
    """A list of objects, or what fetch_data and process_data return."""
    rows = result
    if isinstance(result, dict):
        rows = result.get("rows", result.get("json"))
    try:
        return msgspec.convert(rows, list[Row])
    except msgspec.ValidationError as error:
        raise DataError(f"{where} has no rows: {told(error)}") from None
