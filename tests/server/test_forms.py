"""The form of a job: whatever its body can say reaches the job, also when its names have been seen before."""

import msgspec
import pytest

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
