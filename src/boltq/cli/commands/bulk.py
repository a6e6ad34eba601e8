"""`boltq bulk`: cancels, replays, runs or deletes many jobs at once."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from boltq.cli.commands.jobs import add_filters
from boltq.cli.options import add_json, add_place, count

if TYPE_CHECKING:
    from boltq.cli.api import Api
    from boltq.client.answers import OperationInfo

_EXAMPLES = """\
examples:
  boltq bulk replay --type email --since 2h --dry-run     what it would do
  boltq bulk replay --type email --since 2h --rate 50
  boltq bulk replay --type email --patch '{"retry": true}'
  boltq bulk cancel --queue mail --state queued --reason "sent twice"
  boltq bulk run-now 01JZX4... 01JZX5...

Without ids or --state, it takes the jobs in whose states the action is allowed. What comes to fit while it runs is left
alone, and so is a job that has moved since it was chosen. It goes on if this command is interrupted, as soon as an API
runs."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EXAMPLES
    parser.add_argument("action", choices=("cancel", "replay", "run-now", "delete"), help="what to do with them")
    parser.add_argument("ids", nargs="*", metavar="ID", help="these jobs; else all that the filters choose")
    parser.add_argument("--state", help="in this state only")
    add_filters(parser)
    parser.add_argument("--all", action="store_true", help="all of them: needed where there is neither id nor filter")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.add_argument("--patch", metavar="JSON", help="of replay: a merge patch on their data; makes new jobs")
    parser.add_argument("--rate", type=float, metavar="N", help="at most so many a second")
    parser.add_argument("--stop-on-failures", type=count, metavar="N", help="stop when so many have failed")
    parser.add_argument("--reason", help="why; it is noted")
    add_place(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from boltq.cli.commands.jobs import chosen
    from boltq.cli.failures import USAGE, CommandFailed

    which = {name: value for name, value in {**chosen(args), "state": args.state}.items() if value is not None}
    if args.ids and (which or args.all):
        raise CommandFailed("give ids, or filters, not both", USAGE)
    if not (args.ids or which or args.all):
        raise CommandFailed("which ones? Give ids, filters or --all", USAGE)
    how = {
        "ids": args.ids or None,
        "patch": _patch(args.patch),
        "rate_per_s": args.rate,
        "stop_on_failures": args.stop_on_failures,
        "reason": args.reason,
    }
    return carry_out(args, args.action.replace("-", "_"), {**which, **how}, dry_run=args.dry_run)


def carry_out(args: argparse.Namespace, action: str, words: "dict[str, Any]", *, dry_run: bool = False) -> int:
    """Begin a bulk operation and wait for its end; the exit code says whether it did what it should."""
    from boltq.cli.api import with_api

    if dry_run:
        return with_api(args, lambda api: _preview(api, action, words, as_json=args.json))
    return with_api(args, lambda api: _work(api, action, words, as_json=args.json))


async def _preview(api: "Api", action: str, words: "dict[str, Any]", *, as_json: bool) -> int:
    from boltq.cli import show
    from boltq.client import calls

    request = calls.preview_bulk(action, **words)
    if as_json:
        show.document(await api.document(request))
        return 0
    preview = await api.ask(request)
    print(f"{preview.count} jobs")
    for name, count_of in (*preview.by_state.items(), *preview.by_type.items()):
        print(f"  {count_of}\t{show.clean(name)}")
    for warning in preview.warnings:
        show.note(warning)
    return 0


async def _work(api: "Api", action: str, words: "dict[str, Any]", *, as_json: bool) -> int:
    from boltq.client import calls

    return await finish(api, await api.ask(calls.bulk(action, **words)), as_json=as_json)


async def finish(api: "Api", operation: "OperationInfo", *, as_json: bool) -> int:
    """Wait for the end of a bulk operation, and say what became of it; the exit code."""
    from boltq.cli import show
    from boltq.cli.failures import FAILED
    from boltq.client import calls, talk

    if operation.state == "running":
        if not as_json and sys.stderr.isatty():
            show.note(f"{operation.id}: {operation.total} jobs")
        operation = await api.carry(talk.end_of_operation(operation.id))
    if as_json:
        show.document(await api.document(calls.get_operation(operation.id)))
    else:
        _tell(operation)
    return 0 if operation.state == "done" and not operation.failed else FAILED


def _tell(operation: "OperationInfo") -> None:
    from boltq.cli import show
    from boltq.cli.failures import complain

    done = {"cancel": "cancelled", "replay": "queued again", "run_now": "queued", "delete": "deleted"}[operation.action]
    others = f"; {operation.skipped} had moved meanwhile" if operation.skipped else ""
    print(f"{operation.ok} of {operation.total} jobs {done}{others}")
    for error in operation.errors:
        complain(f"job {error.id}: {error.message}")
    if operation.state != "done":
        show.note(f"operation {operation.id} is {operation.state}")


def _patch(text: str | None) -> Any:
    import msgspec

    from boltq.domain.errors import InvalidJob

    if text is None:
        return None
    try:
        msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidJob([("--patch", f"must be a JSON object: {error}")]) from None
    return msgspec.Raw(text.encode())
