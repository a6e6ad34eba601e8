"""Turns a form's fields into a plan's: numbers for texts. The checks have named what cannot be read."""

import msgspec

from boltq.domain.job import Priority
from boltq.domain.retry import Backoff, StepRetry
from boltq.domain.workflow.durations import seconds_in
from boltq.domain.workflow.form import ApprovalForm, BackoffForm, MapForm, RetryForm
from boltq.domain.workflow.plan import PlannedMap


def priority_of(given: int | str | None, usual: Priority) -> Priority:
    """The priority that is given, or the usual one."""
    try:
        return usual if given is None else Priority.parse(given)
    except ValueError:
        return usual


def planned_seconds(duration: float | str | None) -> float | None:
    """A duration as a number."""
    try:
        return None if duration is None else seconds_in(duration)
    except ValueError:
        return None


def planned_approval(form: ApprovalForm) -> ApprovalForm:
    """An approval with its timeout in seconds."""
    return msgspec.structs.replace(form, timeout_seconds=planned_seconds(form.timeout_seconds))


def planned_retry(form: RetryForm) -> StepRetry:
    """The retries of a step's job."""
    backoff = _backoff(form.backoff) if isinstance(form.backoff, BackoffForm) else None
    return StepRetry(max_attempts=form.max_attempts, backoff=backoff, on=form.on)


def planned_map(form: MapForm) -> PlannedMap:
    """The map of a step."""
    over = bytes(form.over).decode(errors="replace")
    return PlannedMap(over, form.max_concurrency, form.tolerated_failures)


def _backoff(form: BackoffForm) -> Backoff:
    usual = Backoff()
    base = planned_seconds(form.base_seconds) or 0.0
    cap = max(usual.cap, base) if form.cap_seconds is None else planned_seconds(form.cap_seconds) or 0.0
    floor = min(usual.floor, base) if form.floor_seconds is None else planned_seconds(form.floor_seconds) or 0.0
    try:
        return Backoff(base=base, factor=form.factor, cap=cap, floor=floor, jitter=form.jitter)
    except ValueError:
        return usual
