"""How a function's parameters become the fields of a job's data, which types they may have, and what may be a task."""

import enum
import functools
import typing
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, Optional, TypedDict, TypeVar, Union, Unpack

import annotated_types
import msgspec
import pydantic
import pytest

from boltq import BoltQ, DataError, InvalidJob, JobContext
from boltq.domain.parameters import Parameters, result_json

T = TypeVar("T")
Small = TypeVar("Small", bound=int)
UserId = NewType("UserId", int)


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Pair(NamedTuple):
    left: int
    right: str = "r"


class Words(TypedDict, total=False):
    size: int
    note: str


class Model(pydantic.BaseModel):
    number: int = pydantic.Field(gt=0)


class Outer(pydantic.BaseModel):
    inner: Model


class Row(msgspec.Struct):
    cost: float


@dataclass
class Box:
    made: datetime
    rows: list[Row] = field(default_factory=list)


class Anything:
    pass


class Tree(msgspec.Struct):
    branches: list["Tree"] = []


def task_of(function, name="t", **options):
    """It, registered."""
    return BoltQ(address="127.0.0.1:1").task(name=name, **options)(function)


def run(function, *args, **kwargs):
    """What the function is called with after its arguments went through JSON, and returns."""
    parameters = Parameters(function)
    data = parameters.pack(args, kwargs)
    parameters.check(data)
    positional, named = parameters.unpack(data)
    return function(*positional, **named)


def test_a_word_of_python_may_be_a_field():
    """`from_` is `from` in the data."""

    def send(to: str, from_: str = "me") -> None: ...
    def collect(from_: int, **more: object) -> None: ...

    assert Parameters(send).pack(("a",), {"from_": "b"}) == '{"to":"a","from":"b"}'
    assert Parameters(send).unpack('{"from":"b","to":"a"}') == (("a", "b"), {})
    assert list(Parameters(send).schema()["properties"]) == ["to", "from"]
    assert Parameters(collect).unpack('{"from":1,"x":2}') == ((), {"from_": 1, "x": 2})
    with pytest.raises(DataError, match="from_"):
        Parameters(send).unpack('{"from_":"b","to":"a"}')


# Kinds of parameters


def test_each_kind_of_parameter_gets_what_it_was_given():
    """As the call itself would."""

    def usual(a, b=2):
        return ("usual", a, b)

    def only(a, b=2, /, c=3, *, d, e=5):
        return (a, b, c, d, e)

    def open_(a, b=2, /, c=3, **kw):
        return (a, b, c, kw)

    def rest(**kw):
        return kw

    assert run(usual, 1) == ("usual", 1, 2)
    assert run(usual, b=1, a=2) == ("usual", 2, 1)
    assert run(only, 1, d=4) == (1, 2, 3, 4, 5)
    assert run(only, 1, 7, 8, d=9, e=0) == (1, 7, 8, 9, 0)
    assert run(open_, 1, x=9) == (1, 2, 3, {"x": 9})
    assert run(open_, 1, 5, 6, x=9) == (1, 5, 6, {"x": 9})
    assert run(open_, 1, c=0) == (1, 2, 0, {})
    assert run(rest, a=1, self=2, data=3) == {"a": 1, "self": 2, "data": 3}
    assert Parameters(open_).unpack('{"b":5,"a":1,"y":2}') == ((1, 5), {"c": 3, "y": 2})


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((1, 2, 3), {}), ((1,), {"a": 1}), ((), {"b": 1}), ((1,), {"z": 1}), ((), {})],
)
def test_a_call_that_the_function_would_refuse_is_refused(args, kwargs):
    """With its own words."""

    def function(a, b=2): ...

    with pytest.raises(TypeError):
        Parameters(function).pack(args, kwargs)


def test_a_name_that_means_two_things_is_refused():
    """An object has each name once: `f(1, a=2)` cannot be told from `f(2)`."""

    def function(a, /, **kw): ...
    def renamed(from_, **kw): ...
    def context(job: JobContext, **kw): ...

    with pytest.raises(TypeError, match=r"a is a parameter and a name of \*\*kw"):
        Parameters(function).pack((1,), {"a": 2})
    with pytest.raises(TypeError, match=r"positional|a is a parameter"):  # before Python 3.13, and since
        Parameters(function).pack((), {"a": 2})
    with pytest.raises(TypeError, match="from and from_"):
        Parameters(renamed).pack((), {"from_": 1, "from": 2})
    for call in (Parameters(context).check, Parameters(context).unpack):
        with pytest.raises((InvalidJob, DataError), match="job"):
            call('{"job":1}')


def test_what_comes_beside_the_named_ones_has_its_type_too():
    """By the hint of **kw, or field by field."""

    def numbers(name: str, **kw: int):
        return kw

    def words(**kw: Unpack[Words]):
        return kw

    assert run(numbers, "x", a=1) == {"a": 1}
    assert run(words, size=1, note="x") == {"size": 1, "note": "x"}
    with pytest.raises(InvalidJob, match="/data/b: expected int, got str"):
        run(numbers, "x", a=1, b="2")
    with pytest.raises(InvalidJob, match="/data/size: expected int, got str"):
        run(words, size="big")


def test_a_context_is_the_first_parameter():  # noqa: C901 - many small functions
    """Everywhere else it is refused, with the task and the parameter: nobody would give it one."""

    def good(job: JobContext, n: int): ...
    def text(job: "JobContext", n: int): ...
    def second(n: int, job: JobContext): ...
    def keyword(n: int, *, job: JobContext): ...
    def only_keyword(*, job: JobContext): ...
    def optional(job: JobContext | None, n: int): ...
    def typing_optional(job: Optional[JobContext]): ...  # noqa: UP045
    def default(job: JobContext = None, n: int = 1): ...
    def both(job: JobContext, other: JobContext): ...
    def many(jobs: list[JobContext]): ...
    def rest(**jobs: JobContext): ...

    assert Parameters(good).wants_context
    assert Parameters(text).wants_context
    for bad in (second, keyword, only_keyword, optional, typing_optional, default, both, many, rest):
        with pytest.raises(TypeError, match=r"task t, parameter (job|other|jobs): JobContext is given"):
            task_of(bad)


# Types


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (object, {"a": [1]}),
        (list[object], [1, "a", None]),
        (Any, [1]),
        (Iterable[int], [1, 2]),
        (Iterable, [1, "a"]),
        (typing.Iterable[date], [date(2026, 1, 2)]),
        (Collection[int], [1]),
        (Sequence[int], [1]),
        (Mapping[int, str], {1: "a"}),
        (deque[int], deque([1])),
        (Path, Path("/a")),
        (T, {"a": 1}),
        (Small, 3),
        (UserId, 7),
        (Annotated[int, msgspec.Meta(gt=0)], 3),
        (Annotated[UserId, "anything"], 3),
        (Literal["a", 1], 1),
        (Colour, Colour.RED),
        (Level, Level.LOW),
        (Words, {"size": 1}),
        (Pair, Pair(1, "x")),
        (Optional[int], None),  # noqa: UP045
        (Union[int, list[str], None], ["a"]),  # noqa: UP007
        (int | str, "a"),
        (datetime | None, datetime(2026, 1, 2, tzinfo=UTC)),
        (tuple[int, ...], (1, 2)),
        (set[int], {1}),
        (frozenset[str], frozenset({"a"})),
        (bytes, b"\x00\xff"),
        (Model, Model(number=3)),
        (Outer, Outer(inner=Model(number=3))),
        (Box, Box(datetime(2026, 1, 2, tzinfo=UTC), [Row(1.5)])),
        (dict[str, Box], {"a": Box(datetime(2026, 1, 2, tzinfo=UTC))}),
        (Tree, Tree([Tree()])),
        ("Box", Box(datetime(2026, 1, 2, tzinfo=UTC))),
        (list["Row"], [Row(2.0)]),
    ],
)
def test_types_that_work(hint, value):
    """As parameters with and without others beside them, and as results."""

    def function(value):
        return value

    def open_(value, **kw):
        return value

    def alike(value):
        return value

    for each in (function, open_):
        each.__annotations__["value"] = hint
        assert run(each, value) == value
    alike.__annotations__["return"] = hint
    assert Parameters(alike).read_result(result_json(value)) == value
    assert Parameters(function).schema()["type"] == "object"


@pytest.mark.parametrize(
    "hint",
    [
        str | datetime,
        list[str | date],
        bytes | str,
        Model | dict[str, int],
        Model | Outer,
        Iterable[int] | str,
        Callable,
        Callable[[int], int],
        Callable[..., Any] | None,
        Iterator[int],
        AsyncIterator[int],
        type,
        type[int],
        Anything,
        list[Anything],
        dict[str, Anything | None],
        complex,
        typing.AnyStr,
        Generic,
        "NotThere",
        "list[NotThere]",
        "not a type",
        3,
    ],
)
def test_types_that_do_not_work_are_refused_when_registered(hint):
    """With the task and the parameter, and not when the first job runs."""

    def function(fine: int, value): ...
    def open_(value, **kw): ...
    def rest(**value): ...

    for each in (function, open_, rest):
        each.__annotations__["value"] = hint
        with pytest.raises(TypeError, match=r"^task t, parameter value: "):
            task_of(each)


@pytest.mark.parametrize(
    "hint", ["NotThere", "list[NotThere]", "1 +", 3, Anything, Iterator[int], Callable[[], int], T, None.__class__]
)
def test_a_return_hint_that_cannot_be_read_is_no_error(hint):
    """The result is what JSON holds."""

    def function(n: int): ...

    function.__annotations__["return"] = hint
    read = task_of(function).parameters.read_result
    assert read("null") is None
    if hint is not None.__class__:
        assert read('{"a":1}') == {"a": 1}


def test_a_result_may_be_one_of_several():
    """Also where JSON alone does not tell them apart: the type is true in any case."""

    def moment() -> str | datetime: ...
    def model() -> Model | Row | None: ...
    async def later() -> Pair: ...
    def awaitable() -> typing.Coroutine[Any, Any, date]: ...
    def plain() -> int: ...

    assert Parameters(moment).read_result('"2026-01-02T03:04:05Z"') == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert Parameters(moment).read_result('"soon"') == "soon"
    assert Parameters(model).read_result('{"number":3}') == Model(number=3)
    assert Parameters(model).read_result('{"cost":3}') == Row(3.0)
    assert Parameters(model).read_result("null") is None
    assert Parameters(later).read_result('[1,"x"]') == Pair(1, "x")
    assert Parameters(awaitable).read_result('"2026-01-02"') == date(2026, 1, 2)
    with pytest.raises(DataError, match="return hint"):
        Parameters(plain).read_result('"text"')


def test_a_schema_is_whole():
    """Models inside of models, defaults that are no JSON, and parameters beside **kw."""

    def function(outer: Outer, sort=len, limit: float = float("nan"), day: date = date(2026, 1, 2)): ...
    def open_(name: str, **kw): ...

    schema = Parameters(function).schema()
    assert set(schema["properties"]) == {"outer", "sort", "limit", "day"}
    assert schema["required"] == ["outer"]
    assert "Model" in schema["$defs"]
    assert "default" not in schema["properties"]["sort"]
    assert Parameters(function).unpack('{"outer":{"inner":{"number":1}}}')[0][1] is len
    schema = Parameters(open_).schema()
    assert (schema["required"], schema["additionalProperties"]) == (["name"], True)


@pytest.mark.parametrize(
    ("data", "places"),
    [
        ('{"n": "S3CRET", "box": {"made": "S3CRET"}}', ["/data/n", "/data/box/made"]),
        ('{"box": {"made": "2026-01-02T00:00:00Z", "rows": [{"cost": 1}, {"cost": "S3CRET"}]}}',
         ["/data/n", "/data/box/rows/1/cost"]),
        ('{"n": 1, "model": {"number": -3}}', ["/data/model"]),
        ('{"n": 1, "colour": "S3CRET"}', ["/data/colour"]),
        ('{"n": 1, "N": "S3CRET"}', ["/data/N"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_by_place_and_not_by_value(data, places):
    """All of it, before it is submitted."""

    def function(n: int, box: Box | None = None, model: Model | None = None, colour: Colour = Colour.RED): ...

    with pytest.raises(InvalidJob) as caught:
        Parameters(function).check(data)
    assert [at for at, _ in caught.value.errors] == places
    assert "S3CRET" not in str(caught.value)
    with pytest.raises(DataError) as told:
        Parameters(function).unpack(data)
    assert "S3CRET" not in str(told.value)


# What may be a task


class Shop:
    def sell(self, what: str) -> str:
        return f"sold {what}"

    @staticmethod
    def open(door: int) -> int:
        return door

    async def buy(self, what: str) -> str:
        return what


class Doubles:
    def __call__(self, n: "int") -> int:
        return n * 2


class DoublesLater:
    async def __call__(self, n: int) -> int:
        return n * 2


def add(a: int, b: int = 1) -> int:
    return a + b


async def add_later(a: int, b: int = 1) -> int:
    return a + b


@pytest.mark.parametrize(
    ("function", "args", "data", "executor"),
    [
        (functools.partial(add, 5), (1,), '{"b":1}', "thread"),
        (functools.partial(add, b=5), (1,), '{"a":1}', "thread"),
        (functools.partial(add_later, 5), (1,), '{"b":1}', "async"),
        (functools.partial(Doubles()), (1,), '{"n":1}', "thread"),
        (Doubles(), (1,), '{"n":1}', "thread"),
        (DoublesLater(), (1,), '{"n":1}', "async"),
        (Shop().sell, ("x",), '{"what":"x"}', "thread"),
        (Shop().buy, ("x",), '{"what":"x"}', "async"),
        (Shop.open, (1,), '{"door":1}', "thread"),
        (vars(Shop)["open"], (1,), '{"door":1}', "thread"),
        (lambda n: n, (1,), '{"n":1}', "thread"),
        (len, ([],), '{"obj":[]}', "thread"),
        (Box, ("2026-01-02T00:00:00Z",), '{"made":"2026-01-02T00:00:00Z"}', "thread"),
        (functools.wraps(add)(lambda *args: add(*args, 2)), (1,), '{"a":1}', "thread"),
        (functools.lru_cache(add), (1,), '{"a":1}', "thread"),
    ],
)
def test_what_can_be_called_can_be_a_task(function, args, data, executor):
    """Whatever kind of object it is; those without a name of their own are given one."""
    task = task_of(function)
    assert (task.job(*args).data, task.executor, task.name) == (data, executor, "t")


def _numbers():
    yield 1


async def _later_numbers():
    yield 1


class Generates:
    def __call__(self):
        yield 1


@pytest.mark.parametrize(
    ("function", "name", "why"),
    [
        (_numbers, None, "task _numbers: a generator is not a task"),
        (_later_numbers, None, "task _later_numbers: a generator is not a task"),
        (functools.partial(_numbers), "t", "task t: a generator is not a task"),
        (Generates(), "t", "task t: a generator is not a task"),
        (functools.partial(add), None, "task partial: a partial has no name of its own"),
        (Doubles(), None, "task Doubles: a Doubles has no name of its own"),
        (Shop.sell, None, "task sell: it is a method without its object"),
        (classmethod(add), "t", "task t: a classmethod cannot be called"),
        (3, "t", "task t: a int cannot be called"),
        ("add", "t", "task t: a str cannot be called"),
        (print, None, r"task print: cannot take \*args"),
        (max, None, "task max: max does not say which parameters it has"),
        (lambda *args: args, "t", r"task t: cannot take \*args"),
    ],
)
def test_what_cannot_be_a_task_is_refused_when_registered(function, name, why):
    """By name, and why."""
    app = BoltQ(address="127.0.0.1:1")
    with pytest.raises(TypeError, match=f"^{why}"):
        app.task(name=name)(function)
    assert app.tasks == {}


def test_a_lambda_has_no_name():
    """It is given one."""
    with pytest.raises(ValueError, match="is not a name"):
        BoltQ(address="127.0.0.1:1").task(lambda n: n)


class Short(pydantic.BaseModel):
    id: int


class Long(pydantic.BaseModel):
    id: int
    name: str


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (Short | Long, Long(id=1, name="n")),
        (Short | Long | None, Short(id=1)),
        (Short | Long | None, None),
        (uuid.UUID | str, "ABCDEF00-0000-0000-0000-000000000000"),
        (datetime | str, "2030-01-31 10:00:00"),
        (date | datetime, datetime(2030, 1, 31, tzinfo=UTC)),
    ],
)
def test_of_a_union_the_kind_counts_that_loses_nothing(hint, value):
    """Many models read what is another's, without what they do not know of it."""

    def function(): ...

    function.__annotations__ = {"return": hint}
    found = Parameters(function).read_result(result_json(value))
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("hint", "good", "bad", "reason"),
    [
        (Annotated[int, pydantic.Field(gt=0)], 1, 0, "int >= 1"),
        (pydantic.PositiveInt | None, 1, -1, "int >= 1"),
        (list[Annotated[int, annotated_types.Ge(3)]], [3], [2], "int >= 3"),
        (Annotated[str, pydantic.Field(min_length=2, pattern="^a")], "ab", "b", "length >= 2"),
        (Annotated[str, pydantic.StringConstraints(pattern="^a")], "ab", "b", "matching regex"),
        (Annotated[list[int], annotated_types.Len(1, 2)], [1], [], "length >= 1"),
        (Annotated[int, msgspec.Meta(ge=1), "a note"], 1, 0, "int >= 1"),
    ],
)
def test_bounds_count_in_whosever_words_they_are_written(hint, good, bad, reason):
    def function(x): ...

    function.__annotations__ = {"x": hint}
    parameters = Parameters(function)
    parameters.check(parameters.pack((good,), {}))
    with pytest.raises(InvalidJob, match=reason):
        parameters.check(parameters.pack((bad,), {}))
