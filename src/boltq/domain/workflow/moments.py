"""Durations and moments of a waiting step, in milliseconds."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec

from boltq.domain import limits
from boltq.domain.workflow.durations import DURATION_RULE, seconds_in

_RFC3339 = Annotated[datetime, msgspec.Meta(tz=True)]
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST: Final = 1 << 47


def delay_ms(duration: Any) -> int:
    """A duration in milliseconds; more than zero is at least 1 ms. Raises ValueError."""
    seconds = seconds_in(duration) if isinstance(duration, str) else _number(duration)
    if seconds is None or not 0 <= seconds <= limits.MAX_DELAY_SECONDS:
        raise ValueError(f"{DURATION_RULE}, from 0 to {limits.MAX_DELAY_SECONDS} seconds")
    return max(round(seconds * 1_000), 1 if seconds else 0)


def moment_ms(moment: Any) -> int:
    """RFC 3339 text with a zone, or unix seconds, in milliseconds since 1970. Raises ValueError."""
    try:
        number = _number(moment)
        at = (msgspec.convert(moment, _RFC3339) - _EPOCH) // timedelta(milliseconds=1) if number is None else None
        millis = round(number * 1_000) if number is not None and abs(number) < _LAST else at
    except (msgspec.ValidationError, OverflowError):
        millis = None
    if millis is None or not 0 <= millis <= _LAST:
        raise ValueError("a time with its zone, such as 2030-01-31T09:30:00Z, or unix seconds")
    return millis


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
