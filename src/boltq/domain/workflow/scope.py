"""What references lead to when a step is about to run: values as JSON text, taken out without being rewritten."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from boltq.domain.outcome import DataError
from boltq.domain.workflow.references import Reference
from boltq.domain.workflow.states import MapStats, StepState


class StepEnd(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a step ended, as references see it. `result` and `error` are JSON text."""

    state: StepState
    result: str | None = None
    error: str | None = None
    stats: MapStats | None = None  # of a map


class ReferenceScope:
    """The values that references lead to. Those of a list or object are found once, however many refer to them."""

    def __init__(
        self,
        *,
        input: str = "{}",
        steps: Mapping[str, StepEnd] | None = None,
        workflow: Mapping[str, str] | None = None,
        item: str | None = None,
        error: str | None = None,
    ) -> None:
        self._input = input
        self._steps = steps or {}
        self._workflow = dict(workflow or {})
        self._item = item
        self._error = error
        self._shared, self._own = _Known(), _Known()

    @property
    def size(self) -> int:
        """Characters of what references can lead to: how long it may take to follow them."""
        ends = sum(len(end.result or "") + len(end.error or "") for end in self._steps.values())
        return len(self._input) + len(self._item or "") + ends

    def raw(self, reference: Reference) -> str:
        """The JSON text of a value. Raises DataError that names the reference and says what is missing.

        A step that ended without a result (skipped, failed, cancelled) has the result null.
        """
        try:
            text, after = self._base(reference)
            return "null" if text is None and after == len(reference.path) else self._inside(reference, text, after)
        except _Missing as missing:
            raise DataError(f"{{{{ {reference.text} }}}}: {missing}") from None

    def has(self, reference: Reference) -> bool:
        """Whether there is such a value; a result that a step did not have is none."""
        try:
            text, after = self._base(reference)
            self._inside(reference, text, after)
        except _Missing:
            return False
        return True

    def with_item(self, item: str) -> "ReferenceScope":
        """The scope of one item of a map."""
        scope = ReferenceScope(
            input=self._input, steps=self._steps, workflow=self._workflow, item=item, error=self._error
        )
        scope._shared = self._shared  # values outside of the item are found once for all items
        return scope

    def _known(self, root: str) -> "_Known":
        return self._own if root == "item" else self._shared

    def _base(self, reference: Reference) -> tuple[str | None, int]:
        """The text in which the value is, and how many parts of the path led to it. None: there is no result."""
        match reference.path:
            case ("steps", step, part, *_):
                return self._of_step(step, part), 3
            case ("workflow", *_):
                return msgspec.json.encode(self._workflow).decode(), 1
            case ("input", *_):
                return self._input, 1
            case ("item", *_):
                return _there(self._item, "there is an item only inside of a map"), 1
            case _:
                return _there(self._error, "no step has failed"), 1

    def _of_step(self, step: str, part: str) -> str | None:
        end = self._steps.get(step)
        if end is None:
            raise _Missing(f"the step {step} has not run")
        match part:
            case "state":
                return f'"{end.state}"'
            case "stats":
                return msgspec.json.encode(
                    _there(end.stats, f"the step {step} is not a map, or did not begin")
                ).decode()
            case "error":
                return end.error
            case _:
                return end.result

    def _inside(self, reference: Reference, text: str | None, after: int) -> str:
        if text is None:
            state = self._steps[reference.path[1]].state
            raise _Missing(f"the step {reference.path[1]} is {state} and has no {reference.path[2]}")
        for length in range(after, len(reference.path)):
            path = reference.path[: length + 1]
            known = self._known(path[0]).texts
            if path not in known:
                known[path] = self._part(path[:-1], path[-1], text)
            text = known[path]
        return text

    def _part(self, path: tuple[str, ...], part: str, text: str) -> str:
        opened = self._known(path[0]).opened
        if path not in opened:
            opened[path] = _opened(text)
        found = opened[path]
        here = Reference(path).text
        if isinstance(found, dict):
            return str(_there(found.get(part), f"there is no {part!r:.60} in {here}"), "utf-8")
        if not isinstance(found, list):
            raise _Missing(f"{here} is {found} and has no parts")
        if not (part.isascii() and part.isdigit()):
            raise _Missing(f"{here} is a list, and {part!r:.60} is no index")
        if len(part) > _DIGITS or int(part) >= len(found):
            raise _Missing(f"{here} has {len(found)} items, counted from 0")
        return str(found[int(part)], "utf-8")


class _Known(msgspec.Struct):
    """What has been found, by its path: the parts of a list or object, and texts."""

    opened: dict[tuple[str, ...], Any] = {}
    texts: dict[tuple[str, ...], str] = {}


class _Missing(Exception):
    """A reference leads to no value; the message says why."""


def _there(value: Any, reason: str) -> Any:
    if value is None:
        raise _Missing(reason)
    return value


def _opened(text: str) -> Any:
    """The parts of a JSON text, each as its text; for a scalar, what it is."""
    kinds: dict[str, Any] = {"{": dict[str, msgspec.Raw], "[": list[msgspec.Raw]}
    first = text.lstrip()[:1]
    try:
        return msgspec.json.decode(text, type=kinds[first]) if first in kinds else _SCALARS.get(first, "a number")
    except (ValueError, RecursionError) as error:
        raise _Missing(f"it cannot be read: {error}") from None


_SCALARS: Final = {'"': "a text", "t": "true", "f": "false", "n": "null"}
_DIGITS: Final = 9
