import pytest

from boltq.domain.errors import InvalidJob
from boltq.domain.filters import MAX_CHOICES, JobFilter
from boltq.domain.job import NO_SPEC, JobRecord, Priority
from boltq.domain.job_error import Category, JobError, as_json
from boltq.domain.states import JobState

JOB = JobRecord(
    id="0" * 26,
    state=JobState.DEAD,
    type="mail",
    queue="q",
    priority=Priority.NORMAL,
    data="{}",
    spec=NO_SPEC,
    created_at=100,
    since=200,
    attempts=1,
    deliveries=1,
    worker="w",
    error=as_json(JobError("ValueError", "no", Category.DATA, "feed")),
    tags=["eu", "big"],
)


@pytest.mark.parametrize(
    ("fields", "fits"),
    [
        ({}, True),
        ({"states": (JobState.DEAD, JobState.QUEUED)}, True),
        ({"states": (JobState.QUEUED,)}, False),
        ({"types": ("x", "mail")}, True),
        ({"types": ("x",)}, False),
        ({"queues": ("q",)}, True),
        ({"queues": ("r",)}, False),
        ({"tags": ("big", "eu")}, True),
        ({"tags": ("eu", "us")}, False),
        ({"created_after": 100}, True),
        ({"created_after": 101}, False),
        ({"created_before": 101}, True),
        ({"created_before": 100}, False),
        ({"fingerprint": "feed"}, True),
        ({"fingerprint": "beef"}, False),
        ({"category": "data"}, True),
        ({"category": "timeout"}, False),
        ({"worker": "w"}, True),
        ({"worker": "v"}, False),
        ({"types": ("mail",), "worker": "v"}, False),
    ],
)
def test_every_field_must_fit(fields: dict, fits: bool) -> None:
    assert JobFilter(**fields).matches(JOB) is fits


def test_states_and_queues_have_an_index() -> None:
    assert not JobFilter.of(JobState.DEAD, "q").looks_inside
    assert JobFilter(types=("x",)).looks_inside
    assert JobFilter(created_after=0).marks() == {"after": 0}


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"types": ("fine", "a b")}, "/types/1"),
        ({"queues": ("",)}, "/queues/0"),
        ({"tags": ("x",) * (MAX_CHOICES + 1)}, "/tags"),
        ({"created_after": -1}, "/created_after"),
        ({"category": "bad"}, "/category"),
    ],
)
def test_what_is_wrong_is_named(fields: dict, pointer: str) -> None:
    with pytest.raises(InvalidJob) as error:
        JobFilter(**fields).check()
    assert [where for where, _ in error.value.errors] == [pointer]


def test_a_good_one_passes() -> None:
    JobFilter(types=("x",), states=(JobState.DEAD,), category="timeout", created_after=0, tags=("a",)).check()
