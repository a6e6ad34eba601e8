"""Did you mean: for an unknown name, the word that BoltQ has for the same thing, or the name that is spelt alike."""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

_DATA: Final = ("data", "payload", "params", "input")
_JOB_TYPE: Final = ("job_type", "type")
_DELAY: Final = ("delay_seconds", "wait", "delay")
_TIME: Final = ("run_at", "until")
_END: Final = ("expires_in_seconds", "expires_in", "expires_at")
_ATTEMPTS: Final = ("max_attempts", "retry")
_KEY: Final = ("idempotency_key",)
_BEFORE: Final = ("depends_on",)

SAME: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys((*_DATA, "args", "kwargs", "arguments", "parameters", "body", "inputs", "with"), _DATA),
    **dict.fromkeys(("task", "task_name", "task_type", "job", "job_name", "job_type", "function", "uses"), _JOB_TYPE),
    **dict.fromkeys(("delay", "countdown", "delay_ms", "sleep", "wait", "duration"), _DELAY),
    **dict.fromkeys(("eta", "at", "scheduled_at", "schedule_at", "scheduled_for", "start_at", "run_after"), _TIME),
    **dict.fromkeys(("ttl", "expires", "expires_in", "expiry", "deadline"), _END),
    **dict.fromkeys(("retries", "max_retries", "attempts", "max_attempts", "tries", "max_tries", "retry"), _ATTEMPTS),
    **dict.fromkeys(("timeout", "time_limit", "timeout_ms", "timeout_seconds"), ("timeout_seconds", "timeout")),
    **dict.fromkeys(("dedup_key", "dedupe_key", "unique_key", "idempotency_token", "request_id", "job_id"), _KEY),
    **dict.fromkeys(("needs", "after", "requires", "dependencies", "depends", "parents", "upstream"), _BEFORE),
    **dict.fromkeys(("condition", "if", "only_if"), ("when", "run_if")),
    **dict.fromkeys(("trigger_rule", "run_when", "rule"), ("run_if",)),
    **dict.fromkeys(("for_each", "foreach", "items", "loop", "with_items", "over"), ("over", "map")),
    **dict.fromkeys(("on_error", "catch", "on_fail"), ("on_failure", "on_error")),
    **dict.fromkeys(("always", "ensure", "on_exit"), ("finally",)),
    **dict.fromkeys(("tag", "labels", "label"), ("tags",)),
    **dict.fromkeys(("tasks", "nodes", "jobs"), ("steps", "jobs")),
    **dict.fromkeys(("comment", "why"), ("reason",)),
    "queue_name": ("queue",),
    "type": _JOB_TYPE,
    "kind": ("type",),
    "name": ("id", "type"),
    "key": ("idempotency_key", "id"),
    "step_id": ("id",),
}
"""What other queues, and other forms here, call a thing: the names that it may have, the likeliest first."""

_ALIKE: Final = 0.7  # of two names; below, they share letters by chance, as `data` and `wait` do
_LONGEST: Final = 100  # characters that are compared


def meant(name: str, known: Collection[str]) -> str | None:
    """The known name that an unknown one stands for; None when no known name resembles it."""
    plain = _snake(name[:_LONGEST])
    if plain in known:
        return plain
    same = next((word for word in SAME.get(plain, ()) if word in known), None)
    return same or alike(plain, known)


def alike(name: str, known: Iterable[str], least: float = _ALIKE) -> str | None:
    """The known name with the most similar spelling; None when none is similar enough (`least`, from 0 to 1)."""
    return next(iter(difflib.get_close_matches(name[:_LONGEST], known, n=1, cutoff=least)), None)


def unknown(name: str, known: Collection[str], what: str = "field") -> str:
    """The message about an unknown name."""
    close = meant(name, known)
    return f"unknown {what}; did you mean {close}?" if close else f"unknown {what}; known: {', '.join(known) or 'none'}"


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().replace("-", "_")
