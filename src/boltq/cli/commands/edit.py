"""`boltq edit`: changes what a job that waits carries."""

import argparse

from boltq.cli.commands.replay import add_edits, edits
from boltq.cli.options import add_json, add_place


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """\
examples:
  boltq edit 01JZX4... --priority high
  boltq edit 01JZX4... --data '{"to": "ann@example.com"}'
  boltq edit 01JZX4... --delay 0             as soon as possible

Scheduled, queued and retrying jobs can be changed; what is not named stays as it is."""
    parser.add_argument("ids", nargs="+", metavar="ID", help="a job's id")
    add_edits(parser)
    add_place(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from boltq.cli.each import do_to_each
    from boltq.cli.failures import USAGE, CommandFailed
    from boltq.client import calls

    words = edits(args)
    if not words.keys() - {"reason"}:
        raise CommandFailed("nothing to change: give --data, --priority, --delay, --run-at or --tag", USAGE)
    return do_to_each(args, lambda job_id: calls.edit_job(job_id, **words), "changed")
