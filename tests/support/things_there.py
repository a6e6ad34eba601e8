"""Hooks of Schemathesis: what it asks for is there, and what fits the schema is refused only for a good reason.

What there is stands in a JSON file, named by BOLTQ_THERE: lists of ids by the part of the path before them.
"""

import json
import os
import re
import zlib
from pathlib import Path

import schemathesis

from boltq.server.http.waiters import MAX_WAIT_SECONDS

THERE = json.loads(Path(os.environ["BOLTQ_THERE"]).read_text())
JOB_ID = re.compile("[0-7][0-9A-HJKMNP-TV-Z]{25}")

BEYOND_SCHEMAS = re.compile(
    r"give \w+ or \w+,( and)? not both"
    r"|differs from the Idempotency-Key header"
    r"|not a cursor of ours.*"
    r"|not the id of an entry"
    r"|at most \d+ printable (ASCII )?characters"
    r"|give a time with its zone.*"  # one that exists: not the 30th of February
    r"|must not be negative|too far away"  # a time before 1970, or after some thousand years
    r"|must be the name of the queue: .*"
    r"|running jobs cannot be deleted.*"
    r"|only a replay takes one"
    r"|not together with within"
    r"|expected int.*, got float"  # 1.0
)
"""The reasons that no schema can say."""


BEYOND_ANY_SCHEMA = {"POST /api/v1/workflows", "POST /api/v1/workflows/{id}/rerun"}
"""The calls with a body whose parts have to fit together: test_workflows.py names what is refused."""


@schemathesis.hook
def before_call(context, case, kwargs):
    """Three times in four, take a thing that is there. The choice depends on nothing but what was generated."""
    number = zlib.crc32(repr((case.operation.label, case.path_parameters, case.body, case.query)).encode())
    pieces = case.operation.path.split("/")
    for name, value in (case.path_parameters or {}).items():
        there = THERE.get(pieces[pieces.index(f"{{{name}}}") - 1])
        if there and isinstance(value, str) and value.isascii() and value.isalnum() and number % 4:
            case.path_parameters[name] = there[number // 4 % len(there)]
    if (body := _with_real_jobs(case.body, number)) != case.body:
        case.body = body
    _hurry(case)
    _refuse(case)


def _with_real_jobs(value, number):
    if isinstance(value, dict):
        return {key: _with_real_jobs(item, number) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_real_jobs(item, number + at) for at, item in enumerate(value)]
    if isinstance(value, str) and JOB_ID.fullmatch(value):
        return THERE["jobs"][number % len(THERE["jobs"])]
    return value


def _hurry(case):
    """Wait for no job; and where a mistake has to be refused, do not ask what would be wrong."""
    query = case.query or {}
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", str(query.get("wait"))) and 0.01 < float(query["wait"]) <= MAX_WAIT_SECONDS:
        query["wait"] = 0.01
    if case.meta and case.meta.generation.mode.is_negative and str(query.get("dry_run")).lower() in {"true", "1"}:
        query["dry_run"] = "false"


def _refuse(case):
    """In an address all is text: what is no list of names, such as false, would be a list of one good name there."""
    query = case.query or {}
    if case.meta and case.meta.generation.mode.is_negative:
        query.update({name: "-" for name in ("type", "queue", "tag") if query.get(name) in ("false", "true", "null")})


@schemathesis.check
def schema_says_enough(ctx, response, case):
    """Instead of positive_data_acceptance, which has no exceptions."""
    if case.operation.label in BEYOND_ANY_SCHEMA:
        return
    if response.status_code in {400, 422} and case.meta and case.meta.generation.mode.is_positive:
        problem = response.json()
        reasons = [mistake["detail"] for mistake in problem.get("errors", [])] or [problem["detail"]]
        for reason in reasons:
            assert BEYOND_SCHEMAS.fullmatch(reason), f"the schema does not say: {problem['detail']}"
