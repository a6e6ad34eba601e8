"""The job type `process_data`: filter, sort, group and join rows, by a list of operations."""

import asyncio
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from boltq.app import BoltQ
from boltq.domain.context import current_job
from boltq.domain.errors import NotFound
from boltq.domain.outcome import DataError, RetryLater
from boltq.domain.states import TERMINAL, JobState
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
    """The rows in a job's result. Raises DataError, and RetryLater while the job has not ended."""
    try:
        job = await app.job(job_id).record()
    except NotFound:
        raise DataError(f"{field}: there is no job {job_id:.40}, or it is too old to be kept") from None
    if job.state not in TERMINAL:
        raise RetryLater(message=f"{field}: job {job_id} is {job.state}, its result is not there yet")
    if job.state is not JobState.COMPLETED:
        raise DataError(f"{field}: job {job_id} is {job.state}, so it has no result")
    return _rows_in(msgspec.json.decode(job.result or "null"), f"{field}: the result of job {job_id}")


def _rows_in(result: Any, where: str) -> list[Row]:
    """A list of objects, or what fetch_data and process_data return."""
    rows = result
    if isinstance(result, dict):
        rows = result.get("rows", result.get("json"))
    try:
        return msgspec.convert(rows, list[Row])
    except msgspec.ValidationError as error:
        raise DataError(f"{where} has no rows: {error}") from None
