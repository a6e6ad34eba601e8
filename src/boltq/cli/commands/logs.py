"""`boltq logs`: prints the lines that a job has written."""

import argparse
from typing import TYPE_CHECKING

from boltq.cli.options import add_json, add_place

if TYPE_CHECKING:
    from boltq.cli.api import Api

_LOOK_AGAIN = 1.0  # seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """\
examples:
  boltq logs 01JZX4...
  boltq logs 01JZX4... --follow        until the job has ended"""
    parser.add_argument("id", metavar="ID", help="the job's id")
    parser.add_argument("--follow", action="store_true", help="go on with what it writes, until it has ended")
    add_place(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print them."""
    from boltq.cli.api import with_api

    return with_api(args, lambda api: _print(api, args))


async def _print(api: "Api", args: argparse.Namespace) -> int:
    import asyncio

    from boltq.cli import show
    from boltq.client import calls

    if args.json:
        show.document(await api.document(calls.get_log(args.id)))
        return 0
    after = 0
    while True:
        ended = not args.follow or (await api.ask(calls.get_job(args.id))).ended
        after = await _print_after(api, args.id, after)
        if ended:
            return 0
        await asyncio.sleep(_LOOK_AGAIN)


async def _print_after(api: "Api", job_id: str, after: int) -> int:
    """Print the lines after that one; the number of the last."""
    from boltq.cli import show
    from boltq.client import calls

    while True:
        log = await api.ask(calls.get_log(job_id, after=after))
        for line in log.items:
            print(show.clean(line.text), flush=True)
            after = line.n
        if log.next_after is None:
            return after
