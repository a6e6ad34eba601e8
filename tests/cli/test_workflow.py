"""`boltq workflow`, with the store at hand and over HTTP: the same."""

import json
import os
import pty
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from commands import Run
from processes import boltq_command, clean_environment, running, wait_until

from boltq import BoltQ
from boltq.cli.workflows.submit import step_at

Work = Callable[[], None]
ABSENT = "01M80000000000000000000000"

REPORT: dict[str, Any] = {
    "name": "report",
    "input": {"month": "2026-11"},
    "steps": [
        {"id": "fetch", "job_type": "echo", "params": {"rows": [1, 2, 3], "of": "{{ input.month }}"}},
        {"id": "each", "job_type": "echo", "map": {"over": "{{ steps.fetch.result.rows }}"},
         "params": {"n": "{{ item }}"}},
        {"id": "check", "approval": {"prompt": "Send it?"}, "depends_on": ["each"]},
        {"id": "send", "job_type": "echo", "params": {"by": "{{ steps.check.result.by }}"}},
        {"id": "alarm", "job_type": "echo", "depends_on": ["check"], "run_if": "one_failed"},
    ],
    "output": {"sent_by": "{{ steps.send.result.by }}", "of": "{{ steps.fetch.result.of }}"},
}  # fmt: skip
BROKEN: dict[str, Any] = {
    "name": "broken",
    "steps": [
        {"id": "good", "job_type": "echo"},
        {"id": "bad", "job_type": "spoil", "params": {"text": "no rows"}, "depends_on": ["good"]},
        {"id": "late", "job_type": "echo", "depends_on": ["bad"]},
    ],
}


@pytest.fixture
def report(anywhere: Run, app: BoltQ, work: Work) -> str:
    """A workflow that waits for a person."""
    workflow_id = submitted(anywhere, REPORT)
    work()
    return workflow_id


@pytest.fixture
def broken(anywhere: Run, app: BoltQ, work: Work) -> str:
    """A workflow that has failed."""
    workflow_id = submitted(anywhere, BROKEN)
    work()
    return workflow_id


def submitted(run: Run, form: dict[str, Any], *words: str) -> str:
    return str(run("workflow", "submit", "-", *words, stdin=json.dumps(form)).out.strip())


# Submitting


def test_a_file_is_submitted_and_its_key_makes_it_one_workflow(anywhere: Run, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(json.dumps(REPORT))
    first = anywhere("workflow", "submit", "report.json", "--key", "k")
    assert "no live worker" in first.err
    again = anywhere("workflow", "submit", "report.json", "--key", "k")
    assert again.out == first.out
    assert "was there already" in again.err
    assert anywhere("workflow", "submit", "report.json", "--json").json["steps"] == 5


def test_the_input_is_replaced(anywhere: Run, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('{"month": 12345678901234567890123}')
    for given, month in (('{"month": "2027"}', '"2027"'), ("@other.json", "12345678901234567890123")):
        workflow_id = submitted(anywhere, REPORT, "--input", given)
        assert f'"month": {month}' in anywhere("workflow", "show", workflow_id, "--json").out
    assert anywhere("workflow", "submit", "-", "--input", "[]", stdin=json.dumps(REPORT)).code == 2
    assert anywhere("workflow", "submit", "-", "--input", "@nowhere", stdin=json.dumps(REPORT)).code == 2


def test_a_dry_run_says_what_would_become_of_it(anywhere: Run) -> None:
    told = anywhere("workflow", "submit", "-", "--dry-run", stdin=json.dumps(REPORT))
    assert told.code == 0
    assert re.search(r"^level 4 +send, alarm$", told.out, re.MULTILINE)
    assert re.search(r"^longest way +fetch, each, check, send$", told.out, re.MULTILINE)
    assert "no live worker" in told.err
    asked = anywhere("workflow", "submit", "-", "--dry-run", "--json", stdin=json.dumps(REPORT))
    assert asked.json["levels"][0] == ["fetch"]
    assert anywhere("workflow", "list").rows == []


@pytest.mark.parametrize("words", [[], ["--dry-run"]])
def test_each_mistake_is_said_with_its_place_and_its_step(anywhere: Run, words: list[str]) -> None:
    inner = {"name": "i", "steps": [{"id": "q", "job_type": "echo", "depends_on": ["zz"]}]}
    wrong = {
        "name": "wrong",
        "steps": [
            {"id": "a", "job_type": "echo", "depends_on": ["b"]},
            {"id": "b", "job_type": "echo", "depends_on": ["a"]},
            {"job_type": "echo", "params": {"steps": [{"id": "{{ steps.nope.result }}"}]}},
            {"id": "in", "workflow": inner},
        ],
    }
    refused = anywhere("workflow", "submit", "-", *words, stdin=json.dumps(wrong))
    assert refused.code == 2
    for place in (
        "/steps/0/depends_on (step a): a cycle",
        "/steps/2/params/steps/0/id (step step-3): there is no step 'nope'",
        "/steps/3/workflow/steps/0/depends_on/0 (step in > q): there is no step 'zz'",
    ):
        assert f"boltq: {place}" in refused.err
    assert refused.err.splitlines()[-1] == "boltq: nothing was submitted: 3 mistakes"
    if words:
        assert anywhere("workflow", "submit", "-", *words, "--json", stdin=json.dumps(wrong)).code == 2


def test_what_is_no_workflow_is_said_before_anything_is_asked(boltq: Run, tmp_path: Path) -> None:
    (tmp_path / "latin.json").write_bytes(b'{"name": "\xe9"}')
    (tmp_path / "large.json").write_text(" " * (1 << 20) + "{}")
    (tmp_path / "empty.py").write_text("")
    (tmp_path / "raises.py").write_text("1 / 0")
    (tmp_path / "two.py").write_text("from boltq import Workflow\na, b = Workflow('a'), Workflow('b')\n")
    for word, stdin, said in (
        ("-", '{"name": "x",\n "steps": [}', "standard input: line 2, column 12: this is not JSON"),
        ("-", "[]", "a JSON object is needed"),
        ("nowhere.json", "", "nowhere.json cannot be read: No such file"),
        (".", "", "cannot be read"),
        ("latin.json", "", "is not UTF-8"),
        ("large.json", "", "at most 1048576 bytes"),
        ("empty.py", "", "has no workflow: write"),
        ("raises.py", "", "cannot be run: see above"),
        ("two.py", "", "has several workflows: say which: a, b"),
        ("two.py:c", "", "has no workflow 'c': say which: a, b"),
        ("nowhere:flow", "", "no module 'nowhere'"),
        ("raises:flow", "", "cannot be imported: see above"),
    ):
        refused = boltq("workflow", "submit", word, stdin=stdin)
        assert (refused.code, said in refused.err) == (2, True), (word, refused.err)


def test_a_program_is_submitted(anywhere: Run, app: BoltQ, work: Work, tmp_path: Path) -> None:
    (tmp_path / "flow_program.py").write_text(
        "from boltq import Workflow\nflow = Workflow('program')\nflow.output(flow.step('echo', n=1).result)\n"
    )
    ids = [
        anywhere("workflow", "submit", word).out.strip()
        for word in ("flow_program.py", "flow_program.py:flow", "flow_program:flow")
    ]
    work()
    assert {row[0] for row in anywhere("workflow", "list", "--name", "program", "--state", "completed").rows} == {*ids}


def test_waiting_for_the_end(anywhere: Run, app: BoltQ, work: Work, report: str) -> None:
    late = anywhere("workflow", "submit", "-", "--wait=0.2", stdin=json.dumps(REPORT))
    assert late.code == 4
    anywhere("workflow", "submit", "-", "--key", "good", stdin=json.dumps(REPORT | {"steps": REPORT["steps"][:1],
             "output": "{{ steps.fetch.result }}"}))  # fmt: skip
    anywhere("workflow", "submit", "-", "--key", "bad", stdin=json.dumps(BROKEN))
    work()
    good = REPORT | {"steps": REPORT["steps"][:1], "output": "{{ steps.fetch.result }}"}
    done = anywhere("workflow", "submit", "-", "--key", "good", "--wait", stdin=json.dumps(good))
    assert (done.code, json.loads(done.out)) == (0, {"rows": [1, 2, 3], "of": "2026-11"})
    failed = anywhere("workflow", "submit", "-", "--key", "bad", "--wait", stdin=json.dumps(BROKEN))
    assert failed.code == 1
    assert "its step bad failed: DataError: no rows" in failed.err
    shown = anywhere("workflow", "submit", "-", "--key", "bad", "--wait", "--json", stdin=json.dumps(BROKEN))
    assert (shown.code, shown.json["state"]) == (1, "failed")


# Looking


def test_a_workflow_is_drawn(anywhere: Run, report: str) -> None:
    head, empty, *lines = anywhere("workflow", "show", report).out.splitlines()
    assert head.startswith(f"report  {report}  running for ")
    assert head.endswith("; 2 of 5 steps have ended")
    assert [re.sub(r" ?·? \d+ m?s$", "", line) for line in [empty, *lines]] == [
        "",
        "✓   fetch  completed",
        "✓   each   completed  3/3",
        "⏸   check  waiting    waits for a person's answer: Send it?",
        "├─○ send   pending    waits for check",
        "╰─○ alarm  pending    waits for check",
    ]


def test_one_step_is_shown_with_its_inputs_and_where_they_came_from(anywhere: Run, report: str) -> None:
    shown = anywhere("workflow", "show", report, "fetch").out
    assert re.search(r"^state +completed$", shown, re.MULTILINE)
    assert "/of  input.month" in shown
    assert '"of": "2026-11"' in shown
    assert anywhere("workflow", "show", report, "fetch", "--json").json["result"]["rows"] == [1, 2, 3]
    missing = anywhere("workflow", "show", report, "nope")
    assert missing.code == 1
    assert "has no step nope; it has fetch, each" in missing.err


def test_why_it_stands_where_it_stands(anywhere: Run, report: str) -> None:
    told = anywhere("workflow", "explain", report).out.splitlines()
    assert told[2:4] == ["step\tstate\twhy", "check\twaiting\tit waits for a person's answer: Send it?"]
    assert anywhere("workflow", "explain", report, "--json").json["steps"][0]["id"] == "check"


def test_workflows_are_listed(anywhere: Run, report: str, broken: str) -> None:
    rows = anywhere("workflow", "list", "--since", "10m").rows
    assert [row[:5] for row in rows] == [
        [broken, "failed", "broken", "3/3", "1"],
        [report, "running", "report", "2/5", "0"],
    ]
    assert [row[0] for row in anywhere("workflow", "list", "--state", "failed,cancelled").rows] == [broken]
    page = anywhere("workflow", "list", "--limit", "1")
    cursor = page.err.split("--cursor ")[1].strip()
    assert [row[0] for row in anywhere("workflow", "list", "--cursor", cursor).rows] == [report]
    assert anywhere("workflow", "list", "--json").json["items"][0]["id"] == broken
    assert anywhere("workflow", "list", "--state", "nonsense").code == 2
    refused = anywhere("workflow", "show", "01JZX4Q4ZT9T7Y9F1ZK3VQ8X00", "--state", "failed")
    assert (refused.code, "name its STEP" in refused.err) == (2, True)


def test_in_a_pipe_each_change_is_drawn_once(
    boltq: Run, app: BoltQ, work: Work, valkey: str, namespace: str, tmp_path: Path
) -> None:
    workflow_id = submitted(boltq, REPORT)
    environment = clean_environment(REDIS_ADDR=valkey, BOLTQ_NAMESPACE=namespace)
    with running(boltq_command("workflow", "show", workflow_id, "--watch"), tmp_path, environment) as program:
        program.wait_for("○ alarm")
        work()
        boltq("workflow", "approve", workflow_id, "check", "--by", "ann")
        work()
        assert program.wait() == 0
    drawn, _, output = program.output.partition("\noutput:")
    pictures = re.split("^report .*$", drawn, flags=re.MULTILINE)[1:]
    assert "◌   fetch  queued" in pictures[0]
    assert "✓   check  completed  approved by ann" in pictures[-1]
    assert all(before.strip() != after.strip() for before, after in pairwise(pictures))
    assert '"sent_by": "ann"' in output


# Acting


def test_an_approval_is_answered(anywhere: Run, app: BoltQ, work: Work, report: str) -> None:
    early = submitted(anywhere, REPORT)
    kept = anywhere("workflow", "reject", early, "check", "--by", "bob")
    assert "the answer is kept" in kept.err
    said = anywhere("workflow", "approve", report, "check", "--data", '{"n": 1}', "--by", "ann")
    assert (said.code, said.out.split()) == (0, [report, "check", "approved"])
    again = anywhere("workflow", "approve", report, "check", "--data", '{"n": 1}', "--by", "ann", "--json")
    assert again.json["verdict"] == "repeated"
    refused = anywhere("workflow", "reject", report, "check", "--by", "bob")
    assert refused.code == 1
    assert "ann has answered step check already" in refused.err
    work()
    assert anywhere("workflow", "show", report, "check", "--json").json["result"]["data"] == {"n": 1}
    assert [row[1] for row in anywhere("workflow", "list").rows] == ["failed", "completed"]
    assert anywhere("workflow", "approve", report, "check", "--data", "{").code == 2


def test_it_is_run_again(anywhere: Run, app: BoltQ, work: Work, broken: str) -> None:
    told = anywhere("workflow", "rerun", broken)
    assert told.out.split() == [broken, "running"]
    assert told.err == "run 2; these begin anew: bad, late\n"
    work()
    words = ["--from", "bad", "--params", 'bad={"text": "still none"}', "--reason", "other data"]
    assert anywhere("workflow", "rerun", broken, *words, "--json").json["steps"] == ["bad", "late"]
    work()
    assert "still none" in anywhere("workflow", "show", broken).out
    everything = anywhere("workflow", "rerun", broken, "--all")
    assert "run 4; these begin anew: good, bad, late" in everything.err
    early = anywhere("workflow", "rerun", broken, "--all")
    assert early.code == 1
    assert f"workflow {broken} is running" in early.err
    for wrong in (["--params", "bad"], ["--params", "bad=[]"], ["--mode", "all"], ["--all", "--from", "bad"]):
        assert anywhere("workflow", "rerun", broken, *wrong).code == 2


def test_it_is_paused_resumed_cancelled_and_deleted(anywhere: Run, report: str) -> None:
    assert anywhere("workflow", "pause", report, "--reason", "wait").out.split() == [report, "paused"]
    assert anywhere("workflow", "list").rows[0][1] == "paused"
    assert anywhere("workflow", "resume", report, "--json").json["items"][0]["state"] == "running"
    early = anywhere("workflow", "delete", report)
    assert early.code == 1
    ended = anywhere("workflow", "cancel", report, ABSENT, "--reason", "enough")
    assert ended.code == 1
    assert ended.out.split() == [report, "cancelled"]
    assert f"no workflow {ABSENT}" in ended.err
    assert anywhere("workflow", "delete", report).out.split() == [report, "deleted"]
    assert anywhere("workflow", "show", report).code == 1


# Details


def test_a_terminal_is_drawn_over_and_has_the_whole_picture_at_the_end(
    boltq: Run, app: BoltQ, work: Work, valkey: str, namespace: str
) -> None:
    """In a real terminal of 20 lines."""
    workflow_id = submitted(boltq, REPORT)
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    seen = bytearray()

    def read() -> str:
        with suppress(OSError):  # there is nothing yet, or nothing more
            while part := os.read(ours, 65_536):
                seen.extend(part)
        return seen.decode(errors="replace")

    with watching(workflow_id, theirs, valkey, namespace) as program:
        wait_until(lambda: "\x1b[7F" in read())  # over the seven lines of the first picture
        work()
        boltq("workflow", "approve", workflow_id, "check", "--by", "ann")
        work()
        wait_until(lambda: read() and program.poll() is not None)
        assert program.returncode == 0
    last = re.sub(r"\x1b\[[0-9;]*[mK]", "", read()).rsplit("\x1b[J", 1)[1]
    assert "✓   check  completed  approved by ann" in last
    assert '"sent_by": "ann"' in last
    os.close(ours)
    os.close(theirs)


@contextmanager
def watching(workflow_id: str, out: int, valkey: str, namespace: str) -> Iterator["subprocess.Popen[bytes]"]:
    """`boltq workflow show --watch` in a process of its own."""
    environment = clean_environment(
        REDIS_ADDR=valkey, BOLTQ_NAMESPACE=namespace, TERM="xterm", COLUMNS="70", LINES="20"
    )
    command = boltq_command("workflow", "show", workflow_id, "--watch")
    with subprocess.Popen(command, env=environment, stdout=out) as program:
        try:
            yield program
        finally:
            program.terminate()  # one that has ended does not mind


@pytest.mark.parametrize(
    ("pointer", "step"),
    [
        ("", ""),
        ("/name", ""),
        ("/steps", ""),
        ("/steps/0", "a"),
        ("/steps/1/params/steps/0", "step-2"),
        ("/steps/9/id", ""),
        ("/steps/x", ""),
        ("/finally/0/when", "finally-1"),
        ("/steps/2/workflow/on_failure/0/id", "in > on-failure-1"),
        ("/steps/2/workflow/name", "in"),
        ("/on_failure/0", ""),
    ],
)
def test_the_step_at_a_pointer(pointer: str, step: str) -> None:
    form = {
        "steps": [{"id": "a"}, {"params": {"steps": [{"id": "no"}]}}, {"id": "in", "workflow": {"on_failure": [{}]}}],
        "finally": [7],
        "on_failure": 3,
    }
    assert step_at(form, pointer) == step


# Items of a map


def test_which_items_failed_and_why(anywhere: Run, app: BoltQ, work: Work) -> None:
    form = {
        "name": "w",
        "steps": [
            {
                "id": "each",
                "job_type": "spoil",
                "params": {"text": "no {{ item }}"},
                "map": {"over": [1, 2, 3], "max_concurrency": 1, "tolerated_failures": 1},
            }
        ],
    }
    workflow_id = submitted(anywhere, form)
    work()
    told = anywhere("workflow", "show", workflow_id, "each").out
    assert "3 items: 0 completed, 2 failed" in told
    assert re.search(r"0\s+failed\s+\S{26}\s+1\s+data: DataError: no 1", told), told
    assert re.search(r"1\s+failed\s+\S{26}\s+1\s+data: DataError: no 2", told), told
    assert not re.search(r"2\s+cancelled", told)
    for states in ("all", "cancelled"):  # it never began
        shown = anywhere("workflow", "show", workflow_id, "each", "--state", states).out
        assert re.search(r"2\s+cancelled", shown), shown
    page = anywhere("workflow", "show", workflow_id, "each", "--state", "failed", "--limit", "1", "--json").json
    assert [item["index"] for item in page["items"]] == [0]
    more = anywhere("workflow", "show", workflow_id, "each", "--state=failed", "--cursor", page["next_cursor"])
    assert "no 2" in more.out
    assert "no 1" not in more.out.split("items:")[1]
    assert anywhere("workflow", "show", workflow_id, "each", "--state", "dead").code == 2


def test_lists_over_workflows(anywhere: Run, app: BoltQ, work: Work) -> None:
    inner = {"name": "inner", "steps": [{"id": "ask", "approval": {"prompt": "Shall we?"}}]}
    outer = submitted(anywhere, {"name": "outer", "steps": [{"id": "mid", "workflow": inner}]})
    work()
    [child] = [row["id"] for row in anywhere("workflow", "list", "--within", outer, "--json").json["items"]]
    assert anywhere("workflow", "approvals").rows[0][:3] == [child, "ask", "inner"]
    assert anywhere("workflow", "approvals").rows[0][-1] == "Shall we?"
    assert [row[0] for row in anywhere("workflow", "list", "--nested").rows] == [child]
    assert [row[0] for row in anywhere("workflow", "list", "--outermost").rows] == [outer]
    assert [row["id"] for row in anywhere("jobs", "--workflow", outer, "--json").json["items"]] != []
    anywhere("workflow", "approve", child, "ask")
    work()
    assert anywhere("workflow", "approvals").rows == []
