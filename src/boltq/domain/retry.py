"""Whether a failed job runs again, and when: one policy for each category of error."""

import random
from collections.abc import Mapping

import msgspec

from boltq.domain.limits import MAX_DELAY_SECONDS
from boltq.domain.outcome import Category, Failed


class Backoff(msgspec.Struct, frozen=True):
    """Exponential backoff with full jitter (Brooker, AWS Architecture Blog 2015), above a floor. In seconds.

    The ceiling of attempt n is `base * factor ** (n - 1)`, at most `cap`; the delay is drawn from floor to ceiling.
    Without jitter it is the ceiling.
    """

    base: float = 1.0
    factor: float = 2.0
    cap: float = 300.0
    floor: float = 0.1
    jitter: bool = True

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
        return min(pause, MAX_DELAY_SECONDS)


KNOWN_ERRORS: Mapping[type[BaseException], Category] = {
    TimeoutError: Category.TIMEOUT,
    ConnectionError: Category.TRANSIENT,
    MemoryError: Category.SYSTEM,
    OSError: Category.SYSTEM,
}
