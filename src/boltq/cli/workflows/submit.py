"""`boltq workflow submit`: submits a workflow, or says what would become of it; and waits for its end if asked to."""

import argparse
import math
from typing import Any, Final

import msgspec

from boltq.cli import show
from boltq.cli.api import Api, with_api
from boltq.cli.failures import FAILED, OK, STILL_WAITING, USAGE, CommandFailed, complain
from boltq.cli.job_view import pretty
from boltq.cli.workflows.find import find_workflow, with_input
from boltq.client.workflows import calls, talk
from boltq.client.workflows.answers import WorkflowDryRun
from boltq.domain.errors import InvalidJob, WaitTimeout
from boltq.domain.outcome import DataError
from boltq.domain.workflow.states import WorkflowState

_USUAL_IDS: Final = {"steps": "step", "on_failure": "on-failure", "finally": "finally"}
"""The lists of a form, and how the ids begin of steps that have none."""


def run(args: argparse.Namespace) -> int:
    """Submit it."""
    form = find_workflow(args.file)
    if args.input is not None:
        form = with_input(form, args.input)
    if args.dry_run:
        return with_api(args, lambda api: _dry_run(api, form, as_json=args.json))
    return with_api(args, lambda api: _submit(api, form, args), start=True)


async def _submit(api: Api, form: str, args: argparse.Namespace) -> int:
    try:
        answer = await api.carry(talk.submit_workflow(form, args.key))
    except InvalidJob as error:
        raise _refused(error.errors, form) from None
    if not args.json:
        for warning in answer.warnings:
            show.note(warning)
        if not answer.created:
            show.note("this workflow was there already: the key has been used")
    if args.wait is not None:
        return await _wait(api, answer.id, args)
    if args.json:
        show.document(answer)
    else:
        print(answer.id)
    return OK


async def _wait(api: Api, workflow_id: str, args: argparse.Namespace) -> int:
    """Wait for the end; 0 when it has completed."""
    if not args.json:
        show.note(workflow_id)
    try:
        patience = None if math.isinf(args.wait) else args.wait
        found = await api.carry(talk.end_of_workflow(workflow_id, patience))
    except WaitTimeout as error:
        raise CommandFailed(str(error), STILL_WAITING) from None
    if args.json:
        show.document(await api.document(calls.get_workflow(workflow_id)))
        return OK if found.state is WorkflowState.COMPLETED else FAILED
    try:
        talk.outcome(found)  # raises how else it has ended
    except DataError as error:
        raise CommandFailed(f"workflow {workflow_id} has completed, but has no output: {error}") from None
    print(show.clean_lines(pretty(found.output_json) or "null"))
    return OK


# What would become of it


async def _dry_run(api: Api, form: str, *, as_json: bool) -> int:
    request = calls.dry_run_workflow(form)
    if as_json:
        document = await api.document(request)
        show.document(document)
        return OK if msgspec.json.decode(document, type=WorkflowDryRun).valid else USAGE
    try:
        found = await api.ask(request)
    except InvalidJob as error:
        raise _refused(error.errors, form) from None
    if not found.valid:
        raise _refused([(mistake.pointer, mistake.detail) for mistake in found.errors], form)
    _describe(found)
    return OK


def _describe(found: WorkflowDryRun) -> None:
    levels = [(f"level {number}", ", ".join(steps)) for number, steps in enumerate(found.levels, 1)]
    show.facts(
        [
            ("steps", found.steps),
            *levels,
            ("longest way", ", ".join(found.longest_path)),
            ("job types", ", ".join(found.job_types)),
        ]
    )
    for warning in found.warnings:
        show.note(warning)


# Mistakes


def _refused(mistakes: list[tuple[str, str]], form: str) -> CommandFailed:
    """Says each mistake with its place, and the step that it is in."""
    document = msgspec.json.decode(form)
    for pointer, reason in mistakes:
        step = step_at(document, pointer)
        place = f"{pointer} (step {step})" if step else pointer or "the workflow"
        complain(f"{place}: {reason}")
    many = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
    return CommandFailed(f"nothing was submitted: {many}", USAGE)


def step_at(form: Any, pointer: str) -> str:
    """The id of the step in which a JSON pointer leads, with those of the sub-workflows around it."""
    keys, ids = pointer.split("/")[1:], []
    while len(keys) > 1 and keys[0] in _USUAL_IDS and isinstance(form, dict):
        steps = form.get(keys[0])
        if not isinstance(steps, list) or not keys[1].isdigit() or int(keys[1]) >= len(steps):
            break
        form = steps[int(keys[1])]
        given = form.get("id") if isinstance(form, dict) else None
        ids.append(str(given or f"{_USUAL_IDS[keys[0]]}-{int(keys[1]) + 1}"))
        if keys[2:3] != ["workflow"] or not isinstance(form, dict):
            break
        form, keys = form.get("workflow"), keys[3:]
    return " > ".join(ids)
