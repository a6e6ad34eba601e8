"""Everything that is wrong with a workflow, each thing with its place."""

from collections.abc import Iterable

from boltq.domain.errors import InvalidJob
from boltq.domain.workflow.bounds import MAX_MISTAKES

Mistake = tuple[str, str]  # JSON pointer (RFC 6901), what is wrong


class InvalidWorkflow(InvalidJob):
    """A workflow that cannot be accepted; `errors` has a JSON pointer and a reason for each mistake."""


def raise_if_any(mistakes: Iterable[Mistake]) -> None:
    """Raise InvalidWorkflow with the first 30 mistakes, each named once; nothing when there are none."""
    named = list(dict.fromkeys(mistakes))
    if named:
        raise InvalidWorkflow(named[:MAX_MISTAKES])


def escaped(key: str) -> str:
    """A key as one part of a JSON pointer."""
    return key.replace("~", "~0").replace("/", "~1")
