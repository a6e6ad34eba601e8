"""Programs that tests start: their output as it comes, and their end."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import psutil

T = TypeVar("T")

PATIENCE = 40.0  # seconds; the machine that runs the tests may be busy


class Program:
    """A running program in a session of its own, as a terminal would have it."""

    def __init__(self, command: list[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.output = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_for(self, pattern: str, after: int = 0) -> re.Match[str]:
        """What matches in its output, as soon as it does."""

        def found() -> re.Match[str] | None:
            return re.compile(pattern).search(self.output, after)

        return wait_until(found, lambda: f"no {pattern!r} in:\n{self.output}", self.process)

    def wait(self) -> int:
        """Its exit code."""
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end:\n{self.output}") from None
        self._reader.join(PATIENCE)
        return code

    def interrupt(self) -> None:
        """What Ctrl-C does: SIGINT for all of the terminal's foreground."""
        os.killpg(self.pid, signal.SIGINT)

    def terminate(self) -> None:
        self.process.terminate()

    def kill(self) -> None:
        self.process.kill()

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.pid).children(recursive=True)

    def worker_children(self) -> list[psutil.Process]:
        """The processes that run jobs."""
        return [child for child in self.children() if "--child" in _words(child)]

    def close(self) -> None:
        """Wait for the end, and for the last of its lines."""
        self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        if self.process.stdout:
            self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.output += line.decode(errors="replace")


@contextmanager
def running(command: list[str], folder: Path, environment: Mapping[str, str]) -> Iterator[Program]:
    """A program; whatever is left of it afterwards is killed."""
    program = Program(command, folder, environment)
    try:
        yield program
    finally:
        _end(program)
        program.close()


def _end(program: Program) -> None:
    """Kill it with all that it has started. They are stopped first: one could start what another has just lost."""
    with suppress(psutil.NoSuchProcess):
        family = [psutil.Process(program.pid), *program.children()]
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for process in family:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)


def boltq_command(*words: str) -> list[str]:
    return [sys.executable, "-m", "boltq", *words]


def clean_environment(**extra: str) -> dict[str, str]:
    """Ours, without what would tell BoltQ something."""
    ours = {"REDIS_ADDR", "API_PORT", "PORT", "NUM_WORKERS", "MAX_ATTEMPTS", "ENVIRONMENT", "POLLING_INTERVAL"}
    kept = {key: value for key, value in os.environ.items() if key not in ours and not key.startswith("BOLTQ_")}
    return kept | {"PYTHONUNBUFFERED": "1"} | extra


def wait_until(
    look: Callable[[], T | None],
    complaint: Callable[[], str] = lambda: "it did not happen",
    process: "subprocess.Popen[bytes] | None" = None,
) -> T:
    """What `look` answers, as soon as that is something."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        ended = process is not None and process.poll() is not None
        if found := look():
            return found
        if ended:
            time.sleep(0.2)  # its last lines are still on their way
            if found := look():
                return found
            break
        time.sleep(0.02)
    raise AssertionError(complaint())


def gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []
