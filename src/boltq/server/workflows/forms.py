"""What a workflow's submission says: its body as a form, and what can only be checked against what workers offer."""

import contextlib
from collections.abc import Container, Iterator
from typing import Any, Final

import msgspec

from boltq.domain.workflow.bounds import MAX_WORKFLOW_BYTES
from boltq.domain.workflow.checks import check_json, decoded
from boltq.domain.workflow.compiler import Examined, examine, named_steps
from boltq.domain.workflow.form import StepForm, StepKind, WorkflowForm
from boltq.domain.workflow.mistakes import Mistake, raise_if_any
from boltq.domain.workflow.plan import Plan, all_steps
from boltq.domain.workflow.uses import needs_filling
from boltq.server.backend import Backend
from boltq.server.http.body import BOM, check_readable, malformed, repeated_in, repeated_key
from boltq.server.http.guard import Headers
from boltq.server.http.submissions import read_key

MAX_BYTES: Final = MAX_WORKFLOW_BYTES
"""Of the whole body."""


def read_workflow(body: bytes, headers: Headers) -> Examined:
    """The form that a body is, with the idempotency key of the header, and all that is wrong with it.

    Raises InvalidJob for what cannot be read, and Problem for what is no JSON.
    """
    body = body.removeprefix(BOM)
    check_readable(body)
    values, mistakes = _values(body), list[Mistake]()

    def with_key(form: WorkflowForm) -> WorkflowForm:
        key = read_key(form.idempotency_key, headers, mistakes)
        return msgspec.structs.replace(form, idempotency_key=key or None)

    form, plan, found = examine(body, with_key)
    twice = form and (repeated_key(body) if values is None else repeated_in(body, values))
    if twice is not None and form:
        mistakes.append((str(twice), "given more than once"))
    mistakes += found
    return Examined(form, None if mistakes else plan, mistakes)


async def check_types(backend: Backend, form: WorkflowForm, only: Container[str] | None = None) -> None:
    """Raise InvalidWorkflow with what `misfits_of` finds."""
    raise_if_any(await misfits_of(backend, form, only))


async def misfits_of(backend: Backend, form: WorkflowForm, only: Container[str] | None = None) -> list[Mistake]:
    """What is wrong with the params of steps, where they have no references, by what workers have published of types.

    `only`: pointers of the steps to check; None: all. Job types that nobody has published are a mistake where the
    settings say so.
    """
    mistakes: list[Mistake] = []
    began = backend.types.now()
    for at, step in _job_steps(form, ""):
        if only is None or at in only:
            mistakes += await _misfits(backend, at, step, began)
    return mistakes


def queues_of(plan: Plan) -> list[str]:
    """The queues in which a workflow has steps, those of sub-workflows included."""
    return sorted({step.queue for step in all_steps(plan)})


def check_raw(raw: msgspec.Raw, pointer: str) -> None:
    """Check data of any kind that came within a form. Raises InvalidJob."""
    raise_if_any(check_json(raw, pointer))


def _values(body: bytes) -> Any:
    """The body as values; None when there are numbers in it that nobody can read. Raises Problem for no JSON."""
    try:
        return msgspec.json.decode(body)
    except msgspec.ValidationError:
        return None
    except ValueError as error:
        raise malformed(error, body) from None


def _job_steps(form: WorkflowForm, at: str) -> Iterator[tuple[str, StepForm]]:
    """The steps that are jobs, each with its JSON pointer; those of sub-workflows included."""
    for _, _, place, step in named_steps(form):
        if step.kind is StepKind.JOB and step.job_type:
            yield at + place, step
        elif step.workflow:
            yield from _job_steps(step.workflow, f"{at}{place}/workflow")


async def _misfits(backend: Backend, at: str, step: StepForm, began: float) -> list[Mistake]:
    types, name, strict = backend.types, step.job_type or "", backend.settings.strict_types
    if not await types.is_known(name, strict=strict, asked=began):
        return [(f"{at}/job_type", f"no worker has published the job type {name}")] if strict else []
    if needs_filling(step):
        return []
    with contextlib.suppress(ValueError):  # what cannot be read was named before
        params = decoded(step.params)
        return [(at + pointer, why) for pointer, why in await types.misfits(name, params, "params", began)]
    return []
