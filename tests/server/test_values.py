"""What JSON does not have, and what is no time, over HTTP: refused with its place, alone and in a batch; no 500."""

import json

import pytest

pytestmark = pytest.mark.any_partitions  # what it looks at is refused before it has a partition

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "1e999", '"\\ud800"', '{"\\udfff": 1}'])
@pytest.mark.parametrize("field", ['"data": {"a": [%s]}', '"data": {"a": 1}, "delay_seconds": %s', '"tags": [%s]'])
def test_what_json_does_not_have_is_refused(http, word, field):
    body = '{"type": "echo", "queue": "values", %s}' % (field % word)
    answer = http.post("/api/v1/jobs", content=body, headers=JSON)
    assert answer.status_code in {400, 422}, answer.text
    assert http.get("/api/v1/jobs", params={"queue": "values"}).json()["items"] == []


NO_TIMES = ["5", "", "soon", "NaN", True, False, [], {}, 1e308, -1, 10**30]


@pytest.mark.parametrize("value", NO_TIMES)
@pytest.mark.parametrize("field", ["delay_seconds", "run_at", "expires_in_seconds", "expires_at", "timeout_seconds"])
def test_what_is_no_time_is_refused_at_its_place(http, field, value):
    job = {"type": "echo", "queue": "values", field: value}
    answer = http.post("/api/v1/jobs", json=job)
    assert answer.status_code == 422, answer.text
    assert [error["pointer"] for error in answer.json()["errors"]] == [f"/{field}"]
    good = {"type": "echo", "queue": "values-good"}
    batch = http.post("/api/v1/jobs/batch", content=json.dumps({"jobs": [good, job]}), headers=JSON)
    assert batch.status_code == 200, batch.text
    first, second = batch.json()["items"]
    assert first["created"]
    assert [error["pointer"] for error in second["errors"]] == [f"/jobs/1/{field}"]


def test_integers_stay_exact(http):
    answer = http.post("/api/v1/jobs", content=f'{{"type":"echo","queue":"big","data":{{"n":{2**200}}}}}', headers=JSON)
    found = http.get(f"/api/v1/jobs/{answer.json()['id']}")
    assert json.loads(found.text)["data"] == {"n": 2**200}
