"""A user of the embedded store: comes, launches the server if there is none, and is perhaps the last one out."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from redis.exceptions import RedisError

from boltq.broker.embedded.directory import DataDirectory
from boltq.broker.embedded.files import is_locked, locked
from boltq.broker.embedded.options import HINT, EmbeddedError, Fsync, StoreOptions
from boltq.broker.embedded.server import Server, server_binary
from boltq.broker.embedded.watcher import Watcher

with suppress(ImportError):  # see files.py
    import fcntl


class EmbeddedStore:
    """A user of the server of one data directory, which it launches if there is none.

    Its methods wait as long as the server takes: from a coroutine, use `asyncio.to_thread`. They raise EmbeddedError.
    """

    def __init__(
        self,
        directory: Path,
        options: StoreOptions | None = None,
        *,
        fsync: Fsync | None = None,
        runtime_dir: Path | None = None,
    ) -> None:
        options = options or StoreOptions()
        self.options = replace(options, fsync=fsync) if fsync else options
        self._place = DataDirectory(directory, runtime_dir)
        self._server = Server(self._place, self.options)
        self._users: int | None = None  # our hold on the users file
        self._owner = os.getpid()  # who holds it; a forked child does not
        self._watcher: Watcher | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # In and out

    def start(self) -> str:
        """Attach to the server of this directory, launch it if there is none, and return its URL."""
        with self._naming_failures():
            binary = server_binary()
            self._place.own()
            with self._place.alone():
                newcomer = self._users is None
                if newcomer:
                    self._users = locked(self._place.users, fcntl.LOCK_SH)
                try:
                    self._server.be_there(binary, self._users)
                except BaseException:
                    if newcomer:  # a start that failed leaves nothing behind
                        self._leave()
                    raise
        return self.url

    def forget(self) -> None:
        """In a forked child: the hold on the server is the parent's, and so is the thread that watches it."""
        users, self._users, self._watcher = self._users, None, None
        self._server.launched, self._owner = 0, os.getpid()
        if users is not None:
            os.close(users)  # the parent's own file stays locked; with ours open, it would be so after the parent left

    def stop(self) -> None:
        """Detach. The last one out shuts the server down, and returns when it is gone."""
        if self._owner != os.getpid():
            self.forget()
        if self._watcher:
            self._watcher.stop()
            self._watcher = None
        if self._users is not None:
            with self._naming_failures(), self._place.alone():
                self._leave()

    def ensure_running(self) -> bool:
        """Launch the server again if it died; whether that was needed. All users may call it at once."""
        self._must_be_started()
        with self._naming_failures(), self._place.alone():
            return self._server.be_there(server_binary(), self._users)

    def watch(self, interval: float = 0.2) -> None:
        """Until `stop`, a thread launches the server again if it died. The interval is between tries."""
        self._must_be_started()
        if not self._watcher:
            self._watcher = Watcher(self.directory, self.ensure_running, self._server.dial, interval)
            self._watcher.start()

    # What there is

    @property
    def directory(self) -> Path:
        """Where the data are."""
        return self._place.path

    @property
    def log_file(self) -> Path:
        """Where the server writes what it has to say."""
        return self._place.log

    @property
    def url(self) -> str:
        """For applications: all of their data, none of the server."""
        return self._server.url

    @property
    def admin_url(self) -> str:
        """For repairs and tests: may do everything. The password in it is read from the data directory."""
        return self._server.admin_url

    @property
    def pid(self) -> int:
        """The process id of the server."""
        return self._server.pid

    @property
    def launched(self) -> bool:
        """Whether we launched the server, rather than found it there."""
        return self._server.launched > 0 and self._server.launched == self.pid

    @property
    def running(self) -> bool:
        """Whether this directory has a live server, ours or not."""
        return self._server.running

    @property
    def in_use(self) -> bool:
        """Whether anyone uses this directory's server; one that runs without is an orphan."""
        return self._place.in_use

    # Behind it

    def _must_be_started(self) -> None:
        if self._users is None:
            raise EmbeddedError("the store was not started")

    def _leave(self) -> None:
        users, self._users = self._users, None
        if users is not None:
            os.close(users)
        if not is_locked(self._place.users, fcntl.LOCK_EX):
            self._server.shut_down()

    @contextmanager
    def _naming_failures(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RedisError) as error:
            raise EmbeddedError(f"cannot use the store in {self.directory}: {error}; {HINT}") from error
