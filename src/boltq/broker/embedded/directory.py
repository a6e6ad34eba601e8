"""A data directory: whose it is, who may start a server in it, where that server listens."""

import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from boltq.broker.embedded.files import is_locked, locked, write_whole
from boltq.broker.embedded.options import ADMIN, HINT, EmbeddedError

with suppress(ImportError):  # see files.py
    import fcntl

SOCKET_BYTES = 103  # what fits into sun_path on Linux (107) and on macOS (103)


class DataDirectory:
    """The files beside the server's own data."""

    def __init__(self, path: Path, runtime_dir: Path | None = None) -> None:
        self.path = path.resolve()  # one name for all users: it decides where the socket is
        self.lock, self.users, self.life = self.path / "lock", self.path / "users", self.path / "server.pid"
        self.log = self.path / "store.log"
        self._runtime_dir = runtime_dir or Path(tempfile.gettempdir())

    def __str__(self) -> str:
        return str(self.path)

    def own(self) -> None:
        """Make the directory, or make sure that it is ours and private. Raises EmbeddedError."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = self.path.stat()
        if status.st_uid != os.geteuid():
            raise EmbeddedError(f"{self} belongs to another user ({status.st_uid}); {HINT}")
        if stat.S_IMODE(status.st_mode) & 0o077:
            is_store = self.life.exists()
            if not is_store and any(self.path.iterdir()):  # perhaps someone's home: not ours to close
                raise EmbeddedError(f"{self} is not empty and open to others; {HINT}")
            self.path.chmod(0o700)
        ignore = self.path / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Of all threads and processes, only the one in this block may start or stop the server."""
        turn = locked(self.lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(turn, fcntl.LOCK_UN)  # before the closing: a child that was forked meanwhile has the file, too
            os.close(turn)

    @property
    def in_use(self) -> bool:
        """Whether anyone uses this directory's server; one that runs without is an orphan."""
        if not self.path.exists():
            return False
        try:
            turn = locked(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True  # someone comes or goes
        try:
            return is_locked(self.users, fcntl.LOCK_EX)
        finally:
            os.close(turn)

    # The admin's password

    def admin_password(self) -> str:
        """As it was made."""
        return (self.path / ADMIN).read_text()

    def make_admin_password(self) -> str:
        """The one that is there, or a new one."""
        with suppress(FileNotFoundError):
            if password := self.admin_password():
                return password
        password = secrets.token_hex(32)
        write_whole(self.path / ADMIN, password.encode())
        return password

    # The socket

    def socket(self) -> Path | None:
        """Where the server listens: in its directory, or where it wrote down if that path is too long."""
        path = self.path / "store.sock"
        if len(os.fsencode(path)) <= SOCKET_BYTES:
            return path
        try:
            path = Path(os.fsdecode((self.path / "socket").read_bytes()))
        except FileNotFoundError:
            return None
        return path if self._is_our_short_directory(path.parent) else None

    def make_socket(self) -> Path:
        """The same; a short private directory is made for it where the path is too long. Raises EmbeddedError."""
        path = self.socket()
        if path:
            return path
        for parent in (self._runtime_dir, Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108 - mkdtemp is safe
            if len(os.fsencode(parent / "boltq-12345678" / "store.sock")) <= SOCKET_BYTES and parent.is_dir():
                short = Path(tempfile.mkdtemp(prefix="boltq-", dir=parent))
                (short / "data").symlink_to(self.path)
                write_whole(self.path / "socket", os.fsencode(short / "store.sock"))
                return short / "store.sock"
        raise EmbeddedError(f"no directory has a path short enough for a socket; {HINT}")

    def remove_short_socket(self) -> None:
        """The server is gone, and with it the need for a short path."""
        path = self.socket()
        if path and path.parent != self.path:
            shutil.rmtree(path.parent, ignore_errors=True)
            (self.path / "socket").unlink(missing_ok=True)

    def _is_our_short_directory(self, short: Path) -> bool:
        """Whether it is private, and this data directory's own, not that of one which this is a copy of."""
        try:
            status = short.lstat()
            is_for_us = (short / "data").samefile(self.path)
        except OSError:
            return False
        is_private = stat.S_ISDIR(status.st_mode) and not stat.S_IMODE(status.st_mode) & 0o077
        return is_for_us and is_private and status.st_uid == os.geteuid()
