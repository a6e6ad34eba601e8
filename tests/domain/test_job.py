from typing import Any

import pytest

from boltq.domain import limits
from boltq.domain.errors import InvalidJob
from boltq.domain.job import ClaimedJob, NewJob, Priority, Spec


def wrong(**fields: Any) -> list[str]:
    """The pointers of the fields that are refused."""
    try:
        NewJob(**{"type": "x", **fields}).check()
    except InvalidJob as error:
        return [pointer for pointer, _ in error.errors]
    return []


LONG = limits.MAX_DELAY_SECONDS * 1_000


@pytest.mark.parametrize(
    ("fields", "pointers"),
    [
        ({}, []),
        ({"type": ""}, ["/type"]),
        ({"type": "a b"}, ["/type"]),
        ({"type": "a" * 100}, []),
        ({"type": "a" * 101}, ["/type"]),
        ({"queue": "{q}"}, ["/queue"]),
        ({"queue": "a:b"}, ["/queue"]),
        ({"queue": "-a"}, ["/queue"]),
        ({"queue": "q\n"}, ["/queue"]),
        ({"data": "[]"}, ["/data"]),
        ({"data": ' {"a":1}'}, []),
        ({"data": '{"a":"' + "x" * limits.MAX_DATA_BYTES + '"}'}, ["/data"]),
        ({"data": '{"a":"' + "é" * (limits.MAX_DATA_BYTES // 2) + '"}'}, ["/data"]),
        ({"idempotency_key": "k" * 200}, []),
        ({"idempotency_key": "k" * 201}, ["/idempotency_key"]),
        ({"idempotency_key": "é"}, ["/idempotency_key"]),
        ({"idempotency_key": "a\nb"}, ["/idempotency_key"]),
        ({"priority": 3}, ["/priority"]),
        ({"id": "x"}, ["/id"]),
        ({"id": "8" + "0" * 25}, ["/id"]),
        ({"delay": -1}, ["/delay_seconds"]),
        ({"delay": LONG}, []),
        ({"delay": LONG + 1}, ["/delay_seconds"]),
        ({"run_at": 1 << 48}, ["/run_at"]),
        ({"expires_in": -1}, ["/expires_in_seconds"]),
        ({"delay": 1, "run_at": 1}, ["/run_at"]),
        ({"expires_in": 1, "expires_at": 1}, ["/expires_at"]),
        ({"spec": Spec(max_attempts=0)}, ["/max_attempts"]),
        ({"spec": Spec(max_attempts=1_001)}, ["/max_attempts"]),
        ({"spec": Spec(timeout=0)}, ["/timeout_seconds"]),
        ({"tags": [f"t{n}" for n in range(10)]}, []),
        ({"tags": [f"t{n}" for n in range(11)]}, ["/tags"]),
        ({"tags": ["a", "a"]}, ["/tags"]),
        ({"tags": ["a b"]}, ["/tags"]),
        ({"tags": [""]}, ["/tags"]),
        ({"created_by": "Jörg, at the desk"}, []),
        ({"spec": Spec(title="The invoice of May, für Jörg")}, []),
        ({"spec": Spec(title="x" * 200)}, []),
        ({"spec": Spec(title="x" * 201)}, ["/title"]),
        ({"spec": Spec(title="two\nlines")}, ["/title"]),
        ({"spec": Spec(title="half \ud800")}, ["/title"]),
        ({"created_by": "x" * 101}, ["/created_by"]),
        ({"created_by": "a\nb"}, ["/created_by"]),
        ({"type": "", "queue": "", "priority": 9}, ["/type", "/queue", "/priority"]),
    ],
)
def test_every_field_is_checked(fields: dict[str, Any], pointers: list[str]) -> None:
    assert wrong(**fields) == pointers


@pytest.mark.parametrize(("value", "priority"), [("high", 2), ("NORMAL", 1), ("low", 0), (2, 2), (0, 0)])
def test_priorities_have_names_and_numbers(value: object, priority: int) -> None:
    assert Priority.parse(value) == priority


@pytest.mark.parametrize("value", ["urgent", 3, -1, True, None, 1.0, ""])
def test_what_is_no_priority(value: object) -> None:
    with pytest.raises(ValueError, match="no priority"):
        Priority.parse(value)


def test_the_digest_is_of_what_was_asked_for() -> None:
    base = NewJob(type="x", data='{"a":1}', idempotency_key="k")
    assert base.digest() == NewJob(type="x", data='{"a":1}', idempotency_key="other", id="0" * 26).digest()
    assert base.digest() == NewJob(type="x", data='{"a":1}', idempotency_key="k", created_by="somebody").digest()
    changes: list[dict[str, Any]] = [
        {"type": "y"}, {"data": "{}"}, {"queue": "r"}, {"priority": 2}, {"delay": 1}, {"run_at": 1}, {"expires_in": 1},
        {"expires_at": 1}, {"spec": Spec(timeout=1)}, {"spec": Spec(max_attempts=1)},
        {"tags": ["t"]}, {"spec": Spec(title="t")},
    ]  # fmt: skip
    of_the_job = {name for change in changes for name in change}
    assert of_the_job | {"idempotency_key", "id", "created_by"} == set(NewJob.__struct_fields__)  # each has its case
    of_the_spec = {"max_attempts", "timeout", "title"}
    elsewhere = {"headers", "retry", "step"}  # a trace, and what only the step of a workflow has
    assert of_the_spec | elsewhere == set(Spec.__struct_fields__)
    digests = {NewJob(**{"type": "x", "data": '{"a":1}', **change}).digest() for change in changes}
    assert len(digests | {base.digest()}) == len(changes) + 1


def test_a_claimed_job_knows_its_route() -> None:
    job = ClaimedJob("id", "mail 2 send", "{}", "", 3, 1, 5)
    assert (job.queue, job.type, job.attempt) == ("mail", "send", 2)
