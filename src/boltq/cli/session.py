"""A command's way to the store: the server at REDIS_ADDR, or the embedded one that runs in this directory."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from boltq.broker.broker import Broker
from boltq.broker.embedded import EmbeddedStore
from boltq.broker.inspector import Inspector
from boltq.broker.store import Store
from boltq.cli.failures import NO_STORE, CommandFailed
from boltq.settings import Settings


@dataclass(frozen=True)
class Session:
    """What a command works with."""

    settings: Settings
    broker: Broker
    inspector: Inspector


StoreWork = Callable[[Session], Awaitable[int]]


def with_store(work: StoreWork, *, start: bool = False) -> int:
    """Carry out a command's work; its exit code. `start`: with an embedded store that nobody runs, run it meanwhile.

    Writes no settings into a namespace that is there: an operator's environment is not the workers'.
    """
    settings = Settings.from_env()
    with store_at_hand(settings, start=start) as store:
        return asyncio.run(_work(work, settings, store, begin=start))


@contextmanager
def store_at_hand(settings: Settings, *, start: bool) -> Iterator[Store]:
    """The store, open. `start`: with an embedded one that nobody runs, run it meanwhile; else raise CommandFailed."""
    if not start:
        _check_runs(settings)
    with ExitStack() as leaving:
        store = Store(settings)
        leaving.callback(store.close)
        store.open()
        yield store


def _check_runs(settings: Settings) -> None:
    """Raise CommandFailed when the store is the embedded one and nobody runs it: looking must not make one."""
    if settings.redis_addr or EmbeddedStore(settings.data_path).running:
        return
    raise CommandFailed(
        f"no store runs in {settings.data_path}: start `boltq dev` there, go to its directory, or set REDIS_ADDR",
        NO_STORE,
    )


async def _work(work: StoreWork, settings: Settings, store: Store, *, begin: bool) -> int:
    broker = store.broker()
    try:
        there = await broker.look_in()
        if begin and not there:
            await broker.open()
        return await work(Session(settings, broker, Inspector(broker)))
    finally:
        await broker.close()
