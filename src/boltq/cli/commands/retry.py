"""`boltq retry`: queues dead, cancelled and retrying jobs now."""

import argparse

from boltq.cli.options import add_json, add_place


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.epilog = """\
examples:
  boltq retry 01JZX4..."""
    parser.add_argument("ids", nargs="+", metavar="ID", help="a job's id")
    add_place(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Do it."""
    from boltq.cli import result_rows as verdicts
    from boltq.client import calls

    return verdicts.run(args, calls.retry_job, "queued")
