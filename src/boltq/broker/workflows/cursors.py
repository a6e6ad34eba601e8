"""Cursors of pages: of workflows, of approvals, and of a workflow's jobs, items and sub-workflows.

Whoever reads one raises InvalidJob for a text that is no cursor of that kind.
"""

import re
from typing import Final

from boltq.broker.cursors import unwrapped, wrapped
from boltq.domain.errors import InvalidJob

_WORKFLOWS: Final = re.compile(r"([0-9]{1,4})\|((?:[0-9]{1,15} [0-9A-Z]{26})?)")
_APPROVALS: Final = re.compile(r"([0-9]{1,4})\|((?:[0-9]{1,15} [0-9A-Z]{26} [0-9]{1,4})?)")
_JOBS: Final = re.compile(r"job ([1-9][0-9]{0,3}) ([0-9]{1,6})")


def read_workflows_cursor(cursor: str | None) -> tuple[int, str]:
    """A partition, and where its list of workflows goes on; the beginning without a cursor."""
    return _read_place(cursor, _WORKFLOWS)


def read_approvals_cursor(cursor: str | None) -> tuple[int, str]:
    """A partition, and where its list of approvals goes on; the beginning without a cursor."""
    return _read_place(cursor, _APPROVALS)


def write_place(partition: int, inner: str) -> str:
    """The cursor of a list of workflows or of approvals, which goes on there."""
    return wrapped(f"{partition}|{inner}")


def read_jobs_cursor(cursor: str | None) -> tuple[int, int]:
    """The numbers of a step and of an item of its map; the first step without a cursor."""
    step, item = _parts_of(cursor, _JOBS) if cursor else ("1", "0")
    return int(step), int(item)


def write_jobs_cursor(step: int, item: int) -> str:
    """The cursor of a list of a workflow's jobs, which goes on there."""
    return wrapped(f"job {step} {item}")


def read_number(kind: str, cursor: str | None) -> int:
    """The number in a cursor of that kind ("item", "children"); 0 without a cursor."""
    return int(_parts_of(cursor, re.compile(rf"{kind} ([0-9]{{1,20}})"))[0]) if cursor else 0


def write_number(kind: str, number: int) -> str | None:
    """A cursor of that kind; None for 0, which is the end."""
    return wrapped(f"{kind} {number}") if number else None


def _read_place(cursor: str | None, pattern: re.Pattern[str]) -> tuple[int, str]:
    partition, inner = _parts_of(cursor, pattern) if cursor else ("0", "")
    return int(partition), inner


def _parts_of(cursor: str, pattern: re.Pattern[str]) -> tuple[str, ...]:
    try:
        found = pattern.fullmatch(unwrapped(cursor))
    except ValueError:
        found = None
    if found is None:
        raise InvalidJob([("/cursor", "not a cursor of ours")])
    return found.groups()
