"""An application's way to its store: connections for each event loop, a loop in a thread for synchronous code."""

import asyncio
import atexit
import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from boltq.broker.broker import repeated
from boltq.broker.connections import Connections
from boltq.broker.store import Store
from boltq.broker.waiting import Waiting, quiet
from boltq.domain.errors import WaitTimeout
from boltq.portal import Portal, in_thread, lend_threads, refuse_at_the_end, refuse_in_a_child, refuse_in_loop
from boltq.settings import Settings

T = TypeVar("T")


ByLoop = dict[asyncio.AbstractEventLoop, "asyncio.Task[Connections]"]


class StoreAccess:
    """The way of one application. `settings` reads its settings when they are first needed."""

    def __init__(self, settings: Callable[[], Settings]) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._store: Store | None = None
        self._by_loop: ByLoop = {}
        self._portal: Portal | None = None
        _ALL.add(self)

    async def connections(self) -> Connections:
        """This event loop's connections, opened when they are first needed. Raises StoreError, EmbeddedError."""
        loop = asyncio.get_running_loop()
        opening = self._by_loop.get(loop)
        if opening is None or (opening.done() and (opening.cancelled() or opening.exception())):
            self._let_go_of_closed_loops()
            opening = quiet(loop.create_task(self._open()))
            self._by_loop[loop] = opening
        return opening.result() if opening.done() else await asyncio.shield(opening)

    async def connections_within(self, wait: Waiting) -> Connections:
        """As connections, for a caller that waits: through an outage too, when it has a timeout. Raises WaitTimeout."""
        if wait.timeout is None:
            return await self.connections()
        return await wait.through_outages(self.connections)

    def _let_go_of_closed_loops(self) -> None:
        for loop, opening in list(self._by_loop.items()):
            if loop.is_closed():
                self._by_loop.pop(loop, None)
                if opening.done() and not opening.cancelled() and not opening.exception():
                    opening.result().let_go()

    async def _open(self) -> Connections:
        refuse_in_a_child()
        lend_threads()
        store = await in_thread(self._open_store)
        broker = store.broker()
        try:
            await repeated(broker.open)
        except BaseException:
            await broker.close()
            raise
        connections = Connections(broker)
        await connections.open()
        return connections

    def _open_store(self) -> Store:
        with self._lock:
            if self._store is None:
                store = Store(self._settings())
                store.open()
                self._store = store
                _OPEN.add(self)
            return self._store

    async def close(self) -> None:
        """Close this loop's connections and those of the `_sync` calls, and leave the embedded store."""
        await self._close_this_loop()
        await in_thread(self.close_all)

    async def _close_this_loop(self) -> None:
        opening = self._by_loop.pop(asyncio.get_running_loop(), None)
        if opening is not None and not opening.cancelled() and opening.exception() is None:
            await opening.result().close()

    def run_sync(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run a coroutine on this application's own loop, in a thread of its own, and wait for it.

        Raises WaitTimeout when it has not ended within `timeout` seconds; RuntimeError in a running event loop, which
        it would block (use `await` there), and when the interpreter is ending.
        """
        refuse_at_the_end(work)
        with self._lock:
            if self._portal is None:
                self._portal = _portal_for(work)
                _OPEN.add(self)
            portal = self._portal
        if not portal.is_here:
            refuse_in_loop(work)
        return portal.run(work, timeout)

    def close_all(self) -> None:
        """All that threads have opened, and the store. Starts no thread: at the end of the interpreter none are had."""
        with self._lock:
            portal, self._portal = self._portal, None
            store, self._store = self._store, None
            _OPEN.discard(self)
        self._let_go_of_closed_loops()
        if portal:
            with contextlib.suppress(WaitTimeout):
                portal.run(self._close_this_loop(), _CLOSE_SECONDS)
            portal.stop()
        if store:
            store.close()

    @contextmanager
    def replaced_by(self, store: Store) -> Iterator[ByLoop]:
        """For the block, this store is used from every loop and thread; yields the connections that are made to it."""
        before = self._store, self._by_loop
        self._store, self._by_loop = store, {}
        try:
            yield self._by_loop
        finally:
            self._store, self._by_loop = before

    def forget(self) -> None:
        """In a forked child: what the parent has opened is the parent's, and stays as it is."""
        _OF_PARENTS.append((self._by_loop, self._portal, self._store))
        if self._store:
            self._store.forget()
        self._lock, self._by_loop, self._portal, self._store = threading.Lock(), {}, None, None


_CLOSE_SECONDS = 5.0
_ALL: "weakref.WeakSet[StoreAccess]" = weakref.WeakSet()
_OPEN: set[StoreAccess] = set()  # those that have something to close
_OF_PARENTS: list[object] = []  # of the processes that this one was forked from; kept, so that nothing closes it


def _close_open_ones() -> None:
    for access in list(_OPEN):
        access.close_all()


def _forget_parents() -> None:
    _OPEN.clear()
    for access in list(_ALL):
        access.forget()


atexit.register(_close_open_ones)  # early: what a program registers after its imports runs before, and may submit
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget_parents)


def _portal_for(work: Coroutine[Any, Any, Any]) -> Portal:
    try:
        return Portal()
    except RuntimeError:
        work.close()
        raise
