"""References, such as `steps.fetch.result.rows[0]`: how they are written, and what they may begin with.

A part is a name after a dot, a number in brackets or after a dot, or any key in brackets and quotes of either kind.
"""

import re
from typing import Final, NamedTuple

import msgspec

from boltq.domain.workflow.bounds import MAX_REFERENCE_CHARS, bad_step_id

ROOTS: Final = ("input", "steps", "item", "workflow", "error")
STEP_PARTS: Final = ("result", "results", "state", "stats", "error")
STATS_PARTS: Final = ("total", "completed", "failed", "cancelled")
WORKFLOW_PARTS: Final = ("id", "name", "state")


class Reference(NamedTuple):
    """The path to a value, as its parts."""

    path: tuple[str, ...]

    @property
    def text(self) -> str:
        """The reference as it is written."""
        return self.path[0] + "".join(_written(part) for part in self.path[1:])

    @property
    def root(self) -> str:
        """What it begins with."""
        return self.path[0]

    @property
    def step(self) -> str | None:
        """The id of the step that it refers to; None when it is of something else."""
        return self.path[1] if self.path[0] == "steps" else None


def read_reference(text: str, start: int = 0) -> tuple[Reference, int]:
    """The reference that begins at `start`, and where it ends. Raises ValueError that says what is wrong with it."""
    found = _ROOT.match(text, start)
    if not found:
        raise ValueError("a reference is missing")
    path, at = [found[0]], found.end()
    while part := _PART.match(text, at):
        path.append(unquoted(part[3]) if part[3] else part[1] or part[2])
        at = part.end()
    if at - start > MAX_REFERENCE_CHARS:
        raise ValueError(f"a reference has at most {MAX_REFERENCE_CHARS} characters")
    reference = Reference(tuple(path))
    if reason := _misshapen(reference):
        raise ValueError(reason)
    return reference, at


def parse_reference(text: str) -> Reference:
    """The reference that a text is. Raises ValueError."""
    reference, end = read_reference(text)
    if end < len(text):
        raise ValueError(f"{text[end : end + 20]!r} cannot follow {reference.text}")
    return reference


_ROOT: Final = re.compile(r"[^\W\d][\w-]*")
_PART: Final = re.compile(
    r"""\.(\w[\w-]*)|\[\s*([0-9]{1,9})\s*\]|\[\s*("[^"\\\n]*(?:\\.[^"\\\n]*)*"|'[^'\\\n]*(?:\\.[^'\\\n]*)*')\s*\]"""
)
_OTHER_QUOTE: Final = re.compile(r"""\\'|\\.|\"""")
_BARE: Final = re.compile(r"\w[\w-]*")


def _written(part: str) -> str:
    if part.isascii() and part.isdigit():
        return f"[{part}]"
    return f".{part}" if _BARE.fullmatch(part) else f"[{msgspec.json.encode(part).decode()}]"


def unquoted(quoted: str) -> str:
    """The text in either quotes, with the escapes of JSON and that of its own quote. Raises ValueError."""
    if quoted[0] == "'":
        quoted = f'"{_OTHER_QUOTE.sub(_in_double_quotes, quoted[1:-1])}"'
    try:
        return msgspec.json.decode(quoted, type=str)
    except ValueError:
        raise ValueError(f"{quoted:.60} is not a JSON string") from None


def _in_double_quotes(found: re.Match[str]) -> str:
    return {"\\'": "'", '"': '\\"'}.get(found[0], found[0])


def _misshapen(reference: Reference) -> str | None:
    root, *rest = reference.path
    if root not in ROOTS:
        return f"{root[:60]!r} is unknown: a reference begins with {', '.join(ROOTS[:-1])} or {ROOTS[-1]}"
    if root == "steps":
        return _misshapen_step(rest)
    if root == "workflow" and (len(rest) != 1 or rest[0] not in WORKFLOW_PARTS):
        return f"say what of the workflow: {_choices('workflow', WORKFLOW_PARTS)}"
    return None


def _misshapen_step(rest: list[str]) -> str | None:
    if not rest:
        return "say which step, such as steps.fetch.result"
    if reason := bad_step_id(rest[0]):
        return reason
    if len(rest) == 1 or rest[1] not in STEP_PARTS:
        return f"say what of the step: {_choices(f'steps.{rest[0]}', STEP_PARTS)}"
    if rest[1] == "state" and rest[2:]:
        return "a state is a text and has no parts"
    if rest[1] == "stats" and (len(rest) > 3 or (rest[2:] and rest[2] not in STATS_PARTS)):  # noqa: PLR2004 - one part
        return f"the counts of a map are {_choices(f'steps.{rest[0]}.stats', STATS_PARTS)}"
    return None


def _choices(before: str, parts: tuple[str, ...]) -> str:
    return ", ".join(f"{before}.{part}" for part in parts)
