"""`boltq status`: shows a job with its data, result, error, progress and log."""

import argparse
from typing import TYPE_CHECKING

from boltq.cli.options import add_json, add_place

if TYPE_CHECKING:
    from boltq.cli.api import Api


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.epilog = """\
examples:
  boltq status 01JZX4...
  boltq status 01JZX4... --json | jq .state"""
    parser.add_argument("id", metavar="ID", help="the job's id")
    add_place(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Show it."""
    from boltq.cli.api import with_desk

    return with_desk(args, lambda desk: show_job(desk, args.id, as_json=args.json))


async def show_job(desk: "Api", job_id: str, *, as_json: bool) -> int:
    """Show one job; the exit code. Raises NotFound."""
    from boltq.cli import job_view, show
    from boltq.client import calls

    request = calls.get_job(job_id)
    if as_json:
        show.document(await desk.document(request))
    else:
        job = await desk.ask(request)
        job_view.describe(job, desk.now)
    return 0
