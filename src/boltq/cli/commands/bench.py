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
from typing import Any, Final

import msgspec

from boltq.bench.figure import Bench, Figure
from boltq.bench.figures import FIGURES
from boltq.bench.meter import LOOP, Meter
from boltq.bench.processes import run_loop
from boltq.bench.scale import GOAL_MS, ScaleRow, measure
from boltq.bench.scale_fill import StoreSize
from boltq.bench.store import clear
from boltq.broker.embedded import EmbeddedStore
from boltq.broker.inspector import StoreServer, inspect_server
from boltq.broker.knobs import knobs_of
from boltq.broker.store import broker_at
from boltq.settings import Settings

JOBS: Final = 100_000
WORST: Final = 5  # calls that are shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `boltq bench`."""
    parser.add_argument(
        "--jobs", type=int, help="jobs of each throughput figure (default 100000); with --scale, in all (1000000)"
    )
    parser.add_argument("--slots", type=int, default=4, help="slots of each worker (default 4)")
    only = parser.add_mutually_exclusive_group()
    only.add_argument(
        "--only", metavar="WORD", help="only measurements with this word: submit, drain, latency, workflow, memory"
    )
    only.add_argument("--http", dest="only", action="store_const", const="http", help="only submits over HTTP")
    only.add_argument(
        "--scale",
        action="store_true",
        help="fill the store, and show how long each kind of call holds it up: its own processor time",
    )
    full = StoreSize()
    for name in ("queues", "types", "dead", "workflows"):
        about = f"of the full store (default {getattr(full, name)}); for --scale"
        parser.add_argument(f"--{name}", type=int, default=getattr(full, name), metavar="N", help=about)
    parser.add_argument("--rounds", type=int, default=1, help="measure so often and give the median (default 1)")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")


def run(args: argparse.Namespace) -> int:
    """Measure on REDIS_ADDR, or on an embedded store of its own in a temporary directory."""
    settings = Settings.from_env(namespace=f"boltq-bench-{os.getpid()}")
    if args.scale:
        return _scale(settings, args)
    args.jobs = args.jobs or JOBS
    with _store(settings) as address:
        server, figures = run_loop(_measured(address, settings, args))
    print(_document(server, figures, args) if args.json else _table(server, figures, args))
    return 0


def _scale(settings: Settings, args: argparse.Namespace) -> int:
    """Fill a store, and show what each call costs it."""
    size = StoreSize(args.jobs or StoreSize().jobs, args.queues, args.types, args.dead, args.workflows)
    with _store(settings) as address:
        server, rows = run_loop(_scaled(address, settings, size))
    print(_scale_document(server, size, rows) if args.json else _scale_table(server, size, rows))
    return 0


async def _scaled(address: str, settings: Settings, size: StoreSize) -> tuple[StoreServer, list[ScaleRow]]:
    knobs = msgspec.structs.replace(knobs_of(settings), keep_dead=10 * size.dead, max_queues=0)
    meter = Meter(address, namespace=settings.namespace, knobs=knobs)
    try:
        server = await inspect_server(meter)
        await meter.open()
        return server, await measure(meter, size, _say)
    finally:
        await clear(meter)
        await meter.close()


def _scale_document(server: StoreServer, size: StoreSize, rows: Sequence[ScaleRow]) -> str:
    where = {"server": {"flavour": server.flavour, "version": server.version}, "cores": os.cpu_count()}
    calls = [
        {k: round(v, 3) if isinstance(v, float) else v for k, v in msgspec.structs.asdict(r).items()} for r in rows
    ]
    longer = [row.script for row in rows if row.most_ms > GOAL_MS and row.script != LOOP]
    return json.dumps(
        where | {"size": msgspec.structs.asdict(size), "goal_ms": GOAL_MS, "over": longer, "calls": calls}, indent=2
    )


def _scale_table(server: StoreServer, size: StoreSize, rows: Sequence[ScaleRow]) -> str:
    full = ", ".join(f"{number:,} {name}" for name, number in msgspec.structs.asdict(size).items())
    head = f"{server.flavour} {server.version}, {os.cpu_count()} cores: {full}"
    title = (
        f"The {WORST} calls that hold the store up for longest (its own processor time; goal: ≤ {GOAL_MS:g} ms each)"
    )
    lines = [
        f"{row.script:<14} {row.most_ms:>8.2f} ms at most, {row.median_ms:>8.2f} as a rule"
        f" ({row.calls} calls): {row.most_what}"
        for row in [row for row in rows if row.script != LOOP][:WORST]
    ]
    return "\n".join([head, "", title, *lines, *filter(None, map(_noise, rows))])


def _noise(row: ScaleRow) -> str:
    """What other work of the machine did to work that is always the same; empty for all other rows."""
    if row.script != LOOP:
        return ""
    return f"Beside them, one and the same loop took {row.median_ms:.2f} ms as a rule, {row.most_ms:.2f} at most."


@contextlib.contextmanager
def _store(settings: Settings) -> Iterator[str]:
    if settings.redis_addr:
        yield settings.redis_addr
        return
    with tempfile.TemporaryDirectory(prefix="boltq-bench-") as folder, EmbeddedStore(Path(folder)) as store:
        yield store.start()


async def _measured(address: str, settings: Settings, args: argparse.Namespace) -> tuple[StoreServer, list[Figure]]:
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
    for name, figures_of in FIGURES.items():
        if word in name:
            _say(f"{name} …")
            await clear(bench.broker)
            await bench.broker.open()
            figures += await figures_of(bench)
    return figures


def _median(row: Sequence[Figure]) -> Figure:
    return msgspec.structs.replace(row[0], value=statistics.median(figure.value for figure in row))


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(text, file=sys.stderr)


def _document(server: StoreServer, figures: Sequence[Figure], args: argparse.Namespace) -> str:
    """Each figure under its key, and where it was measured."""
    values: dict[str, Any] = {figure.key: round(figure.value, 3) for figure in figures}
    where = {"server": {"flavour": server.flavour, "version": server.version}, "cores": os.cpu_count()}
    return json.dumps(values | where | {"jobs": args.jobs, "rounds": args.rounds}, indent=2)


def _table(server: StoreServer, figures: Sequence[Figure], args: argparse.Namespace) -> str:
    head = f"{server.flavour} {server.version}, {os.cpu_count()} cores, {args.jobs:,} jobs a figure"
    return "\n".join([f"{head}, rounds: {args.rounds}", "", *map(_line, figures)])


def _line(figure: Figure) -> str:
    value = f"{figure.value:,.0f}" if figure.value >= 100 else f"{figure.value:.2f}"  # noqa: PLR2004
    return f"{figure.what:<68} {value:>10} {figure.unit:<7} {'goal ' + figure.goal if figure.goal else ''}".rstrip()
