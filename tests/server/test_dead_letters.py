"""Dead letters over HTTP."""

import pytest

from boltq.domain.job_error import Category, JobError
from boltq.domain.outcome import Failed


def failure(class_name: str, fingerprint: str, message: str = "no") -> Failed:
    return Failed(JobError(class_name, message, Category.DATA, fingerprint=fingerprint))


@pytest.fixture
def die(http, run_one):
    """Makes a dead job."""

    async def dead(queue: str, outcome: Failed, job_type: str = "echo") -> str:
        http.post("/api/v1/jobs", json={"type": job_type, "queue": queue})
        return (await run_one(queue, outcome)).id

    return dead


def groups(http, **query) -> dict:
    answer = http.get("/api/v1/dead-letters/groups", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_what_went_wrong_and_how_often(http, die):
    ids = [await die("gq", failure("Timeout", "f1", f"after {n} s")) for n in range(3)]
    await die("gq", failure("KeyError", "f2"), "other")
    found = groups(http, queue="gq")
    assert [(group["key"], group["count"]) for group in found["items"]] == [("f1", 3), ("f2", 1)]
    assert (found["total_jobs"], found["next_cursor"]) == (4, None)
    first = found["items"][0]
    assert (first["class"], first["message"], first["category"]) == ("Timeout", "after 2 s", "data")
    assert (first["types"], first["queues"], first["count_1h"]) == ({"echo": 3}, {"gq": 3}, 3)
    assert first["first_at"] <= first["last_at"]
    assert first["sample_job_id"] in ids


async def test_by_type_and_by_queue(http, die):
    await die("bq1", failure("A", "by"), "by-a")
    await die("bq2", failure("A", "by"), "by-b")
    keys = {by: {group["key"] for group in groups(http, by=by, fingerprint="by")["items"]} for by in ("type", "queue")}
    assert keys == {"type": {"by-a", "by-b"}, "queue": {"bq1", "bq2"}}
    assert groups(http, by="type", fingerprint="by", queue="bq1")["total_jobs"] == 1


async def test_only_what_happened_since(http, die):
    await die("sq", failure("A", "since"))
    assert groups(http, fingerprint="since", since="2020-01-01T00:00:00Z")["total_jobs"] == 1
    found = groups(http, fingerprint="since", since="2100-01-01T00:00:00Z")
    assert found.pop("examined") > 0
    assert found == {"items": [], "next_cursor": None, "complete": True, "total_jobs": 0}


async def test_the_jobs_of_a_group(http, die):
    ids = {await die("lq", failure("A", "listed")) for _ in range(3)}
    await die("lq", failure("B", "another"))
    seen, cursor = set(), None
    while True:
        query = {"fingerprint": "listed", "limit": 2} | ({"cursor": cursor} if cursor else {})
        page = http.get("/api/v1/dead-letters", params=query).json()
        seen |= {job["id"] for job in page["items"]}
        assert {job["state"] for job in page["items"]} <= {"dead"}
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == ids
    assert page["scan"]["complete"] is True


async def test_without_the_scope_payload_messages_are_hidden(http, keyed, die):
    await die("hq", failure("A", "hidden", "the secret is xyzzy"))
    with keyed("read") as reader:
        groups_seen = reader.get("/api/v1/dead-letters/groups", params={"queue": "hq"}).json()
        assert groups_seen["items"][0]["message"] is None
        assert "xyzzy" not in reader.get("/api/v1/dead-letters", params={"queue": "hq"}).text
    assert "xyzzy" in http.get("/api/v1/dead-letters", params={"queue": "hq"}).text


@pytest.mark.parametrize(
    ("query", "pointer"),
    [({"by": "worker"}, "/by"), ({"since": "yesterday"}, "/since"), ({"state": "dead"}, "/state")],
)
def test_a_query_that_means_nothing_is_refused(http, query, pointer):
    answer = http.get("/api/v1/dead-letters/groups", params=query)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
