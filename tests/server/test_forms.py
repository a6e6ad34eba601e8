"""The form of a job: whatever its body can say reaches the job, also when its names have been seen before."""

import msgspec
import pytest

from boltq.domain.job import JobRecord, Priority, Spec
from boltq.domain.retry import StepRetry
from boltq.domain.states import JobState
from boltq.server.jobs.edits import ReplayForm, read_replay
from boltq.server.jobs.forms import FormReader, JobForm

FIRST = {"type": "echo", "queue": "default"}
SAID = {  # each field of the form, alone; a new one has its line here
    "type": "shout",
    "data": {"a": 1},
    "queue": "other",
    "priority": "high",
    "delay_seconds": 5,
    "run_at": 4_000_000_000,
    "expires_in_seconds": 60,
    "expires_at": 4_000_000_000,
    "max_attempts": 7,
    "timeout_seconds": 9,
    "idempotency_key": "once",
    "tags": ["red"],
    "title": "The invoice of May",
}


def test_there_is_a_case_for_each_field():
    assert SAID.keys() == set(JobForm.__struct_fields__)


@pytest.mark.parametrize("field", SAID)
def test_each_field_reaches_the_second_job_too(field):
    reader = FormReader()
    body = msgspec.json.encode({**FIRST, field: SAID[field]})
    usual = reader.read(msgspec.json.encode(FIRST), {}).job
    first, second = reader.read(body, {}).job, reader.read(body, {}).job
    assert first == second != usual


@pytest.mark.parametrize(
    ("name", "value"), [(b"idempotency-key", b"once"), (b"traceparent", b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01")]
)
def test_each_header_reaches_the_second_job_too(name, value):
    reader = FormReader()
    body = msgspec.json.encode(FIRST)
    usual = reader.read(body, {}).job
    assert reader.read(body, {name: value}).job != usual


def test_a_replay_has_all_that_the_old_job_was_told_except_of_its_workflow():
    said = {"max_attempts": 7, "timeout": 9.0, "headers": {"a": "b"}, "title": "The invoice of May"}
    of_a_step = {"retry": StepRetry(max_attempts=2), "step": True}
    assert said.keys() | of_a_step.keys() == set(Spec.__struct_fields__)  # each has its case
    old = JobRecord(
        id="0" * 26, state=JobState.DEAD, type="echo", queue="default", priority=Priority.NORMAL, data="{}",
        spec=Spec(**said, **of_a_step), created_at=1, since=1, attempts=1, deliveries=1,
    )  # fmt: skip
    assert read_replay(ReplayForm(as_new=True), old)[0].spec == Spec(**said)
