"""A part of `boltq dev`: a process of its own, whose lines are shown under its name."""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Sequence

SayLine = Callable[[str, str], None]  # who, which line

_LONGEST_LINE = 1 << 20


class DevProcess:
    """One process, in a session of its own: Ctrl-C is for `boltq dev`, which stops its parts in order."""

    def __init__(self, name: str, command: Sequence[str], environment: dict[str, str], say: SayLine) -> None:
        self.name = name
        self._command = list(command)
        self._environment = environment
        self._say = say
        self._process: asyncio.subprocess.Process | None = None
        self._told = False

    async def run(self) -> int:
        """Start it and show what it says, until it ends; its exit code."""
        ours, theirs = os.pipe()[::-1]
        try:
            self._process = process = await self._start(theirs)
        finally:
            os.close(theirs)
        try:
            if self._told:
                self._signal(signal.SIGTERM)
            assert process.stdout is not None  # noqa: S101 - for the type checker
            await self._show(process.stdout)
            code = await process.wait()
        finally:
            os.close(ours)
            self._process = None
        return code

    def stop(self) -> None:
        """Tell it to end; each time it is called."""
        self._told = True
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it now."""
        self._signal(signal.SIGKILL)

    async def _start(self, life: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self._command,
            "--life",
            str(life),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[life],
            start_new_session=True,
            env=self._environment,
            limit=_LONGEST_LINE,
        )

    async def _show(self, lines: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await lines.readline()
            except ValueError:  # longer than any line should be: what is left of it follows
                continue
            if not line:
                return
            self._say(self.name, line.decode(errors="replace").rstrip("\r\n"))

    def _signal(self, number: signal.Signals) -> None:
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)
