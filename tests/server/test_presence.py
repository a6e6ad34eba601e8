"""A submission's answer says when no live worker serves its queue; that is looked at again before it is said."""

import asyncio
from functools import partial

import httpx
import pytest
from waiting import eventually

from boltq.server.presence import Presence

HERE = "no live worker serves queue {} in this store: the job waits for one"


@pytest.fixture
def register(desk):
    async def register(name, *queues, lease_ms=60_000):
        for partition in range(desk.layout.partitions):
            await desk.register(partition, name, info="{}", queues=list(queues), types=None, lease_ms=lease_ms)

    return register


def warnings(http, queue, **more):
    answer = http.post("/api/v1/jobs", json={"type": "x", "queue": queue} | more)
    assert answer.status_code in {200, 201}, answer.text
    return [text for text in answer.json()["warnings"] if "live worker" in text]


async def test_a_worker_that_comes_is_seen_by_the_next_submission(http, register):
    assert warnings(http, "p1") == [HERE.format("p1")]
    await register("pw1", "p1")
    await asyncio.sleep(0.3)  # what was seen is believed for a quarter of a second
    assert warnings(http, "p1") == []
    assert warnings(http, "p2") == [HERE.format("p2")]


async def test_one_that_drains_or_is_gone_does_not_count(http, desk, register):
    def said(queue):
        return warnings(http, queue) == [HERE.format(queue)]

    await register("pw3", "p3")
    await register("pw4", "p4")
    for partition in range(desk.layout.partitions):
        await desk.retire(partition, "pw4", lost=False)
    http.post("/api/v1/workers/pw3/drain")
    for queue in ("p3", "p4"):
        await eventually(partial(said, queue))


async def test_a_job_that_is_over_is_not_said_to_wait(http, run_one):
    from boltq.domain.outcome import Completed

    assert warnings(http, "p5", idempotency_key="presence-1") == [HERE.format("p5")]
    await run_one("p5", Completed("null"))
    assert warnings(http, "p5", idempotency_key="presence-1") == []


async def test_many_questions_at_once_are_one_look(desk):
    looks = []

    class Inspector:
        async def workers(self):
            looks.append(1)
            await asyncio.sleep(0.01)
            return []

    presence = Presence(Inspector())
    answers = await asyncio.gather(*(presence.missing(f"q{n}") for n in range(500)))
    assert answers == [[HERE.format(f"q{n}")] for n in range(500)]
    assert await presence.missing("q0") == [HERE.format("q0")]  # fresh enough
    assert len(looks) == 1


def test_the_store_away_is_no_reason_to_say_that_nobody_is_there(api):
    assert httpx.get(f"{api}/health").status_code == 200

    async def asked():
        from boltq.domain.errors import StoreUnavailable

        class Inspector:
            async def workers(self):
                raise StoreUnavailable("away")

        return await Presence(Inspector()).missing("q")

    assert asyncio.run(asked()) == []
