"""A function's parameters: how they become a job's `data` and are read back, checked by their type hints."""

import inspect
from collections.abc import Callable, Mapping
from keyword import iskeyword
from typing import Any

import msgspec

from boltq.domain.context import JobContext
from boltq.domain.limits import MAX_RESULT_BYTES
from boltq.domain.outcome import DataError

_KEYWORD = inspect.Parameter.KEYWORD_ONLY
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Parameters:
    """What a function takes. A first parameter annotated `JobContext` is given by the worker, not by the caller.

    A parameter like `from_`, which ends so because Python has that word for itself, is `from` in the data.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        signature = _signature(function)
        found = list(signature.parameters.values())
        self.wants_context = bool(found) and found[0].annotation is JobContext
        if self.wants_context:
            found = found[1:]
        self.open_ended = any(p.kind is p.VAR_KEYWORD for p in found)
        if any(p.kind is p.VAR_POSITIONAL for p in found):
            raise TypeError(f"{function.__qualname__}: a task cannot take *args; `data` is an object with names")
        self._signature = signature.replace(parameters=found)
        self._named = [p for p in found if p.kind is not p.VAR_KEYWORD]
        self._required = {p.name for p in self._named if p.default is p.empty}
        self._names = {p.name for p in self._named}
        self._keyword_only = {p.name for p in self._named if p.kind is _KEYWORD}
        self._renamed = {p.name: _name_in_data(p.name) for p in self._named if p.name != _name_in_data(p.name)}
        self.struct = _struct(function.__name__, self._named, self.open_ended)
        self._decode = msgspec.json.Decoder(self.struct, dec_hook=_read_foreign).decode

    def pack(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        """The JSON text of a call's arguments. Raises TypeError as the call itself would."""
        if args or not (self._required <= kwargs.keys() and (self.open_ended or kwargs.keys() <= self._names)):
            bound = self._signature.bind(*args, **kwargs).arguments
            for parameter in self._signature.parameters.values():
                if parameter.kind is parameter.VAR_KEYWORD:
                    bound.update(bound.pop(parameter.name, {}))
            kwargs = bound
        if self._renamed:
            kwargs = {self._renamed.get(name, name): value for name, value in kwargs.items()}
        return as_json(kwargs)

    def unpack(self, data: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments for a call. Raises DataError that names what is wrong and where."""
        try:
            values = self._decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise DataError(f"the data do not fit the task's parameters: {error}") from None
        if self.open_ended:
            return self._from_open(values)
        if not self._keyword_only:
            return msgspec.structs.astuple(values), {}
        named = msgspec.structs.asdict(values)
        keywords = {name: named.pop(name) for name in self._keyword_only}
        return tuple(named.values()), keywords

    def _from_open(self, values: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """For a function with **kwargs: its named parameters are checked one by one, the rest are as they came."""
        checked = dict(values)
        for name, word in self._renamed.items():
            if word in checked:
                checked[name] = checked.pop(word)
        for parameter in self._named:
            if parameter.name not in checked:
                if parameter.default is parameter.empty:
                    raise DataError(f"the data do not fit the task's parameters: `{parameter.name}` is missing")
                continue
            try:
                checked[parameter.name] = msgspec.convert(
                    checked[parameter.name], _type_of(parameter), dec_hook=_read_foreign
                )
            except msgspec.ValidationError as error:
                raise DataError(f"the data do not fit the task's parameters: {parameter.name}: {error}") from None
        positional = [p.name for p in self._named if p.kind is p.POSITIONAL_ONLY and p.name in checked]
        return tuple(checked.pop(name) for name in positional), checked

    def schema(self) -> dict[str, Any]:
        """The JSON Schema (2020-12) of `data`."""
        if self.open_ended:
            return {"type": "object", "additionalProperties": True}
        try:
            schema = msgspec.json.schema(self.struct, schema_hook=_foreign_schema)
        except (TypeError, NotImplementedError):
            return {"type": "object"}
        if schema.get("$ref", "").startswith("#/$defs/"):
            schema = {**schema["$defs"].pop(schema["$ref"].removeprefix("#/$defs/")), "$defs": schema["$defs"]}
        if not schema.get("$defs"):
            schema.pop("$defs", None)
        return schema


def as_json(value: Any) -> str:
    """A value as JSON text. Raises TypeError or ValueError for what JSON cannot hold."""
    return msgspec.json.encode(value, enc_hook=_write_foreign).decode()


def result_json(value: Any) -> str:
    """A function's result as JSON text. Raises DataError when it is not JSON, or too large."""
    try:
        text = _encode_result(value)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise DataError(f"the function returned what JSON cannot hold: {error}") from None
    if len(text) > MAX_RESULT_BYTES:
        raise DataError(f"the result has {len(text)} bytes; at most {MAX_RESULT_BYTES} are kept")
    return text.decode()


def _write_foreign(value: Any) -> Any:
    """Models of pydantic, and whatever else can dump itself in the same way."""
    dump = getattr(value, "model_dump", None)
    if dump is None:
        raise TypeError(f"a {type(value).__name__} is not JSON")
    return dump(mode="json")


_encode_result = msgspec.json.Encoder(enc_hook=_write_foreign).encode


def _read_foreign(kind: type, value: Any) -> Any:
    validate = getattr(kind, "model_validate", None)
    if validate is None:
        raise NotImplementedError(f"no way from JSON to {kind.__name__}")
    return validate(value)


def _foreign_schema(kind: type) -> dict[str, Any]:
    describe = getattr(kind, "model_json_schema", None)
    if describe is None:
        raise NotImplementedError
    schema: dict[str, Any] = describe()
    return schema


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function, eval_str=True)
    except NameError as error:
        raise TypeError(f"{function.__qualname__}: its type hints cannot be read: {error}") from None


def _struct(name: str, named: list[inspect.Parameter], open_ended: bool) -> Any:  # noqa: FBT001 - two call sites
    if open_ended:
        return dict[str, Any]
    rows = [
        (p.name, _type_of(p)) if p.default is p.empty else (p.name, _type_of(p), _default_of(p.default)) for p in named
    ]
    renamed = {p.name: _name_in_data(p.name) for p in named}
    return msgspec.defstruct(name, rows, kw_only=True, forbid_unknown_fields=True, rename=renamed)


def _name_in_data(name: str) -> str:
    return name[:-1] if name.endswith("_") and iskeyword(name[:-1]) else name


def _type_of(parameter: inspect.Parameter) -> Any:
    return Any if parameter.annotation is parameter.empty else parameter.annotation


def _default_of(value: Any) -> Any:
    """Mutable defaults are shared between calls in Python too; msgspec wants to be told."""
    return msgspec.field(default_factory=lambda: value) if isinstance(value, list | dict | set) else value
