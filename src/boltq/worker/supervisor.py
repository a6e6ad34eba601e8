"""The supervisor: keeps worker processes alive, and gives back at once what a dead one held.

Each child has a socket to the supervisor. It tells its whereabouts through it (which store, which namespace), and the
socket's end tells the child that the supervisor has died, however that happened. Last, the child says how it ends; one
that says nothing was ended by what it ran, whatever its exit code.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from boltq.broker.broker import Broker, SyncBroker
from boltq.broker.calls import workers as calls
from boltq.worker.worker import SENT_HOME, WORN_OUT

log = logging.getLogger(__name__)

USAGE: Final = 2  # exit code: what the child was told to run cannot be run
NO_STORE: Final = 3  # exit code: the store cannot be used, and waiting does not help
HOPELESS: Final = (USAGE, NO_STORE)
IN_ORDER: Final = (0, WORN_OUT, SENT_HOME)  # exit codes of a child that has handed back all, if it also says so

LAST_SECONDS: Final = 2.0  # a child that was told to end is killed so long after its grace time
_QUICK: Final = 10.0  # seconds: a child that dies sooner is started again after a pause
_PAUSES: Final = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_GIVE_BACK_PAUSES: Final = (0.1, 0.5, 1.0, 2.0)  # between tries while the store is away; the last one repeats
_AT_ONCE: Final = 0.25  # seconds
_FAREWELL: Final = 5.0  # seconds for the last hand-backs when the supervisor ends


class Whereabouts(msgspec.Struct):
    """What a child tells of itself: where its jobs live, and how long its running ones may take at the end."""

    address: str
    namespace: str
    partitions: int
    grace: float


class Notice:
    """That we are told to end. Signals that come together count once: timeout(1) sends us two."""

    def __init__(self) -> None:
        self._first = 0.0

    def again(self) -> bool:
        """Note that we are told to end. Answers whether that was the second time."""
        now = time.monotonic()
        self._first = self._first or now
        return now - self._first >= _AT_ONCE


class Supervisor:
    """Runs a command `processes` times, and each again when it ends. Belongs to one event loop.

    The command gets `--name` and `--life` (a file descriptor) appended. The registrations of a child's worker begin
    with its name and a dot: see Worker.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        processes: int = 1,
        name: str | None = None,
        grace: float = 30.0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command = list(command)
        self._processes = processes
        self._name = name or f"{socket.gethostname()}-{os.getpid()}"
        self._grace = grace
        self._environment = environment
        self._children: dict[int, Child] = {}
        self._notice = Notice()
        self._stopping = asyncio.Event()
        self._hurrying = asyncio.Event()
        self._changed = asyncio.Event()
        self._waits_for_change = False
        self._has_run = False  # some child has come so far as to take jobs
        self.exit_code = 0

    async def run(self) -> int:
        """Keep the children alive until told to stop; the exit code."""
        async with asyncio.TaskGroup() as group:
            for number in range(1, self._processes + 1):
                group.create_task(self._keep(number, group))
        return self.exit_code

    def stop(self) -> None:
        """Let the children finish what they run, and end. The second time: kill them."""
        if self._notice.again():
            self._hurrying.set()
        self._stopping.set()
        self._changed.set()
        for child in self._children.values():
            child.tell_to_end()

    def renew(self) -> None:
        """Replace every child, each when it has finished what it runs: the code has changed."""
        self._changed.set()
        for child in self._children.values():
            child.tell_to_end()

    def wait_for_changes(self) -> None:
        """From now on, a child that cannot run waits for `renew` instead of ending everything."""
        self._waits_for_change = True

    # One place

    async def _keep(self, number: int, group: asyncio.TaskGroup) -> None:
        """Run one child after the other, in one place."""
        quick_deaths = 0
        while not self._stopping.is_set():
            self._changed.clear()
            child = await Child.start(self._command, self._new_name(number), self._environment)
            self._children[number] = child
            if self._stopping.is_set():
                child.tell_to_end()
            code = await self._wait_for_end(child)
            del self._children[number]
            self._has_run = self._has_run or child.whereabouts is not None
            self._note_end(child, code)
            group.create_task(self._see_off(child, code))
            if code == SENT_HOME and child.left(code):
                return
            if code in HOPELESS and await self._is_hopeless(code):
                continue
            died = code != 0 or not child.left(code)
            quick_deaths = quick_deaths + 1 if died and child.age() < _QUICK else 0
            await self._pause(_PAUSES[min(max(0, quick_deaths - 1), len(_PAUSES) - 1)])

    def _new_name(self, number: int) -> str:
        return f"{self._name}-{number}-{secrets.token_hex(3)}"

    async def _wait_for_end(self, child: "Child") -> int:
        """The exit code of a child that ended by itself, or when it was told to, or had to be killed."""
        ended, told = asyncio.create_task(child.wait()), asyncio.create_task(child.told.wait())
        await asyncio.wait({ended, told}, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        if not ended.done():
            await self._wait_for_the_told(child, ended)
        return await ended

    async def _wait_for_the_told(self, child: "Child", ended: "asyncio.Task[int]") -> None:
        """Give a child that was told to end the time that its jobs may take; then kill it."""
        grace = child.whereabouts.grace if child.whereabouts else self._grace
        hurry = asyncio.create_task(self._hurrying.wait())
        await asyncio.wait({ended, hurry}, timeout=grace + LAST_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if not ended.done():
            log.warning("worker %s does not end: killing it", child.name)
            child.kill()

    def _note_end(self, child: "Child", code: int) -> None:
        if code in IN_ORDER and not child.left(code):
            log.error("worker %s was ended by what it ran, with exit code %d", child.name, code)
        elif code == WORN_OUT:
            log.warning("worker %s is worn out: starting another", child.name)
        elif code == SENT_HOME:
            log.info("worker %s was told to stop: no other takes its place", child.name)
        elif code < 0 and not child.told.is_set():
            log.error("worker %s died by signal %d", child.name, -code)
        elif code > 0 and code not in HOPELESS:
            log.error("worker %s ended with exit code %d", child.name, code)

    async def _is_hopeless(self, code: int) -> bool:
        """Whether to start again would be of no use: then we end, or have waited for the code to change."""
        if self._waits_for_change and code == USAGE:
            log.info("waiting for a change of the code")
            await self._changed.wait()
            return True
        if self._has_run:  # it has worked before: somebody may be about to mend the code
            return False
        self.exit_code = code
        self.stop()
        return True

    async def _pause(self, seconds: float) -> None:
        if seconds and not self._changed.is_set():
            log.warning("it died soon: the next one starts in %g s", seconds)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._changed.wait()

    # What a dead child held

    async def _see_off(self, child: "Child", code: int) -> None:
        """Hand back what a dead child held."""
        home = child.whereabouts
        if home is None:  # it ended before it held anything
            return
        if code in IN_ORDER and child.left(code):  # it has handed back all, maybe as the store's last user
            with contextlib.suppress(Exception):
                await asyncio.to_thread(give_back, child.name, home, lost=False)
        else:
            lost = not child.killed  # a child that we killed was not taken down by its jobs
            await self._give_back(child.name, home, lost=lost)

    async def _give_back(self, name: str, home: Whereabouts, *, lost: bool) -> None:
        """Hand back what the child held; again until the store has answered."""
        farewell = 0.0
        for pause in _repeating_last(_GIVE_BACK_PAUSES):
            try:
                taken = await asyncio.to_thread(give_back, name, home, lost=lost)
            except Exception as error:  # noqa: BLE001 - whatever it is, the supervisor goes on, and tries again
                log.warning("cannot give back yet what worker %s held: %s", name, error)
            else:
                if taken:
                    log.warning("gave back %d jobs of worker %s", taken, name)
                return
            if self._stopping.is_set():
                farewell = farewell or time.monotonic() + _FAREWELL
                if time.monotonic() > farewell:
                    log.error("the store is away: the leases of worker %s will run out by themselves", name)
                    return
            await asyncio.sleep(pause)


class Child:
    """One process, and our end of the socket to it."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, line: socket.socket) -> None:
        self.name = name
        self.told = asyncio.Event()  # to end
        self.killed = False
        self._process = process
        self._line = line
        self._heard = b""
        self._started = time.monotonic()

    @classmethod
    async def start(cls, command: Sequence[str], name: str, environment: Mapping[str, str] | None) -> "Child":
        """A new process, in a session of its own: Ctrl-C is for us, who then tell it."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *command,
                "--name",
                name,
                "--life",
                str(theirs.fileno()),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env=environment,
            )
        return cls(name, process, ours)

    async def wait(self) -> int:
        """The child's exit code once it has ended; what it had started ends with it, unless it left in good order."""
        code = await self._process.wait()
        self._listen()
        self._line.close()
        if code != 0 or not self.left(code):
            self._signal(signal.SIGKILL)
        return code

    def tell_to_end(self) -> None:
        """Have the child finish what it runs, and end."""
        if not self.told.is_set():
            self.told.set()
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()

    def kill(self) -> None:
        """Kill the child, and what it has started."""
        self.killed = True
        self._signal(signal.SIGKILL)

    def age(self) -> float:
        """Seconds since the child was started."""
        return time.monotonic() - self._started

    @property
    def whereabouts(self) -> Whereabouts | None:
        """What the child has told of itself; None before it has."""
        self._listen()
        said = next((line for line in self._lines() if line.startswith(b"{")), None)
        return msgspec.json.decode(said, type=Whereabouts) if said else None

    def left(self, code: int) -> bool:
        """Whether the child has said that it ends with this code: a function can end the process with any code."""
        return str(code).encode() in self._lines()

    def _lines(self) -> Sequence[bytes]:
        return self._heard.split(b"\n")[:-1]

    def _listen(self) -> None:
        with contextlib.suppress(OSError):  # the child has said nothing new, or has closed the socket
            while piece := self._line.recv(4_096):
                self._heard += piece

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


def give_back(name: str, home: Whereabouts, *, lost: bool) -> int:
    """Retire every registration of a child, in every partition; how many jobs went back. Raises StoreError."""
    broker = SyncBroker(Broker(home.address, namespace=home.namespace, partitions=home.partitions))
    try:
        return sum(_give_back_in(broker, partition, name, lost=lost) for partition in range(home.partitions))
    finally:
        broker.close()


def tell_whereabouts(fd: int, whereabouts: Whereabouts) -> None:
    """For the child: say where its jobs live, before it takes the first one."""
    with contextlib.suppress(OSError):  # the supervisor is gone; we hear of that in another way
        os.write(fd, msgspec.json.encode(whereabouts) + b"\n")


def tell_end(fd: int, code: int) -> None:
    """For the child: say that it is about to end with this code, of its own accord."""
    with contextlib.suppress(OSError):
        os.write(fd, b"%d\n" % code)


def child_command(*words: str) -> list[str]:
    """The command line of a child: this BoltQ, in this Python."""
    return [sys.executable, "-m", "boltq", *words]


def _give_back_in(broker: SyncBroker, partition: int, name: str, *, lost: bool) -> int:
    taken = 0
    for worker in _registrations(broker, partition, name):
        more = 1
        while more:
            back, more = broker.send(calls.retire(partition, worker, lost=lost))
            taken += back
    return taken


def _registrations(broker: SyncBroker, partition: int, name: str) -> set[str]:
    """The registrations of a child, found in portions."""
    found, cursor = set[str](), ""
    while True:
        portion = broker.send(calls.workers(partition, cursor))
        found |= {row.id for row in portion.found if row.id.startswith(f"{name}.")}
        if not (cursor := portion.following):
            return found


def _repeating_last(pauses: Sequence[float]) -> Iterator[float]:
    yield from pauses
    while True:
        yield pauses[-1]
