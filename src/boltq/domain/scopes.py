"""What a caller may be allowed to do: the scopes of API keys, and what a list of them allows."""

import fnmatch
import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from boltq.domain import limits


class Scope(StrEnum):
    """One right. `submit:emails` grants it for the queues of that name only (`*` stands for any text)."""

    SUBMIT = "submit"  # submit jobs
    READ = "read"  # see jobs, queues, workers and numbers, without what is in the jobs
    PAYLOAD = "payload"  # see data, results, errors and log lines as well; `read` is part of it
    OPERATE = "operate"  # cancel, replay, edit, delete, pause, drain: what changes jobs, queues and workers
    WORKER = "worker"  # run jobs
    METRICS = "metrics"  # read the metrics
    ADMIN = "admin"  # everything, API keys included


class ScopeGrants:
    """The rights that a list of scopes gives. `admin` gives all, and `payload` gives `read`; no other gives another."""

    def __init__(self, scopes: Sequence[str]) -> None:
        implied = {Scope.READ} if Scope.PAYLOAD in scopes else set()
        self._whole = frozenset(implied.union(scope for scope in scopes if ":" not in scope))
        self._all = Scope.ADMIN in self._whole
        patterns = [scope.partition(":")[2] for scope in scopes if ":" in scope]
        # fnmatch's expressions never go back, so no name makes the matching slow.
        self._queues = [re.compile(fnmatch.translate(pattern)) for pattern in patterns]

    def allow(self, scope: Scope, queue: str | None = None) -> bool:
        """Whether the scopes grant the right, for the named queue; without a name, for at least one queue."""
        if self._all or scope in self._whole:
            return True
        if scope is not Scope.SUBMIT or not self._queues:
            return False
        return queue is None or any(pattern.match(queue) for pattern in self._queues)


def bad_scope(text: str) -> str | None:
    """Why a scope is refused; None when it is fine."""
    word, colon, pattern = text.partition(":")
    if word not in set(Scope):
        return f"{text!r:.60} is not a scope: use {', '.join(Scope)}, or submit:QUEUE"
    if not colon:
        return None
    if word != Scope.SUBMIT:
        return f"{word} cannot be bound to a queue: only submit can"
    return None if _PATTERN.fullmatch(pattern) else f"{pattern!r:.60} is not a queue: use {_PATTERN_RULE}"


_PATTERN: Final = re.compile(r"[A-Za-z0-9*][A-Za-z0-9._*-]{0,99}")
SCOPE_PATTERN: Final = rf"^({'|'.join(Scope)}|submit:{_PATTERN.pattern})$"
"""What every scope matches, for descriptions of the API."""

_PATTERN_RULE: Final = f"{limits.NAME_RULE}; * stands for any text"
