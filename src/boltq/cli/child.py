"""One worker process, as the supervisor starts it."""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any, NoReturn

from boltq.app import BoltQ
from boltq.broker.connect import as_url
from boltq.broker.store import broker_at, check_server, place_of
from boltq.cli import failures, parent_watch as life
from boltq.cli.find_app import BUILT_IN, find_app
from boltq.domain.errors import StoreError, StoreFull, StoreUnavailable, StoreUnfit
from boltq.worker.slots import WornOutError
from boltq.worker.supervisor import Whereabouts, tell_end, tell_whereabouts
from boltq.worker.worker import SENT_HOME, WORN_OUT, Worker

log = logging.getLogger(__name__)

_LEAVING = 5.0  # seconds beyond what running jobs are granted, after which a child without a supervisor is killed
_LONGEST_PAUSE = 5.0  # seconds between tries while the store does not answer at the start


def run(args: argparse.Namespace) -> int:
    """Run jobs until told to stop. Does not return: a thread that nobody can stop would keep the process alive."""
    try:
        runner = asyncio.Runner(loop_factory=_loop_factory())  # not closed: that would wait for the loop's own threads
        code = runner.run(_run(args))
    except BaseException as error:  # noqa: BLE001 - the end of the process
        code = _code_of(error)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    _end(args.life, code)


def _end(fd: int | None, code: int) -> NoReturn:
    """End the process, and say before that it is we who end it."""
    if fd is not None:
        tell_end(fd, code)
    os._exit(code)


async def _run(args: argparse.Namespace) -> int:
    app = find_app(args.app or BUILT_IN)
    queues = args.queues.split(",") if args.queues else None
    worker = Worker(app, queues=queues, slots=args.slots, name=args.name, end_process=partial(_end, args.life))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, worker.stop)
    life.follow(args.life, app.settings.grace + app.settings.cleanup + _LEAVING, worker.hurry)
    log.info("%s", place_of(app.settings))
    try:
        if await _wait_for_store(app, worker, args.life):
            log.info("worker %s runs: %s", worker.name, ", ".join(sorted(app.tasks)))
            await worker.run()
    finally:
        with contextlib.suppress(Exception):  # what went wrong before is what counts
            async with asyncio.timeout(_LEAVING):  # functions may hold all threads that it needs
                await app.close()
    return SENT_HOME if worker.sent_home else 0


async def _wait_for_store(app: BoltQ, worker: Worker, fd: int | None) -> bool:
    """Whether the store answers, before we were told to stop. Raises StoreUnfit, EmbeddedError."""
    pause = 0.2
    as_url(app.settings.redis_addr)  # an address that means nothing never answers
    while not worker.stopping.is_set():
        try:
            await _check_server(app)
            broker = (await app.connections()).broker
        except StoreUnfit:
            raise
        except StoreError as error:
            pause = min(_LONGEST_PAUSE, pause * 2)
            log.warning("%s; trying again in %g s", error, pause)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await worker.stopping.wait()
        else:
            if fd is not None:
                layout = broker.layout
                most = app.settings.grace + app.settings.cleanup
                home = Whereabouts(broker.address, layout.namespace, layout.partitions, most)
                tell_whereabouts(fd, home)
            return True
    return False


async def _check_server(app: BoltQ) -> None:
    """Before anything else: a server that is too old does not even understand our scripts."""
    address = app.settings.redis_addr
    if address:
        broker = broker_at(address, app.settings)
        try:
            await check_server(broker)
        finally:
            await broker.close()


def _code_of(error: BaseException) -> int:
    leaves = list(_leaves(error))
    if worn_out := next((leaf for leaf in leaves if isinstance(leaf, WornOutError)), None):
        log.error("%s", worn_out)
        return WORN_OUT
    error = leaves[0] if len(leaves) == 1 else error
    try:
        code = failures.report(error)
        waiting_helps = isinstance(error, StoreUnavailable | StoreFull)
        return failures.FAILED if waiting_helps else code
    except BaseException:
        log.exception("this worker ends")
        return failures.FAILED


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """What a group of groups is made of."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:  # on Windows
        return None
    return uvloop.new_event_loop
