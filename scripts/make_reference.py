"""Writes the pages of docs/reference that are made from code: settings, states, the form of workflows, openapi.json.

Run it after a change of settings.py, domain/states.py, the form of workflows or the API's calls:
.venv/bin/python scripts/make_reference.py. A test compares the files with what this makes.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any, Final

import msgspec

from boltq import settings
from boltq.broker.broker import Broker
from boltq.domain.states import ACTIONS, CAUSES, CAUSES_AT_FIRST, MEANINGS, TERMINAL, JobState
from boltq.domain.workflow import bounds
from boltq.domain.workflow.compiler import compile_workflow
from boltq.domain.workflow.durations import DURATION_RULE
from boltq.domain.workflow.form import WorkflowForm, read_form
from boltq.domain.workflow.plan import EARLY, RULE_MEANINGS, Rule
from boltq.domain.workflow.states import STEP_MEANINGS, WORKFLOW_MEANINGS, StepState, WorkflowState
from boltq.server.app import calls_of
from boltq.server.backend import Backend
from boltq.server.http.openapi import document

FOLDER: Final = Path(__file__).parent.parent / "docs" / "reference"

INVOICES: Final = """\
{
  "name": "invoice-run",
  "input": {"month": "2026-11", "shop": "https://shop.example.com"},
  "timeout": "2h",
  "steps": [
    {"id": "fetch", "job_type": "orders.fetch",
     "params": {"url": "{{ input.shop }}/orders?m={{ input.month }}"},
     "retry": {"max_attempts": 5, "backoff": "exponential", "base": "2s", "max": "5m", "on": ["transient", "timeout"]}},
    {"id": "each", "job_type": "invoice.render", "params": {"order": "{{ item }}"},
     "map": {"over": "{{ steps.fetch.result.orders }}", "max_concurrency": 20, "tolerated_failures": "5%"}},
    {"id": "review", "type": "approval", "when": "steps.each.stats.failed > 0",
     "prompt": "{{ steps.each.stats.failed }} invoices failed. Send the others?", "timeout": "24h"},
    {"id": "send", "job_type": "mail.bulk", "depends_on": ["each", "review"], "run_if": "none_failed",
     "params": {"files": "{{ steps.each.results }}"}},
    {"id": "rest", "type": "wait", "for": "1h", "depends_on": ["send"]},
    {"id": "ledger", "type": "workflow", "depends_on": ["rest"], "input": {"n": "{{ steps.each.stats.completed }}"},
     "workflow": {"name": "ledger", "steps": [{"job_type": "ledger.close", "params": {"n": "{{ input.n }}"}}]}}
  ],
  "on_failure": [{"job_type": "slack.notify", "params": {"text": "{{ error.step }}: {{ error.message }}"}}],
  "finally": [{"job_type": "tmp.cleanup"}],
  "output": {"sent": "{{ steps.send.result.count }}"}
}"""
"""A workflow with a bit of everything."""

MADE: Final = "<!-- Made by scripts/make_reference.py. Change the code it names, and run it again. -->"


def settings_page() -> str:
    """Every setting."""
    rows = [
        (" or ".join(f"`{name}`" for name in names.split(" or ")), f"`{default}`" if default else "empty", about)
        for names, default, about in settings.table()
    ]
    return _page(
        "# Settings",
        MADE,
        "Everything is set by environment variables, read once when a process starts. The table is made from"
        " [`settings.py`](../../src/boltq/settings.py), the only place that reads the environment. Where a row has two"
        " names, the first one that is set counts. An empty variable counts as not set. A value that cannot be used"
        " ends the process with a message and exit code 2.",
        "Durations are in seconds, unless the name says hours or days.",
        _table(("variable", "default", "what it is"), rows),
        "## From Python",
        "An application reads the same variables, when they are first needed. To give values in code:",
        "```python\n"
        "from boltq import BoltQ, Settings\n\n"
        'app = BoltQ(address="localhost:6379")  # the store; all else from the environment\n'
        "app = BoltQ(settings=Settings(num_workers=16))  # nothing from the environment\n"
        "app = BoltQ(settings=Settings.from_env(lease=5))  # the environment, and one value overruled\n"
        "```",
        "## Bounds are stored",
        "The `KEEP` settings, `BOLTQ_MAX_QUEUE_DEPTH`, `BOLTQ_PRIORITY_PATIENCE` and `BOLTQ_POISON_LIMIT` are kept by"
        " the store's scripts. The process that starts last writes them, so give all processes of a namespace the same"
        " values. `BOLTQ_PARTITIONS` counts only for a namespace that does not exist yet.",
    )


def states_page() -> str:
    """Every state, and every move."""
    return _page(
        "# States of a job",
        MADE,
        "The words are the same in the store, in Python, over HTTP and on the command line. Both tables are made from"
        " [`domain/states.py`](../../src/boltq/domain/states.py); the Lua scripts are given the same table when they"
        " load, and refuse every move that is not in it.",
        "```mermaid\n" + diagram() + "\n```",
        "## The states",
        _table(
            ("state", "what it means", "what you may do"),
            [(f"`{state}`", MEANINGS[state], _actions(state)) for state in JobState],
        ),
        f"A job ends as {_listed(state for state in JobState if state in TERMINAL)}. It leaves these states only by a"
        " replay, or when it is pruned or deleted: then it is gone. To `replay` is to queue the same job again; to"
        " `replay_as` is to make a new job from it, which may differ; to `edit` is to change the payload, priority,"
        " time or tags of a job that waits.",
        "## The moves",
        _table(("from", "to", "because"), [(f"`{a}`", f"`{b}`", why) for a, b, why in _moves()]),
    )


def workflow_page() -> str:
    """The form of a workflow, field by field."""
    compile_workflow(read_form(INVOICES))
    _, shapes = msgspec.json.schema_components([WorkflowForm], ref_template="{name}")
    return _page(
        "# The form of a workflow",
        MADE,
        "A workflow is submitted as JSON, over HTTP or with `app.submit_workflow`. What is written in Python comes to"
        " the same. The tables are made from [`form.py`](../../src/boltq/domain/workflow/form.py). An unknown field, a"
        " wrong value, an id or a reference that leads nowhere, and a cycle are refused when it is submitted, each with"
        f" a JSON pointer such as `/steps/2/params/order`; {bounds.MAX_MISTAKES} mistakes are named at once.",
        f"```json\n{INVOICES}\n```",
        "## The workflow",
        _fields(shapes["WorkflowForm"]),
        f"A workflow has at most {bounds.MAX_STEPS:,} steps and {bounds.MAX_WORKFLOW_BYTES:,} bytes. Sub-workflows"
        f" count with both, and are nested at most {bounds.MAX_NESTING} deep. `params`, `input` and `output` are kept"
        " to the byte: big numbers, `[]` and the order of keys come through.",
        "## A step",
        "Fields that begin with a type in the table are only for steps of this type. What may be said in two ways is"
        " said in one of them.",
        _fields(shapes["StepForm"]),
        "A step of the type `job` runs a job; `wait` lets time pass; `approval` waits for a person's word and fails if"
        " it is no; `workflow` runs a whole workflow, whose output is its result. Steps without `depends_on` wait for"
        " what they refer to. Where `depends_on` is given, what the step refers to must come before it.",
        "### run_if",
        "Whether a step runs once the steps that it depends on have ended; it is skipped otherwise. One that was"
        " allowed to fail counts as a success for `all_success` and `none_failed`.",
        _table(
            ("run_if", "it runs when they have", "may run before all have ended"),
            [(f"`{rule}`", RULE_MEANINGS[rule], "yes" if rule in EARLY else "no") for rule in Rule],
        ),
        "### map",
        _fields(shapes["MapForm"]),
        "Each item is a job of its own, with its own retries. The step's result is the list of their results in the"
        " order of the items, `null` for one that failed. No item begins any more when more have failed than may.",
        "### wait",
        _fields(shapes["WaitForm"]),
        "### approval",
        _fields(shapes["ApprovalForm"]),
        'The result is `{"decision": "approve", "by": "ann", "data": null, "timed_out": false}`. An answer may come'
        " before the step waits for it.",
        "### retry",
        _fields(shapes["RetryForm"]),
        "As `backoff` stands `exponential`, `fixed`, or an object:",
        _fields(shapes["BackoffForm"]),
        "## Durations",
        f"A duration is {DURATION_RULE}. The units are `d`, `h`, `m`, `s` and `ms`, each at most once and in this"
        " order; fractions are fine (`1.5h`). Timeouts are longer than 0, and nothing is longer than 10 years.",
        "## References",
        "In `params`, a sub-workflow's `input`, `output`, `over`, `prompt`, `for`, `seconds` and `until`, a text may"
        " have references. A text that is one reference and nothing more becomes the value, with its type; inside of a"
        " longer text the value must be a text, a number, true, false or null. `\\{{` stands for `{{` itself. There are"
        " no filters and no language.",
        _table(
            ("reference", "what it is", "where"),
            [
                ("`{{ input.month }}`", "of the workflow's input; it must be there", "anywhere"),
                ("`{{ steps.fetch.result.rows[0] }}`", "a step's result; null if it has none", "after it"),
                ("`{{ steps.each.results }}`", "the same, of a map", "after it"),
                ("`{{ steps.fetch.state }}`", "`completed`, `failed`, `skipped` or `cancelled`", "after it"),
                (
                    "`{{ steps.each.stats.failed }}`",
                    "of a map; also `total`, `completed`, `cancelled`",
                    "after that step",
                ),
                ("`{{ steps.fetch.error.message }}`", "of a step that failed; also `category`", "after it"),
                ("`{{ item }}`, `{{ item.id }}`", "the item of a map", "`params` of that step"),
                ("`{{ workflow.id }}`", "also `workflow.name`", "anywhere"),
                ("`{{ workflow.state }}`", "how the steps ended", "`on_failure`, `finally`"),
                (
                    "`{{ error.step }}`",
                    "what failed first, or was cut short; also `message`, `category`, `attempts`",
                    "`on_failure`, `finally`",
                ),
            ],
        ),
        'A part is a name after a dot, a number in brackets, or any key in brackets and quotes: `input["a b"].list[2]`.'
        " A reference that leads nowhere when the step runs fails the step.",
        "## Expressions",
        f"In `when` stands an expression of at most {bounds.MAX_EXPRESSION_CHARS:,} characters, its references without"
        " braces. If it is false, the step is skipped; if it cannot be worked out, the step fails and says where.",
        _table(
            ("what", "example"),
            [
                ("values", "`3`, `0.5`, `'text'`, `\"text\"`, `true`, `null`, `['a', 'b']`"),
                ("comparison", "`input.n >= 3`, `steps.a.state == 'completed'`, `!=`, `<`, `<=`, `>`"),
                ("`and`, `or`, `not`, brackets", "`not (input.dry or input.n == 0)`"),
                ("`in`, `not in`: a list, a text, keys", "`input.month in ['2026-11', '2026-12']`"),
                ("`size(x)` of a list, text or object", "`size(steps.fetch.result.rows) > 0`"),
                ("`exists(reference)`", "`exists(input.limit) and input.limit > 5`"),
            ],
        ),
        "Nothing is converted: a number is not equal to a text, and 1 is not true. The whole must be true or false.",
        "## States",
        "Of a workflow:",
        _table(("state", "what it means"), [(f"`{state}`", WORKFLOW_MEANINGS[state]) for state in WorkflowState]),
        "Of a step:",
        _table(("state", "what it means"), [(f"`{state}`", STEP_MEANINGS[state]) for state in StepState]),
    )


def openapi() -> str:
    """The API's description, as GET /openapi.json answers it."""
    calls = calls_of(Backend(Broker("redis://localhost"), settings.Settings()))  # nothing is opened
    return json.dumps(document(calls), indent=2, ensure_ascii=False) + "\n"


def diagram() -> str:
    """The moves as a Mermaid state diagram."""
    lines = [f"    [*] --> {to}" if frm == "new" else f"    {frm} --> {to}" for frm, to, _ in _moves()]
    ends = [f"    {state} --> [*]" for state in JobState if state in TERMINAL]
    return "\n".join(["stateDiagram-v2", *lines, *ends])


def _moves() -> list[tuple[str, str, str]]:
    new = [("new", to.value, CAUSES_AT_FIRST[to]) for to in JobState if to in CAUSES_AT_FIRST]
    return new + [(frm.value, to.value, CAUSES[frm][to]) for frm in JobState for to in JobState if to in CAUSES[frm]]


def _fields(shape: dict[str, Any]) -> str:
    """A struct's fields, from its JSON Schema."""
    rows = [
        (f"`{name}`", _kind(field), _default(field, required=name in shape["required"]), _about(field))
        for name, field in shape["properties"].items()
    ]
    return _table(("field", "value", "if it is missing", "what it is"), rows)


def _kind(schema: dict[str, Any]) -> str:
    """The type of a field in words."""
    if "anyOf" in schema:
        kinds = [_kind(choice) for choice in schema["anyOf"]]
        return " or ".join(dict.fromkeys(kind for kind in kinds if kind not in ("null", "")))
    if "$ref" in schema:
        return _KINDS.get(schema["$ref"]) or f"an object, see {_SECTIONS[schema['$ref']]}"
    if "enum" in schema:
        return ", ".join(f"`{word}`" for word in schema["enum"] if word is not None)
    if schema.get("type") == "array":
        return f"a list of {_PLURALS[schema['items'].get('$ref') or schema['items']['type']]}"
    return _TYPES[schema.get("type", "")]


_TYPES: Final = {
    "": "any JSON",
    "string": "text",
    "integer": "number",
    "number": "number",
    "boolean": "true or false",
    "object": "object",
    "null": "null",
}
_PLURALS: Final = {"StepForm": "steps", "string": "texts", "Category": "categories"}
_SECTIONS: Final = {
    "MapForm": "[map](#map)",
    "WaitForm": "[wait](#wait)",
    "ApprovalForm": "[approval](#approval)",
    "RetryForm": "[retry](#retry)",
    "BackoffForm": "below",
}
_KINDS: Final = {
    "StepKind": "`job`, `wait`, `approval`, `workflow`",
    "FailurePolicy": "`fail_fast`, `continue`",
    "AtLeastForm": '`{"at_least": n}`',
    "WorkflowForm": "a workflow",
}


def _default(schema: dict[str, Any], *, required: bool) -> str:
    found = schema.get("default", {} if schema.get("type") == "object" else None)
    return "required" if required else "" if found is None else f"`{json.dumps(found)}`"


def _about(schema: dict[str, Any]) -> str:
    inner = next((choice["description"] for choice in schema.get("anyOf", ()) if "description" in choice), "")
    return str(schema.get("description", inner)).replace("|", "\\|")


def _actions(state: JobState) -> str:
    return ", ".join(f"`{action}`" for action, states in ACTIONS.items() if state in states) or "nothing"


def _listed(states: Iterable[JobState]) -> str:
    *first, last = [f"`{state}`" for state in states]
    return f"{', '.join(first)} or {last}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _page(*parts: str) -> str:
    return "\n\n".join(map(_wrapped, parts)) + "\n"


def _wrapped(part: str) -> str:
    """A paragraph in lines that are not too long; anything else as it is."""
    return part if part[0] in "|`#<" else fill(part, 120, break_on_hyphens=False)


PAGES: Final = {
    "settings.md": settings_page,
    "states.md": states_page,
    "workflow-form.md": workflow_page,
    "openapi.json": openapi,
}


def main() -> None:
    """Write the pages."""
    for name, make in PAGES.items():
        (FOLDER / name).write_text(make(), "utf-8")


if __name__ == "__main__":
    main()
