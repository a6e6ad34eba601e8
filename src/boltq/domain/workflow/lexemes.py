"""Lexemes: an expression cut into its words, each with its position."""

import re
from typing import Any, Final, NamedTuple

from boltq.domain.workflow.references import ROOTS, read_reference, unquoted
from boltq.domain.workflow.values import read_value

KEYWORDS: Final = frozenset({"and", "or", "not", "in", "size", "exists"})
CONSTANTS: Final[dict[str, Any]] = {"true": True, "false": False, "null": None}


class ExpressionError(ValueError):
    """An expression that cannot be understood; `position` counts characters from 1."""

    def __init__(self, position: int, reason: str) -> None:
        self.position = position
        super().__init__(f"at character {position}: {reason}")


class Lexeme(NamedTuple):
    """A word. `kind` is value, reference, end, or the keyword or sign itself."""

    kind: str
    position: int  # from 1
    value: Any = None
    text: str = ""


def lexemes_of(text: str) -> list[Lexeme]:
    """The words of an expression, the last one of the kind `end`. Raises ExpressionError."""
    lexemes: list[Lexeme] = []
    at = _after_space(text, 0)
    while at < len(text):
        lexeme, end = _lexeme(text, at)
        lexemes.append(lexeme)
        at = _after_space(text, end)
    return [*lexemes, Lexeme("end", len(text) + 1, text="the end")]


_SPACE: Final = re.compile(r"\s*")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![\w.])")
_STRING: Final = re.compile(r""""[^"\\]*(?:\\.[^"\\]*)*"|'[^'\\]*(?:\\.[^'\\]*)*'""")
_SIGN: Final = re.compile(r"==|!=|<=|>=|[<>()\[\],]")
_WORD: Final = re.compile(r"[^\W\d][\w-]*")
_HINTS: Final = {
    "=": "use == to compare",
    "&": "use and",
    "|": "use or",
    "!": "use not",
    "{": "write references without braces",
}


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _lexeme(text: str, at: int) -> tuple[Lexeme, int]:
    if found := _SIGN.match(text, at):
        return Lexeme(found[0], at + 1, text=found[0]), found.end()
    if found := _STRING.match(text, at):
        return Lexeme("value", at + 1, _string(found[0], at), found[0]), found.end()
    if found := _NUMBER.match(text, at):
        return Lexeme("value", at + 1, _number(found[0], at), found[0]), found.end()
    if found := _WORD.match(text, at):
        return _word(text, at, found[0])
    hint = _HINTS.get(text[at])
    raise ExpressionError(at + 1, f"{text[at]!r} is not expected here" + (f": {hint}" if hint else ""))


def _word(text: str, at: int, word: str) -> tuple[Lexeme, int]:
    end = at + len(word)
    if word in KEYWORDS:
        return Lexeme(word, at + 1, text=word), end
    if word in CONSTANTS:
        return Lexeme("value", at + 1, CONSTANTS[word], word), end
    if word not in ROOTS and text[end : end + 1] not in (".", "["):
        raise ExpressionError(at + 1, f"{word[:60]!r} is not a word of this language; texts stand in quotes")
    try:
        reference, end = read_reference(text, at)
    except ValueError as error:
        raise ExpressionError(at + 1, str(error)) from None
    return Lexeme("reference", at + 1, reference, reference.text), end


def _string(quoted: str, at: int) -> str:
    try:
        return unquoted(quoted)
    except ValueError:
        raise ExpressionError(at + 1, "this is not a text as JSON has it") from None


def _number(text: str, at: int) -> Any:
    try:
        return read_value(text)
    except ValueError as error:
        raise ExpressionError(at + 1, str(error)) from None
