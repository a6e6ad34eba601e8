"""Raw replies of the server, as texts: for whoever reads keys without a script."""

from typing import Any


def as_text(value: Any) -> str:
    """A reply as text, "" for none; what is no UTF-8 stays recognisable."""
    if value is None:
        return ""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def as_pairs(flat: Any) -> list[tuple[Any, Any]]:
    """[a, 1, b, 2] as pairs; pairs stay pairs."""
    if isinstance(flat, dict):
        return list(flat.items())
    if flat and isinstance(flat[0], list | tuple):
        return [(first, _number(second)) for first, second in flat]
    return list(zip(flat[::2], flat[1::2], strict=True))


def as_mapping(answer: Any) -> dict[str, str]:
    """The fields of a hash."""
    return {as_text(field): as_text(value) for field, value in as_pairs(answer)}


def _number(value: Any) -> Any:
    """redis-py reads scores as floats."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
