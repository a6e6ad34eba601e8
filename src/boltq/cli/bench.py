"""`boltq bench`: how fast this machine is with BoltQ."""

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from boltq.bench.figure import Bench, Figure
from boltq.bench.figures import FIGURES
from boltq.bench.processes import run_loop
from boltq.bench.store import clear
from boltq.broker.embedded import EmbeddedStore
from boltq.broker.inspector import Server, inspect_server
from boltq.broker.store import broker_at
from boltq.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `boltq bench`."""
    parser.add_argument("--jobs", type=int, default=100_000, help="jobs of each throughput figure (default 100000)")
    parser.add_argument("--slots", type=int, default=4, help="slots of each worker (default 4)")
    only = parser.add_mutually_exclusive_group()
    only.add_argument(
        "--only", metavar="WORD", help="only measurements with this word: submit, drain, latency, workflow, memory"
    )
    only.add_argument("--http", dest="only", action="store_const", const="http", help="only submits over HTTP")
    parser.add_argument("--rounds", type=int, default=1, help="measure so often and give the median (default 1)")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")


def run(args: argparse.Namespace) -> int:
    """Measure on REDIS_ADDR, or on an embedded store of its own in a temporary directory."""
    settings = Settings.from_env(namespace=f"boltq-bench-{os.getpid()}")
    with _store(settings) as address:
        server, figures = run_loop(_measured(address, settings, args))
    print(_document(server, figures, args) if args.json else _table(server, figures, args))
    return 0


@contextlib.contextmanager
def _store(settings: Settings) -> Iterator[str]:
    if settings.redis_addr:
        yield settings.redis_addr
        return
    with tempfile.TemporaryDirectory(prefix="boltq-bench-") as folder, EmbeddedStore(Path(folder)) as store:
        yield store.start()


async def _measured(address: str, settings: Settings, args: argparse.Namespace) -> tuple[Server, list[Figure]]:
    broker = broker_at(address, settings)
    bench = Bench(broker, settings, args.jobs, args.slots)
    try:
        server = await inspect_server(broker)
        rounds = [await _round(bench, args.only or "") for _ in range(args.rounds)]
    finally:
        await clear(broker)
        await broker.close()
    return server, [_median(row) for row in zip(*rounds, strict=True)]


async def _round(bench: Bench, word: str) -> list[Figure]:
    figures: list[Figure] = []
    for name, measure in FIGURES.items():
        if word in name:
            _say(f"{name} …")
            await clear(bench.broker)
            await bench.broker.open()
            figures += await measure(bench)
    return figures


def _median(row: Sequence[Figure]) -> Figure:
    return msgspec.structs.replace(row[0], value=statistics.median(figure.value for figure in row))


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(text, file=sys.stderr)


def _document(server: Server, figures: Sequence[Figure], args: argparse.Namespace) -> str:
    """Each figure under its key, and where it was measured."""
    values: dict[str, Any] = {figure.key: round(figure.value, 3) for figure in figures}
    where = {"server": {"flavour": server.flavour, "version": server.version}, "cores": os.cpu_count()}
    return json.dumps(values | where | {"jobs": args.jobs, "rounds": args.rounds}, indent=2)


def _table(server: Server, figures: Sequence[Figure], args: argparse.Namespace) -> str:
    head = f"{server.flavour} {server.version}, {os.cpu_count()} cores, {args.jobs:,} jobs a figure"
    return "\n".join([f"{head}, rounds: {args.rounds}", "", *map(_line, figures)])


def _line(figure: Figure) -> str:
    value = f"{figure.value:,.0f}" if figure.value >= 100 else f"{figure.value:.2f}"  # noqa: PLR2004
    return f"{figure.what:<68} {value:>10} {figure.unit:<7} {'goal ' + figure.goal if figure.goal else ''}".rstrip()
