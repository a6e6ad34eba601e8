"""`boltq run-now`: queues scheduled and retrying jobs before their time."""

import argparse

from boltq.cli.options import add_ids


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """\
examples:
  boltq run-now 01JZX4..."""
    add_ids(parser)


def run(args: argparse.Namespace) -> int:
    from boltq.cli.each import do_to_each
    from boltq.client import calls

    return do_to_each(args, calls.run_job_now, "queued")
