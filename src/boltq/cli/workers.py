"""`boltq workers`: lists the workers."""

import argparse

from boltq.cli.options import add_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.epilog = """\
examples:
  boltq workers
  boltq workers --json | jq '.workers[].vitals.running'"""
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """List them."""
    from boltq.cli import show
    from boltq.cli.session import Session, with_store

    async def work(session: Session) -> int:
        workers = await session.inspector.workers()
        if args.json:
            from boltq.server import shapes

            show.document({"workers": [shapes.worker_view(worker) for worker in workers]})
            return 0
        now = await session.inspector.now_ms()
        columns = ("id", "host", "pid", "queues", "slots", "running", "done", "up", "lease")
        rows = [
            (
                w.id, w.info.get("host"), w.info.get("pid"), ",".join(w.queues), w.info.get("slots"),
                w.vitals.get("running", 0), w.vitals.get("done", 0), show.age(w.since, now),
                "has run out" if w.lease_ends_at < now else f"{show.age(w.lease_ends_at, now)} left",
            )
            for w in workers
        ]  # fmt: skip
        show.table(columns, rows, right=("pid", "slots", "running", "done", "up"))
        if not workers:
            show.note("no worker is running: start one with `boltq worker` or `boltq dev`")
        return 0

    return with_store(work)
