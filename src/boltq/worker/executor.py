"""Runs one job where its task wants it: on the event loop, in a thread, in a process. It writes nothing."""

import asyncio
import concurrent.futures
import contextlib
import contextvars
import types
from collections.abc import Awaitable, Coroutine, Generator
from typing import Any

import msgspec

from boltq.domain.context import enter_job
from boltq.domain.job_error import Category, describe
from boltq.domain.outcome import Completed, Failed, Outcome
from boltq.domain.parameters import result_json
from boltq.domain.workflow.prepare import RunJob
from boltq.worker import forks
from boltq.worker.outcomes import call, outcome_of, stopped
from boltq.worker.processes import ProcessPool
from boltq.worker.run import CANCEL, MayBegin, Run, anything_goes
from boltq.worker.steps import Steps, Told

Ended = tuple[Outcome | None, "concurrent.futures.Future[Any] | None"]
"""The outcome of a run, and the thread that still works at it."""


class Executor:
    """Runs jobs on the event loop, in threads or in processes, as their tasks want it.

    Each run has the context variables that were set when this was made, and none that another run has set.
    """

    def __init__(self, processes: ProcessPool, steps: Steps, may_begin: MayBegin = anything_goes) -> None:
        self._threads = concurrent.futures.ThreadPoolExecutor(max_workers=10_000, thread_name_prefix="boltq-job")
        self._processes = processes
        self._steps = steps
        self._may_begin = may_begin
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self.closing = False  # the worker is torn down: a cancel that nobody asked for a run is for its slot

    def run(self, run: Run) -> Coroutine[Any, Any, Ended]:
        """Await it: how a run ends, and the thread that still works at it if that could not be stopped.

        None instead of an outcome: it is a step of a workflow that does something else, so there is nothing to settle.
        """
        if run.is_step:
            return self._run_step(run)
        if run.task.executor == "async" and not (run.job.suspect or run.stop_reason):
            return self._run_on_loop(run)  # without a coroutine between: most jobs save one so
        return self._look_and_run(run)

    async def _run_step(self, run: Run) -> Ended:
        """A step of a workflow: what it does is asked first."""
        found = await self._steps.prepare(run)
        if isinstance(found, Told):
            return None, None
        if run.stop_reason:
            return stopped(run), None
        if not isinstance(found, RunJob):
            return found, None
        filled = found.data != run.job.data
        run.job = msgspec.structs.replace(run.job, data=found.data, look=None, filled=filled)
        return await self._look_and_run(run)

    async def _look_and_run(self, run: Run) -> Ended:
        """Run a job where its task wants it, unless it may not begin."""
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
        run.began, run.slot, home = True, slot, forks.number
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
            if home != forks.number:
                forks.end_copy()
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
    """Awaits what a function returned that is awaitable, and no coroutine."""
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


def _pass_on(done: "concurrent.futures.Future[Outcome]", ended: "asyncio.Future[Outcome]") -> None:
    if not ended.done() and not done.cancelled():
        ended.set_result(done.result())
