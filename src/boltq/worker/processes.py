"""Runs functions in processes of their own, which can be killed: for work that must be stoppable, or holds the GIL.

A child is spawned, never forked: a fork would share our sockets. It imports the task's module again and finds the task
by its name there; nothing is imported because stored data say so.

It leads a session of its own, and is ended together with all that it has started there: at a timeout, a cancel and the
end of the worker, however that comes. Signals that are sent to every process of a unit are for the worker, who decides.
"""

import asyncio
import atexit
import contextlib
import importlib
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import msgspec

from boltq.domain.errors import NotFound, StoreError, StoreUnavailable
from boltq.domain.functions import home_of
from boltq.domain.job import ClaimedJob
from boltq.domain.job_error import Category, JobError, text_of
from boltq.domain.outcome import Cancelled, DataError, Failed, Outcome, Released
from boltq.portal import CHILD
from boltq.worker.outcomes import call
from boltq.worker.parents import ParentsReader
from boltq.worker.run import CANCEL, LOST, SHUTDOWN, TIMEOUT, MayBegin, Run, anything_goes

if sys.platform == "linux":
    import fcntl

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

_spawn = multiprocessing.get_context("spawn")

_LOOK: Final = 0.5  # seconds between looks whether a child that says nothing is alive
_COLLECT: Final = 5.0  # seconds, within which a child that was killed is gone
_SOON: Final = 0.05

_FOR_THE_WORKER: Final = {signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}  # not on Windows

# What travels through the pipe; both ends are ours.


class Order(msgspec.Struct):
    """One job for a child."""

    module: str
    name: str
    job: ClaimedJob
    timeout: float
    max_attempts: int


class SaidByRun(msgspec.Struct, tag=True):
    """A child's job says how far it is, or has a line for its log."""

    fraction: float | None
    text: str
    line: str | None


class ParentsWanted(msgspec.Struct, tag=True):
    """A child's job asks for the results of its parents: it gets a ParentsReply."""


class ParentsReply(msgspec.Struct, omit_defaults=True):
    """The results of a job's parents: JSON text, or why there is none."""

    text: str = ""
    refusal: tuple[str, str] | None = None  # the class of the error, and what it says


_encode: Final = msgspec.msgpack.Encoder().encode
_read_order: Final = msgspec.msgpack.Decoder(Order).decode
_read_reply: Final = msgspec.msgpack.Decoder(ParentsReply).decode
_read_message: Callable[[bytes], SaidByRun | ParentsWanted | Outcome]
_read_message = msgspec.msgpack.Decoder(SaidByRun | ParentsWanted | Outcome).decode


class ProcessPool:
    """As many children as run at once; idle ones are kept."""

    def __init__(self) -> None:
        self._idle: list[_Child] = []
        self._busy: set[_Child] = set()
        self._threads = ThreadPoolExecutor(max_workers=1_000, thread_name_prefix="boltq-child")
        atexit.register(self.close)  # before multiprocessing, which would wait for them

    async def run(self, run: Run, may_begin: MayBegin = anything_goes) -> Outcome:
        """The outcome of a run in a child. Killed on a timeout, a cancel and at shutdown."""
        loop = asyncio.get_running_loop()
        child = self._idle.pop() if self._idle else await loop.run_in_executor(self._threads, _Child)
        self._busy.add(child)
        run.stop = lambda _reason: child.kill()
        try:
            if run.job.suspect and not await may_begin(run):
                run.stop_reason = run.stop_reason or LOST
            run.began = not run.stop_reason
            if run.stop_reason:  # asked to stop while its process was starting
                child.kill()
            outcome = await loop.run_in_executor(self._threads, child.work, run)
        except BaseException:
            child.kill()
            raise
        finally:
            run.stop = None
            self._busy.discard(child)
        if child.alive():
            self._idle.append(child)
        else:
            await loop.run_in_executor(self._threads, child.end)
        return outcome

    def close(self) -> None:
        """Kill all children."""
        atexit.unregister(self.close)
        children = [*self._idle, *self._busy]
        for child in children:
            child.kill()
        for child in children:
            child.end()
        self._threads.shutdown(wait=False)


class _Child:
    """A process and the pipe to it."""

    def __init__(self) -> None:
        self._over = False
        self._pipe, theirs = _spawn.Pipe()
        self._process = _spawn.Process(target=_serve, args=(theirs, list(sys.path)), daemon=True, name=CHILD)
        usual = signal.pthread_sigmask(signal.SIG_BLOCK, _FOR_THE_WORKER)  # inherited, until the child ignores them
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, usual)
        theirs.close()

    def work(self, run: Run) -> Outcome:
        """Have one job run; waits for its end. Called in a thread."""
        task = run.task
        order = Order(home_of(task.function), task.name, run.job, run.timeout, run.max_attempts)
        try:
            self._pipe.send_bytes(_encode(order))
            while True:
                match _read_message(self._receive()):
                    case SaidByRun(fraction, text, line):
                        run.say(fraction, text, line)
                    case ParentsWanted():
                        self._pipe.send_bytes(_encode(_parents_of(run)))
                    case outcome:
                        return outcome
        except (EOFError, OSError):
            return self._ended(run)

    def _receive(self) -> bytes:
        """What the child says next. Raises EOFError when it is dead, though what it started may hold the pipe."""
        while not self._pipe.poll(_LOOK):
            if not self._process.is_alive() and not self._pipe.poll():
                raise EOFError
        return self._pipe.recv_bytes()

    def _ended(self, run: Run) -> Outcome:
        self._collect()
        if run.stop_reason == TIMEOUT:
            message = f"ran longer than its timeout of {run.timeout:g} s; its process was killed"
            return Failed(JobError("JobTimeout", message, Category.TIMEOUT, fingerprint="timeout"))
        if run.stop_reason == CANCEL:
            return Cancelled("cancelled", began=run.began)
        if run.stop_reason in {SHUTDOWN, LOST}:
            return Released(began=run.began)
        code = self._process.exitcode
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        return Failed(JobError("ProcessEnded", f"the process ended with {how}", Category.SYSTEM, fingerprint="process"))

    def alive(self) -> bool:
        """Whether the child can take another job."""
        return self._process.is_alive()

    def kill(self) -> None:
        """End the child at once, with all that it has started."""
        if self._process.pid is not None and not self._over:  # else another process may have its number by now
            with contextlib.suppress(ProcessLookupError, PermissionError):  # the child leads no group yet, or is gone
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        _hang_up(self._pipe)

    def end(self) -> None:
        """Collect what is left of the child."""
        self._collect()
        self._pipe.close()

    def _collect(self) -> None:
        self.kill()  # the child may be dead, and what it has started still alive
        self._over = True
        until = time.monotonic() + _COLLECT
        while self._process.is_alive() and time.monotonic() < until:
            wait([self._process.sentinel], _SOON)  # what the child has started may hold the sentinel open


def _hang_up(pipe: Connection) -> None:
    """Close this end for whoever waits at it, although the other end may be held open."""
    if hasattr(socket, "AF_UNIX") and not pipe.closed:  # on Windows a pipe is no socket
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(pipe.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)


def _parents_of(run: Run) -> ParentsReply:
    try:
        return ParentsReply(run.parents().wait())
    except Exception as error:  # noqa: BLE001 - it is the function's to see, in its own process
        return ParentsReply(refusal=(type(error).__name__, text_of(error)))


def _serve(pipe: Connection, path: list[str]) -> None:
    """The child: one job after the other, until the pipe closes."""
    _stand_alone()
    sys.path[:] = path
    while True:
        try:
            order = _read_order(pipe.recv_bytes())
        except (EOFError, OSError):
            os._exit(0)
        parent = _ParentPipe(pipe)
        parent.end(copy_context().run(_carry_out, order, parent))


def _stand_alone() -> None:
    """Lead a session, ignore signals that are for the worker, end with it, and be allowed to have children."""
    os.setsid()
    _end_with_parent()
    for number in _FOR_THE_WORKER:
        signal.signal(number, _ignore)  # not SIG_IGN: programs that it starts would inherit that, and never end
    os.register_at_fork(after_in_child=_ignore_no_more)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _FOR_THE_WORKER)
    multiprocessing.current_process().daemon = False


def _ignore(_number: int, _frame: FrameType | None) -> None:
    pass


def _ignore_no_more() -> None:
    for number in _FOR_THE_WORKER:
        signal.signal(number, signal.SIG_DFL)


def _end_with_parent() -> None:
    """When the worker has died, kill the whole group: a pipe that only the worker's end closes tells."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # noqa: S101 - for the type checker
    threading.Thread(target=_wait_for_end, args=(parent,), name="boltq-life", daemon=True).start()
    if sys.platform == "linux":  # the kernel kills the child, even while its function holds the GIL
        fcntl.fcntl(parent.sentinel, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(parent.sentinel, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(parent.sentinel, fcntl.F_SETFL, fcntl.fcntl(parent.sentinel, fcntl.F_GETFL) | os.O_ASYNC)


def _wait_for_end(parent: "BaseProcess") -> None:
    parent.join()
    os.killpg(os.getpgrp(), signal.SIGKILL)


class _ParentPipe:
    """A child's end of the pipe, for one job: threads of its function may use it at once, and none of them after it."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._one_talks = threading.Lock()
        self._over = False

    def say(self, said: SaidByRun) -> None:
        with self._one_talks:
            if not self._over:
                self._pipe.send_bytes(_encode(said))

    def ask(self) -> ParentsReply:
        """What belongs to the job's parents. Raises NotFound when the run is over."""
        with self._one_talks:
            if self._over:
                raise NotFound("this run of the job is over")
            self._pipe.send_bytes(_encode(ParentsWanted()))
            return _read_reply(self._pipe.recv_bytes())

    def end(self, outcome: Outcome) -> None:
        with self._one_talks:
            self._over = True
            self._pipe.send_bytes(_encode(outcome))


def _carry_out(order: Order, parent: _ParentPipe) -> Outcome:
    def say(_run: Run, fraction: float | None, text: str, line: str | None) -> None:
        parent.say(SaidByRun(fraction, text, line))

    def parents_of(_job_id: str) -> ParentsReader:
        return ParentsReader(partial(_ask, parent))

    task = _find_task(order.module, order.name)
    if task is None:
        message = f"no task {order.name!r} at the top of module {order.module!r}, where executor='process' needs it"
        return Failed(JobError("TaskNotFound", message, Category.SYSTEM), retry=False)
    return call(Run(0, order.job, task, order.timeout, order.max_attempts, say, parents_of))


def _ask(parent: _ParentPipe) -> "Future[str]":
    """In the child: the answer is there when this returns."""
    reply, found = parent.ask(), Future[str]()
    if reply.refusal is None:
        found.set_result(reply.text)
    else:
        kind, message = reply.refusal
        found.set_exception(_REFUSALS.get(kind, StoreUnavailable)(message))
    return found


_REFUSALS: Final = {kind.__name__: kind for kind in (DataError, NotFound, StoreError, StoreUnavailable)}


def _find_task(module: str, name: str) -> Any:
    from boltq.app import Task  # noqa: PLC0415 - only the child needs it

    found = importlib.import_module(module)
    return next((item for item in vars(found).values() if isinstance(item, Task) and item.name == name), None)
