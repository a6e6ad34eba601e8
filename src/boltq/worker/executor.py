"""Runs one job: decodes its data, calls the function, and turns what happened into an Outcome. It writes nothing."""

import asyncio
import concurrent.futures
import contextvars
import inspect
from typing import Any

from boltq.domain.context import enter_job
from boltq.domain.outcome import (
    Cancel,
    Cancelled,
    Category,
    Completed,
    DataError,
    Failed,
    JobError,
    Outcome,
    Released,
    RetryLater,
    Snooze,
    Snoozed,
    describe,
)
from boltq.domain.parameters import result_json
from boltq.domain.retry import RetryPolicy
from boltq.worker.processes import ProcessPool
from boltq.worker.run import CANCEL, Run


class Executor:
    """Runs jobs on the event loop, in threads or in processes, as their tasks want it."""

    def __init__(self, processes: ProcessPool) -> None:
        self._threads = concurrent.futures.ThreadPoolExecutor(max_workers=10_000, thread_name_prefix="boltq-job")
        self._processes = processes
        self._loop = asyncio.get_running_loop()

    async def run(self, run: Run) -> tuple[Outcome, "concurrent.futures.Future[Any] | None"]:
        """The outcome of a run, and the thread that still works at it if it could not be stopped."""
        task = run.task
        if task.executor == "async":
            return await self._run_on_loop(run), None
        if task.executor == "process":
            return await self._processes.run(run), None
        return await self._run_in_thread(run)

    async def _run_on_loop(self, run: Run) -> Outcome:
        task = run.task
        slot = asyncio.current_task()
        assert slot is not None  # noqa: S101 - for the type checker
        run.stop = slot.cancel
        enter_job(run.context)
        try:
            parameters = task.parameters
            args, kwargs = parameters.unpack(run.job.data)
            if parameters.wants_context:
                args = (run.context(), *args)
            return Completed(result_json(await task.function(*args, **kwargs)))
        except asyncio.CancelledError as error:
            if not run.stop_reason:
                if slot.cancelling():  # the worker itself is torn down
                    raise
                return Failed(describe(error, Category.UNKNOWN))  # the function's own
            return stopped(run)
        except BaseException as error:  # noqa: BLE001 - the one place that catches everything: around a function
            return outcome_of(error, task.retry)
        finally:
            run.stop = None
            while slot.cancelling():
                slot.uncancel()

    async def _run_in_thread(self, run: Run) -> tuple[Outcome, "concurrent.futures.Future[Any] | None"]:
        work = self._threads.submit(contextvars.copy_context().run, call, run)
        ended: asyncio.Future[Outcome] = self._loop.create_future()

        def stop() -> None:  # a thread cannot be stopped; on a timeout or at shutdown nobody waits for it any longer
            if run.stop_reason != CANCEL and not ended.done():
                ended.set_result(stopped(run))

        run.stop = stop
        work.add_done_callback(lambda done: self._loop.call_soon_threadsafe(_pass_on, done, ended))
        outcome = await ended
        return outcome, None if work.done() else work

    def close(self) -> None:
        """Wait for nothing: threads that still run are left to the end of the process."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def call(run: Run) -> Outcome:
    """Run a plain function in this thread."""
    enter_job(run.context)
    task = run.task
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


def outcome_of(error: BaseException, policy: RetryPolicy) -> Outcome:
    """What an exception of a function means for its job."""
    match error:
        case Snooze(delay=delay):
            return Snoozed(max(0.0, delay))
        case Cancel():
            return Cancelled(str(error) or "cancelled")
        case RetryLater(delay=delay):
            return Failed(describe(error, policy.category_of(error)), retry_after=delay)
        case DataError():
            return Failed(describe(error, Category.DATA), retry=False)
        case _:
            return Failed(describe(error, policy.category_of(error)))


def stopped(run: Run) -> Outcome:
    """The outcome of a run that was interrupted."""
    match run.stop_reason:
        case "timeout":
            return timed_out(run)
        case "cancel":
            return Cancelled("cancelled")
        case _:
            return Released()


def timed_out(run: Run) -> Failed:
    """The outcome of a run that took longer than it may."""
    message = f"ran longer than its timeout of {run.timeout:g} s"
    return Failed(JobError("JobTimeout", message, Category.TIMEOUT, fingerprint="timeout"))


def _pass_on(done: "concurrent.futures.Future[Outcome]", ended: "asyncio.Future[Outcome]") -> None:
    if not ended.done():
        ended.set_result(done.result())
