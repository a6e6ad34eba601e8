"""`boltq status`: shows a job with its data, result, error, progress and log."""

import argparse
from typing import TYPE_CHECKING

from boltq.cli.options import add_json, add_place

if TYPE_CHECKING:
    from boltq.cli.api import Api


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """\
examples:
  boltq status 01JZX4...
  boltq status 01JZX4... --json | jq .state"""
    parser.add_argument("id", metavar="ID", help="the job's id")
    add_place(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Show it."""
    from boltq.cli.api import with_api

    return with_api(args, lambda api: show_job(api, args.id, as_json=args.json))


async def show_job(api: "Api", job_id: str, *, as_json: bool) -> int:
    """Show one job; the exit code. Raises NotFound."""
    from boltq.cli import job_view, show
    from boltq.client import calls

    request = calls.get_job(job_id)
    if as_json:
        show.document(await api.document(request))
    else:
        job = await api.ask(request)
        job_view.describe(job, api.now)
    return 0
