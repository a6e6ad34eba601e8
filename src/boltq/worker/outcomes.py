"""What becomes of a run: calls a plain function, and turns what it returns, raises or is stopped by into an Outcome."""

import asyncio
import inspect
import math

from boltq.domain.context import enter_job
from boltq.domain.job_error import Category, JobError, class_name_of, describe, text_of
from boltq.domain.limits import MAX_DELAY_SECONDS
from boltq.domain.outcome import Cancel, Cancelled, Completed, Failed, Outcome, Released, RetryLater, Snooze, Snoozed
from boltq.domain.parameters import result_json
from boltq.domain.retry import RetryPolicy
from boltq.worker import forks
from boltq.worker.run import Run


def call(run: Run) -> Outcome:
    """Run a plain function in this thread."""
    enter_job(run.context)
    task, home = run.task, forks.number
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
        if home != forks.number:
            forks.end_copy()


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
