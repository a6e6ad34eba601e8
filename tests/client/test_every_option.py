"""Each option of a job is everywhere where a job is submitted: what is missing somewhere is named here."""

import inspect
from datetime import UTC, datetime
from typing import Unpack

import msgspec
import pytest

from boltq import BoltQ
from boltq.cli.commands.submit import _OPTION_OF
from boltq.client import calls, talk
from boltq.domain.options import Options, OptionWords
from boltq.server.jobs.forms import FormReader, JobForm

TRACE = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
SAID = {  # each option, alone; a new one has its line here
    "queue": "other",
    "priority": "high",
    "delay": 5,
    "run_at": datetime(2100, 1, 1, tzinfo=UTC),
    "expires_in": 60,
    "expires_at": datetime(2100, 1, 1, tzinfo=UTC),
    "max_attempts": 7,
    "timeout": 9,
    "idempotency_key": "once",
    "headers": {"traceparent": TRACE},
    "tags": ["red"],
}


def test_an_option_is_a_word_of_every_place_in_python():
    app = BoltQ()
    task = app.task(name="echo")(lambda: None)
    words = inspect.signature(task.options).parameters["options"].annotation
    assert SAID.keys() == set(Options.__struct_fields__) == set(OptionWords.__annotations__)
    assert words == Unpack[OptionWords]


@pytest.mark.parametrize("option", SAID)
def test_an_option_goes_from_the_client_to_the_server_as_it_is(option):
    job = talk.job_of("echo", {}, **{option: SAID[option]})
    assert msgspec.structs.asdict(job) != msgspec.structs.asdict(talk.job_of("echo", {}))
    headers = {b"traceparent": TRACE.encode()} if option == "headers" else {}  # what the client says of it in the head
    read = FormReader().read(msgspec.json.encode(calls.form_of(job)), headers).job
    assert msgspec.structs.asdict(read) == msgspec.structs.asdict(job)


def test_a_mistake_in_a_field_is_told_as_an_option_of_the_command():
    without = {"expires_at"}  # the command has --expires-in
    assert set(_OPTION_OF) == {f"/{field}" for field in set(JobForm.__struct_fields__) - without}
