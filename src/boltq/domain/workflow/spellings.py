"""The two ways in which a form may say the same thing, made into the one that the compiler knows.

`timeout` is `timeout_seconds`, a sub-workflow's `input` its `params`, and a map's `tolerate_failures` its
`tolerated_failures`; what an approval, a wait or a backoff may say beside its own object is put into that object.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final, TypeVar

import msgspec
from msgspec import NODEFAULT
from msgspec.structs import FieldInfo, fields, replace

from boltq.domain.workflow.form import ApprovalForm, BackoffForm, RetryForm, StepForm, StepKind, WaitForm, WorkflowForm
from boltq.domain.workflow.mistakes import Mistake

S = TypeVar("S", bound=msgspec.Struct)


class Spellings:
    """Reads one submission, and remembers where things were written, so that mistakes point there."""

    def __init__(self) -> None:
        self.twice: list[Mistake] = []  # fields that were given in both spellings
        self._written: dict[str, str] = {}

    def workflow(self, form: WorkflowForm, at: str) -> WorkflowForm:
        """The workflow in the usual words, its steps aside. `at` is its JSON pointer."""
        return self._respelled(form, at, _TIMEOUT)

    def step(self, step: StepForm, at: str) -> StepForm:
        """The step in the usual words."""
        step = self._respelled(step, at, _TIMEOUT)
        if step.map:
            step = replace(step, map=self._respelled(step.map, f"{at}/map", _MAP))
        if step.retry:
            step = replace(step, retry=self._retry(step.retry, f"{at}/retry"))
        match step.kind:
            case StepKind.WORKFLOW:
                return self._respelled(step, at, _INPUT)
            case StepKind.APPROVAL:
                asked = self._taken(step.approval or ApprovalForm(), f"{at}/approval", step, at, _APPROVAL)
                return replace(step, approval=asked, prompt=None, on_timeout=None, timeout_seconds=None)
            case StepKind.WAIT:
                return self._wait(step, at)
        return step

    def pointer(self, usual: str) -> str:
        """The pointer to where the user wrote the field that has this pointer in the usual spelling."""
        end = len(usual)
        while end > 0:
            if found := self._written.get(usual[:end]):
                return found + usual[end:]
            end = usual.rfind("/", 0, end)
        return usual

    def _wait(self, step: StepForm, at: str) -> StepForm:
        wait = self._taken(step.wait or WaitForm(), f"{at}/wait", step, at, _WAIT)
        if step.wait is None:
            if wait == WaitForm():
                return step
            self._written[f"{at}/wait"] = at
        return replace(step, wait=wait, for_=None, seconds=None, until=None)

    def _retry(self, retry: RetryForm, at: str) -> RetryForm:
        said = [name for name in (*_RETRY, "jitter") if getattr(retry, name) is not None]
        if isinstance(retry.backoff, BackoffForm):
            self.twice += [(f"{at}/{name}", f"{at}/backoff says it already: give one of them") for name in said]
            return retry
        if retry.backoff is None and not said:
            return retry
        fixed = retry.backoff == "fixed"
        backoff = self._taken(BackoffForm(factor=1.0 if fixed else 2.0), f"{at}/backoff", retry, at, _RETRY)
        jitter = not fixed if retry.jitter is None else retry.jitter
        return replace(retry, backoff=replace(backoff, jitter=jitter), base=None, max=None, jitter=None)

    def _respelled(self, form: S, at: str, names: Mapping[str, str]) -> S:
        usual = self._taken(form, at, form, at, names)
        return usual if usual is form else replace(usual, **{name: _usual_value(form, name) for name in names})

    def _taken(self, into: S, place: str, form: msgspec.Struct, at: str, names: Mapping[str, str]) -> S:
        """`into` with what the form says under other names. `place` and `at` are their JSON pointers."""
        taken: dict[str, Any] = {}
        for name, usual in names.items():
            if not _says(form, name):
                continue
            written, looked_for = self.pointer(f"{at}/{_fields(type(form))[name].encode_name}"), f"{place}/{usual}"
            if usual in taken or _says(into, usual):
                self.twice.append((written, f"{self.pointer(looked_for)} says it already: give one of them"))
            self._written[looked_for] = written
            taken[usual] = getattr(form, name)
        return replace(into, **taken) if taken else into


_TIMEOUT: Final = {"timeout": "timeout_seconds"}
_INPUT: Final = {"input": "params"}
_MAP: Final = {"tolerate_failures": "tolerated_failures"}
_WAIT: Final = {"for_": "seconds", "seconds": "seconds", "until": "until"}
_APPROVAL: Final = {"prompt": "prompt", "on_timeout": "on_timeout", "timeout_seconds": "timeout_seconds"}
_RETRY: Final = {"base": "base_seconds", "max": "cap_seconds"}


def _says(form: msgspec.Struct, name: str) -> bool:
    """Whether the form gives the field a value other than its default."""
    return bool(getattr(form, name) != _usual_value(form, name))


def _usual_value(form: msgspec.Struct, name: str) -> Any:
    field = _fields(type(form))[name]
    return field.default_factory() if field.default_factory is not NODEFAULT else field.default


@cache
def _fields(kind: type[msgspec.Struct]) -> dict[str, FieldInfo]:
    return {field.name: field for field in fields(kind)}
