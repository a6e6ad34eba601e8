"""`boltq queues`: shows the queues; pauses, resumes, limits and empties them."""

import argparse
from typing import TYPE_CHECKING, Any

from boltq.cli.options import add_action, add_json, add_place, count

if TYPE_CHECKING:
    from boltq.cli.api import Api
    from boltq.client.answers import QueueInfo
    from boltq.client.request import Request

_MOST = 10_000  # that are shown
_NUMBERS = ("queued", "running", "scheduled", "retrying", "completed", "dead", "cancelled", "blocked")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """\
examples:
  boltq queues
  boltq queues pause mail --reason "the provider is down"
  boltq queues resume mail
  boltq queues limit mail 10000      refuse more than so many waiting jobs; 0: no limit
  boltq queues purge mail --state dead,cancelled --yes"""
    add_place(parser)
    add_json(parser)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    for name, about in (
        ("pause", "start no more jobs of a queue; what runs goes on"),
        ("resume", "serve a paused queue again"),
        ("limit", "bound how many jobs may wait in a queue"),
        ("purge", "delete jobs of a queue for ever"),
    ):
        action = add_action(actions, name, about)
        add_place(action, default=argparse.SUPPRESS)
        add_json(action, default=argparse.SUPPRESS)
        action.add_argument("queue", metavar="QUEUE", help="its name")
        if name == "limit":
            action.add_argument("most", metavar="N", type=count, help="at most so many; 0: no limit")
            continue
        action.add_argument("--reason", help="why; it is noted, and of a pause shown")
        if name == "purge":
            action.add_argument("--state", required=True, help="those in this state, or in these: dead,cancelled")
            action.add_argument("--yes", action="store_true", help="really: they cannot be brought back")


def run(args: argparse.Namespace) -> int:
    """Show them, or do something to one."""
    from boltq.cli.api import with_api
    from boltq.domain.errors import InvalidJob
    from boltq.domain.limits import bad_name

    if args.action and (bad := bad_name(args.queue)):
        raise InvalidJob([("QUEUE", bad)])
    return with_api(args, lambda api: _work(api, args))


async def _work(api: "Api", args: argparse.Namespace) -> int:
    if args.action == "purge":
        return await _purge(api, args)
    if args.action:
        await api.ask(_change(args))
    return await _show(api, args.queue if args.action else None, as_json=args.json)


def _change(args: argparse.Namespace) -> "Request[Any]":
    from boltq.client import calls

    if args.action == "limit":
        return calls.limit_queue(args.queue, args.most)
    return (calls.pause_queue if args.action == "pause" else calls.resume_queue)(args.queue, args.reason)


async def _purge(api: "Api", args: argparse.Namespace) -> int:
    from boltq.cli.commands import bulk
    from boltq.cli.failures import USAGE, CommandFailed
    from boltq.client import calls

    if not args.yes:
        raise CommandFailed(f"deleted jobs cannot be brought back: say --yes to purge queue {args.queue}", USAGE)
    while True:
        operation = await api.ask(calls.purge_queue(args.queue, args.state.split(","), reason=args.reason))
        code = await bulk.finish(api, operation, as_json=args.json)
        if code or not operation.partial:
            return code


async def _show(api: "Api", queue: str | None, *, as_json: bool) -> int:
    import msgspec

    from boltq.cli import show
    from boltq.client import calls
    from boltq.client.answers import QueueInfo

    def call(limit: int, cursor: str | None) -> "Request[Any]":
        return calls.list_queues(limit=limit, cursor=cursor)

    if as_json:
        show.document(await api.document(calls.get_queue(queue)) if queue else await api.read(call, msgspec.Raw, _MOST))
        return 0
    queues = [await api.ask(calls.get_queue(queue))] if queue else (await api.read(call, QueueInfo, _MOST)).items
    columns = ("queue", *_NUMBERS, "limit", "oldest", "reason")
    show.table(columns, [_row(one) for one in queues], right=columns[1:-1])
    return 0


def _row(queue: "QueueInfo") -> tuple[object, ...]:
    from boltq.cli import show

    return (
        f"{queue.name} (paused)" if queue.paused else queue.name,
        *(getattr(queue.depth, number) for number in _NUMBERS),
        queue.limit or "",
        "" if queue.oldest_ms is None else show.span(queue.oldest_ms / 1_000),
        (queue.paused.reason if queue.paused else None) or "",
    )
