"""Whether a failed job runs again, and when: one policy for each category of error."""

import math
import random
from collections.abc import Mapping
from typing import Any

import msgspec

from boltq.domain.hints import alike
from boltq.domain.job_error import Category
from boltq.domain.limits import MAX_ATTEMPTS, MAX_DELAY_SECONDS
from boltq.domain.outcome import Failed

_NO_NUMBER = "is not a number"


def bad_number(value: object) -> str | None:
    """Why that is not a number of seconds or a factor; None when it is fine."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _NO_NUMBER
    return None if 0 <= value < math.inf else "must be a number from 0 on, and finite"


class Backoff(msgspec.Struct, frozen=True):
    """Exponential backoff with full jitter (Brooker, AWS Architecture Blog 2015), above a floor. In seconds.

    The ceiling of attempt n is `base * factor ** (n - 1)`, at most `cap`; the delay is drawn from floor to ceiling.
    Without jitter it is the ceiling. Raises ValueError and TypeError for what is no number of seconds.
    """

    base: float = 1.0
    factor: float = 2.0
    cap: float = 300.0
    floor: float = 0.1
    jitter: bool = True

    def __post_init__(self) -> None:
        for name in ("base", "factor", "cap", "floor"):
            if bad := bad_number(getattr(self, name)):
                raise (TypeError if bad is _NO_NUMBER else ValueError)(f"Backoff({name}=…) {bad}")

    def ceiling(self, attempt: int) -> float:
        """The longest delay after the given attempt (1 is the first)."""
        try:
            return max(self.floor, min(self.cap, self.base * self.factor ** (attempt - 1)))
        except OverflowError:
            return max(self.floor, self.cap)

    def delay(self, attempt: int, chance: float) -> float:
        """The delay after the given attempt; `chance` is a number from 0 to 1."""
        return self.floor + (self.ceiling(attempt) - self.floor) * (chance if self.jitter else 1.0)


DEFAULT_BACKOFFS: Mapping[Category, Backoff | None] = {
    Category.TRANSIENT: Backoff(base=1, cap=300),
    Category.RATE_LIMITED: Backoff(base=5, cap=600, floor=1),
    Category.TIMEOUT: Backoff(base=5, cap=600, floor=1),
    Category.SYSTEM: Backoff(base=10, cap=900, floor=1),
    Category.UNKNOWN: Backoff(base=1, cap=300),
    Category.DATA: None,  # no retry
    Category.POISON: None,
}


class RetryPolicy(msgspec.Struct, frozen=True):
    """How often a job may run, and how long it waits in between.

    `backoffs` overrules the defaults for the categories that it names; None means no retry.
    `errors` maps exception classes to categories, for classes that BoltQ does not know.
    """

    max_attempts: int | None = None  # None: the setting MAX_ATTEMPTS
    backoffs: Mapping[Category, Backoff | None] = {}
    errors: Mapping[type[BaseException], Category] = {}

    def category_of(self, error: BaseException) -> Category:
        """The category of an exception: its own, the policy's mapping, then the well-known ones."""
        own = getattr(error, "category", None)
        if isinstance(own, Category):
            return own
        for table in (self.errors, KNOWN_ERRORS):
            for kind, category in table.items():
                if isinstance(error, kind):
                    return category
        return Category.UNKNOWN

    def delay(self, failed: Failed, attempt: int, max_attempts: int, chance: float | None = None) -> float | None:
        """Seconds until the next attempt, or None when the job is dead."""
        backoff = self.backoffs.get(failed.error.category, DEFAULT_BACKOFFS[failed.error.category])
        if backoff is None or not failed.retry or attempt >= max_attempts:
            return None
        if failed.retry_after is not None:
            return max(0.0, failed.retry_after)
        pause = backoff.delay(attempt, random.random() if chance is None else chance)  # noqa: S311 - jitter
        if bad := bad_number(pause):  # from a class of the user's
            raise ValueError(f"{type(backoff).__name__}.delay() {bad}")
        return min(pause, MAX_DELAY_SECONDS)


class StepRetry(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What a step says of retries; None leaves it to the task."""

    max_attempts: int | None = None
    backoff: Backoff | None = None
    on: list[Category] | None = None  # the kinds of error that are worth another attempt

    def over(self, policy: RetryPolicy) -> RetryPolicy:
        """The task's policy with what this says instead."""
        backoffs = {category: policy.backoffs.get(category, DEFAULT_BACKOFFS[category]) for category in Category}
        wanted = [category for category, usual in backoffs.items() if usual] if self.on is None else self.on
        chosen = {
            category: (self.backoff or backoffs[category] or Backoff()) if category in wanted else None
            for category in backoffs
        }
        return RetryPolicy(self.max_attempts or policy.max_attempts, chosen, policy.errors)


def checked_policy(max_attempts: Any, backoff: Any, errors: Any) -> RetryPolicy:
    """The policy that somebody wrote down for a task. Raises ValueError and TypeError that say what is wrong in it."""
    return RetryPolicy(_attempts(max_attempts), _backoffs(backoff), _categories(errors))


def _attempts(number: Any) -> int | None:
    if number is not None and (isinstance(number, bool) or not isinstance(number, int)):
        raise TypeError(f"max_attempts={number!r:.60}: a whole number")
    if number is not None and not 1 <= number <= MAX_ATTEMPTS:
        raise ValueError(f"max_attempts={number!r:.60}: from 1 to {MAX_ATTEMPTS}")
    return number


def _backoffs(backoff: Any) -> Mapping[Category, Backoff | None]:
    if isinstance(backoff, Backoff):
        return {category: backoff for category, usual in DEFAULT_BACKOFFS.items() if usual}
    if backoff is not None and not isinstance(backoff, Mapping):
        raise TypeError(f"backoff={backoff!r:.60}: a Backoff, or a mapping of categories to Backoff or None")
    for category, chosen in (backoff or {}).items():
        if chosen is not None and not isinstance(chosen, Backoff):
            raise TypeError(f"backoff[{category!s:.60}] is {chosen!r:.60}: a Backoff(base=…), or None for no retry")
    return {_category(category, "backoff"): chosen for category, chosen in (backoff or {}).items()}


def _categories(errors: Any) -> Mapping[type[BaseException], Category]:
    if errors is not None and not isinstance(errors, Mapping):
        raise TypeError(f"errors={errors!r:.60}: a mapping of exception classes to categories")
    for kind in errors or {}:
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise TypeError(f"errors[{kind!r:.60}]: the keys are exception classes")
    return {kind: _category(category, f"errors[{kind.__name__}]") for kind, category in (errors or {}).items()}


def _category(found: Any, place: str) -> Category:
    """The category of that name; a plain text will do."""
    try:
        return Category(found)
    except ValueError:
        near = alike(str(found), list(Category), 0.6)
        hint = f"did you mean {near}?" if near else f"use {', '.join(Category)}"
        raise ValueError(f"{place}: {found!r:.60} is no category: {hint}") from None


KNOWN_ERRORS: Mapping[type[BaseException], Category] = {
    TimeoutError: Category.TIMEOUT,
    ConnectionError: Category.TRANSIENT,
    MemoryError: Category.SYSTEM,
    OSError: Category.SYSTEM,
}
