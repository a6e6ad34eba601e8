"""`boltq run-now`: queues scheduled and retrying jobs before their time."""

import argparse

from boltq.cli.options import add_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.epilog = """\
examples:
  boltq run-now 01JZX4..."""
    parser.add_argument("ids", nargs="+", metavar="ID", help="a job's id")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Queue them."""
    from boltq.cli import verdicts

    return verdicts.run(args, lambda broker, ids: broker.run_now(ids), "run now")
