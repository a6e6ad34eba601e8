"""How a step's job is tried again, as it is written in a workflow."""

import msgspec

from boltq.domain.outcome import Category
from boltq.domain.retry import DEFAULT_BACKOFFS, Backoff, RetryPolicy


class BackoffForm(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """How long a job waits before it is tried again."""

    base_seconds: float = 1.0
    factor: float = 2.0
    cap_seconds: float = 300.0
    floor_seconds: float = 0.1

    def backoff(self) -> Backoff:
        """The same as the worker's value."""
        return Backoff(base=self.base_seconds, factor=self.factor, cap=self.cap_seconds, floor=self.floor_seconds)


class RetryForm(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """Whether and when a failed job is tried again. What is left out is as the task has it."""

    max_attempts: int | None = None
    backoff: BackoffForm | None = None
    on: list[Category] | None = None  # the kinds of error that are worth another attempt

    def over(self, policy: RetryPolicy) -> RetryPolicy:
        """The task's policy with what this form says instead."""
        backoffs = {category: policy.backoffs.get(category, DEFAULT_BACKOFFS[category]) for category in Category}
        wanted = [category for category, usual in backoffs.items() if usual] if self.on is None else self.on
        own = self.backoff.backoff() if self.backoff else None
        chosen = {
            category: (own or backoffs[category] or Backoff()) if category in wanted else None for category in backoffs
        }
        return RetryPolicy(self.max_attempts or policy.max_attempts, chosen, policy.errors)
