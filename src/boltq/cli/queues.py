"""`boltq queues`: shows the queues; pauses, resumes and limits them."""

import argparse
from typing import TYPE_CHECKING

from boltq.cli.options import add_json, count

if TYPE_CHECKING:
    from boltq.cli.session import Session

_NUMBERS = ("queued", "running", "scheduled", "retrying", "completed", "dead", "cancelled")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.epilog = """\
examples:
  boltq queues
  boltq queues pause mail
  boltq queues resume mail
  boltq queues limit mail 10000      refuse more than so many waiting jobs; 0: no limit"""
    add_json(parser)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    for name, about in (
        ("pause", "start no more jobs of a queue; what runs goes on"),
        ("resume", "serve a paused queue again"),
        ("limit", "bound how many jobs may wait in a queue"),
    ):
        action = actions.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
        add_json(action, default=argparse.SUPPRESS)
        action.add_argument("queue", metavar="QUEUE", help="its name")
        if name == "limit":
            action.add_argument("most", metavar="N", type=count, help="at most so many; 0: no limit")


def run(args: argparse.Namespace) -> int:
    """Show them, or do something to one."""
    from boltq.cli.session import Session, with_store
    from boltq.domain.errors import InvalidJob
    from boltq.domain.limits import bad_name

    if args.action and (bad := bad_name(args.queue)):
        raise InvalidJob([("QUEUE", bad)])

    async def work(session: Session) -> int:
        match args.action:
            case "pause":
                await session.broker.pause(args.queue)
            case "resume":
                await session.broker.resume(args.queue)
            case "limit":
                await session.broker.limit(args.queue, args.most)
            case _:
                pass
        return await _show(session, args.queue if args.action else None, as_json=args.json)

    return with_store(work)


async def _show(session: "Session", queue: str | None, *, as_json: bool) -> int:
    from boltq.cli import show

    queues = [stats for stats in await session.inspector.queues() if queue in {None, stats.name}]
    if as_json:
        from boltq.server import shapes

        show.document({"queues": [shapes.queue_view(stats) for stats in queues]})
        return 0
    now = await session.inspector.now_ms()
    rows = [
        (
            f"{stats.name} (paused)" if stats.paused else stats.name,
            *(getattr(stats, number) for number in _NUMBERS),
            stats.limit or "",
            show.age(stats.oldest_queued_at, now),
        )
        for stats in queues
    ]
    columns = ("queue", *_NUMBERS, "limit", "oldest")
    show.table(columns, rows, right=columns[1:])
    return 0
