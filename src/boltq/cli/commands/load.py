"""`boltq load`: loads a running API with jobs, over HTTP, and says how it fared."""

import argparse
import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from boltq.cli.options import add_json, count, seconds

if TYPE_CHECKING:
    from boltq.bench.load import LoadPlan, LoadReport, Spread

_EXAMPLES = """\
examples:
  boltq load                                          1,000 echo jobs, 10 at a time, to this machine's API
  boltq load --jobs 10000 --concurrency 50
  boltq load --type resize --data '{"width": 100}' --queue images --url https://queue.example
  boltq load --json > load.json

Each caller submits a job over HTTP, follows it to its end, and goes on with the next one. End to end is from before
the submission until the caller knows that the job was completed. Ctrl-C prints what is known until then."""

_MOST_JOBS = 1_000_000
_MOST_CALLERS = 1_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EXAMPLES
    parser.add_argument("--jobs", type=count, default=1_000, metavar="N", help="how many jobs (1000)")
    parser.add_argument("--concurrency", type=count, default=10, metavar="N", help="how many callers at once (10)")
    parser.add_argument("--type", default="echo", help="the job type (echo)")
    parser.add_argument("--data", metavar="JSON", help='each job\'s data ({"message": "Hello World"})')
    parser.add_argument("--queue", default="default", help="the queue (default)")
    parser.add_argument("--timeout", type=seconds, default=60.0, metavar="TIME", help="for the end of one job (60s)")
    parser.add_argument("--url", help="the API (BOLTQ_URL, http://127.0.0.1:8080)")
    parser.add_argument("--token", help="a key or token for it (BOLTQ_TOKEN, which others cannot see)")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Load the API; 0 when every job was completed."""
    from boltq.cli import show
    from boltq.cli.failures import FAILED, INTERRUPTED, NO_STORE, complain

    report = asyncio.run(_loaded(args, _plan(args)))
    if args.json:
        show.document(report)
    else:
        _print(report)
    if report.stopped:
        complain(f"given up: {report.stopped}")
        return NO_STORE
    if report.interrupted:
        return INTERRUPTED
    return FAILED if report.failed else 0


def _plan(args: argparse.Namespace) -> "LoadPlan":
    from boltq.bench.load import LoadPlan
    from boltq.cli.commands.submit import read_object
    from boltq.settings import BadSetting

    for name, most in (("jobs", _MOST_JOBS), ("concurrency", _MOST_CALLERS)):
        if not 1 <= getattr(args, name) <= most:
            raise BadSetting(f"--{name} {getattr(args, name)}: from 1 to {most}")
    return LoadPlan(
        type=args.type,
        data='{"message":"Hello World"}' if args.data is None else read_object(args.data, "--data"),
        queue=args.queue,
        jobs=args.jobs,
        concurrency=args.concurrency,
        timeout=args.timeout,
    )


async def _loaded(args: argparse.Namespace, plan: "LoadPlan") -> "LoadReport":
    from boltq.bench.load import Load, check
    from boltq.bench.raw_wire import RawWire
    from boltq.client.place import find_place
    from boltq.client.wire import TIMEOUT, AsyncWire

    place = find_place(args.url, args.token)
    wire: AsyncWire | RawWire = (
        AsyncWire(place, connections=plan.concurrency) if place.url.startswith("https:") else RawWire(place, TIMEOUT)
    )
    try:
        await check(plan, wire.exchange)
        with _bar(plan.jobs) as advance:
            return await Load(plan, wire.exchange, advance).run()
    finally:
        await wire.close()


@contextlib.contextmanager
def _bar(total: int) -> Iterator[Callable[[], object]]:
    """What moves a progress bar; on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("load", total=total)
        yield lambda: progress.advance(task)


def _print(report: "LoadReport") -> None:
    from boltq.cli import show

    told = f"{report.completed:,} of {report.jobs:,} jobs completed in {report.seconds:.1f} s"
    print(f"{told}{', interrupted' if report.interrupted else ''}: {report.jobs_per_second:,.0f} jobs/s")
    print(f"{report.concurrency} at once; {report.submitted:,} submitted, {report.failed:,} failed", end="")
    print(f", {report.unfinished:,} unfinished" if report.unfinished else "")
    print()
    print(f"{'ms':<12} {'p50':>9} {'p95':>9} {'p99':>9} {'max':>9}")
    for name, spread in (("submit", report.submit_ms), ("end to end", report.end_to_end_ms)):
        print(_row(name, spread))
    for reason, times in report.failures.items():
        print(f"{times:>7,} × {show.clean(reason)}")


def _row(name: str, spread: "Spread | None") -> str:
    if spread is None:
        return f"{name:<12} {'-':>9}"
    return f"{name:<12} {spread.p50:>9.1f} {spread.p95:>9.1f} {spread.p99:>9.1f} {spread.max:>9.1f}"
