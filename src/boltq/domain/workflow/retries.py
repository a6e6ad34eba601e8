"""How a step's job is tried again: what its workflow says, on top of what its task says."""

import msgspec

from boltq.domain.outcome import Category
from boltq.domain.retry import DEFAULT_BACKOFFS, Backoff, RetryPolicy


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
