"""`boltq worker`: runs jobs, in one or more processes under a supervisor."""

import argparse
import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from boltq.cli import parent_watch as life

if TYPE_CHECKING:
    from boltq.worker.supervisor import Supervisor

_EXAMPLES = """\
examples:
  boltq worker                                    the built-in job types: echo, sleep, ...
  boltq worker tasks:app                          `app = BoltQ()` in tasks.py
  boltq worker shop.tasks:app --processes 4 --slots 16 --queues mail,default
  boltq worker tasks:app --reload                 start again when the code changes

Ctrl-C or SIGTERM: running jobs may finish (--grace), what has not begun goes back. A second one ends them at once.
When a process dies, its jobs go back at once, and it is started again."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EXAMPLES
    parser.add_argument("app", nargs="?", metavar="module:app", help="the application (the built-in job types)")
    parser.add_argument("--slots", type=int, metavar="N", help="jobs at once, of each process (NUM_WORKERS, 4)")
    parser.add_argument("--queues", metavar="A,B", help="the queues to serve (BOLTQ_QUEUES, default)")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="how many processes (1)")
    parser.add_argument("--name", help="what the workers' names begin with (host and process)")
    parser.add_argument("--grace", type=float, metavar="SECONDS", help="for running jobs at the end (BOLTQ_GRACE, 30)")
    parser.add_argument("--reload", action="store_true", help="start again when a Python file below here changes")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    life.add_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Work until told to stop."""
    from boltq.cli import log_lines
    from boltq.settings import Settings

    settings = Settings.from_env(num_workers=args.slots, queues=args.queues, grace=args.grace)
    _check(args)
    log_lines.set_up(settings)
    if args.child:
        from boltq.cli import child

        return child.run(args)
    return asyncio.run(_supervise(args, settings.grace))


def _check(args: argparse.Namespace) -> None:
    from boltq.domain.limits import bad_name
    from boltq.settings import BadSetting

    if not 1 <= args.processes <= 1_000:  # noqa: PLR2004 - said in the message
        raise BadSetting(f"--processes {args.processes}: from 1 to 1000")
    names = [*(args.queues or "").split(","), args.name or ""]
    if bad := next(filter(None, (bad_name(name.strip()) for name in names if name.strip())), None):
        raise BadSetting(bad)


async def _supervise(args: argparse.Namespace, grace: float) -> int:
    from boltq.settings import inherited_environment
    from boltq.worker.supervisor import Supervisor, child_command

    supervisor = Supervisor(
        child_command("worker", "--child", *_words_for_child(args)),
        processes=args.processes,
        name=args.name,
        grace=grace,
        environment=inherited_environment(BOLTQ_GRACE=f"{grace:g}"),
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, supervisor.stop)
    life.follow(args.life)
    if not args.reload:
        return await supervisor.run()
    supervisor.wait_for_changes()
    watching = loop.create_task(_renew_on_change(supervisor))
    try:
        return await supervisor.run()
    finally:
        watching.cancel()
        await asyncio.wait({watching})


def _words_for_child(args: argparse.Namespace) -> list[str]:
    words = [args.app] if args.app else []
    if args.slots is not None:
        words += ["--slots", str(args.slots)]
    if args.queues is not None:
        words += ["--queues", args.queues]
    return words


async def _renew_on_change(supervisor: "Supervisor") -> None:
    import logging

    from watchfiles import PythonFilter, awatch

    async for changes in awatch(Path.cwd(), watch_filter=PythonFilter()):
        names = sorted({Path(path).name for _, path in changes})
        logging.getLogger(__name__).info("%s changed: starting again", ", ".join(names[:3]))
        supervisor.renew()
