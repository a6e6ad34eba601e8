"""Runs one job: decodes its data, calls the function, and turns what happened into an Outcome. It writes nothing."""

import asyncio
import concurrent.futures
import contextlib
import contextvars
import inspect
import math
import os
import types
from collections.abc import Awaitable, Coroutine, Generator
from typing import Any

import msgspec

from boltq.domain.context import enter_job
from boltq.domain.limits import MAX_DELAY_SECONDS
from boltq.domain.outcome import (
    Cancel,
    Cancelled,
    Category,
    Completed,
    Failed,
    JobError,
    Outcome,
    Released,
    RetryLater,
    Snooze,
    Snoozed,
    class_name_of,
    describe,
    text_of,
)
from boltq.domain.parameters import result_json
from boltq.domain.retry import RetryPolicy
from boltq.domain.workflow.prepare import RunJob
from boltq.worker.processes import ProcessPool
from boltq.worker.run import CANCEL, MayBegin, Run, anything_goes
from boltq.worker.steps import Steps

Ended = tuple[Outcome, "concurrent.futures.Future[Any] | None"]
"""The outcome of a run, and the thread that still works at it."""


class Executor:
    """Runs jobs on the event loop, in threads or in processes, as their tasks want it.

    Each run has the context variables that were set when this was made, and none that another run has set.
    """

    def __init__(self, processes: ProcessPool, may_begin: MayBegin = anything_goes) -> None:
        self._threads = concurrent.futures.ThreadPoolExecutor(max_workers=10_000, thread_name_prefix="boltq-job")
        self._processes = processes
        self._may_begin = may_begin
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self.closing = False  # the worker is torn down: a cancel that nobody asked for a run is for its slot

    async def run_step(self, run: Run, steps: Steps) -> tuple[Outcome | None, "concurrent.futures.Future[Any] | None"]:
        """A step of a workflow: what it does is asked first. None: it does something else than to run."""
        found = await steps.prepare(run)
        if run.stop_reason:
            return (None if found is None else stopped(run)), None
        if not isinstance(found, RunJob):
            return found, None
        filled = found.data != run.job.data
        run.job = msgspec.structs.replace(run.job, data=found.data, look=None, filled=filled)
        return await self.run(run)

    def run(self, run: Run) -> Coroutine[Any, Any, Ended]:
        """The outcome of a run, to be awaited, and the thread that still works at it if it could not be stopped."""
        if run.task.executor == "async" and not (run.job.suspect or run.stop_reason):
            return self._run_on_loop(run)  # at once: one coroutine less for most jobs
        return self._look_and_run(run)

    async def _look_and_run(self, run: Run) -> Ended:
        """A run that may not begin, or not here."""
        task = run.task
        if task.executor == "process":
            return await self._processes.run(run, self._may_begin), None
        if (run.job.suspect and not await self._may_begin(run)) or run.stop_reason:
            return stopped(run), None
        if task.executor == "async":
            return await self._run_on_loop(run)
        run.began = True
        return await self._run_in_thread(run)

    async def _run_on_loop(self, run: Run) -> Ended:
        slot = asyncio.current_task(self._loop)  # without being told the loop, it asks the system for our number
        assert slot is not None  # noqa: S101 - for the type checker
        run.began, run.slot, home = True, slot, _forks
        context = self._context.copy()
        try:
            work, found = context.run(_first_step, run)
            return Completed(found if work is None else await _within(context, work, found)), None
        except asyncio.CancelledError as error:
            if run.stop_reason:
                return stopped(run), None
            if self.closing:
                raise
            return Failed(describe(error, Category.UNKNOWN)), None  # the function's own
        except BaseException as error:  # noqa: BLE001 - the one place that catches everything: around a function
            return outcome_of(error, run.task.retry), None
        finally:
            if home != _forks:
                _end_copy()
            run.slot = None
            if slot.cancelling():
                await self._absorb_cancel(slot)

    async def _absorb_cancel(self, slot: "asyncio.Task[Any]") -> None:
        """A cancel that was for this run shall not hit the next one, nor end the slot."""
        while slot.cancelling():
            slot.uncancel()
        try:
            await asyncio.sleep(0)  # a function that cancelled its own task and returned has left one behind
        except asyncio.CancelledError:
            if self.closing:
                raise

    async def _run_in_thread(self, run: Run) -> Ended:
        work = self._threads.submit(self._context.copy().run, call, run)
        ended: asyncio.Future[Outcome] = self._loop.create_future()

        def stop(reason: str) -> None:  # a thread cannot be stopped; after a cancel it may see to that itself
            if reason != CANCEL and not ended.done():
                ended.set_result(stopped(run))

        run.stop = stop
        work.add_done_callback(lambda done: self._soon(_pass_on, done, ended))
        outcome = await ended
        return outcome, None if work.done() else work

    def _soon(self, action: Any, *args: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits
            self._loop.call_soon_threadsafe(action, *args)

    def close(self) -> None:
        """Wait for nothing: threads that still run are left to the end of the process."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _first_step(run: Run) -> tuple[Coroutine[Any, Any, Any] | None, Any]:
    """Call a coroutine function: the coroutine and what it waits for; or None and its result, as JSON."""
    enter_job(run.context)
    parameters = run.task.parameters
    args, kwargs = parameters.unpack(run.job.data)
    if parameters.wants_context:
        args = (run.context(), *args)
    work = run.task.function(*args, **kwargs)
    if type(work) is not types.CoroutineType:
        work = _awaited(work)
    try:
        return work, work.send(None)
    except StopIteration as end:  # it has ended without waiting for anything, which is the quickest way
        return None, result_json(end.value)


async def _awaited(work: Awaitable[Any]) -> Any:
    """What is no coroutine, though it was declared to be one."""
    return await work


@types.coroutine
def _within(context: contextvars.Context, work: Coroutine[Any, Any, Any], awaited: Any) -> Generator[Any, Any, str]:
    """Go on with a coroutine that waits, each step in that context: in this task, since one more would cost more."""
    while True:
        step: Any
        try:
            step, told = work.send, (yield awaited)
        except BaseException as error:  # noqa: BLE001 - a cancel among others: it is the coroutine's to see
            step, told = work.throw, error
        try:
            awaited = context.run(step, told)
        except StopIteration as end:
            return context.run(result_json, end.value)


def call(run: Run) -> Outcome:
    """Run a plain function in this thread."""
    enter_job(run.context)
    task, home = run.task, _forks
    try:
        args, kwargs = task.parameters.unpack(run.job.data)
        if task.parameters.wants_context:
            args = (run.context(), *args)
        result = task.function(*args, **kwargs)
        if inspect.iscoroutine(result):  # a coroutine function in a process of its own
            result = asyncio.run(result)
        return Completed(result_json(result))
    except BaseException as error:  # noqa: BLE001 - around a function
        return outcome_of(error, task.retry)
    finally:
        if home != _forks:
            _end_copy()


_forks = 0  # of which this process is the child; whoever asks the system for its number at each job pays for that


def _note_fork() -> None:
    global _forks  # noqa: PLW0603 - there is one process
    _forks += 1


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_note_fork)


def _end_copy() -> None:
    """A function has forked, and its copy has come to its end as well: that must not speak and work in our name."""
    os._exit(0)


def outcome_of(error: BaseException, policy: RetryPolicy) -> Outcome:
    """What an exception of a function means for its job, whatever the exception itself does when it is looked at."""
    try:
        return _outcome_of(error, policy)
    except BaseException as broken:  # noqa: BLE001 - it is a user's object: its properties may raise anything
        message = f"(looking at this error raised {class_name_of(broken)}: {text_of(broken)})"
        return Failed(JobError(class_name_of(error), message, Category.UNKNOWN, fingerprint="unreadable"))


def _outcome_of(error: BaseException, policy: RetryPolicy) -> Outcome:
    match error:
        case Snooze(delay=delay):
            return Snoozed(_pause(delay))
        case Cancel():
            return Cancelled(text_of(error) or "cancelled")
        case RetryLater(delay=delay):
            pause = None if delay is None else _pause(delay)
            return Failed(describe(error, policy.category_of(error)), retry_after=pause)
        case _:
            return Failed(describe(error, policy.category_of(error)))


def _pause(seconds: float) -> float:
    """A pause within bounds. Raises ValueError, TypeError for what is no number."""
    if math.isnan(seconds):
        raise ValueError("not a number of seconds")
    return min(max(0.0, float(seconds)), MAX_DELAY_SECONDS)


def stopped(run: Run) -> Outcome:
    """The outcome of a run that was interrupted."""
    match run.stop_reason:
        case "timeout":
            return timed_out(run)
        case "cancel":
            return Cancelled("cancelled", began=run.began)
        case _:
            return Released(began=run.began)


def timed_out(run: Run) -> Failed:
    """The outcome of a run that took longer than it may."""
    message = f"ran longer than its timeout of {run.timeout:g} s"
    return Failed(JobError("JobTimeout", message, Category.TIMEOUT, fingerprint="timeout"))


def _pass_on(done: "concurrent.futures.Future[Outcome]", ended: "asyncio.Future[Outcome]") -> None:
    if not ended.done() and not done.cancelled():
        ended.set_result(done.result())
