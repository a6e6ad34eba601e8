"""What commands do to jobs, queues and workers, with the store at hand and over HTTP: the same."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from apis import running_api
from commands import Run
from processes import boltq_command, clean_environment, running, wait_until

from boltq import BoltQ
from boltq.client import Client, talk

Work = Callable[[], None]
ABSENT = "01M80000000000000000000000"


@pytest.fixture
def dead(anywhere: Run, app: BoltQ, work: Work) -> list[str]:
    """Four dead letters of two kinds."""
    ids = anywhere("submit", "spoil", "--many", stdin='{"text": "a"}\n{"text": "b"}\n{"text": "c"}').out.split()
    ids.append(anywhere("submit", "falter").out.strip())
    work()
    return ids


def test_a_job_is_submitted_shown_listed_and_cancelled(anywhere: Run) -> None:
    words = ["--queue", "mail", "--tag", "new", "--tag", "vip", "--delay", "1h"]
    job_id = anywhere("submit", "echo", "n=12345678901234567890123", *words).out.strip()
    shown = anywhere("status", job_id, "--json")
    assert '"n": 12345678901234567890123' in shown.out
    assert (shown.json["queue"], shown.json["tags"], shown.json["state"]) == ("mail", ["new", "vip"], "scheduled")
    assert [row[0] for row in anywhere("jobs", "--tag", "vip", "--since", "10m").rows] == [job_id]
    assert anywhere("jobs", "--tag", "old").rows == []
    assert anywhere("cancel", job_id, "--reason", "sent twice").out.split() == [job_id, "cancelled"]
    assert "sent twice" in anywhere("status", job_id).out


def test_waiting_for_the_end(anywhere: Run, app: BoltQ, work: Work) -> None:
    late = anywhere("submit", "echo", "--wait", "--timeout-wait", "0.2")
    assert late.code == 4
    work()
    job_id = anywhere("jobs", "--json").json["items"][0]["id"]
    again = anywhere("submit", "echo", "n=1", "--key", "k")
    work()
    done = anywhere("submit", "echo", "n=1", "--key", "k", "--wait")
    assert (done.code, json.loads(done.out)) == (0, {"n": 1})
    assert anywhere("status", job_id, "--json").json["state"] == "completed"
    assert again.out.strip() in done.err


def test_what_is_not_there_or_not_possible(anywhere: Run) -> None:
    job_id = anywhere("submit", "echo").out.strip()
    refused = anywhere("retry", job_id, ABSENT)
    assert refused.code == 1
    assert f"{job_id} is queued and cannot be retried" in refused.err
    assert f"no job {ABSENT}" in refused.err
    assert anywhere("submit", "no name").code == 2
    assert anywhere("jobs", "--queue", "no name").code == 2


def test_a_waiting_job_is_edited(anywhere: Run) -> None:
    job_id = anywhere("submit", "echo", "n=1", "--delay", "1h").out.strip()
    assert anywhere("edit", job_id, "--data", '{"n": 2}', "--priority", "high", "--tag", "x").code == 0
    job = anywhere("status", job_id, "--json").json
    assert (job["data"], job["priority"], job["tags"]) == ({"n": 2}, "high", ["x"])
    assert anywhere("edit", job_id, "--data", "[]").code == 2
    nothing = anywhere("edit", job_id)
    assert nothing.code == 2
    assert "nothing to change" in nothing.err


def test_an_ended_job_is_replayed_and_replayed_with_edits(anywhere: Run, dead: list[str]) -> None:
    assert anywhere("replay", dead[0]).out.split() == [dead[0], "queued"]
    new_id, state = anywhere("replay", dead[1], "--data", '{"text": "z"}', "--queue", "other").out.split()
    assert (new_id != dead[1], state) == (True, "queued")
    new = anywhere("status", new_id, "--json").json
    assert (new["replay_of"], new["data"], new["queue"]) == (dead[1], {"text": "z"}, "other")
    assert anywhere("retry", dead[2]).out.split() == [dead[2], "queued"]


def test_a_job_is_deleted(anywhere: Run, dead: list[str]) -> None:
    assert anywhere("delete", dead[0]).out.split() == [dead[0], "deleted"]
    assert anywhere("status", dead[0]).code == 1
    assert anywhere("delete", dead[0], "--json").json["items"][0]["refusal"] == "not-found"


def test_the_lines_of_a_job_are_printed(anywhere: Run, app: BoltQ, work: Work) -> None:
    job_id = anywhere("submit", "talk").out.strip()
    assert anywhere("logs", job_id).out == ""
    work()
    lines = [line.split(" ", 1)[1] for line in anywhere("logs", job_id).out.splitlines()]  # after the time
    assert lines == ["line 0", "line 1", "line 2"]
    assert anywhere("logs", job_id, "--follow").out.splitlines()[-1].endswith("line 2")
    assert anywhere("logs", job_id, "--json").json["items"][0]["n"] == 1


def test_dead_letters_are_listed_grouped_and_replayed(anywhere: Run, dead: list[str]) -> None:
    assert {row[0] for row in anywhere("dead").rows} == set(dead)
    assert [row[0] for row in anywhere("dead", "list", "--type", "falter").rows] == [dead[3]]
    groups = anywhere("dead", "groups").rows
    assert [int(row[1]) for row in groups] == [3, 1]
    assert {row[0] for row in anywhere("dead", "groups", "--by", "type").rows} == {"spoil", "falter"}
    assert len(anywhere("dead", "--fingerprint", groups[0][0]).rows) == 3
    assert "3 of 3" in anywhere("dead", "replay", "--all", "--type", "spoil").out
    assert "traceback:" in anywhere("dead", "show", dead[3]).out


def test_many_jobs_at_once(anywhere: Run, dead: list[str]) -> None:
    before = anywhere("bulk", "replay", "--type", "spoil", "--dry-run")
    assert before.out.splitlines()[0] == "3 jobs"
    assert len(anywhere("dead").rows) == 4
    assert anywhere("bulk", "replay").code == 2
    assert anywhere("bulk", "replay", dead[0], "--all").code == 2
    edited = anywhere("bulk", "replay", "--type", "spoil", "--patch", '{"text": "new"}', "--json").json
    assert (edited["state"], edited["ok"], edited["edited"]) == ("done", 3, True)
    assert "3 of 3 jobs cancelled" in anywhere("bulk", "cancel", "--all", "--reason", "enough").out
    failed = anywhere("bulk", "run-now", dead[3])
    assert failed.code == 1
    assert "0 of 1" in failed.out
    assert f"{dead[3]}: it is dead" in failed.err
    assert "3 of 3 jobs deleted" in anywhere("bulk", "delete", "--state", "cancelled", "--since", "1h").out


def test_queues_are_paused_limited_and_emptied(anywhere: Run) -> None:
    anywhere("submit", "echo", "--queue", "mail", "--many", stdin="{}\n{}\n")
    assert anywhere("queues", "pause", "mail", "--reason", "no provider").rows[0][0] == "mail (paused)"
    assert anywhere("queues", "resume", "mail", "--json").json["paused"] is None
    assert anywhere("queues", "limit", "mail", "2").rows[0][9] == "2"
    full = anywhere("submit", "echo", "--queue", "mail")
    assert full.code == 1
    assert "full" in full.err
    assert anywhere("queues", "purge", "mail", "--state", "queued").code == 2
    assert "2 of 2 jobs deleted" in anywhere("queues", "purge", "mail", "--state", "queued", "--yes").out
    assert anywhere("queues").rows[0][:2] == ["mail", "0"]


@pytest.fixture
def worker_process(valkey: str, namespace: str, tmp_path: Path) -> Iterator[None]:
    environment = clean_environment(REDIS_ADDR=valkey, BOLTQ_NAMESPACE=namespace)
    with running(boltq_command("worker", "--name", "w"), tmp_path, environment) as program:
        yield
        assert program.wait() == 0


def test_a_worker_drains_and_stops(anywhere: Run, worker_process: None) -> None:
    rows = wait_until(lambda: anywhere("workers").rows)
    worker_id = rows[0][0]
    assert anywhere("workers", "drain", worker_id).rows[0][1] == "draining"
    assert anywhere("workers", "resume", worker_id, "--json").json["state"] == "up"
    assert anywhere("workers", "stop", worker_id).rows[0][1] == "stopping"
    assert anywhere("workers", "stop", "nobody").code == 1


# Over HTTP only


def test_an_api_that_does_not_answer_is_said_so(boltq: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk, "PAUSES", (0.01,))
    for words in (["jobs"], ["submit", "echo"], ["dead", "replay", "--all"], ["queues", "pause", "mail"]):
        refused = boltq(*words, "--url", "http://127.0.0.1:9")
        assert refused.code == 3
        assert "no answer from the API at http://127.0.0.1:9" in refused.err
        assert refused.err.count("\n") == 1


def test_a_login_that_is_missing_or_not_enough_is_said_so(
    boltq: Run, valkey: str, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOLTQ_DATA", str(tmp_path / "empty"))
    with running_api(valkey, namespace=namespace, auth="on", data_dir=str(tmp_path)) as url:
        stranger = boltq("jobs", "--url", url)
        assert stranger.code == 1
        assert "BOLTQ_TOKEN" in stranger.err
        token = (tmp_path / "token").read_text().strip()
        assert boltq("jobs", "--url", url, "--token", token).code == 0
        with Client(url, token) as owner:
            key = owner.create_key("web", ["submit"]).key
        monkeypatch.setenv("BOLTQ_TOKEN", key)
        monkeypatch.setenv("BOLTQ_URL", url)
        submitted = boltq("submit", "echo")
        assert submitted.code == 0
        assert "no live worker serves queue default" in submitted.err  # the answer says it, also to this key
        refused = boltq("jobs")
        assert refused.code == 1
        assert "scope read" in refused.err
        assert key not in refused.err


def test_an_address_that_means_nothing_is_a_usage_error(boltq: Run) -> None:
    assert boltq("jobs", "--url", "nonsense").code == 2


def test_portions_of_groups_are_made_one() -> None:
    from datetime import UTC, datetime

    from boltq.client.answers import FailureGroup
    from boltq.domain.failure_groups import merged

    def group(key: str, count: int, at: int) -> FailureGroup:
        when = datetime.fromtimestamp(at, UTC)
        return FailureGroup(
            key=key, fingerprint=key, class_name="E", message=f"at {at}", category="data", types={"t": count},
            queues={"q": count}, count=count, count_1h=1, first_at=when, last_at=when, sample_job_id=f"job{at}",
        )  # fmt: skip

    found = merged([group("a", 1, 1), group("b", 5, 2), group("a", 7, 3), group("other", 9, 4)])
    assert [(one.key, one.count, one.message) for one in found] == [
        ("a", 8, "at 3"),
        ("b", 5, "at 2"),
        ("other", 9, "at 4"),
    ]
    assert (found[0].types, found[0].queues, found[0].count_1h) == ({"t": 8}, {"q": 8}, 2)
    assert (found[0].first_at, found[0].last_at) == (datetime.fromtimestamp(1, UTC), datetime.fromtimestamp(3, UTC))
