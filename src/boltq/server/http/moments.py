"""Times as they come in and go out: RFC 3339 with a zone, unix seconds, and spans of seconds."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec

from boltq.server.http.mistakes import Mistakes

MomentText = Annotated[
    int | float | str,
    msgspec.Meta(
        description="RFC 3339 with a zone, or unix seconds",
        extra_json_schema={"minimum": 0, "maximum": (1 << 47) // 1_000, "format": "date-time"},
    ),
]
Since = Annotated[str, msgspec.Meta(max_length=40, description="RFC 3339 with a zone, or unix seconds")]


def read_moment(value: MomentText | None, pointer: str, mistakes: Mistakes) -> int:
    """A moment as milliseconds since 1970."""
    if value is None:
        return 0
    if not isinstance(value, str):
        return round(max(-_FAR, min(value, _FAR)) * 1_000)
    try:
        return (msgspec.convert(value, _RFC3339) - _EPOCH) // timedelta(milliseconds=1)
    except (msgspec.ValidationError, OverflowError):
        mistakes.append((pointer, "give a time with its zone, such as 2030-01-31T09:30:00Z, or unix seconds"))
        return 0


def read_span(seconds: float | None, pointer: str, mistakes: Mistakes, least: int = 0) -> int:
    """Seconds as milliseconds; a little is not nothing."""
    if seconds is None:
        return 0
    if not seconds and least:
        mistakes.append((pointer, "must be more than 0"))
    millis = round(max(-_FAR, min(seconds, _FAR)) * 1_000)
    return max(millis, 1) if seconds > 0 else millis


def read_since(text: str | None, pointer: str, mistakes: Mistakes) -> int | None:
    """A moment as milliseconds; None stays None."""
    if text is None:
        return None
    try:
        moment: float | str = float(text) if text.replace(".", "", 1).isdecimal() else text
    except ValueError:
        moment = text
    return read_moment(moment, pointer, mistakes)


def rfc3339(millis: int | None) -> Any:
    """Milliseconds since 1970 as text in UTC; None stays None."""
    if millis is None:
        return None
    return (_EPOCH + timedelta(milliseconds=millis)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = Annotated[datetime, msgspec.Meta(tz=True)]
_FAR: Final = 1e15  # seconds: beyond every limit, and still a number that can be multiplied
