"""Durations as they are written: a number of seconds, or a text with units."""

import re
from typing import Final

DURATION_RULE: Final = 'a number of seconds, or a text such as "90s", "5m", "2h", "1d" or "1h30m"'
DURATION_PATTERN: Final = "".join(
    rf"(?:([0-9]{{1,9}}(?:\.[0-9]{{1,6}})?){unit})?" for unit in ("d", "h", "m", "s", "ms")
)


def seconds_in(value: float | str) -> float:
    """How many seconds that is. Raises ValueError for a text that is no duration."""
    if not isinstance(value, str):
        return value
    found = _DURATION.fullmatch(value)
    if not found or not value:
        raise ValueError(DURATION_RULE)
    return sum(float(number) * unit for number, unit in zip(found.groups(), _SECONDS, strict=True) if number)


_DURATION: Final = re.compile(DURATION_PATTERN)
_SECONDS: Final = (86_400, 3_600, 60, 1, 0.001)
