"""`boltq workers`: lists the workers; has them drain, work again or stop."""

import argparse
from typing import TYPE_CHECKING

from boltq.cli.options import add_action, add_json, add_place

if TYPE_CHECKING:
    from boltq.cli.api import Api
    from boltq.client.answers import WorkerInfo


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """\
examples:
  boltq workers
  boltq workers --json | jq '.items[].running'
  boltq workers drain web-1-4711-a1b2c3       claim nothing more, and stay
  boltq workers stop web-1-4711-a1b2c3        finish what runs, and end"""
    add_place(parser)
    add_json(parser)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    for name, about in (
        ("drain", "have a worker finish what it runs and claim nothing more"),
        ("resume", "have a draining worker claim jobs again"),
        ("stop", "have a worker finish what it runs, and end; nobody takes its place"),
    ):
        action = add_action(actions, name, about)
        add_place(action, default=argparse.SUPPRESS)
        add_json(action, default=argparse.SUPPRESS)
        action.add_argument("id", metavar="ID", help="the worker's id, as `boltq workers` shows it")
        action.add_argument("--reason", help="why; it is noted")


def run(args: argparse.Namespace) -> int:
    """List them, or tell one."""
    from boltq.cli.api import with_api

    return with_api(args, lambda api: (_tell if args.action else _list)(api, args))


async def _list(api: "Api", args: argparse.Namespace) -> int:
    from boltq.cli import show
    from boltq.client import calls

    if args.json:
        show.document(await api.document(calls.list_workers()))
        return 0
    workers = (await api.ask(calls.list_workers())).items
    _table(api, workers)
    if not workers:
        show.note("no worker is running: start one with `boltq worker` or `boltq dev`")
    return 0


async def _tell(api: "Api", args: argparse.Namespace) -> int:
    from boltq.cli import show
    from boltq.client import calls

    tell = {"drain": calls.drain_worker, "resume": calls.resume_worker, "stop": calls.stop_worker}[args.action]
    request = tell(args.id, args.reason)
    if args.json:
        show.document(await api.document(request))
    else:
        _table(api, [await api.ask(request)])
    return 0


def _table(api: "Api", workers: "list[WorkerInfo]") -> None:
    from boltq.cli import show

    columns = ("id", "state", "host", "pid", "queues", "slots", "running", "held", "done", "up", "lease")
    rows = [
        (
            w.id, w.state, w.host, w.pid, ",".join(w.queues), w.slots, w.running or 0, w.held or 0, w.done or 0,
            show.between(w.since, api.now),
            "has run out" if w.lease_ends_at < api.now else f"{show.between(w.lease_ends_at, api.now)} left",
        )
        for w in workers
    ]  # fmt: skip
    show.table(columns, rows, right=("pid", "slots", "running", "held", "done", "up"))
