"""What JSON cannot hold is refused with its place, never changed without a word."""

import dataclasses
import json
from collections import deque
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pydantic
import pydantic.alias_generators
import pytest

from boltq import DataError, InvalidJob, InvalidWorkflow, JobContext, NewJob, Workflow
from boltq.client import talk
from boltq.client.request import Ask, Request, Route
from boltq.domain.job import Spec
from boltq.domain.options import Options
from boltq.domain.parameters import Parameters, result_json
from boltq.domain.values import as_json

NAN, INF = float("nan"), float("inf")


@dataclasses.dataclass
class Point:
    x: float
    y: float | None = None


class Reading(pydantic.BaseModel):
    value: float
    note: str = ""


class Row(msgspec.Struct, rename={"cost": "price"}):
    cost: float
    note: None = None


class Scalar(SimpleNamespace):
    """As numpy's: not a float, with a dtype and a way to a plain value."""

    dtype = "float32"

    def tolist(self):
        return self.value


class Money(float):
    """A subclass, such as numpy.float64 is."""


@pytest.mark.parametrize("bad", [NAN, INF, -INF, Money("nan")])
@pytest.mark.parametrize(
    ("wrap", "place"),
    [
        (lambda bad: {"a": bad}, "/a"),
        (lambda bad: {"a": [1, None, {"b/c": bad}]}, "/a/2/b~1c"),
        (lambda bad: {"a": (bad,)}, "/a/0"),
        (lambda bad: {"p": Point(1.0, bad)}, "/p/y"),
        (lambda bad: {"m": [Reading.model_construct(value=bad)]}, "/m/0/value"),
        (lambda bad: {"r": Row(bad)}, "/r/price"),
        (lambda bad: {"n": Scalar(value=bad)}, "/n"),
        (lambda bad: {"n": Scalar(value=[1.0, bad])}, "/n/1"),
        (lambda bad: {"big": 2**80, "a": bad}, "/a"),
        (lambda bad: {"q": deque([bad])}, "/q/0"),
        (lambda bad: {"e": Enum("Bad", {"MEMBER": bad}).MEMBER}, "/e"),
        (lambda bad: {"e": [{"x": Enum("Bad", {"MEMBER": bad}).MEMBER, "y": None}]}, "/e/0/x"),
    ],
)
def test_no_number_becomes_null(bad, wrap, place):
    """However deep it stands and whatever holds it."""
    with pytest.raises(InvalidJob) as caught:
        as_json(wrap(bad), "/data")
    [(pointer, reason)] = caught.value.errors
    assert pointer == f"/data{place}"
    assert reason.startswith(("is nan", "is inf", "is -inf"))


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": "\ud800"}, "/a"),
        ({"a": ["x", "y\udfff"]}, "/a/1"),
        ({"\ud800": 1}, "/\ufffd"),
        ({"m": Reading(value=1, note="\ud8ff")}, "/m/note"),
        ({"a": {"b": object()}}, "/a/b"),
        ({"a": 1, "b": SimpleNamespace()}, "/b"),
    ],
)
def test_what_else_is_no_json_is_named_by_its_place(value, place):
    """Half characters, and objects that nobody can write."""
    with pytest.raises(InvalidJob) as caught:
        as_json(value, "/data")
    assert [pointer for pointer, _ in caught.value.errors] == [f"/data{place}"]


def test_what_is_json_stays_exact():
    """Numbers of any length, nulls, and what is nearly one of the refused."""
    value = {"big": 2**200, "small": -(2**70), "none": None, "text": "NaN null", "max": 1.7976931348623157e308}
    assert json.loads(as_json(value)) == value
    assert as_json({"p": Path("/a/b"), "d": deque([1]), "m": Money(1.5), "x": Decimal("1.10")}) == (
        '{"p":"/a/b","d":[1],"m":1.5,"x":"1.10"}'
    )
    assert as_json({"bytes": b"\xcb\x7f\xf8", "n": None}) == '{"bytes":"y3/4","n":null}'


def test_data_that_holds_itself_is_refused():
    """It has no end."""
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(InvalidJob, match="nested too deeply"):
        as_json({"a": loop}, "/data")


@pytest.mark.parametrize(("bad", "place"), [(NAN, "/result"), ({"a": [INF]}, "/result/a/0"), (object(), "/result")])
def test_a_result_is_refused_the_same_way(bad, place):
    """The job fails, and its error names the place."""
    with pytest.raises(DataError, match=f"the function returned what JSON cannot hold: {place}: "):
        result_json(bad)


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_progress_is_a_number(bad):
    """It became 0 or 1 before."""
    context = JobContext("id", "x", "default", 1, 3, lambda *_: None)
    with pytest.raises(DataError, match="progress"):
        context.progress(bad)


NO_NUMBERS = [NAN, INF, -INF, "5", "", True, b"5", [], 10**400, Decimal("NaN"), "\ud800"]


@pytest.mark.parametrize("bad", NO_NUMBERS)
@pytest.mark.parametrize(
    ("option", "pointer"),
    [
        ("delay", "/delay_seconds"),
        ("run_at", "/run_at"),
        ("expires_in", "/expires_in_seconds"),
        ("expires_at", "/expires_at"),
        ("timeout", "/timeout_seconds"),
    ],
)
def test_times_are_numbers(option, pointer, bad):
    """Text, nan, inf, bool and what is too large are refused at their place."""
    with pytest.raises(InvalidJob) as caught:
        Options(**{option: bad}).new_job("x", "{}")
    assert [at for at, _ in caught.value.errors] == [pointer]


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("delay", timedelta.max),
        ("run_at", datetime.max.replace(tzinfo=UTC)),
        ("run_at", datetime(2026, 1, 1)),  # noqa: DTZ001 - that is what is wrong with it
        ("max_attempts", "3"),
        ("max_attempts", True),
        ("max_attempts", 2.5),
        ("tags", "abc"),
        ("tags", ["a", 1]),
        ("tags", ["\ud800"]),
        ("queue", "\ud800"),
        ("queue", 5),
        ("priority", 1.5),
        ("idempotency_key", "\ud800"),
        ("idempotency_key", 5),
        ("headers", {"a": NAN}),
        ("headers", {"a": "\ud800"}),
        ("headers", {"\ud800": "a"}),
    ],
)
def test_every_other_option_is_checked(field, bad):
    """Whatever its type."""
    with pytest.raises(InvalidJob, match=f"^/{field}"):
        Options(**{field: bad}).new_job("x", "{}")


@pytest.mark.parametrize("name", ["\ud800", "", 5, None])
def test_a_type_is_a_name(name):
    """A text, too."""
    with pytest.raises(InvalidJob, match=r"^/type"):
        Options().new_job(name, "{}")


@pytest.mark.parametrize(
    "bad",
    [
        {"data": '{"a": NaN}'},
        {"data": '{"a": 1e999}'},
        {"data": '{"a": "\\ud800"}'},
        {"data": '{"a": "\ud800"}'},
        {"data": "{'a': 1}"},
        {"data": {"a": 1}},
        {"delay": "5"},
        {"delay": 1.5},
        {"run_at": INF},
        {"spec": Spec(timeout=NAN)},
    ],
)
def test_a_job_that_was_made_by_hand_is_checked(bad):
    """Its JSON text is read, too."""
    with pytest.raises(InvalidJob):
        NewJob(**{"type": "x", **bad}).check()


def test_a_workflow_is_refused_with_the_place():
    """Its input, the arguments of its steps, its durations and its output."""
    with pytest.raises(InvalidJob, match=r"^/input/x: is nan"):
        Workflow("w", x=NAN)
    flow = Workflow("w")
    with pytest.raises(InvalidJob, match="is inf"):
        flow.step("a", rows=[INF])
    with pytest.raises(InvalidJob, match="is nan"):
        flow.wait(NAN)
    with pytest.raises(InvalidJob, match="is nan"):
        flow.map([1, NAN])
    with pytest.raises(InvalidJob, match="is nan"):
        flow.output({"a": NAN})
    with pytest.raises(InvalidJob, match="not a number"):
        Workflow("w", timeout=NAN)


async def test_a_form_is_refused_with_the_place():
    """As a workflow, with every mistake."""
    from boltq import BoltQ

    form = {"name": "w", "input": {"x": NAN}, "steps": [{"id": "a", "job_type": "x", "params": {"n": INF}}]}
    with pytest.raises(InvalidWorkflow) as caught:
        await BoltQ(address="127.0.0.1:1").submit_workflow(form)
    assert [at for at, _ in caught.value.errors] == ["/input/x", "/steps/0/params/n"]


def test_the_client_refuses_it_before_it_is_sent():
    """In a job's data, and in whatever else a body has."""
    with pytest.raises(InvalidJob, match=r"^/data/a: is nan"):
        talk.job_of("x", {"a": NAN})
    with pytest.raises(InvalidJob, match=r"^/delay_seconds"):
        talk.job_of("x", {}, delay="5")
    route = Route("POST", "/x", "x", repeat=False)
    with pytest.raises(InvalidJob, match=r"^/steps/0/n: is inf"):
        _ = Request(route, Ask(object, body={"steps": [{"n": INF}]})).content
    with pytest.raises(InvalidJob, match=r"^/reason: "):
        _ = Request(route, Ask(object, body={"reason": "\ud800"})).content


class Camel(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(alias_generator=pydantic.alias_generators.to_camel)
    unit_price: float


class OneWay(pydantic.BaseModel):
    read: int = pydantic.Field(validation_alias="in")
    written: int = pydantic.Field(default=0, serialization_alias="out")


class Computing(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    a: int

    @pydantic.computed_field
    def twice(self) -> int:
        return 2 * self.a


class Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)
    at: datetime
    pair: tuple[int, int]


class Binary(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
    body: bytes


class Login(pydantic.BaseModel):
    name: str
    word: pydantic.SecretStr


@pytest.mark.parametrize(
    "model",
    [
        Camel(unitPrice=1.5),
        OneWay.model_validate({"in": 3, "written": 4}),
        Computing(a=2),
        Strict(at=datetime(2030, 1, 31, tzinfo=UTC), pair=(1, 2)),
        Binary(body=b"\xff\x00"),
    ],
    ids=lambda model: type(model).__name__,
)
def test_models_are_read_as_they_are_written(model):
    """Under an alias, with computed fields beside them, strict ones, and bytes: as an argument and as a result."""

    def function(one, many): ...

    function.__annotations__ = {"one": type(model), "many": list[type(model)], "return": type(model)}
    parameters = Parameters(function)
    data = parameters.pack((model, [model]), {})
    parameters.check(data)
    assert parameters.unpack(data) == ((model, [model]), {})
    assert parameters.read_result(result_json(model)) == model


def test_an_alias_is_what_the_schema_and_the_data_say():
    def function(order: Camel): ...

    parameters = Parameters(function)
    assert json.loads(parameters.pack((Camel(unitPrice=2),), {})) == {"order": {"unitPrice": 2.0}}
    assert list(parameters.schema()["properties"]["order"]["properties"]) == ["unitPrice"]


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"who": Login(name="Ann", word="k")}, "/data/who/word"),
        ({"all": [{"b": Login(name="**********", word="k")}]}, "/data/all/0/b/word"),
    ],
)
def test_a_secret_does_not_become_stars(value, place):
    with pytest.raises(InvalidJob) as invalid:
        as_json(value, "/data")
    assert [at for at, _ in invalid.value.errors] == [place]
    with pytest.raises(DataError, match="is a secret"):
        result_json(value)
    assert json.loads(as_json({"stars": "**********"})) == {"stars": "**********"}


@pytest.mark.parametrize("key", [None, (1, 2), frozenset()])
def test_a_name_that_json_cannot_have_is_told_with_its_place(key):
    with pytest.raises(InvalidJob) as invalid:
        as_json({"a": [{key: 1}]}, "/data")
    assert invalid.value.errors == [("/data/a/0", f"has a {type(key).__name__} as a name; the names of JSON are texts")]
