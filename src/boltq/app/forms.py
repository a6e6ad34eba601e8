"""Checks of what an application is asked to submit: workflows of every kind, and lists of jobs."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from boltq.domain.errors import InvalidJob
from boltq.domain.job import CheckedJob, NewJob
from boltq.domain.values import as_json
from boltq.domain.workflow.builder import AnyWorkflow, Workflow
from boltq.domain.workflow.compiler import compile_workflow, read_and_compile
from boltq.domain.workflow.form import WorkflowForm, as_json as form_json
from boltq.domain.workflow.mistakes import InvalidWorkflow
from boltq.domain.workflow.plan import Plan


def compiled(workflow: AnyWorkflow, key: str | None) -> tuple[WorkflowForm, Plan]:
    """The form of a workflow and its plan. Raises InvalidWorkflow with every mistake."""
    if isinstance(workflow, WorkflowForm):
        text = form_json(workflow)
    elif isinstance(workflow, Workflow):
        text = workflow.json()
    else:
        text = workflow if isinstance(workflow, str) else _form_text(workflow)
    form, plan = read_and_compile(text)
    if key is None:
        return form, plan
    form = msgspec.structs.replace(form, idempotency_key=key)
    return form, compile_workflow(form)


def _form_text(workflow: Mapping[str, Any]) -> str:
    try:
        return as_json(workflow)
    except InvalidJob as error:
        raise InvalidWorkflow(error.errors) from None


def check_all(jobs: Sequence[NewJob]) -> None:
    """Raise InvalidJob with the mistakes of all jobs, each with its job's index; TypeError for what is no job."""
    mistakes: list[tuple[str, str]] = []
    for index, job in enumerate(jobs):
        if type(job) is not CheckedJob:
            if not isinstance(job, NewJob):
                raise TypeError(
                    f"/jobs/{index}: a {type(job).__name__} is no job: make one, task.job(...) or app.job_of(...)"
                )
            try:
                job.check()
            except InvalidJob as error:
                mistakes += [(f"/jobs/{index}{pointer}", reason) for pointer, reason in error.errors]
    if mistakes:
        raise InvalidJob(mistakes)
