"""Every command does what it says, says what it did, and means it with its exit code."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Run
from processes import boltq_command, clean_environment
from servers import running_server

from boltq import BoltQ
from boltq.broker.embedded import EmbeddedStore, server_binary
from boltq.cli import COMMANDS

ABSENT = "01M8000000000000000000000" + "0"

Work = Callable[[], None]


# The whole


def test_the_help_lists_every_command(boltq: Run) -> None:
    shown = boltq("--help")
    assert shown.code == 0
    assert all(command in shown.out for command in COMMANDS)
    assert "exit codes" in shown.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_exit_codes(boltq: Run, command: str) -> None:
    shown = boltq(command, "--help")
    assert shown.code == 0
    assert shown.out.startswith(f"usage: boltq {command}")
    assert "exit codes" in shown.out


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "bench"])
def test_every_command_has_an_example(boltq: Run, command: str) -> None:
    shown = boltq(command, "--help")
    assert f"examples:\n  boltq {command}" in shown.out or f"  boltq {command}" in shown.out.split("examples:")[1]


def test_the_help_needs_no_redis_client() -> None:
    """It would take half a second to load."""
    code = "import sys; from boltq.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "print('redis' in sys.modules, 'asyncio' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.endswith("False False\n")


def test_every_public_name_is_there() -> None:
    """They are loaded when they are first asked for."""
    import boltq

    assert all(getattr(boltq, name) is not None for name in boltq.__all__)
    assert set(boltq.__all__) <= set(dir(boltq))
    with pytest.raises(AttributeError, match="nonsense"):
        boltq.nonsense  # noqa: B018


def test_the_version_is_told(boltq: Run) -> None:
    assert boltq("--version").out.startswith("boltq ")


def test_no_command_is_a_usage_error(boltq: Run) -> None:
    assert boltq().code == 2
    assert boltq("nonsense").code == 2


def test_a_reader_that_has_seen_enough_is_no_error(boltq: Run, valkey: str, namespace: str, tmp_path: Path) -> None:
    boltq("submit", "echo")
    environment = clean_environment(REDIS_ADDR=valkey, BOLTQ_NAMESPACE=namespace)
    command = subprocess.Popen(
        boltq_command("jobs"), cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert command.stdout
    assert command.stderr
    command.stdout.close()
    with command.stderr as errors:
        assert errors.read() == b""
    assert command.wait(60) == 0


# submit


def test_submit_prints_the_id_of_a_job_that_is_there(boltq: Run) -> None:
    job_id = boltq("submit", "echo", "message=Hello World").out.strip()
    job = boltq("status", job_id, "--json").json
    assert (job["state"], job["data"]) == ("queued", {"message": "Hello World"})


@pytest.mark.parametrize(
    ("words", "data"),
    [
        (["n=3", "ok=true", "list=[1,2]", "text=three", "empty=", "eq=a=b"],
         {"n": 3, "ok": True, "list": [1, 2], "text": "three", "empty": "", "eq": "a=b"}),
        (['{"a": {"b": 12345678901234567890123}}'], {"a": {"b": 12345678901234567890123}}),
        ([], {}),
    ],
)  # fmt: skip
def test_data_are_json_or_pairs(boltq: Run, words: list[str], data: object) -> None:
    job_id = boltq("submit", "echo", *words).out.strip()
    assert boltq("status", job_id, "--json").json["data"] == data


def test_a_dash_reads_the_data_from_standard_input(boltq: Run) -> None:
    job_id = boltq("submit", "echo", "-", stdin='{"from": "stdin"}').out.strip()
    assert boltq("status", job_id, "--json").json["data"] == {"from": "stdin"}


def test_all_options_reach_the_job(boltq: Run) -> None:
    words = ["--queue", "mail", "--priority", "high", "--delay", "5m", "--max-attempts", "7", "--timeout", "90s"]
    job_id = boltq("submit", "echo", *words, "--expires-in", "1h").out.strip()
    job = boltq("status", job_id, "--json").json
    found = [job[name] for name in ("state", "queue", "priority", "max_attempts", "timeout_seconds")]
    assert found == ["scheduled", "mail", "high", 7, 90.0]
    assert job["run_at"] < job["expires_at"]


def test_a_title_is_read_in_lists(boltq: Run) -> None:
    job_id = boltq("submit", "echo", "--queue", "titled", "--title", "The invoice of May, für Jörg").out.strip()
    line = next(line for line in boltq("jobs", "--queue", "titled").out.splitlines() if job_id in line)
    assert "echo: The invoice of May, für Jörg" in line
    assert "The invoice of May, für Jörg" in boltq("status", job_id).out
    refused = boltq("submit", "echo", "--title", "x" * 201)
    assert refused.code == 2
    assert "--title: at most 200 printable characters" in refused.err


def test_a_job_can_be_submitted_for_a_moment(boltq: Run) -> None:
    job_id = boltq("submit", "echo", "--run-at", "2100-01-31T09:30:00Z").out.strip()
    assert boltq("status", job_id, "--json").json["run_at"] == "2100-01-31T09:30:00.000Z"


def test_the_same_key_is_the_same_job(boltq: Run) -> None:
    first, second = (boltq("submit", "echo", "n=1", "--key", "once", "--json").json for _ in range(2))
    assert first["id"] == second["id"]
    assert (first["created"], second["created"]) == (True, False)
    other = boltq("submit", "echo", "n=2", "--key", "once")
    assert other.code == 1
    assert "idempotency key" in other.err


def test_many_lines_are_many_jobs(boltq: Run) -> None:
    lines = "".join(f'{{"n": {n}}}\n\n' for n in range(7))
    submitted = boltq("submit", "echo", "--many", "-", stdin=lines)
    assert len(submitted.out.split()) == 7
    assert [row[1] for row in boltq("jobs").rows] == ["queued"] * 7


def test_a_bad_line_is_named(boltq: Run) -> None:
    submitted = boltq("submit", "echo", "--many", stdin='{"n": 1}\nnonsense\n')
    assert submitted.code == 2
    assert "line 2" in submitted.err
    assert "0 jobs" in submitted.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["bad type"], "TYPE"),
        (["echo", "nonsense"], "neither JSON nor key=value"),
        (["echo", "[1]"], "must be a JSON object"),
        (["echo", '{"a":'], "must be a JSON object"),
        (["echo", "--priority", "urgent"], "--priority"),
        (["echo", "--delay", "5x"], "--delay"),
        (["echo", "--delay", "-5"], "--delay"),
        (["echo", "--run-at", "2100-01-31"], "--run-at"),
        (["echo", "--max-attempts", "0"], "--max-attempts"),
        (["echo", "--many", "--key", "k"], "--many"),
    ],
)
def test_what_cannot_be_submitted_is_a_usage_error_in_the_words_of_the_command_line(
    boltq: Run, words: list[str], said: str
) -> None:
    refused = boltq("submit", *words)
    assert refused.code == 2
    assert said in refused.err
    assert "Traceback" not in refused.err


def test_a_full_queue_refuses(boltq: Run) -> None:
    boltq("submit", "echo")
    boltq("queues", "limit", "default", "1")
    refused = boltq("submit", "echo")
    assert refused.code == 1
    assert "full" in refused.err


def test_waiting_gives_up_in_time_and_the_job_goes_on(boltq: Run) -> None:
    waited = boltq("submit", "echo", "--wait", "--timeout-wait", "0.2")
    assert waited.code == 4
    assert "goes on" in waited.err
    assert len(boltq("jobs").rows) == 1


# What became of a job


def test_status_shows_everything(boltq: Run, app: BoltQ, work: Work) -> None:
    job_id = boltq("submit", "spoil", "text=no such user").out.strip()
    work()
    shown = boltq("status", job_id)
    for fact in (job_id, "dead", "data: DataError: no such user", "replay", "traceback:"):
        assert fact in shown.out
    assert boltq("status", job_id, "--json").json["error"]["category"] == "data"


def test_a_job_that_is_not_there_is_said_so(boltq: Run) -> None:
    for job_id, said in ((ABSENT, "no job"), ("nonsense", "is not a job id")):
        shown = boltq("status", job_id)
        assert shown.code == 1
        assert said in shown.err


def test_stored_text_cannot_command_the_terminal(boltq: Run, app: BoltQ, work: Work) -> None:
    evil = "\x1b[31mred\x1b]0;title\x07\x9b2J\u202ereversed"
    job_id = boltq("submit", "spoil", json.dumps({"text": evil})).out.strip()
    work()
    for shown in (boltq("status", job_id), boltq("jobs"), boltq("dead")):
        assert "red" in shown.out
        assert not any(code in shown.out for code in ("\x1b", "\x07", "\x9b", "\u202e"))


def test_cancel_cancels_and_says_what_it_could_not(boltq: Run) -> None:
    job_id = boltq("submit", "echo").out.strip()
    assert boltq("cancel", job_id, "--reason", "changed my mind").code == 0
    assert boltq("status", job_id, "--json").json["reason"] == "changed my mind"
    assert boltq("cancel", job_id).code == 0  # it is what was asked for


def test_what_has_ended_cannot_be_cancelled(boltq: Run, app: BoltQ, work: Work) -> None:
    job_id = boltq("submit", "echo").out.strip()
    work()
    refused = boltq("cancel", job_id, ABSENT)
    assert refused.code == 1
    assert f"{job_id} is completed and cannot be cancelled" in refused.err
    assert f"no job {ABSENT}" in refused.err
    shown = boltq("cancel", job_id, "--json")
    assert shown.code == 1
    assert shown.json == {"items": [{"id": job_id, "ok": False, "state": "completed", "refusal": "conflict"}]}


def test_run_now_queues_a_scheduled_job(boltq: Run) -> None:
    job_id = boltq("submit", "echo", "--delay", "1h").out.strip()
    assert boltq("run-now", job_id).out.split() == [job_id, "queued"]
    assert boltq("run-now", job_id).code == 1


# Lists


def test_jobs_are_listed_by_state_queue_and_type(boltq: Run) -> None:
    for words in (["echo"], ["echo", "--queue", "mail"], ["sleep"], ["sleep", "--delay", "1h"]):
        boltq("submit", *words)
    assert len(boltq("jobs").rows) == 4
    assert len(boltq("jobs", "--state", "scheduled").rows) == 1
    assert len(boltq("jobs", "--queue", "mail").rows) == 1
    assert [row[2] for row in boltq("jobs", "--type", "sleep").rows] == ["sleep", "sleep"]


def test_pages_follow_each_other_without_a_gap(boltq: Run) -> None:
    boltq("submit", "echo", "--many", stdin='{}\n{"n": 1}\n' * 5)
    seen, cursor = [], None
    while cursor is not None or not seen:
        page = boltq("jobs", "--limit", "3", "--json", *(["--cursor", cursor] if cursor else [])).json
        seen += [job["id"] for job in page["items"]]
        cursor = page["next_cursor"]
    assert len(seen) == len(set(seen)) == 10


def test_in_a_terminal_only_the_last_column_is_cut(
    boltq: Run, app: BoltQ, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = boltq("submit", "spoil", f"text={'long ' * 50}").out.strip()
    work()
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    heading, line = boltq("jobs").out.splitlines()
    assert line.startswith(f"{job_id}  dead   spoil  default")
    assert line.endswith("…")
    assert len(line) == 100
    assert heading.index("note") == line.index("data: DataError")


def test_a_state_that_does_not_exist_is_a_usage_error(boltq: Run) -> None:
    refused = boltq("jobs", "--state", "lost")
    assert refused.code == 2
    assert "one of blocked, scheduled, queued" in refused.err


def test_queues_are_shown_paused_resumed_and_limited(boltq: Run) -> None:
    boltq("submit", "echo", "--queue", "mail")
    paused = boltq("queues", "pause", "mail", "--reason", "no provider", "--json").json
    assert (paused["name"], paused["paused"]["reason"], paused["depth"]["queued"]) == ("mail", "no provider", 1)
    assert boltq("queues").rows[0][-1] == "no provider"
    assert boltq("queues", "--json", "resume", "mail").json["paused"] is None
    assert boltq("queues", "limit", "mail", "5", "--json").json["limit"] == 5
    assert boltq("queues", "limit", "mail", "0", "--json").json["limit"] is None
    assert boltq("queues").rows[0][0] == "mail"
    assert boltq("queues", "limit", "mail", "few").code == 2
    assert boltq("queues", "pause", "no name").code == 2


def test_workers_are_listed(boltq: Run, app: BoltQ) -> None:
    nobody = boltq("workers")
    assert nobody.rows == []
    assert "boltq worker" in nobody.err
    assert boltq("workers", "--json").json == {"items": [], "next_cursor": None}


# The dead letters


@pytest.fixture
def dead(boltq: Run, app: BoltQ, work: Work) -> list[str]:
    """Five dead letters of two kinds."""
    jobs = ['{"text": "a"}', '{"text": "b"}', '{"text": "c"}']
    ids = boltq("submit", "spoil", "--many", stdin="\n".join(jobs)).out.split()
    ids += boltq("submit", "falter", "--many", "--queue", "default", stdin="{}\n{}\n").out.split()
    work()
    return ids


def test_dead_letters_are_listed_and_filtered(boltq: Run, dead: list[str]) -> None:
    assert {row[0] for row in boltq("dead").rows} == set(dead)
    assert len(boltq("dead", "list", "--category", "data").rows) == 3
    assert len(boltq("dead", "--type", "falter").rows) == 2
    assert len(boltq("dead", "list", "--limit", "1", "--json").json["items"]) == 1
    fingerprint = boltq("dead", "show", dead[0], "--json").json["error"]["fingerprint"]
    assert len(boltq("dead", "list", "--fingerprint", fingerprint).rows) == 3
    assert boltq("dead", "--category", "bad luck").code == 2


def test_dead_letters_are_replayed_by_id(boltq: Run, dead: list[str]) -> None:
    assert boltq("dead", "replay", *dead[:2]).code == 0
    assert len(boltq("dead").rows) == 3
    again = boltq("dead", "replay", dead[0])
    assert again.code == 1
    assert "is queued and cannot be replayed" in again.err


def test_all_dead_letters_are_replayed_once(boltq: Run, dead: list[str]) -> None:
    done = boltq("dead", "replay", "--all", "--category", "data", "--json").json
    assert (done["state"], done["total"], done["ok"]) == ("done", 3, 3)
    assert "2 of 2" in boltq("dead", "replay", "--all").out
    assert "0 of 0" in boltq("dead", "replay", "--all").out
    assert [row[1] for row in boltq("jobs").rows] == ["queued"] * 5


def test_more_dead_letters_than_a_page_are_replayed(boltq: Run, app: BoltQ, work: Work) -> None:
    boltq("submit", "spoil", "--many", stdin='{"text": "x"}\n' * 1_234)
    work()
    assert "1234 of 1234" in boltq("dead", "replay", "--all").out
    assert boltq("dead").rows == []


def test_replay_asks_which(boltq: Run) -> None:
    assert boltq("dead", "replay").code == 2
    assert boltq("dead", "replay", ABSENT, "--all").code == 2


# doctor


def test_the_doctor_finds_a_good_server_good(boltq: Run) -> None:
    boltq("submit", "echo")
    examined = boltq("doctor", "--json")
    states = {check["name"]: check["state"] for check in examined.json["checks"]}
    assert examined.code == 0
    assert states["audit"] == states["eviction"] == states["persistence"] == "ok"
    assert states["workers"] == "warning"
    assert boltq("doctor", "--strict", "--quick").code == 1
    assert "✓ audit: nothing wrong: 1 queued" in boltq("doctor").out


def test_the_doctor_names_what_is_wrong_with_a_server(boltq: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("--appendonly", "no", "--maxmemory-policy", "allkeys-lru", "--hash-max-listpack-value", "64")
    with running_server(server_binary(), *options) as url:
        monkeypatch.setenv("REDIS_ADDR", url)
        examined = boltq("doctor")
    assert examined.code == 1
    for said in ("✗ eviction", "noeviction", "✗ persistence", "appendonly yes", "! job memory"):
        assert said in examined.out


def test_the_doctor_finds_what_should_not_be_there(boltq: Run, valkey: str, namespace: str) -> None:
    import redis

    job_id = boltq("submit", "echo").out.strip()
    with redis.Redis.from_url(valkey) as client:
        client.lrem(f"{{{namespace}:0}}:queue:default:ready:1", 0, job_id)
    examined = boltq("doctor", "--json")
    assert examined.code == 1
    assert job_id in next(check["hint"] for check in examined.json["checks"] if check["name"] == "audit")


# The store


def test_a_store_that_does_not_answer_is_said_so(boltq: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REDIS_ADDR", f"unix://{tmp_path}/nobody")
    for words in (["jobs"], ["submit", "echo"], ["doctor"], ["dead", "replay", "--all"]):
        refused = boltq(*words)
        assert refused.code == 3
        assert "does not answer" in refused.err
        assert refused.err.count("\n") == 1


def test_an_address_that_means_nothing_is_said_so(boltq: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_ADDR", "amqp://localhost")
    assert boltq("jobs").code == 3


def test_a_bad_setting_is_said_so(boltq: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUM_WORKERS", "many")
    refused = boltq("jobs")
    assert refused.code == 2
    assert "NUM_WORKERS='many'" in refused.err


def test_looking_starts_no_store_and_makes_no_directory(
    boltq: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("REDIS_ADDR")
    refused = boltq("jobs")
    assert refused.code == 3
    assert "boltq dev" in refused.err
    assert not (tmp_path / ".boltq").exists()


def test_submitting_starts_the_store_for_a_moment_and_the_job_is_kept(
    boltq: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("REDIS_ADDR")
    submitted = boltq("submit", "echo", "n=1")
    assert "no live worker serves queue default in this store: the job waits for one" in submitted.err
    assert f"the embedded Valkey in {tmp_path / '.boltq'}" in submitted.err
    assert not EmbeddedStore(tmp_path / ".boltq").running
    with EmbeddedStore(tmp_path / ".boltq"):
        assert [row[0] for row in boltq("jobs").rows] == [submitted.out.strip()]


def test_an_operators_environment_does_not_change_the_namespaces_settings(
    boltq: Run, monkeypatch: pytest.MonkeyPatch, valkey: str, namespace: str
) -> None:
    import redis

    boltq("submit", "echo")
    monkeypatch.setenv("BOLTQ_KEEP_DEAD", "7")
    monkeypatch.setenv("BOLTQ_PARTITIONS", "4")
    for words in (["submit", "echo"], ["jobs"], ["queues"], ["dead", "replay", "--all"], ["doctor"]):
        boltq(*words)
    with redis.Redis.from_url(valkey) as client:
        stored = client.hmget(f"{{{namespace}:0}}:partition", "keep_dead", "partitions")
    assert stored == [b"10000", b"1"]


def test_looking_at_a_store_that_is_empty_writes_nothing(boltq: Run, valkey: str, namespace: str) -> None:
    import redis

    for words in (["jobs"], ["queues"], ["workers"], ["dead"], ["doctor"]):
        assert boltq(*words).code == 0
    with redis.Redis.from_url(valkey) as client:
        assert list(client.scan_iter(f"*{namespace}*")) == []
