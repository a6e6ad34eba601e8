"""Mistakes in single fields of a workflow: names, durations, and fields that do not belong together."""

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from boltq.domain import limits
from boltq.domain.job import Priority, bad_tags
from boltq.domain.values import out_of_range
from boltq.domain.workflow import bounds
from boltq.domain.workflow.durations import seconds_in
from boltq.domain.workflow.form import (
    AtLeastForm,
    BackoffForm,
    MapForm,
    RetryForm,
    StepForm,
    StepKind,
    WaitForm,
    WorkflowForm,
)
from boltq.domain.workflow.mistakes import Mistake
from boltq.domain.workflow.moments import delay_ms, moment_ms
from boltq.domain.workflow.reading import plain
from boltq.domain.workflow.templates import texts_in


def check_workflow(form: WorkflowForm, at: str) -> Iterator[Mistake]:
    """The mistakes in a workflow's own fields, without its steps. `at` is its JSON pointer."""
    named = (
        ("name", _bad_title(form.name)),
        ("steps", None if form.steps else "at least one step"),
        ("priority", _bad_priority(form.priority)),
        ("queue", None if form.queue is None else limits.bad_name(form.queue)),
        ("timeout_seconds", bounds.bad_seconds(form.timeout_seconds)),
        ("tags", bad_tags(form.tags)),
        ("idempotency_key", None if form.idempotency_key is None else _bad_key(form.idempotency_key)),
    )
    yield from _placed(at, named)
    if at:
        given = {"tags": form.tags, "idempotency_key": form.idempotency_key}
        yield from ((f"{at}/{name}", "only the outermost workflow has it") for name, value in given.items() if value)
    yield from check_object(form.input, f"{at}/input")
    yield from check_object(form.metadata, f"{at}/metadata")
    yield from check_json(form.output, f"{at}/output")


def check_fit(step: StepForm, at: str) -> Iterator[Mistake]:
    """The fields of a step, as it was written, that do not fit its type. `at` is its JSON pointer."""
    kind = step.kind
    for name, shown, kinds in _OWNED:
        if kind not in kinds and _says(step, name):
            yield f"{at}/{shown}", f"a step of the type {kind} has no {shown}; one of the type {' or '.join(kinds)} has"


def check_step(step: StepForm, at: str) -> Iterator[Mistake]:
    """The mistakes in the fields of a step in the usual words. `at` is its JSON pointer."""
    kind = step.kind
    yield from _placed(
        at,
        (
            ("id", None if step.id is None else bounds.bad_step_id(step.id)),
            ("queue", None if step.queue is None else limits.bad_name(step.queue)),
            ("priority", _bad_priority(step.priority)),
            ("timeout_seconds", bounds.bad_seconds(step.timeout_seconds, _LONGEST[kind])),
            ("job_type", None if step.job_type is None else limits.bad_name(step.job_type)),
            (_OWN[kind], None if getattr(step, _OWN[kind]) is not None else f"required for a step of the type {kind}"),
        ),
    )
    yield from check_object(step.params, f"{at}/params")
    yield from _check_parts(step, at)


def check_object(raw: msgspec.Raw, at: str) -> Iterator[Mistake]:
    """The mistakes in data that must be a JSON object."""
    yield from check_json(raw, at)
    if not bytes(raw).startswith(b"{"):
        yield at, "must be a JSON object"


def check_json(raw: msgspec.Raw, at: str) -> Iterator[Mistake]:
    """The mistakes in data of any kind: a worker must be able to read the data."""
    try:
        for _ in texts_in(decoded(raw)):
            pass
    except ValueError as error:
        yield from out_of_range(bytes(raw), at) or [(at, plain(error))]


def decoded(raw: msgspec.Raw) -> Any:
    """The value of a JSON text. Raises ValueError when a worker could not read it."""
    try:
        return msgspec.json.decode(raw)
    except RecursionError:
        raise ValueError("nested too deeply") from None


_OWN: Final = {
    StepKind.JOB: "job_type",
    StepKind.WAIT: "wait",
    StepKind.APPROVAL: "approval",
    StepKind.WORKFLOW: "workflow",
}
_FITS: Final[dict[StepKind, set[str]]] = {
    StepKind.JOB: {"job_type", "params", "queue", "priority", "retry", "timeout_seconds", "timeout", "map"},
    StepKind.WAIT: {"wait", "for_", "seconds", "until"},
    StepKind.APPROVAL: {"approval", "prompt", "on_timeout", "timeout_seconds", "timeout"},
    StepKind.WORKFLOW: {"workflow", "params", "input", "timeout_seconds", "timeout", "map"},
}
"""Fields that only steps of some types have."""
_OWNED: Final = [
    (name, shown, kinds)
    for name, shown in zip(StepForm.__struct_fields__, StepForm.__struct_encode_fields__, strict=True)
    if (kinds := [kind for kind, names in _FITS.items() if name in names])
]
"""Those fields, each with its name in JSON and the types of step that have it."""
_LONGEST: Final = dict.fromkeys(StepKind, limits.MAX_DELAY_SECONDS) | {StepKind.JOB: bounds.MAX_RUN_SECONDS}
_SHARE: Final = re.compile(r"[0-9]{1,3}(\.[0-9]{1,4})?%")


def _placed(at: str, named: tuple[tuple[str, str | None], ...]) -> Iterator[Mistake]:
    return ((f"{at}/{name}", reason) for name, reason in named if reason)


def _says(step: StepForm, name: str) -> bool:
    value = getattr(step, name)
    return value is not None and (name not in ("params", "input") or bytes(value) != b"{}")


def _check_parts(step: StepForm, at: str) -> Iterator[Mistake]:
    if isinstance(step.run_if, AtLeastForm) and step.run_if.at_least < 1:
        yield f"{at}/run_if/at_least", "at least 1"
    if step.retry:
        yield from _check_retry(step.retry, f"{at}/retry")
    if step.map:
        yield from _check_map(step.map, f"{at}/map")
    if step.wait:
        yield from _check_wait(step.wait, f"{at}/wait")
    if step.approval:
        prompt = step.approval.prompt
        too_long = f"at most {bounds.MAX_PROMPT_CHARS} characters" if len(prompt) > bounds.MAX_PROMPT_CHARS else None
        timeout = bounds.bad_seconds(step.approval.timeout_seconds)
        yield from _placed(f"{at}/approval", (("prompt", too_long), ("timeout_seconds", timeout)))


def _check_retry(retry: RetryForm, at: str) -> Iterator[Mistake]:
    if retry.max_attempts is not None and not 1 <= retry.max_attempts <= limits.MAX_ATTEMPTS:
        yield f"{at}/max_attempts", f"from 1 to {limits.MAX_ATTEMPTS}"
    if isinstance(retry.backoff, BackoffForm):
        yield from _check_backoff(retry.backoff, f"{at}/backoff")


def _check_backoff(backoff: BackoffForm, at: str) -> Iterator[Mistake]:
    times = {"base": backoff.base_seconds, "cap": backoff.cap_seconds, "floor": backoff.floor_seconds}
    bad = {name: reason for name, time in times.items() if time is not None and (reason := _bad_pause(time))}
    yield from ((f"{at}/{name}_seconds", reason) for name, reason in bad.items())
    if not 1 <= backoff.factor <= 100:  # noqa: PLR2004 - it says so itself
        yield f"{at}/factor", "from 1 to 100"
    cap = backoff.cap_seconds
    if cap is not None and not bad and seconds_in(cap) < seconds_in(backoff.base_seconds):
        yield f"{at}/cap_seconds", "less than the first wait"


def _bad_pause(pause: float | str) -> str | None:
    try:
        delay_ms(pause)
    except ValueError as error:
        return str(error)
    return None


def _check_map(mapping: MapForm, at: str) -> Iterator[Mistake]:
    if mapping.max_concurrency is not None and not 1 <= mapping.max_concurrency <= bounds.MAX_MAP_ITEMS:
        yield f"{at}/max_concurrency", f"from 1 to {bounds.MAX_MAP_ITEMS}"
    yield from check_json(mapping.over, f"{at}/over")
    if bad := bad_tolerance(mapping.tolerated_failures):
        yield f"{at}/tolerated_failures", bad


def bad_tolerance(tolerated: int | str) -> str | None:
    """Why a number or share of tolerated failures is refused; None when it is fine."""
    if isinstance(tolerated, str):
        ok = _SHARE.fullmatch(tolerated) and float(tolerated[:-1]) <= 100  # noqa: PLR2004 - percent
    else:
        ok = 0 <= tolerated <= bounds.MAX_MAP_ITEMS
    return None if ok else f'a number from 0 to {bounds.MAX_MAP_ITEMS}, or a share from "0%" to "100%"'


def _check_wait(wait: WaitForm, at: str) -> Iterator[Mistake]:
    if (wait.seconds is None) is (wait.until is None):
        yield at, "give seconds or until, one of them"
    for name, value, read in (("seconds", wait.seconds, delay_ms), ("until", wait.until, moment_ms)):
        if value is not None and not (isinstance(value, str) and "{{" in value):
            try:
                read(value)
            except ValueError as error:
                yield f"{at}/{name}", str(error)


def _bad_title(name: str) -> str | None:
    return limits.bad_text(name, limits.MAX_NAME_CHARS) if name.strip() else "must not be empty"


def _bad_priority(priority: int | str | None) -> str | None:
    try:
        Priority.parse(Priority.NORMAL.word if priority is None else priority)
    except ValueError as error:
        return str(error)
    return None


def _bad_key(key: str) -> str | None:
    ok = key and len(key) <= limits.MAX_KEY_CHARS and key.isascii() and key.isprintable()
    return None if ok else f"1 to {limits.MAX_KEY_CHARS} printable ASCII characters"
