r"""JSON text with references in its strings: finding them, and putting values in their place.

Nothing else of the text is touched, so numbers of any size, `[]` and `{}` come through to the byte. A string that is
one reference and nothing more becomes the value; inside of longer text a value becomes text. `\{{` stands for `{{`
itself. Keys of objects are left as they are.
"""

import re
from collections.abc import Iterator
from typing import Any, Final, Protocol

import msgspec

from boltq.domain import limits
from boltq.domain.outcome import DataError
from boltq.domain.workflow.mistakes import escaped
from boltq.domain.workflow.references import Reference, read_reference

Part = str | Reference


class TemplateSource(Protocol):
    """The values that references lead to."""

    def raw(self, reference: Reference) -> str:
        """The JSON text of a value. Raises DataError that names the reference."""


def fill(text: str, source: TemplateSource) -> str:
    """The JSON text with values in place of references. Raises DataError for a missing one, or when it is too large."""
    pieces: list[str] = []
    size = at = 0
    for start, end, value in _strings(text):
        pieces += [text[at:start], _filled(text[start:end], value, source)]
        size = _checked(size + len(pieces[-1]))
        at = end
    filled = "".join([*pieces, text[at:]])
    _checked(len(filled.encode()))
    return filled


def parts_of(value: str) -> list[Part]:
    """Text and references in turn, without empty text. Raises ValueError that says what is wrong."""
    parts: list[Part] = []
    literal = ""
    at = 0
    while (opening := value.find("{{", at)) >= 0:
        before = value[at:opening]
        slashes = len(before) - len(before.rstrip("\\"))
        literal += before[: len(before) - (slashes + 1) // 2]
        at = opening + 2
        if slashes % 2:
            literal += "{{"
            continue
        reference, at = _enclosed(value, at)
        parts += [literal, reference] if literal else [reference]
        literal = ""
    literal += value[at:]
    return [*parts, literal] if literal or not parts else parts


def only_reference(value: str) -> Reference | None:
    """The reference that a text consists of; None for any other text. Raises ValueError."""
    match parts_of(value):
        case [Reference() as reference]:
            return reference
        case _:
            return None


def texts_in(value: Any, at: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """JSON pointer and text of each string in a decoded value. Raises ValueError when it is nested too deeply."""
    if depth > limits.MAX_DEPTH:
        raise ValueError(f"nested deeper than {limits.MAX_DEPTH}")
    if isinstance(value, str):
        yield at, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from texts_in(inner, f"{at}/{escaped(key)}", depth + 1)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from texts_in(inner, f"{at}/{number}", depth + 1)


def escape(value: str) -> str:
    r"""The text so that it stands for itself: each `{{` as `\{{`."""
    return _ESCAPES.sub(r"\1\1\\{{", value)


_STRING: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"(?:\s*(:))?')
_CLOSE: Final = re.compile(r"\s*\}\}")
_SPACE: Final = re.compile(r"\s*")
_ESCAPES: Final = re.compile(r"((?<!\\)\\*|)\{\{")


def _strings(text: str) -> Iterator[tuple[int, int, str]]:
    """Where the strings are that may have a reference, and what they say. Keys are left out."""
    for found in _STRING.finditer(text):
        token = found[0]
        if not found[1] and ("{{" in token or "\\u" in token):
            yield found.start(), found.end(), _text(token)


def _filled(token: str, value: str, source: TemplateSource) -> str:
    try:
        parts = parts_of(value)
    except ValueError as error:
        raise DataError(str(error)) from None
    match parts:
        case [Reference() as reference]:
            return source.raw(reference)
        case [str() as literal]:
            return token if literal == value else _quoted(literal)
    pieces: list[str] = []
    size = 0
    for part in parts:
        pieces.append(part if isinstance(part, str) else _inside_text(part, source.raw(part)))
        size = _checked(size + len(pieces[-1]))
    return _quoted("".join(pieces))


def _inside_text(reference: Reference, raw: str) -> str:
    first = raw.lstrip()[:1]
    if first == '"':
        return _text(raw)
    if first in ("[", "{"):
        kind = "a list" if first == "[" else "an object"
        raise DataError(f"{{{{ {reference.text} }}}} is {kind}: inside of a longer text it must be a scalar")
    return raw


def _checked(size: int) -> int:
    if size > limits.MAX_DATA_BYTES:
        raise DataError(f"with its references filled in it is larger than {limits.MAX_DATA_BYTES} bytes")
    return size


def _enclosed(value: str, start: int) -> tuple[Reference, int]:
    opened = f"{{{{{value[start : start + 40]}"
    try:
        space = _SPACE.match(value, start)
        reference, end = read_reference(value, space.end() if space else start)
    except ValueError as error:
        raise ValueError(f"in {opened!r}: {error}; write \\{{{{ for the characters themselves") from None
    close = _CLOSE.match(value, end)
    if not close:
        raise ValueError(
            f"in {opened!r}: }}}} must follow {reference.text}; there are references only, no filters and no language"
        )
    return reference, close.end()


def _text(token: str) -> str:
    try:
        return msgspec.json.decode(token, type=str)
    except ValueError:
        raise DataError(f"{token:.60} is not a JSON string") from None


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()
