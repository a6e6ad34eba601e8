"""Mistakes in a workflow, each with its place."""

from collections.abc import Iterable
from typing import Final

from boltq.domain.errors import InvalidJob
from boltq.domain.workflow.bounds import MAX_MISTAKES

Mistake = tuple[str, str]  # JSON pointer (RFC 6901), what is wrong


class InvalidWorkflow(InvalidJob):
    """A workflow that cannot be accepted; `errors` has a JSON pointer and a reason for each mistake.

    A pointer ends after 500 characters: keys may be longer than anybody wants to read.
    """

    def __init__(self, errors: Iterable[Mistake]) -> None:
        super().__init__([(at[:_MOST_OF_A_PLACE].removesuffix("~"), why) for at, why in errors])


_MOST_OF_A_PLACE: Final = 500


def raise_if_any(mistakes: Iterable[Mistake]) -> None:
    """Raise InvalidWorkflow with the first 30 mistakes, each named once; nothing when there are none."""
    named = list(dict.fromkeys(mistakes))
    if len(named) > MAX_MISTAKES:
        raise InvalidWorkflow(
            [*named[:MAX_MISTAKES], ("", f"there is more: {MAX_MISTAKES} mistakes are named at once")]
        )
    if named:
        raise InvalidWorkflow(named)


def is_within(at: str, places: Iterable[str]) -> bool:
    """Whether a pointer leads to one of these places, or into it."""
    return any(at == place or at.startswith(f"{place}/") for place in places)


def escaped(key: str) -> str:
    """A key as one part of a JSON pointer."""
    return key.replace("~", "~0").replace("/", "~1")
