"""`boltq dead`: lists, shows and replays the dead letters."""

import argparse
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Final

from boltq.cli.options import add_json, count

if TYPE_CHECKING:
    from boltq.cli.session import Session
    from boltq.domain.job import JobRecord

_EXAMPLES = """\
examples:
  boltq dead                                        the newest ones
  boltq dead list --category timeout --queue mail
  boltq dead show 01JZX4...
  boltq dead replay 01JZX4... 01JZX5...
  boltq dead replay --all --type email
  boltq dead replay --all --fingerprint 3f2a91c04d17

`replay --all` takes those that are dead when it begins, each once: what dies again meanwhile stays dead, so a second
run finds nothing unless something has died since."""

_PAGE: Final = 200
_STEP: Final = 500  # jobs replayed at a time


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.epilog = _EXAMPLES
    add_json(parser)
    _add_filters(parser)
    _add_limit(parser, 50)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    for name, about in (
        ("list", "list them, the newest first (so does `boltq dead` alone)"),
        ("show", "show one with its data, error and traceback"),
        ("replay", "queue them again, with all their attempts before them"),
    ):
        action = actions.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
        add_json(action, default=argparse.SUPPRESS)
        if name == "show":
            action.add_argument("id", metavar="ID", help="the job's id")
            continue
        _add_filters(action, nested=True)
        if name == "list":
            _add_limit(action, argparse.SUPPRESS)
        if name == "replay":
            action.add_argument("ids", nargs="*", metavar="ID", help="a job's id")
            action.add_argument("--all", action="store_true", help="all of them, or all that the filters choose")


def _add_filters(parser: argparse.ArgumentParser, *, nested: bool = False) -> None:
    none = argparse.SUPPRESS if nested else None
    parser.add_argument("--queue", default=none, help="of this queue only")
    parser.add_argument("--type", default=none, help="of this job type only")
    parser.add_argument("--category", default=none, help="of this kind of error: timeout, data, poison, ...")
    parser.add_argument("--fingerprint", default=none, help="of errors from one place in the code")


def _add_limit(parser: argparse.ArgumentParser, default: object) -> None:
    parser.add_argument("--limit", type=count, default=default, metavar="N", help="list at most so many (50)")


def run(args: argparse.Namespace) -> int:
    """List, show or replay."""
    from boltq.cli.session import with_store
    from boltq.cli.status import show_job

    match args.action:
        case "show":
            return with_store(lambda session: show_job(session, args.id, as_json=args.json))
        case "replay":
            return _replay(args)
        case _:
            return with_store(lambda session: _list(session, args))


async def _list(session: "Session", args: argparse.Namespace) -> int:
    from boltq.cli import job_view, show
    from boltq.domain.outcome import error_of

    jobs = []
    if args.limit:
        async for job in _dead(session, args, most=args.limit):
            jobs.append(job)  # noqa: PERF401 - the generator knows when to end
    if args.json:
        from boltq.server import shapes

        show.document({"jobs": [shapes.summary(job) for job in jobs]})
        return 0
    now = await session.inspector.now_ms()
    errors = [error_of(job.error) if job.error else None for job in jobs]
    rows = [
        (job.id, job.type, job.queue, show.age(job.since, now), error.fingerprint, job_view.one_line(error))
        if error
        else (job.id, job.type, job.queue, show.age(job.since, now), "", "")
        for job, error in zip(jobs, errors, strict=True)
    ]
    show.table(("id", "type", "queue", "dead for", "fingerprint", "error"), rows, right=("dead for",))
    return 0


# Which


async def _dead(session: "Session", args: argparse.Namespace, most: int | None = None) -> "AsyncIterator[JobRecord]":
    """The dead letters that were asked for, the newest first."""
    from boltq.domain.states import JobState

    fits, cursor, seen = _filter(args), None, 0
    while True:
        page = await session.inspector.page(JobState.DEAD, args.queue, cursor=cursor, limit=_PAGE)
        for job in filter(fits, page.jobs):
            yield job
            seen += 1
            if seen == most:
                return
        cursor = page.cursor
        if not cursor:
            return


def _filter(args: argparse.Namespace) -> "Callable[[JobRecord], bool]":
    from boltq.domain.errors import InvalidJob
    from boltq.domain.outcome import Category, error_of

    if args.category is not None and args.category not in set(Category):
        raise InvalidJob([("--category", f"no category {args.category!r}: one of {', '.join(Category)}")])

    def fits(job: "JobRecord") -> bool:
        if args.type not in {None, job.type}:
            return False
        if args.category is None and args.fingerprint is None:
            return True
        error = error_of(job.error) if job.error else None
        known = (error.category, error.fingerprint) if error else (None, None)
        return args.category in {None, known[0]} and args.fingerprint in {None, known[1]}

    return fits


# Again


def _replay(args: argparse.Namespace) -> int:
    from boltq.cli import verdicts
    from boltq.cli.failures import USAGE, CommandFailed
    from boltq.cli.session import with_store

    filters = any((args.queue, args.type, args.category, args.fingerprint))
    if args.ids and (args.all or filters):
        raise CommandFailed("give ids, or --all with filters, not both", USAGE)
    if args.ids:
        return verdicts.run(args, lambda broker, ids: broker.replay(ids), "replayed")
    if not args.all:
        raise CommandFailed("which ones? Give ids, or --all (with filters, if you like)", USAGE)
    _filter(args)
    return with_store(lambda session: _replay_all(session, args))


async def _replay_all(session: "Session", args: argparse.Namespace) -> int:
    """Replay those that are dead now. Nobody is replayed twice: the ids are taken down before the first one moves."""
    from boltq.cli import show

    now = await session.inspector.now_ms()
    ids = list(dict.fromkeys([job.id async for job in _dead(session, args) if job.since <= now]))
    replayed = await _in_steps(session, ids, quiet=args.json)
    gone = len(ids) - replayed
    if args.json:
        show.document({"found": len(ids), "replayed": replayed, "gone": gone})
    else:
        others = f"; {gone} were not dead any more" if gone else ""
        print(f"{replayed} of {len(ids)} dead letters queued again{others}")
    return 0


async def _in_steps(session: "Session", ids: Sequence[str], *, quiet: bool) -> int:
    """Replay in batches; how many were dead still. Shows how far it is, in a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    from boltq.cli.failures import NO_STORE, CommandFailed
    from boltq.domain.errors import StoreError

    replayed = 0
    shown = len(ids) > _STEP and not quiet and sys.stderr.isatty()
    with Progress(console=Console(stderr=True), disable=not shown, transient=True) as progress:
        bar = progress.add_task("queueing again", total=len(ids))
        for start in range(0, len(ids), _STEP):
            step = ids[start : start + _STEP]
            try:
                replayed += sum(verdict.ok for verdict in await session.broker.replay(step))
            except StoreError as error:
                text = f"{error}; {replayed} of {len(ids)} were queued again before: call it again for the rest"
                raise CommandFailed(text, NO_STORE) from error
            progress.advance(bar, len(step))
    return replayed
