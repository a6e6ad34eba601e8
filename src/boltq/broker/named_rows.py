"""Gives Lua the places of the fields that it names: `JobRow{ id = … }` becomes a list, and so on.

    JobRow{ id = job, state = 'queued' }    makes a row: each field that has no default, by its name, in any order
    local id, state, _ = JobRow(row)        takes one apart: all of its fields, in their order; `_`: what is not needed
    row[JobRow.state]                       one field
    JobRow.fields                           the names of all

What is not so in the Lua or not so in `contract.py` is an error here, before any server has seen it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from boltq.broker.contract import ROWS

Names = Mapping[str, bool]  # the fields of a row in their order, and whether each must be there


_COMMENT: Final = r"(?:^|(?<=\s))--.*$"
_ROW: Final = r"[A-Z][a-z]\w*"
_NAMED: Final = re.compile(
    rf"{_COMMENT}|\b(?P<of>{_ROW})\.(?P<field>\w+)|\b(?P<made>{_ROW}){{"
    rf"|\blocal (?P<locals>\w+(?:, \w+)*) = (?P<taken>{_ROW})\(",
    re.MULTILINE,
)
"""A row's name as it is used; also a comment, in which nothing is."""


class ContractBroken(Exception):
    """A script and a row of contract.py do not name the same fields."""


def with_places(text: str, rows: Mapping[str, Names]) -> str:
    """A script in which each named field has become its place."""
    parts, at = [], 0
    while found := _NAMED.search(text, at):
        parts.append(text[at : found.start()])
        at = found.end()
        if found["made"] or found["taken"]:
            end = _end_of(text, at)
            parts.append(_row(found, with_places(text[at : end - 1], rows), rows))
            at = end
        else:
            parts.append(_place(found["of"], rows, found["field"]) if found["of"] else found[0])  # or a comment
    return "".join([*parts, text[at:]])


def rows_of(structs: tuple[type[msgspec.Struct], ...]) -> Mapping[str, Names]:
    """What Lua is told of these structs."""
    return {
        struct.__name__: {field.encode_name: field.required for field in msgspec.structs.fields(struct)}
        for struct in structs
    }


NAMED_ROWS: Final = rows_of(ROWS)


def _names_of(row: str, rows: Mapping[str, Names]) -> Names:
    if row not in rows:
        raise ContractBroken(f"there is no row {row}")
    return rows[row]


def _place(row: str, rows: Mapping[str, Names], field: str) -> str:
    names = _names_of(row, rows)
    if field == "fields":
        return f"{{ {', '.join(map(repr, names))} }}"
    if field not in names:
        raise ContractBroken(f"{row} has no field {field}")
    return str(list(names).index(field) + 1)


def _row(found: re.Match[str], inside: str, rows: Mapping[str, Names]) -> str:
    if found["made"]:
        return f"{{ {', '.join(_in_order(found['made'], _names_of(found['made'], rows), inside))} }}"
    names = _names_of(found["taken"], rows)
    wanted = found["locals"].split(", ")
    _compare(found["taken"], names, wanted)
    if not inside.isidentifier():
        return f"local {found['locals']} = unpack({inside}, 1, {len(names)})"
    places = {name: f"{inside}[{place}]" for place, name in enumerate(wanted, 1) if name != "_"}
    return f"local {', '.join(places)} = {', '.join(places.values())}"


def _compare(row: str, names: Names, found: list[str]) -> None:
    if len(found) != len(names) or any(name not in (field, "_") for name, field in zip(found, names, strict=True)):
        raise ContractBroken(f"{row} is {', '.join(names)}, and is taken apart as {', '.join(found)}")


def _in_order(row: str, names: Names, inside: str) -> Iterator[str]:
    """The values of a row that is being made, each at its field's place."""
    values = dict(_field_of(row, item) for item in _items(inside))
    if lacking := [name for name, required in names.items() if required and name not in values]:
        raise ContractBroken(f"{row} lacks {', '.join(lacking)}")
    if unknown := values.keys() - names.keys():
        raise ContractBroken(f"{row} has no field {', '.join(sorted(unknown))}")
    given = list(names)[: len(values)]
    if set(given) != values.keys():
        raise ContractBroken(f"{row}: what is left out must stand at its end")
    return (values[name] for name in given)


def _field_of(row: str, item: str) -> tuple[str, str]:
    name, equals, value = item.partition("=")
    if not equals or not name.strip().isidentifier():
        raise ContractBroken(f"{row}: {item.strip()} has no name")
    return name.strip(), value.strip()


_TOKEN: Final = re.compile(rf"{_COMMENT}|'[^'\n]*'|\"[^\"\n]*\"|[(){{}}\[\],]", re.MULTILINE)


def _items(inside: str) -> Iterator[str]:
    """What stands between the commas, without comments."""
    depth, item, at = 0, "", 0
    for token in _TOKEN.finditer(inside):
        item += inside[at : token.start()]
        at = token.end()
        depth += (token[0] in _OPEN) - (token[0] in _SHUT)
        if token[0] == "," and not depth:
            yield item
            item = ""
        elif not token[0].startswith("--"):
            item += token[0]
    if (item + inside[at:]).strip():
        yield item + inside[at:]


def _end_of(text: str, at: int) -> int:
    """Behind the bracket that shuts the one before `at`."""
    depth = 1
    for token in _TOKEN.finditer(text, at):
        depth += (token[0] in _OPEN) - (token[0] in _SHUT)
        if not depth:
            return token.end()
    raise ContractBroken("a bracket is not shut")


_OPEN: Final = frozenset("({[")
_SHUT: Final = frozenset(")}]")
