"""Which references a step has, and where they stand."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from boltq.domain.outcome import DataError
from boltq.domain.workflow.bounds import MAX_MAP_ITEMS
from boltq.domain.workflow.checks import decoded
from boltq.domain.workflow.expression import compared_with, parse_expression
from boltq.domain.workflow.form import StepForm
from boltq.domain.workflow.mistakes import Mistake
from boltq.domain.workflow.references import Reference
from boltq.domain.workflow.scope import ReferenceScope
from boltq.domain.workflow.states import ENDED, StepState
from boltq.domain.workflow.templates import only_reference, parts_of, texts_in


class Use(NamedTuple):
    """A reference at its place."""

    at: str  # JSON pointer
    reference: Reference
    place: str  # the field of the step: params, when, map, wait or approval; or output
    expected: bool = True  # false: `when` asks whether there is such a value


Found = Use | Mistake


def uses_of(step: StepForm, at: str) -> Iterator[Found]:
    """Every reference of a step, and what is wrong with the way in which they are written."""
    yield from uses_in(value_of(step.params), f"{at}/params", "params")
    if step.when is not None:
        yield from _uses_in_expression(step.when, f"{at}/when")
    if step.map:
        yield from _uses_in_list(value_of(step.map.over), f"{at}/map/over")
    if step.wait:
        for name, value in (("seconds", step.wait.seconds), ("until", step.wait.until)):
            yield from uses_in(value, f"{at}/wait/{name}", "wait")
    if step.approval:
        yield from uses_in(step.approval.prompt, f"{at}/approval/prompt", "approval")


def uses_in(value: Any, at: str, place: str) -> Iterator[Found]:
    """Every reference in the strings of a decoded value."""
    try:
        texts = list(texts_in(value, at))
    except ValueError:
        return  # check_json names the mistake
    for pointer, text in texts:
        try:
            found = [part for part in parts_of(text) if isinstance(part, Reference)]
        except ValueError as error:
            yield pointer, str(error)
        else:
            yield from (Use(pointer, reference, place) for reference in found)


def value_of(raw: msgspec.Raw) -> Any:
    """The value of a JSON text; None for one that cannot be read."""
    try:
        return decoded(raw)
    except ValueError:
        return None  # check_json names the mistake


def names_in(raw: msgspec.Raw) -> list[str]:
    """The names of the fields of a JSON object; none of what is no object."""
    value = value_of(raw)
    return list(value) if isinstance(value, dict) else []


def needs_filling(step: StepForm) -> bool:
    """Whether a step's params, times or prompt are not yet what they will be: they have a `{{`."""
    values = [value_of(step.params)]
    values += [step.wait.seconds, step.wait.until] if step.wait else []
    values += [step.approval.prompt] if step.approval else []
    return any("{{" in text for value in values for text in _texts(value))


def _texts(value: Any) -> list[str]:
    try:
        return [text for _, text in texts_in(value)]
    except ValueError:
        return []  # check_json names the mistake


_ENDS: Final = [state.value for state in StepState if state in ENDED]


def _uses_in_expression(text: str, at: str) -> Iterator[Found]:
    try:
        expression = parse_expression(text)
        if not expression.references:
            expression.holds(ReferenceScope())  # without references, its value is known now
    except (ValueError, DataError) as error:
        yield at, str(error)
    else:
        for position, value in compared_with(expression.root, "state"):
            if value not in _ENDS:
                yield at, f"at character {position}: no step ends {value!r:.60}; use {', '.join(_ENDS)}"
        for reference in expression.references:
            yield Use(at, reference, "when", expression.expects(reference))


def _uses_in_list(value: Any, at: str) -> Iterator[Found]:
    if isinstance(value, list):
        if len(value) > MAX_MAP_ITEMS:
            yield at, f"at most {MAX_MAP_ITEMS} items"
    elif not isinstance(value, str) or not _is_reference(value):
        yield at, "give a list, or a reference to one, such as {{ steps.fetch.result.rows }}"
        return
    yield from uses_in(value, at, "map")


def _is_reference(text: str) -> bool:
    try:
        return only_reference(text) is not None
    except ValueError:
        return True  # uses_in names the mistake
