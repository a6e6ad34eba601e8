"""Many jobs in one request: each has its own verdict, and a bad one never fails its neighbours."""

import json

import httpx
import pytest

from boltq.domain import limits
from boltq.server.jobs.batch import MAX_BATCH_BYTES

JSON = {"Content-Type": "application/json"}


def post(http, jobs, **headers):
    content = jobs if isinstance(jobs, bytes) else json.dumps({"jobs": jobs})
    return http.post("/api/v1/jobs/batch", content=content, headers=JSON | headers)


def verdicts(answer) -> dict:
    assert answer.status_code == 200, answer.text
    return answer.json()


def job(n=0, **fields):
    return {"type": "echo", "queue": "batch", "data": {"n": n}} | fields


def test_all_of_a_batch_are_accepted(http):
    jobs = [job(0), job(1, delay_seconds=60), job(2, priority="high", tags=["a"])]
    found = verdicts(post(http, jobs))
    assert (found["accepted"], found["rejected"]) == (3, 0)
    assert [item["index"] for item in found["items"]] == [0, 1, 2]
    assert [item["state"] for item in found["items"]] == ["queued", "scheduled", "queued"]
    assert all(item["created"] and item["warnings"] and "errors" not in item for item in found["items"])
    views = [http.get(f"/api/v1/jobs/{item['id']}").json() for item in found["items"]]
    assert [view["data"]["n"] for view in views] == [0, 1, 2]
    assert (views[2]["priority"], views[2]["tags"], views[2]["created_by"]) == ("high", ["a"], None)


BAD = [
    (job(type="no way"), "invalid", "/jobs/1/type"),
    (job(priority=7, nope=1), "invalid", "/jobs/1/priority"),
    ({"data": {}}, "invalid", "/jobs/1/type"),
    (7, "invalid", "/jobs/1"),
    (None, "invalid", "/jobs/1"),
    ([], "invalid", "/jobs/1"),
    (job(data={"a": "x" * limits.MAX_DATA_BYTES}), "invalid", "/jobs/1/data"),
    (job(data={"a": "x" * (limits.MAX_DATA_BYTES + (64 << 10))}), "too-large", "/jobs/1"),
    (job(data=json.loads('{"a":' * 70 + "1" + "}" * 70)), "invalid", "/jobs/1"),
]


@pytest.mark.parametrize(("bad", "code", "pointer"), BAD)
def test_a_bad_one_does_not_fail_its_neighbours(http, bad, code, pointer):
    found = verdicts(post(http, [job(0), bad, job(2)]))
    assert (found["accepted"], found["rejected"]) == (2, 1)
    wrong = found["items"][1]
    assert wrong["code"] == code
    assert wrong["index"] == 1
    assert pointer in [error["pointer"] for error in wrong["errors"]]
    assert "id" not in wrong
    for item in (found["items"][0], found["items"][2]):
        assert http.get(f"/api/v1/jobs/{item['id']}").status_code == 200


@pytest.mark.parametrize("data", [b'{"a": 1e999}', b'{"a": "\xff"}', b'{"a": 1, "type": {}}, "type": "again"'])
def test_what_the_decoder_of_a_lone_job_refuses_is_refused_here(http, data):
    body = b'{"jobs":[{"type":"echo","queue":"batch","data":' + data + b'},{"type":"echo","queue":"batch"}]}'
    found = verdicts(post(http, body))
    assert (found["accepted"], found["rejected"]) == (1, 1)
    assert found["items"][0]["errors"]


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        (b"", 400, None),
        (b"{", 400, None),
        (b'{"jobs":[{"type":"echo"},]}', 400, None),
        (b"[]", 422, ""),
        (b"{}", 422, "/jobs"),
        (b'{"jobs":{}}', 422, "/jobs"),
        (b'{"jobs":[]}', 422, "/jobs"),
        (b'{"jobs":[{"type":"echo"}],"atomic":true}', 422, "/atomic"),
        (b'{"jobs":[' + b"[" * 100_000 + b"]" * 100_000 + b"]}", 422, ""),
    ],
)
def test_what_is_no_batch_is_refused_as_a_whole(http, body, status, pointer):
    answer = post(http, body)
    assert answer.status_code == status, answer.text
    if pointer is not None:
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


def test_how_many(http):
    many = [{"type": "echo", "queue": "many"}] * limits.MAX_BATCH
    found = verdicts(post(http, many))
    assert (found["accepted"], len({item["id"] for item in found["items"]})) == (1_000, 1_000)
    answer = post(http, [*many, many[0]])
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/jobs"


def test_how_large(http):
    body = json.dumps({"jobs": [job(data={"a": "x" * 900_000}) for _ in range(9)]}).encode()
    room = MAX_BATCH_BYTES - len(body)
    assert verdicts(post(http, body + b" " * room))["accepted"] == 9
    answer = post(http, body + b" " * (room + 1))
    assert answer.status_code == 413
    assert answer.json()["type"] == "urn:boltq:problem:too-large"


def test_a_repeated_batch_is_done_once(http):
    jobs = [job(0), job(1, idempotency_key="its-own"), job(2)]
    headers = {"Idempotency-Key": "nightly-1"}
    first, second = (verdicts(post(http, jobs, **headers)) for _ in range(2))
    assert [item["id"] for item in first["items"]] == [item["id"] for item in second["items"]]
    assert [item["created"] for item in second["items"]] == [False] * 3
    other = verdicts(post(http, [job(9), job(1, idempotency_key="its-own")], **headers))
    assert [item.get("code") for item in other["items"]] == ["conflict", None]


@pytest.mark.parametrize(("key", "status"), [("k" * 195, 200), ("k" * 196, 422), ("", 422), ("caf\xe9", 422)])
def test_the_key_of_a_batch_leaves_room_for_the_index(http, key, status):
    answer = post(http, [job()], **{"Idempotency-Key": key.encode("latin-1")})
    assert answer.status_code == status
    if status != 200:
        assert [error["pointer"] for error in answer.json()["errors"]] == ["/idempotency_key"]


def test_the_same_key_twice_in_a_batch_makes_one_job(http):
    found = verdicts(post(http, [job(idempotency_key="twin"), job(idempotency_key="twin")]))
    assert found["items"][0]["id"] == found["items"][1]["id"]
    assert [item["created"] for item in found["items"]] == [True, False]


def test_a_full_queue_takes_what_it_has_room_for(valkey, serving):
    with serving(valkey, namespace="batch-full", max_queue_depth=2) as url, httpx.Client(base_url=url) as http:
        found = verdicts(post(http, [job(), job(), job(), job(queue="other")]))
    assert [item.get("code") for item in found["items"]] == [None, None, "queue-full", None]
    assert found["rejected"] == 1


def test_each_queue_needs_its_right(keyed):
    with keyed("submit:mine") as http:
        found = verdicts(post(http, [job(queue="mine"), job(queue="yours")]))
        assert [item.get("code") for item in found["items"]] == [None, "forbidden"]
    with keyed("read") as http:
        assert post(http, [job()]).status_code == 403
