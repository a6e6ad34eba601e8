"""JSON values as expressions compare them: by their JSON type, and numbers exactly."""

from decimal import Decimal
from typing import Any, Final

import msgspec


def read_value(text: str) -> Any:
    """The value of a JSON text, with fractions as Decimal. Raises ValueError when it cannot be read."""
    try:
        return _decode(text)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"it cannot be read: {error}") from None


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal in JSON: 1 is 1.0, but not true."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if type(one) is type(other):
        return bool(one == other)
    return kind_of(one) == kind_of(other) and bool(one == other)


def kind_of(value: Any) -> str:
    """The JSON type of a value, in words."""
    return next(word for kinds, word in _KINDS if isinstance(value, kinds))


_decode: Final = msgspec.json.Decoder(float_hook=Decimal).decode
_KINDS: Final[tuple[tuple[Any, str], ...]] = (
    (bool, "true or false"),  # before int: bool is a subclass of int
    ((int, Decimal, float), "a number"),
    (str, "a text"),
    (list, "a list"),
    (dict, "an object"),
    (object, "null"),
)
