"""Each option of a job is everywhere where a job is submitted: what is missing somewhere is named here."""

import inspect
import re
from datetime import UTC, datetime
from functools import partial
from typing import Unpack

import msgspec
import pytest

from boltq import BoltQ, Task
from boltq.cli import job_view
from boltq.cli.commands.submit import _OPTION_OF
from boltq.client import calls, talk
from boltq.client.answers import JobInfo, JobSummary
from boltq.domain.options import Options, OptionWords
from boltq.server.jobs.dry_run import ResolvedView
from boltq.server.jobs.forms import FormReader, JobForm
from boltq.server.views import jobs as views

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
    "title": "The invoice of May",
}


def test_an_option_is_a_word_of_every_place_in_python():
    app = BoltQ()
    task = app.task(name="echo")(lambda: None)
    words = inspect.signature(task.options).parameters["options"].annotation
    assert SAID.keys() == set(Options.__struct_fields__) == set(OptionWords.__annotations__)
    assert words == Unpack[OptionWords]


def test_help_names_each_option():
    assert all(re.search(rf"\b{option}\b", Task.options.__doc__) for option in SAID)


@pytest.mark.parametrize("wrong", [{"countdown": 3}, {"dely": 3}])
def test_an_unknown_option_is_told_the_one_that_was_meant(wrong):
    app = BoltQ()
    task = app.task(name="echo")(lambda: None)
    for said in (task.options, partial(app.job_of, "echo"), partial(talk.job_of, "echo", {})):
        with pytest.raises(TypeError, match=r"unknown option; did you mean delay\?"):
            said(**wrong)


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


def test_what_the_form_takes_is_shown_again():
    """By the API, by the client, and by the command line: the last file that a new option has to come to."""
    shown = set(views.JobView.__struct_fields__)
    otherwise = {"delay_seconds": "run_at", "expires_in_seconds": "expires_at", "idempotency_key": None}
    assert {otherwise.get(field, field) for field in JobForm.__struct_fields__} - {None} <= shown
    resolved = {"delay_seconds": "run_at", "expires_in_seconds": "expires_at", "data": "data_bytes"}
    assert {resolved.get(field, field) for field in JobForm.__struct_fields__} == set(ResolvedView.__struct_fields__)
    not_of_the_client = {"traceparent", "hidden", "workflow"}
    for ours, theirs in ((views.JobSummary, JobSummary), (views.JobView, JobInfo)):
        read = {field.encode_name for field in msgspec.structs.fields(theirs)}
        assert set(ours.__struct_fields__) - not_of_the_client <= read, theirs


def test_the_command_line_tells_each_option_of_a_job():
    said = {"queue": "other", "priority": "high", "max_attempts": 7, "tags": ["red"], "title": "The invoice of May"}
    untold = {"type", "data", "delay_seconds", "run_at", "expires_in_seconds", "expires_at"}  # times and names are told
    untold |= {"timeout_seconds", "idempotency_key"}
    assert said.keys() | untold == set(JobForm.__struct_fields__)  # each has its case
    now = datetime(2030, 1, 1, tzinfo=UTC)
    job = JobInfo(id="1", type="echo", state="queued", since=now, created_at=now, data_json=msgspec.Raw(b"{}"), **said)
    facts = str(job_view._facts(job, now))
    assert all(str(value if isinstance(value, str | int) else value[0]) in facts for value in said.values())
