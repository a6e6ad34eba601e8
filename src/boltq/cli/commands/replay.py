"""`boltq replay`: queues a job again that has ended; with edits, as a new job."""

import argparse
from typing import Any

from boltq.cli.options import add_json, add_place, moment, seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """\
examples:
  boltq replay 01JZX4...                              a dead or cancelled job, once more
  boltq replay 01JZX4... --data '{"to": "ann@example.com"}' --delay 5m
  boltq replay 01JZX4... --as-new                     one that is completed, too

With any edit, or --as-new, a new job is made, and both know of each other."""
    parser.add_argument("ids", nargs="+", metavar="ID", help="a job's id")
    add_edits(parser)
    parser.add_argument("--queue", help="into another queue")
    parser.add_argument("--max-attempts", type=int, metavar="N", help="how often it may run")
    parser.add_argument("--timeout", type=seconds, metavar="TIME", help="how long one run may take")
    parser.add_argument("--as-new", action="store_true", help="make a new job in any case")
    add_place(parser)
    add_json(parser)


def add_edits(parser: argparse.ArgumentParser) -> None:
    """What may be changed."""
    parser.add_argument("--data", metavar="JSON", help="other data, as one JSON object")
    parser.add_argument("--priority", help="high, normal or low")
    parser.add_argument("--delay", type=seconds, metavar="TIME", help="not before: 90, 90s, 5m, 2h, 1d from now")
    parser.add_argument(
        "--run-at", type=moment, metavar="WHEN", help="not before: 2030-01-31T09:30:00Z, or unix seconds"
    )
    parser.add_argument("--tag", action="append", help="its tags from now on; once for each of them")
    parser.add_argument("--reason", help="why; it is noted")


def edits(args: argparse.Namespace) -> "dict[str, Any]":
    """What is to be changed, as the calls take it. Raises InvalidJob."""
    import msgspec

    from boltq.cli.commands.submit import read_object, read_priority

    found = {
        "data": None if args.data is None else msgspec.Raw(read_object(args.data, "--data").encode()),
        "priority": read_priority(args.priority),
        "delay": args.delay,
        "run_at": args.run_at,
        "tags": args.tag,
        "reason": args.reason,
    }
    return {name: value for name, value in found.items() if value is not None}


def run(args: argparse.Namespace) -> int:
    from boltq.cli.each import do_to_each
    from boltq.client import calls

    more = {"queue": args.queue, "max_attempts": args.max_attempts, "timeout": args.timeout}
    words: dict[str, Any] = {**edits(args), **{name: value for name, value in more.items() if value is not None}}
    return do_to_each(args, lambda job_id: calls.replay_job(job_id, as_new=args.as_new, **words), "replayed")
