"""Refs: they stand for values of a later run while a workflow is written. Conditions: questions about refs."""

import re
import secrets
from collections.abc import Iterable, Iterator
from typing import Any, Final
from weakref import WeakValueDictionary

import msgspec

from boltq.domain.values import as_json
from boltq.domain.workflow.references import Reference
from boltq.domain.workflow.templates import escape


class Condition:
    """A question about references. Join several with `&`, `|` and `~`: Python keeps and, or and not for itself."""

    def __init__(self, text: str, *about: object) -> None:
        self.text = text
        self.about = about

    def __and__(self, other: object) -> "Condition":
        return Condition(f"({self.text}) and ({condition_text(other)})", self, other)

    def __or__(self, other: object) -> "Condition":
        return Condition(f"({self.text}) or ({condition_text(other)})", self, other)

    def __invert__(self) -> "Condition":
        return Condition(f"not ({self.text})", self)

    def __bool__(self) -> bool:
        raise TypeError("a condition is asked when the workflow runs, not now: join conditions with &, | and ~")

    def __repr__(self) -> str:
        return f"Condition({self.text})"


class _Comparable:
    """Makes conditions by its comparisons."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> Any:
        return _comparison(self, "==", other)

    def __ne__(self, other: object) -> Any:
        return _comparison(self, "!=", other)

    def __lt__(self, other: object) -> Any:
        return _comparison(self, "<", other)

    def __le__(self, other: object) -> Any:
        return _comparison(self, "<=", other)

    def __gt__(self, other: object) -> Any:
        return _comparison(self, ">", other)

    def __ge__(self, other: object) -> Any:
        return _comparison(self, ">=", other)


class Ref(_Comparable):
    """Stands for a value that exists when the workflow runs. `ref["rows"]`, `ref.rows` and `ref[0]` lead into it."""

    def __init__(self, *path: str, owner: Any = None) -> None:
        self._reference = Reference(path)
        self._owner = owner  # the workflow whose value it is; None: the workflow in which the ref stands

    def __getitem__(self, part: str | int) -> "Ref":
        return Ref(*self._reference.path, str(part), owner=self._owner)

    def __getattr__(self, name: str) -> "Ref":
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __str__(self) -> str:
        return _marked(self._reference, self._owner)

    def __format__(self, spec: str) -> str:
        if spec:
            raise TypeError(f"{self!r} has no value yet that could be formatted as {spec!r}")
        return _marked(self._reference, self._owner)

    def __repr__(self) -> str:
        return f"Ref({self._reference.text})"

    def __bool__(self) -> bool:
        raise TypeError(f"{self!r} has no value yet: ask with when=..., such as when={self._reference.text} == True")

    def __iter__(self) -> Any:
        raise TypeError(f"{self!r} has no items yet: use map")


class Sized(_Comparable):
    """The size of a value, to be compared."""

    def __init__(self, text: str, about: object) -> None:
        self.text = text
        self.about = (about,)


item: Final[Any] = Ref("item")
"""The item of a map, in the arguments of its step."""

failure: Final[Any] = Ref("error")
"""What failed, for on_failure steps: `failure.step`, `failure.message`, `failure.category`."""


def size(value: Any) -> Any:
    """The number of items, fields or characters of a value, to be compared in a condition."""
    return Sized(f"size({_operand(value)})", value)


def exists(value: Any) -> Any:
    """The condition that the value exists."""
    return Condition(f"exists({_operand(value)})", value)


def is_in(value: Any, values: Any) -> Any:
    """The condition that a value is one of several."""
    return Condition(f"{_operand(value)} in {_operand(values)}", value, values)


def plain(value: Any) -> Any:
    """A value as JSON has it, with references as templates, and all other text so that it stands for itself."""
    return as_template(msgspec.json.decode(as_json(without_refs(value))))


def owned_in(value: Any) -> Iterator[tuple[str, Any]]:
    """Every reference in a value that belongs to a certain workflow: its text, and that workflow."""
    match value:
        case Ref():
            if value._owner is not None:  # noqa: SLF001 - Ref's attributes are parts of the value
                yield value._reference.text, value._owner  # noqa: SLF001
        case str():
            found = ((bytes.fromhex(text).decode(), _OWNERS.get(owner)) for owner, text in _MARK.findall(value))
            yield from (one for one in found if one[1] is not None)
        case dict() | list() | tuple() | Condition() | Sized():
            for inner in _parts(value):
                yield from owned_in(inner)


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value.about if isinstance(value, Condition | Sized) else value


def without_refs(value: Any) -> Any:
    """A value with marked text in place of references, so that it can be encoded."""
    match value:
        case Ref():
            return str(value)
        case dict():
            return {_key(key): without_refs(inner) for key, inner in value.items()}
        case list() | tuple():
            return [without_refs(inner) for inner in value]
    return value


_TOKEN: Final = secrets.token_hex(8)  # a secret of this process, so no text of a user can pass for a reference
_MARK: Final = re.compile(f"\ue000{_TOKEN}:([0-9a-f]*):([0-9a-f]+)\ue001")
_OWNERS: Final[WeakValueDictionary[str, Any]] = WeakValueDictionary()


def _key(key: Any) -> Any:
    if isinstance(key, str) and _MARK.search(key):
        raise TypeError("a reference cannot be a key of an object")
    return key


def as_template(value: Any) -> Any:
    """A decoded value with marked text as references, and all other text escaped."""
    match value:
        case str():
            return "".join(_pieces(value))
        case dict():
            return {key: as_template(inner) for key, inner in value.items()}
        case list():
            return [as_template(inner) for inner in value]
    return value


def _pieces(text: str) -> list[str]:
    """Data and references in turn, as they are written in a template."""
    parts = _MARK.split(text)  # text, owner, reference, text, ...
    data = [escape(part) for part in parts[::3]]
    references = [f"{{{{ {bytes.fromhex(part).decode()} }}}}" for part in parts[2::3]]
    return [*(piece for both in zip(data, references, strict=False) for piece in both), data[-1]]


def _marked(reference: Reference, owner: Any) -> str:
    """The reference inside of a text, such as an f-string makes."""
    key = "" if owner is None else f"{id(owner):x}"
    if key:
        _OWNERS[key] = owner
    return f"\ue000{_TOKEN}:{key}:{reference.text.encode().hex()}\ue001"


def _comparison(left: Any, sign: str, right: Any) -> Condition:
    return Condition(f"{_operand(left)} {sign} {_operand(right)}", left, right)


def _operand(value: Any) -> str:
    match value:
        case Ref():
            return value._reference.text  # noqa: SLF001 - Ref's attributes are parts of the value
        case Sized():
            return value.text
        case list() | tuple():
            return f"[{', '.join(map(_operand, value))}]"
        case dict():
            raise TypeError("an object cannot stand in a condition: ask for its fields")
        case str() if _MARK.search(value):
            raise TypeError("a text that is not known yet cannot stand in a condition: compare the reference itself")
    return as_json(value)


def condition_text(value: object) -> str:
    """The expression that a condition, a text or a reference is. Raises TypeError for anything else."""
    match value:
        case Condition():
            return value.text
        case str():
            return _MARK.sub(lambda mark: bytes.fromhex(mark[2]).decode(), value)
        case Ref():
            return _operand(value)
    raise TypeError(f"a {type(value).__name__} is no condition")
