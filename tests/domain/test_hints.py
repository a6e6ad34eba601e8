"""Which field was meant: by the word for it elsewhere, or by its letters; and never one that only shares some."""

import msgspec
import pytest

from boltq.domain.hints import meant, unknown
from boltq.domain.workflow.form import MapForm, StepForm, WorkflowForm
from boltq.server.jobs.forms import FirstJobForm, JobForm


def names(form) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(form)]


@pytest.mark.parametrize(
    ("form", "said", "right"),
    [
        (JobForm, "payload", "data"),
        (JobForm, "params", "data"),
        (JobForm, "kwargs", "data"),
        (JobForm, "args", "data"),
        (JobForm, "job_type", "type"),
        (JobForm, "task", "type"),
        (JobForm, "name", "type"),
        (JobForm, "delay", "delay_seconds"),
        (JobForm, "countdown", "delay_seconds"),
        (JobForm, "eta", "run_at"),
        (JobForm, "retries", "max_attempts"),
        (JobForm, "timeout", "timeout_seconds"),
        (JobForm, "ttl", "expires_in_seconds"),
        (JobForm, "idempotencyKey", "idempotency_key"),
        (JobForm, "Idempotency-Key", "idempotency_key"),
        (JobForm, "key", "idempotency_key"),
        (JobForm, "priorty", "priority"),
        (JobForm, "Type", "type"),
        (JobForm, "tpye", "type"),
        (JobForm, "labels", "tags"),
        (JobForm, "queu", "queue"),
        (FirstJobForm, "data", "payload"),
        (FirstJobForm, "params", "payload"),
        (FirstJobForm, "pyload", "payload"),
        (StepForm, "data", "params"),
        (StepForm, "payload", "params"),
        (StepForm, "args", "params"),
        (StepForm, "task", "job_type"),
        (StepForm, "jobType", "job_type"),
        (StepForm, "name", "id"),
        (StepForm, "key", "id"),
        (StepForm, "needs", "depends_on"),
        (StepForm, "dependsOn", "depends_on"),
        (StepForm, "depend_on", "depends_on"),
        (StepForm, "condition", "when"),
        (StepForm, "if", "when"),
        (StepForm, "trigger_rule", "run_if"),
        (StepForm, "foreach", "map"),
        (StepForm, "retries", "retry"),
        (StepForm, "max_attempts", "retry"),
        (StepForm, "delay", "wait"),
        (MapForm, "items", "over"),
        (WorkflowForm, "data", "input"),
        (WorkflowForm, "tasks", "steps"),
        (WorkflowForm, "on_error", "on_failure"),
        (WorkflowForm, "nam", "name"),
        (JobForm, "colour", None),
        (JobForm, "x", None),
        (StepForm, "wiat", "wait"),
        (StepForm, "date", None),
    ],
)
def test_what_was_meant(form, said, right):
    assert meant(said, names(form)) == right


def test_where_nothing_is_alike_all_are_named():
    assert unknown("zzz", ["a", "b"]) == "unknown field; known: a, b"
    assert unknown("zzz", [], "parameter") == "unknown parameter; known: none"
