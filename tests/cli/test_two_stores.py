"""An API and a worker that were started in two folders, without REDIS_ADDR, have a store each: everybody says so."""

import json
import urllib.request
from pathlib import Path
from typing import Any

from processes import boltq_command, clean_environment, running, wait_until


def call(url: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def folders(tmp_path: Path, *names: str) -> list[Path]:
    made = [tmp_path / name for name in names]
    for folder in made:
        folder.mkdir(exist_ok=True)
    return made


def test_two_folders_are_two_stores_and_the_submission_says_that_nobody_is_there(tmp_path):
    here, there = folders(tmp_path, "a", "b")
    known = clean_environment()
    with (
        running(boltq_command("api", "--port", "0"), here, known) as api,
        running(boltq_command("worker"), there, known) as worker,
    ):
        url = api.wait_for(r"listens on (http://\S+)").group(1)
        worker.wait_for(r"worker \S+ runs:")
        assert f"the store: the embedded Valkey in {here / '.boltq'}, namespace boltq" in api.output
        assert f"the store: the embedded Valkey in {there / '.boltq'}, namespace boltq" in worker.output
        assert "others need REDIS_ADDR or BOLTQ_DATA" in api.output
        answer = call(f"{url}/api/v1/jobs", {"type": "echo"})
        assert "no live worker serves queue default in this store: the job waits for one" in answer["warnings"]
        first = call(f"{url}/submit", {"type": "echo", "payload": {}})
        assert first["warnings"] == answer["warnings"]
        batch = call(f"{url}/api/v1/jobs/batch", {"jobs": [{"type": "echo"}, {"type": "echo", "queue": "mail"}]})
        assert [item["warnings"][-1].split(" in ")[0] for item in batch["items"]] == [
            "no live worker serves queue default",
            "no live worker serves queue mail",
        ]
        why = call(f"{url}/api/v1/jobs/{answer['id']}")["why"]
        assert (why["code"], why["text"]) == ("no_worker", "no live worker serves queue default in this store")


def test_one_folder_is_one_store_and_nobody_complains(tmp_path):
    (here,) = folders(tmp_path, "a")
    known = clean_environment()
    with (
        running(boltq_command("api", "--port", "0"), here, known) as api,
        running(boltq_command("worker"), here, known) as worker,
    ):
        url = api.wait_for(r"listens on (http://\S+)").group(1)
        worker.wait_for(r"worker \S+ runs:")
        place = f"the store: the embedded Valkey in {here / '.boltq'}"
        assert place in api.output
        assert place in worker.output
        wait_until(lambda: not call(f"{url}/api/v1/jobs", {"type": "echo"})["warnings"])  # it is seen within a second
        answer = call(f"{url}/api/v1/jobs", {"type": "echo", "data": {"n": 1}})
        assert answer["warnings"] == []
        assert "warnings" not in call(f"{url}/submit", {"type": "echo", "payload": {}})
        assert call(f"{url}/api/v1/jobs/{answer['id']}?wait=30")["result"] == {"n": 1}


def test_the_address_of_a_store_is_logged_without_its_password(tmp_path, valkey):
    address = f"{valkey}?password=s3cr3t" if valkey.startswith("unix") else valkey
    with running(boltq_command("api", "--port", "0"), tmp_path, clean_environment(REDIS_ADDR=address)) as api:
        api.wait_for(r"the store: \S+, namespace boltq")
        assert "s3cr3t" not in api.output
