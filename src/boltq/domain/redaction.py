"""Takes secrets out of texts for people: tokens, keys, passwords in addresses, and what is called a secret."""

import re
from typing import Any, Final

HIDDEN: Final = "***"


def redacted(text: str) -> str:
    """The text without what looks like a secret. It may hide more than it must."""
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text


def redacted_value(name: str, value: Any) -> Any:
    """A value as it may be shown under that name; in a mapping or a list, each of its parts."""
    if _NAME.fullmatch(name):
        return HIDDEN
    match value:
        case str():
            return redacted(value)
        case dict():
            return {key: redacted_value(str(key), part) for key, part in value.items()}
        case list() | tuple():
            return [redacted_value("", part) for part in value]
        case None | bool() | int() | float():
            return value
        case _:
            return redacted(str(value))


_WORDS: Final = r"pass(?:word|wd|phrase)?|secret|token|api[_-]?key|private[_-]?key|credentials?|authorization|cookie"
_NAME: Final = re.compile(rf"[\w-]*(?:{_WORDS})", re.IGNORECASE)
_QUOTED: Final = r"\"(?:[^\"\\]|\\.){0,4000}\"|'(?:[^'\\]|\\.){0,4000}'"

# None of them begins with a run of any letters: that would make a long word take quadratic time.
_PATTERNS: Final = [
    (re.compile(r"\bbq_([0-9a-z]{10})_[A-Za-z0-9_-]{43}"), rf"bq_\1_{HIDDEN}"),
    (re.compile(r"\b(bearer|basic) +[^\s\"',]+", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (re.compile(r"(\w://)[^\s/?#\"'<>]*@"), rf"\1{HIDDEN}@"),
    # Their values may have blanks in them: all that is left of the line goes.
    (re.compile(rf"((?:cookie|authorization)[\"']?\s?[:=]\s?)(?:{_QUOTED}|[^\r\n]+)", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(rf"((?:{_WORDS})[\"']?\s?[:=]\s?)(?:{_QUOTED}|[^\s,;&\"')}}\]]+)", re.IGNORECASE), rf"\1{HIDDEN}"),
]
"""What a secret looks like, and what is written instead; in this order."""
