"""What is wrong with a request: all of it at once, each with a pointer to its place."""

from typing import Annotated, Final

import msgspec

Mistakes = list[tuple[str, str]]  # (JSON pointer, what is wrong)
MAX_MISTAKES: Final = 30  # that are named at once


class MistakeView(msgspec.Struct):
    """One thing that is wrong."""

    pointer: Annotated[str, msgspec.Meta(description="JSON pointer (RFC 6901) to the field")]
    detail: str
