"""`boltq dead`: lists, shows, groups and replays the dead letters."""

import argparse
from typing import TYPE_CHECKING, Any

from boltq.cli.commands.jobs import add_filters
from boltq.cli.options import add_action, add_json, add_place, count

if TYPE_CHECKING:
    from collections.abc import Callable

    from boltq.cli.api import Api
    from boltq.client.answers import Groups
    from boltq.client.request import Request

_EXAMPLES = """\
examples:
  boltq dead                                        the newest ones
  boltq dead list --category timeout --queue mail
  boltq dead groups                                 what went wrong, and how often
  boltq dead show 01JZX4...
  boltq dead replay 01JZX4... 01JZX5...
  boltq dead replay --all --type email
  boltq dead replay --all --fingerprint 3f2a91c04d17

`replay --all` takes those that are dead when it begins, each once: what dies again meanwhile stays dead, so a second
run finds nothing unless something has died since."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EXAMPLES
    _add_common(parser, None)
    add_json(parser)
    _add_limit(parser, 50)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    for name, about in (
        ("list", "list them, the newest first (so does `boltq dead` alone)"),
        ("groups", "what went wrong, and how often"),
        ("show", "show one with its data, error and traceback"),
        ("replay", "queue them again, with all their attempts before them"),
    ):
        action = add_action(actions, name, about)
        add_json(action, default=argparse.SUPPRESS)
        if name == "show":
            add_place(action, default=argparse.SUPPRESS)
            action.add_argument("id", metavar="ID", help="the job's id")
            continue
        _add_common(action, argparse.SUPPRESS)
        if name == "list":
            _add_limit(action, argparse.SUPPRESS)
        if name == "groups":
            action.add_argument("--by", choices=("fingerprint", "type", "queue"), default="fingerprint", help="of what")
        if name == "replay":
            action.add_argument("ids", nargs="*", metavar="ID", help="a job's id")
            action.add_argument("--all", action="store_true", help="all of them, or all that the filters choose")


def _add_common(parser: argparse.ArgumentParser, default: object) -> None:
    add_filters(parser, default=default)
    add_place(parser, default=default)


def _add_limit(parser: argparse.ArgumentParser, default: object) -> None:
    parser.add_argument("--limit", type=count, default=default, metavar="N", help="list at most so many (50)")


def run(args: argparse.Namespace) -> int:
    """List, show, group or replay."""
    from boltq.cli.api import with_api
    from boltq.cli.commands.status import show_job

    match args.action:
        case "show":
            return with_api(args, lambda api: show_job(api, args.id, as_json=args.json))
        case "replay":
            return _replay(args)
        case "groups":
            return with_api(args, lambda api: _groups(api, args))
        case _:
            return with_api(args, lambda api: _list(api, args))


async def _list(api: "Api", args: argparse.Namespace) -> int:
    import msgspec

    from boltq.cli import job_view, show
    from boltq.cli.commands.jobs import chosen, read
    from boltq.client.answers import JobSummary

    which = {**chosen(args), "state": "dead"}
    if args.json:
        show.document(await read(api, which, msgspec.Raw, args.limit))
        return 0
    rows = [
        (
            job.id,
            job.type,
            job.queue,
            show.between(job.since, api.now),
            job.error.fingerprint if job.error else "",
            job_view.one_line(job.error) if job.error else "",
        )
        for job in (await read(api, which, JobSummary, args.limit)).items
    ]
    show.table(("id", "type", "queue", "dead for", "fingerprint", "error"), rows, right=("dead for",))
    return 0


async def _groups(api: "Api", args: argparse.Namespace) -> int:
    from boltq.cli import show
    from boltq.cli.commands.jobs import chosen
    from boltq.client import calls

    found = await _all_groups(api, lambda cursor: calls.group_dead_letters(by=args.by, cursor=cursor, **chosen(args)))
    if args.json:
        show.document(found)
        return 0
    rows = [
        (
            group.key, group.count, group.count_1h, show.between(group.last_at, api.now), group.sample_job_id,
            f"{group.category}: {group.class_name}: {group.message or ''}",
        )
        for group in found.items
    ]  # fmt: skip
    columns = (args.by, "jobs", "last hour", "newest", "such as", "error")
    show.table(columns, rows, right=("jobs", "last hour", "newest"))
    return 0


async def _all_groups(api: "Api", call: "Callable[[str | None], Request[Groups]]") -> "Groups":
    """Portion after portion, with those of one key made one."""
    from boltq.cli import show
    from boltq.client.answers import Groups
    from boltq.domain.failure_groups import merged

    found, cursor, examined = list[Any](), None, 0
    with show.progressing() as tell:
        while True:
            portion = await api.ask(call(cursor))
            found, cursor = merged([*found, *portion.items]), portion.next_cursor
            examined += portion.examined
            if cursor is None:
                return Groups(items=found, total_jobs=sum(group.count for group in found), examined=examined)
            tell(f"{examined:,} dead jobs looked at …")


def _replay(args: argparse.Namespace) -> int:
    from boltq.cli.commands import bulk
    from boltq.cli.commands.jobs import chosen
    from boltq.cli.each import do_to_each
    from boltq.cli.failures import USAGE, CommandFailed
    from boltq.client import calls

    which = {name: value for name, value in chosen(args).items() if value is not None}
    if args.ids and (args.all or which):
        raise CommandFailed("give ids, or --all with filters, not both", USAGE)
    if args.ids:
        return do_to_each(args, calls.replay_job, "replayed")
    if not args.all:
        raise CommandFailed("which ones? Give ids, or --all (with filters, if you like)", USAGE)
    return bulk.carry_out(args, "replay", {**which, "state": "dead"})
