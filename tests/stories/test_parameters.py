"""Type hints are the contract of a task: they check what arrives, build what the function wants, and are published."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

import msgspec
import pydantic
import pytest

from boltq import JobFailed, NewJob


class Size(StrEnum):
    SMALL = "small"
    LARGE = "large"


@dataclass
class Address:
    city: str
    zip: str


class Order(pydantic.BaseModel):
    number: int = pydantic.Field(gt=0)
    items: list[str] = []


class Invoice(msgspec.Struct):
    order: int
    due: date


async def test_arguments_arrive_as_the_function_wants_them(boltq_app, worker):
    """Dates, enums, dataclasses and msgspec structs survive the way through JSON; so does what is returned."""

    @boltq_app.task
    async def bill(address: Address, due: date, size: Size = Size.SMALL, *, note: str | None = None) -> Invoice:
        assert isinstance(address, Address)
        assert (address.city, due, size, note) == ("Ghent", date(2026, 1, 31), Size.LARGE, "é")
        return Invoice(order=7, due=due)

    async with worker():
        job = await bill.submit(Address("Ghent", "9000"), date(2026, 1, 31), Size.LARGE, note="é")
        assert await job.result() == Invoice(order=7, due=date(2026, 1, 31))


async def test_pydantic_models_are_understood(boltq_app, worker):
    """As parameters, checked by their own rules, and as results."""

    @boltq_app.task
    async def double(order: Order) -> Order:
        return Order(number=order.number * 2, items=order.items)

    async with worker():
        job = await double.submit(Order(number=21, items=["tea"]))
        assert await job.result() == Order(number=42, items=["tea"])

        wrong = await boltq_app.submit_job(NewJob(type="double", data='{"order": {"number": -1}}'))
        with pytest.raises(JobFailed, match=r"number: Input should be greater than 0 - at `\$\.order`"):
            await wrong.result()


async def test_a_function_may_take_whatever_comes(boltq_app, worker):
    """With **kwargs; its named parameters are checked all the same."""

    @boltq_app.task
    async def collect(name: str, **more: object) -> dict:
        return {"name": name, **more}

    async with worker():
        job = await collect.submit("a", x=1, y=[2])
        assert await job.result() == {"name": "a", "x": 1, "y": [2]}
        with pytest.raises(JobFailed, match="name"):
            await (await boltq_app.submit_job(NewJob(type="collect", data='{"name": 3}'))).result()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ('{"count": "many"}', r"Expected `int`, got `str` - at `\$.count`"),
        ("{}", "missing required field `count`"),
        ('{"count": 1, "colour": "red"}', "unknown field `colour`"),
    ],
)
async def test_data_that_do_not_fit_end_in_the_dead_letters_at_once(boltq_app, worker, data, reason):
    """Whoever sent them; the function is not called, nothing is retried, and the error names the field."""
    called = []

    @boltq_app.task
    async def count_up(count: int) -> None:
        called.append(count)

    async with worker():
        job = await boltq_app.submit_job(NewJob(type="count_up", data=data))
        with pytest.raises(JobFailed, match=reason) as caught:
            await job.result()
    assert caught.value.error.category == "data"
    assert ((await job.record()).attempts, called) == (1, [])


async def test_a_task_publishes_its_schema(boltq_app, worker):
    """Workers say what their tasks take, so that a form can be drawn and a request checked without their code."""

    @boltq_app.task(queue="images", timeout=30, max_attempts=5)
    def resize(image: str, width: int = 100) -> None:
        """Make an image smaller.

        More is not published.
        """

    async with worker(queues=["images"]):
        line = await boltq_app.connections()
        [task] = await line.inspector.tasks()

    assert task.name == "resize"
    schema = task.about.pop("schema")
    assert task.about == {
        "description": "Make an image smaller.",
        "queue": "images",
        "executor": "thread",
        "max_attempts": 5,
        "timeout_seconds": 30,
    }
    assert schema["properties"] == {"image": {"type": "string"}, "width": {"type": "integer", "default": 100}}
    assert (schema["required"], schema["additionalProperties"]) == (["image"], False)
