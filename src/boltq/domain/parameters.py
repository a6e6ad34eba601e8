"""A function's parameters: how they become a job's `data` and are read back, checked by their type hints."""

import contextlib
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from keyword import iskeyword
from typing import Any, Final, Union, get_args, get_origin

import msgspec

from boltq.domain.context import JobContext
from boltq.domain.errors import InvalidJob
from boltq.domain.limits import MAX_RESULT_BYTES
from boltq.domain.outcome import DataError
from boltq.domain.type_hints import UNREADABLE, misfit, read_hint, result_hint, signature_of
from boltq.domain.values import as_json, foreign_schema, json_bytes, read_foreign

_KEYWORD = inspect.Parameter.KEYWORD_ONLY
_POSITIONAL = inspect.Parameter.POSITIONAL_ONLY
_REST = inspect.Parameter.VAR_KEYWORD

_BAD_JSON: Final = (msgspec.MsgspecError, ValueError, RecursionError)


class Parameters:
    """What a function takes. A first parameter annotated `JobContext` is given by the worker, not by the caller.

    A parameter like `from_`, which ends so because Python has that word for itself, is `from` in the data. Raises
    TypeError that names the task and the parameter when values of its type cannot come from JSON.
    """

    def __init__(self, function: Callable[..., Any], task: str = "") -> None:
        self._task = task or str(getattr(function, "__name__", "task"))
        signature = signature_of(function, self._task)
        found = [self._read(function, parameter) for parameter in signature.parameters.values()]
        _refuse_self(function, found, self._task)
        context, found = self._take_context(found)
        self.wants_context = context is not None
        self._rest = next((p for p in found if p.kind is _REST), None)
        self.open_ended = self._rest is not None
        self._signature = signature.replace(parameters=found)
        self._named = [p for p in found if p.kind is not _REST]
        self._check_types()
        self._required = {p.name for p in self._named if p.default is p.empty}
        self._names = {p.name for p in self._named}
        self._positional = [p for p in self._named if p.kind is _POSITIONAL]
        self._strict = self.open_ended or bool(self._positional)  # names alone do not say what is meant
        self._in_order = [p.name for p in self._named if p.kind is not _KEYWORD]
        self._keyword_only = {p.name for p in self._named if p.kind is _KEYWORD}
        self._renamed = {p.name: _name_in_data(p.name) for p in self._named if p.name != _name_in_data(p.name)}
        self._taken = {context.name} if context is not None and context.kind is not _POSITIONAL else set()
        self.struct = self._struct()
        self._decode = msgspec.json.Decoder(self.struct, dec_hook=read_foreign).decode
        self._decode_rest = msgspec.json.Decoder(_type_of_rest(self._rest), dec_hook=read_foreign).decode
        self.read_result = result_reader(result_hint(function, signature.return_annotation))

    def pack(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        """The JSON text of a call's arguments. Raises TypeError as the call itself would, InvalidJob for no JSON."""
        if args and not self._strict and len(args) <= len(self._in_order):
            named = dict(zip(self._in_order, args, strict=False))  # what `bind` does, a microsecond faster
            kwargs = self._bound(args, kwargs) if named.keys() & kwargs.keys() else {**named, **kwargs}
        elif args or self._strict:
            kwargs = self._bound(args, kwargs)
        if not (self._required <= kwargs.keys() and (self.open_ended or kwargs.keys() <= self._names)):
            kwargs = self._bound((), kwargs)
        if self._renamed:
            kwargs = self._in_words_of_data(kwargs)
        return as_json(kwargs, "/data")

    def check(self, data: str) -> None:
        """Raise InvalidJob with every place where the data do not fit: before they are submitted."""
        try:
            values = self._decode(data)
            if self.open_ended:
                self._from_open(values, data)
        except (*_BAD_JSON, DataError):
            raise InvalidJob(self.misfits(data)) from None

    def misfits(self, data: str) -> list[tuple[str, str]]:
        """Where data do not fit, as pointers and reasons; the reasons repeat no value."""
        try:
            pieces = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        except _BAD_JSON as error:
            return [("/data", _reason(error))]
        fields = {_name_in_data(p.name): p for p in self._named}
        found = [(f"/data/{name}", "required") for name, p in fields.items() if _is_missing(p, name, pieces)]
        for name, piece in pieces.items():
            if name in fields:
                found += _mistake_in(piece, fields[name].annotation, f"/data/{_escaped(name)}")
            elif not self.open_ended or name in self._taken:
                found.append((f"/data/{_escaped(name)}", "not a parameter of this job type"))
            elif self._rest is not None and not _is_unpacked(self._rest):
                found += _mistake_in(piece, self._rest.annotation, f"/data/{_escaped(name)}")
        if not found and self._rest is not None and _is_unpacked(self._rest):
            others = {name: piece for name, piece in pieces.items() if name not in fields}
            found = _mistake_in(msgspec.json.encode(others), _type_of_rest(self._rest), "/data")
        return found or [("/data", "does not fit the task's parameters")]

    def unpack(self, data: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments for a call. Raises DataError that names what is wrong and where."""
        try:
            values = self._decode(data)
        except _BAD_JSON as error:
            raise DataError(f"the data do not fit the task's parameters: {told(error)}") from None
        if self.open_ended:
            return self._from_open(values, data)
        if not self._keyword_only:
            return msgspec.structs.astuple(values), {}
        named = msgspec.structs.asdict(values)
        keywords = {name: named.pop(name) for name in self._keyword_only}
        return tuple(named.values()), keywords

    def schema(self) -> dict[str, Any]:
        """The JSON Schema (2020-12) of `data`."""
        try:
            schema = msgspec.json.schema(self.struct, schema_hook=foreign_schema)
        except (TypeError, NotImplementedError):
            return {"type": "object"}
        if schema.get("$ref", "").startswith("#/$defs/"):
            schema = {**schema["$defs"].pop(schema["$ref"].removeprefix("#/$defs/")), "$defs": schema["$defs"]}
        shared = schema.pop("$defs", {})
        _gather_definitions(schema, shared)
        _gather_definitions(shared, shared)
        if self.open_ended:
            schema["additionalProperties"] = True
        return {**schema, "$defs": shared} if shared else schema

    def _read(self, function: Callable[..., Any], parameter: inspect.Parameter) -> inspect.Parameter:
        """The parameter with its hint read."""
        if parameter.name.startswith("__") and not parameter.name.endswith("__"):
            raise TypeError(f"task {self._task}, parameter {parameter.name}: a name of `data` cannot begin with __")
        if parameter.kind is parameter.VAR_POSITIONAL:
            raise TypeError(f"task {self._task}: cannot take *{parameter.name}: `data` is an object with names")
        try:
            return parameter.replace(annotation=read_hint(function, parameter.annotation))
        except Exception as error:  # noqa: BLE001 - whatever the text of a hint may raise
            raise TypeError(
                f"task {self._task}, parameter {parameter.name}: its type hint cannot be read: {error}"
            ) from None

    def _take_context(self, found: list[inspect.Parameter]) -> tuple[inspect.Parameter | None, list[inspect.Parameter]]:
        """The parameter that is the job's context, if there is one, and all others."""
        first = next((p for p in found if p.annotation is JobContext), None)
        for parameter in found:
            if parameter is not first and _speaks_of_context(parameter.annotation):
                raise TypeError(f"task {self._task}, parameter {parameter.name}: {_CONTEXT_RULE}")
        if first is None:
            return None, found
        if first is not found[0] or first.default is not first.empty or first.kind in (_KEYWORD, _REST):
            raise TypeError(f"task {self._task}, parameter {first.name}: {_CONTEXT_RULE}")
        return first, found[1:]

    def _check_types(self) -> None:
        rest = [] if self._rest is None else [(self._rest.name, _type_of_rest(self._rest))]
        for name, hint in [*((p.name, p.annotation) for p in self._named), *rest]:
            if reason := misfit(hint):
                shown = hint.__name__ if isinstance(hint, type) and not get_args(hint) else hint
                raise TypeError(f"task {self._task}, parameter {name}: cannot take {shown}: {reason}")

    def _struct(self) -> Any:
        rows = [
            (p.name, p.annotation) if p.default is p.empty else (p.name, p.annotation, _default_of(p.default))
            for p in self._named
        ]
        name = re.sub(r"\W", "_", self._task)
        return msgspec.defstruct(
            name, rows, kw_only=True, forbid_unknown_fields=not self.open_ended, rename=self._renamed or None
        )

    def _bound(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments by their names. Raises TypeError as the call itself would."""
        bound = self._signature.bind(*args, **kwargs).arguments
        rest = {} if self._rest is None else bound.pop(self._rest.name, {})
        for name in rest:
            if name in bound or name in self._names:
                raise TypeError(
                    f"task {self._task}: {name} is a parameter and a name of **{self._rest and self._rest.name}:"
                    " `data` is an object, in which each name stands once"
                )
        return {**bound, **rest}

    def _in_words_of_data(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        found = {self._renamed.get(name, name): value for name, value in kwargs.items()}
        if len(found) < len(kwargs):
            twice = next(word for name, word in self._renamed.items() if name in kwargs and word in kwargs)
            raise TypeError(f"task {self._task}: {twice} and {twice}_ are the same name in the data")
        return found

    def _from_open(self, values: Any, data: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """For a function with **kwargs: its named parameters, and the rest."""
        named = msgspec.structs.asdict(values)
        known = {_name_in_data(name) for name in named}
        pieces = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        if taken := self._taken & pieces.keys():
            raise DataError(f"the data do not fit the task's parameters: {taken.pop()} is not one of them")
        others = {name: piece for name, piece in pieces.items() if name not in known}
        try:
            rest = self._decode_rest(msgspec.json.encode(others))
        except _BAD_JSON as error:
            raise DataError(f"the data do not fit the task's parameters: {told(error)}") from None
        args = tuple(named.pop(p.name) for p in self._positional)
        return args, {**rest, **named}


_CONTEXT_RULE: Final = (
    "JobContext is given to the first parameter only,"
    " which is positional and has no default: `def f(job: JobContext, ...)`"
)

ResultReader = Callable[[str], Any]


def result_reader(hint: Any) -> ResultReader:
    """From a result's JSON text to what the function returned, by its return hint.

    Without a hint, or where no way leads from JSON to it, it is what JSON holds. Raises DataError for a result that is
    not what the hint says.
    """
    kinds = [hint] if hint is not UNREADABLE and misfit(hint) is None else _apart(hint)
    if not kinds or any(misfit(kind) for kind in kinds):
        return msgspec.json.decode
    decoders = [msgspec.json.Decoder(kind, dec_hook=read_foreign).decode for kind in kinds]
    return partial(_read_first, decoders) if len(decoders) > 1 else partial(_read_result, decoders[0])


def _read_result(decode: ResultReader, text: str) -> Any:
    try:
        return decode(text)
    except _BAD_JSON as error:
        raise DataError(f"the result is not what the function's return hint says: {told(error)}") from None


def _read_first(decoders: Sequence[ResultReader], text: str) -> Any:
    """By the first kind that loses nothing: what it reads is written as the same text. Else by the first that reads."""
    found = []
    for decode in decoders:
        with contextlib.suppress(*_BAD_JSON):
            found.append(decode(text))
            if as_json(found[-1]) == text:
                return found[-1]
    return found[0] if found else _read_result(decoders[-1], text)


def _apart(hint: Any) -> list[Any]:
    """The kinds of a union that msgspec cannot tell apart; texts last, since all others are written as texts too."""
    if get_origin(hint) not in (Union, types.UnionType):
        return []
    return sorted(get_args(hint), key=lambda kind: kind is str)


def result_json(value: Any) -> str:
    """A function's result as JSON text. Raises DataError when it is not JSON, or too large."""
    if value is None:
        return "null"
    try:
        text = json_bytes(value, "/result")
    except InvalidJob as error:
        raise DataError(f"the function returned what JSON cannot hold: {error}") from None
    if len(text) > MAX_RESULT_BYTES:
        raise DataError(f"the result has {len(text)} bytes; at most {MAX_RESULT_BYTES} are kept")
    return text.decode()


def _speaks_of_context(hint: Any) -> bool:
    return hint is JobContext or any(map(_speaks_of_context, get_args(hint)))


def _refuse_self(function: Any, found: list[inspect.Parameter], task: str) -> None:
    """A function of a class's body is not a task: who would be its `self`?"""
    inside = function.__qualname__.rpartition(".")[0] if inspect.isfunction(function) else ""
    in_class = inside and not inside.endswith("<locals>")
    if in_class and found and found[0].name in ("self", "cls") and found[0].annotation is Any:
        raise TypeError(f"task {task}: it is a method without its object: register the method of an object")


def _type_of_rest(rest: inspect.Parameter | None) -> Any:
    if rest is None:
        return dict[str, Any]
    if _is_unpacked(rest):
        return get_args(rest.annotation)[0]
    kind: Any = rest.annotation
    return dict[str, kind]


def _is_unpacked(rest: inspect.Parameter) -> bool:
    """Whether it is `**kw: Unpack[SomeTypedDict]`."""
    return get_origin(rest.annotation) is typing.Unpack


def _is_missing(parameter: inspect.Parameter, name: str, pieces: Mapping[str, Any]) -> bool:
    return parameter.default is parameter.empty and name not in pieces


def _mistake_in(piece: Any, kind: Any, at: str) -> list[tuple[str, str]]:
    try:
        msgspec.json.decode(piece, type=kind, dec_hook=read_foreign)
    except _BAD_JSON as error:
        path = _PATH.search(str(error))
        steps = re.findall(r"[^.\[\]`]+", path[1].replace("...", "*")) if path else []
        return [(at + "".join(f"/{_escaped(step)}" for step in steps), _reason(error))]
    return []


def _reason(error: Exception) -> str:
    """A decoder's complaint without its place, which a pointer tells."""
    reason = _PATH.sub("", told(error)).replace("`", "")
    return reason[:1].lower() + reason[1:300]


def told(error: Exception) -> str:
    """A decoder's complaint without the value that it is about."""
    return _VALUE.sub(r"Invalid \1value", str(error))


_PATH: Final = re.compile(r" - at `\$(.*)`$", re.DOTALL)
_VALUE: Final = re.compile(r"Invalid (enum )?value .*?(?=$| - at `\$)", re.DOTALL)


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _name_in_data(name: str) -> str:
    return name[:-1] if name.endswith("_") and iskeyword(name[:-1]) else name


def _default_of(value: Any) -> Any:
    """A default as msgspec wants it: what is mutable, or no JSON, has to come from a function, and is not shown."""
    if isinstance(value, list | dict | set | bytearray) or not _is_json(value):
        return msgspec.field(default_factory=lambda: value)
    return value


def _is_json(value: Any) -> bool:
    try:
        as_json(value)
        hash(value)
    except (InvalidJob, TypeError):
        return False
    return True


def _gather_definitions(node: Any, shared: dict[str, Any]) -> None:
    """Moves the definitions that models bring along to the one place where references look for them."""
    if isinstance(node, dict):
        for name, definition in node.pop("$defs", {}).items() if isinstance(node.get("$defs"), dict) else ():
            shared.setdefault(name, definition)
        for value in list(node.values()):
            _gather_definitions(value, shared)
    elif isinstance(node, list):
        for value in node:
            _gather_definitions(value, shared)
