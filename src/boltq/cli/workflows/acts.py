"""What `boltq workflow` does to workflows that are there: cancel, pause, resume, rerun, approve, reject, delete."""

import argparse
from typing import Any, Final

import msgspec

from boltq.cli import show
from boltq.cli.api import Api, with_api
from boltq.cli.commands.submit import read_object
from boltq.cli.each import do_to_each
from boltq.cli.failures import OK, USAGE, CommandFailed
from boltq.client.request import Request
from boltq.client.workflows import calls
from boltq.client.workflows.answers import WorkflowRerun, WorkflowSignal
from boltq.domain.workflow.rerun import RerunMode

_REMARKS: Final = {
    "kept": "the step does not wait yet: the answer is kept for it",
    "repeated": "it was said before",
}


def run(args: argparse.Namespace) -> int:
    """Do it."""
    match args.action:
        case "cancel":
            return do_to_each(args, lambda one: calls.cancel_workflow(one, args.reason), "cancelled")
        case "pause":
            return do_to_each(args, lambda one: calls.pause_workflow(one, args.reason), "paused")
        case "resume":
            return do_to_each(args, lambda one: calls.resume_workflow(one, args.reason), "resumed")
        case "delete":
            return do_to_each(args, calls.delete_workflow, "deleted")
        case "rerun":
            request = _rerun(args)
            return with_api(args, lambda api: _again(api, request, as_json=args.json))
    answer = _answer(args)
    return with_api(args, lambda api: _say(api, answer, args))


def _rerun(args: argparse.Namespace) -> Request[WorkflowRerun]:
    mode = RerunMode.FROM_STEP if args.from_step else RerunMode(args.mode or RerunMode.FAILED_ONLY)
    params = dict(_params(word) for word in args.params)
    return calls.rerun_workflow(args.id, mode, from_step=args.from_step, params=params or None, reason=args.reason)


def _params(word: str) -> tuple[str, Any]:
    """STEP=JSON. Raises InvalidJob."""
    step, equals, text = word.partition("=")
    if not equals or not step:
        raise CommandFailed(f"--params {word!r:.80}: write STEP='{{\"a\": 1}}'", USAGE)
    return step, msgspec.Raw(read_object(text, f"--params {step}").encode())


async def _again(api: Api, request: Request[WorkflowRerun], *, as_json: bool) -> int:
    if as_json:
        show.document(await api.document(request))
        return OK
    told = await api.ask(request)
    print(f"{told.id}  {told.state}")
    show.note(f"run {told.generation}; these begin anew: {', '.join(told.steps)}")
    return OK


def _answer(args: argparse.Namespace) -> Request[WorkflowSignal]:
    data = None if args.data is None else msgspec.Raw(_json(args.data).encode())
    return calls.signal_workflow(args.id, args.step, args.action, data=data, by=args.by, reason=args.reason)


def _json(text: str) -> str:
    """The text itself, once it has been found to be JSON."""
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise CommandFailed(f"--data: must be JSON: {error}", USAGE) from None
    return text


async def _say(api: Api, request: Request[WorkflowSignal], args: argparse.Namespace) -> int:
    if args.json:
        show.document(await api.document(request))
        return OK
    told = await api.ask(request)
    print(f"{told.id}  {show.clean(told.step)}  {args.action}{'d' if args.action == 'approve' else 'ed'}")
    if remark := _REMARKS.get(told.verdict):
        show.note(remark)
    return OK
