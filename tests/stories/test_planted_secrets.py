"""What is wrong with a job's data is said by its place: no value of them stands in an error message."""

import asyncio
import enum
import json
from typing import Literal

import msgspec
import pytest

from boltq import BoltQ, DataError, InvalidJob
from boltq.domain.context import JobContext
from boltq.domain.parameters import Parameters
from boltq.domain.workflow.prepare import prepare
from boltq.server.known_types import _checker, misfits
from boltq.tasks import add_to
from boltq.tasks.mail import _addresses, parse_address
from boltq.tasks.operations import AnyOperation
from boltq.tasks.process_data import process
from boltq.tasks.reading import rows_of, text_of

pytestmark = pytest.mark.any_partitions  # what it looks at are the words of errors

S = "S3CRET"

WRONG = [
    ("email", {"to": f"{S} at home", "subject": "s", "body": "b"}),
    ("email", {"to": [f"a@{S}..b", "b@example.com"], "subject": "s", "body": "b"}),
    ("email", {"to": "a@example.com", "subject": "s", "body": "b", "from": f"{S}@{S}.example"}),
    ("email", {"to": "a@example.com", "subject": "s", "body": [S]}),
    ("fetch_data", {"url": f"{S}://x"}),
    ("fetch_data", {"url": f"http://{S}!{S}/"}),
    ("fetch_data", {"url": f"http://127.0.0.1:{S}/"}),
    ("fetch_data", {"url": f"http://[{S}]/"}),
    ("fetch_data", {"url": f"http://{S}@example.com/"}),
    ("fetch_data", {"url": "http://127.0.0.1/", "headers": {f"{S} {S}": "x"}}),
    ("fetch_data", {"url": "http://127.0.0.1/", "headers": {"a": f"{S}\n"}}),
    ("fetch_data", {"url": "http://127.0.0.1/", "format": S}),
    ("process_data", {"from_job": S}),
    ("process_data", {"rows": S}),
    ("process_data", {"rows": [S]}),
    ("process_data", {"rows": [], "operations": [{"op": S}]}),
    ("process_data", {"rows": [], "operations": [{"op": "filter", "field": "a", "is": S}]}),
    ("process_data", {"rows": [{"a": S}], "operations": [{"op": "filter", "field": "a", "is": "<", "value": 1}]}),
    ("process_data", {"rows": [{"a": 1}], "operations": [{"op": "filter", "field": "a", "is": "=", "value": S}]}),
    ("process_data", {"rows": [{"a": S}], "operations": [{"op": "filter", "field": "a", "is": "in", "value": [1]}]}),
    ("process_data", {"rows": [{"a": [S]}], "operations": [{"op": "sort", "by": "a"}]}),
    ("process_data", {"rows": [{"a": S}], "operations": [{"op": "convert", "fields": {"a": "number"}}]}),
    ("process_data", {"rows": [{"a": S}], "operations": [{"op": "convert", "fields": {"a": "boolean"}}]}),
    (
        "process_data",
        {"rows": [{"a": S}], "operations": [{"op": "aggregate", "measures": [{"function": "sum", "field": "a"}]}]},
    ),
    ("process_data", {"rows": [{"a": {"b": S}}], "operations": [{"op": "aggregate", "by": ["a"], "measures": []}]}),
    ("sleep", {"seconds": S}),
]


async def run(app: BoltQ, job_type: str, data: dict[str, object]) -> None:
    """What a worker does with data, as far as their errors go."""
    task = app.tasks[job_type]
    args, kwargs = task.parameters.unpack(json.dumps(data))
    if task.parameters.wants_context:
        args = (JobContext("01JDABC7K2M3N4P5Q6R7S8T900", job_type, "default", 1, 3, lambda *_: None), *args)
    await task.function(*args, **kwargs)


@pytest.mark.parametrize(("job_type", "data"), WRONG)
async def test_built_in_tasks(boltq_app, job_type, data) -> None:
    app = BoltQ(settings=boltq_app.settings)
    add_to(app)
    async with app:
        with pytest.raises(DataError) as caught:
            await asyncio.wait_for(run(app, job_type, data), 30)
    assert S not in str(caught.value)
    assert S.lower() not in str(caught.value).lower()


class Colour(enum.Enum):
    RED = "red"


def test_parameters_and_schemas() -> None:
    def task(a: int, b: Literal["x"], c: Colour, d: list[float]) -> None: ...

    parameters = Parameters(task)
    for wrong in ({"a": S}, {"b": S}, {"c": S}, {"d": [S]}):
        data = {"a": 1, "b": "x", "c": "red", "d": []} | wrong
        with pytest.raises((DataError, InvalidJob)) as caught:
            parameters.unpack(json.dumps(data))
        assert S not in str(caught.value)
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "integer"},
            "b": {"enum": ["x"]},
            "c": {"pattern": "^x"},
            "d": {"items": {"type": "number"}},
            "e": {"maxLength": 2},
        },
    }
    checker = _checker("t", json.dumps({"schema": schema}))
    assert checker is not None
    found = misfits(checker, {"a": S, "b": S, "c": S, "d": [S], "e": S})
    assert [at for at, _ in found] == ["/data/a", "/data/b", "/data/c", "/data/d/0", "/data/e"]
    assert S not in str(found)


def test_what_was_fetched() -> None:
    for text in (f"{S},{S}\n", f"a,b\n{S}\n", f'a\n"{S}"{S}\n'):
        with pytest.raises(DataError) as caught:
            rows_of(text, ",", numbers=False)
        assert S not in str(caught.value)
    with pytest.raises(DataError) as caught:
        text_of(b"x", "", S)
    assert S not in str(caught.value)


def test_addresses_are_named_by_their_place() -> None:
    with pytest.raises(DataError, match=r"^to\[1\]: this is not an address"):
        _addresses("to", ["a@example.com", S])
    with pytest.raises(DataError, match=r"^cc: this is not an address; give several as a list$"):
        parse_address("cc", S)


def test_waits() -> None:
    from boltq.domain.workflow.builder import Workflow
    from boltq.domain.workflow.scope import ReferenceScope

    flow = Workflow("w", at=S)
    flow.wait(until=flow.input.at)
    (step,) = flow.compile().steps
    with pytest.raises(DataError, match=r"^wait\.until: ") as caught:
        prepare(step, ReferenceScope(input=json.dumps({"at": S})))
    assert S not in str(caught.value)


def test_many_columns_take_as_long_as_they_are_many() -> None:
    """Twice the same name is found without comparing each with all: it was 20 s for 90,000."""
    head = ",".join(f"c{n}" for n in range(10_000))
    (row,) = rows_of(f"{head}\n{','.join('1' for _ in range(10_000))}\n", ",", numbers=True)
    assert len(row) == 10_000
    with pytest.raises(DataError, match="90000 columns; at most 10000"):
        rows_of(",".join(f"c{n}" for n in range(90_000)), ",", numbers=True)
    with pytest.raises(DataError, match="columns 2 and 3 have one name"):
        rows_of("a,b,b\n1,2,3\n", ",", numbers=True)


def test_what_a_test_for_in_says_is_as_before() -> None:
    """A list is made ready once, however many cells are looked for in it."""

    def kept(cells: list[object], values: list[object]) -> list[object]:
        operation = msgspec.convert({"op": "filter", "field": "a", "is": "in", "value": values}, AnyOperation)
        return [row["a"] for row in process([{"a": cell} for cell in cells], [operation])["rows"]]

    assert kept([1, True, None, [1], 2.0, 3], [1.0, None, 2]) == [1, None, 2.0]  # true is not 1
    assert kept(["x", "y", None, [1], [2], {"b": 1}], ["x", [1], {"b": 1}]) == ["x", [1], {"b": 1}]
    assert kept([*range(5_000)], [*range(0, 20_000, 2)]) == [*range(0, 5_000, 2)]
    with pytest.raises(DataError, match="100 lists and objects"):
        kept([1], [[n] for n in range(101)])
