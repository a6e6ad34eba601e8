"""The bounds of a workflow. Everything is bounded and says so."""

import re
from typing import Final

from boltq.domain import limits
from boltq.domain.workflow.durations import seconds_in

MAX_STEPS: Final = 1_000  # handlers and the steps of sub-workflows included
MAX_WORKFLOW_BYTES: Final = 1 << 20  # the whole form, its input included
MAX_NESTING: Final = 5  # of sub-workflows; the outermost one counts
MAX_MAP_ITEMS: Final = 10_000
MAX_SPREAD: Final = 200_000  # jobs of a workflow's maps and sub-workflows, on all levels together
MAX_MAP_BYTES: Final = 64 << 20  # of the data of a map's items together
EXPAND_ITEMS: Final = 500  # items of a map that one call to the store makes
MAX_EXPRESSION_BYTES: Final = 8 << 20  # of all values that a `when` reads; what is read twice counts twice
MAX_EXPRESSION_CHARS: Final = 2_000
MAX_EXPRESSION_DEPTH: Final = 32
MAX_REFERENCE_CHARS: Final = 500
MAX_PROMPT_CHARS: Final = 2_000
MAX_ANSWER_BYTES: Final = 64 << 10  # of the data of an answer to an approval
MAX_RUN_SECONDS: Final = 7 * 86_400  # of one run of a job
MAX_MISTAKES: Final = 30  # that one refusal names

STEP_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
STEP_ID_RULE: Final = "1 to 100 of A-Z a-z 0-9 _ -, the first one a letter or a digit"


def bad_step_id(step_id: str) -> str | None:
    """Why a step's id is refused; None when it is fine. An id has no dots, since references separate parts by dots."""
    return None if STEP_ID.fullmatch(step_id) else f"{step_id!r:.60} is not a step's id: use {STEP_ID_RULE}"


def bad_seconds(duration: float | str | None, most: int = limits.MAX_DELAY_SECONDS) -> str | None:
    """Why a duration is refused; None when it is fine, or not given."""
    try:
        fine = duration is None or 0 < seconds_in(duration) <= most
    except ValueError as error:
        return str(error)
    return None if fine else f"more than 0 and at most {most} seconds"
