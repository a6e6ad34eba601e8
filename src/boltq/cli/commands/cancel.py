"""`boltq cancel`: cancels jobs that wait, and asks the workers of running ones to stop them."""

import argparse

from boltq.cli.options import add_json, add_place


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """\
examples:
  boltq cancel 01JZX4...
  boltq cancel 01JZX4... 01JZX5... --reason "sent twice"

A running job is asked to stop; it is "running" until it has."""
    parser.add_argument("ids", nargs="+", metavar="ID", help="a job's id")
    parser.add_argument("--reason", default="cancelled", help="what its record will say")
    add_place(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Cancel them."""
    from boltq.cli.each import do_to_each
    from boltq.client import calls

    return do_to_each(args, lambda job_id: calls.cancel_job(job_id, args.reason), "cancelled")
