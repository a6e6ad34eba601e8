"""`boltq status`: shows a job with its data, result, error, progress and log."""

import argparse
from typing import TYPE_CHECKING

from boltq.cli.options import add_json

if TYPE_CHECKING:
    from boltq.cli.session import Session


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.epilog = """\
examples:
  boltq status 01JZX4...
  boltq status 01JZX4... --json | jq .state"""
    parser.add_argument("id", metavar="ID", help="the job's id")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Show it."""
    from boltq.cli.session import with_store

    return with_store(lambda session: show_job(session, args.id, as_json=args.json))


async def show_job(session: "Session", job_id: str, *, as_json: bool) -> int:
    """Show one job; the exit code. Raises NotFound."""
    job = await session.inspector.job(job_id)
    if as_json:
        from boltq.cli import show
        from boltq.server import shapes

        show.document(shapes.view(job))
    else:
        from boltq.cli import job_view

        job_view.describe(job, await session.inspector.now_ms())
    return 0
