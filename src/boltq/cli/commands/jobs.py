"""`boltq jobs`: lists jobs."""

import argparse
from typing import TYPE_CHECKING, Any, TypeVar

from boltq.cli.options import add_json, add_place, count, past

if TYPE_CHECKING:
    from boltq.cli.api import Api
    from boltq.client.answers import Page

T = TypeVar("T")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """\
examples:
  boltq jobs
  boltq jobs --state running
  boltq jobs --queue mail,sms --type email --since 2h --limit 100

Without --state: what runs and waits first, then the history."""
    parser.add_argument("--state", help="scheduled, queued, running, retrying, completed, dead or cancelled")
    add_filters(parser)
    parser.add_argument("--workflow", metavar="ID", help="of this workflow's steps and items, in their order")
    parser.add_argument("--limit", type=count, default=50, metavar="N", help="at most so many (50)")
    parser.add_argument("--cursor", help="go on where an earlier page ended")
    add_place(parser)
    add_json(parser)


def add_filters(parser: argparse.ArgumentParser, *, default: object = None) -> None:
    """Which jobs; several values of one filter are separated by commas."""
    parser.add_argument("--queue", default=default, help="of this queue only")
    parser.add_argument("--type", default=default, help="of this job type only")
    parser.add_argument("--tag", default=default, help="with this tag")
    parser.add_argument("--category", default=default, help="with this kind of error: timeout, data, poison, ...")
    parser.add_argument("--fingerprint", default=default, help="with an error from this place in the code")
    parser.add_argument("--since", type=past, default=default, metavar="TIME", help="submitted since: 2h, 7d, a moment")


def chosen(args: argparse.Namespace) -> "dict[str, Any]":
    """The filters, as the calls take them. Raises InvalidJob."""
    from boltq.domain.errors import InvalidJob
    from boltq.domain.job_error import Category
    from boltq.domain.states import JobState

    state = getattr(args, "state", None)
    for option, given, known in (("--state", state, JobState), ("--category", args.category, Category)):
        if bad := next((word for word in (given or "").split(",") if word and word not in set(known)), None):
            raise InvalidJob([(option, f"no {option[2:]} {bad!r}: one of {', '.join(known)}")])
    return {
        "queue": args.queue,
        "type": args.type,
        "tag": args.tag,
        "category": args.category,
        "fingerprint": args.fingerprint,
        "created_after": args.since,
    }


def run(args: argparse.Namespace) -> int:
    """List them."""
    from boltq.cli.api import with_api

    which = {**chosen(args), "state": args.state, "workflow": args.workflow}
    return with_api(args, lambda api: _list(api, which, args))


async def _list(api: "Api", which: "dict[str, Any]", args: argparse.Namespace) -> int:
    import msgspec

    from boltq.cli import job_view, show
    from boltq.client.answers import JobSummary

    if args.json:
        show.document(await read(api, which, msgspec.Raw, args.limit, args.cursor))
        return 0
    page = await read(api, which, JobSummary, args.limit, args.cursor)
    job_view.list_jobs(page.items, api.now)
    if page.next_cursor:
        show.note(f"there are more: --cursor {page.next_cursor}")
    return 0


async def read(api: "Api", which: "dict[str, Any]", kind: type[T], most: int, cursor: str | None = None) -> "Page[T]":
    """As many jobs as are wanted, each as `kind`."""
    from boltq.client import calls

    return await api.read(lambda n, at: calls.list_jobs(limit=n, cursor=at, **which), kind, most, cursor)
