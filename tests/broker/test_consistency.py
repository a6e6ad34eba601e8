"""The auditor sees each kind of damage, and none where there is none: not even while the system works."""

import asyncio
from collections.abc import Callable

import pytest
from model.world import World

from boltq.broker.broker import Broker
from boltq.broker.consistency import Finding, audit
from boltq.broker.settling import Settling
from boltq.domain.job import NewJob


@pytest.fixture
def busy(world: World) -> World:
    """A world with a job in every place, and a cancelled job's ghost."""
    verbs = ["completed", "completed", "retrying", "dead", "snoozed", "cancelled"]
    world.submit(*(world.make(0) for _ in range(10)), world.make(0, type="y"))
    worker = world.register(0, ["q"], {"x"})
    jobs = world.claim(0, worker, 7)
    for job, verb in zip(jobs, verbs, strict=False):
        world.settle(0, worker, [world.outcome(world.jobs[job.id], verb, 90_000)])
        world.advance(1)
    world.cancel(next(job.id for job in world.standing("queued") if job.type == "x"))
    world.claim(0, world.register(0, ["r"], None), 1)
    world.claim(0, world.register(0, ["q"], set("w")), 1)  # parks what is left at the head
    return world


def findings(world: World) -> list[Finding]:
    return world.run(audit(world.broker, pauses=()))


def job_in(world: World, state: str) -> str:
    return world.key(0, f"job:{world.standing(state)[0].id}")


def holder_of(world: World) -> str:
    return world.key(0, f"worker:{world.standing('running')[0].holder}")


def ident(key: str) -> str:
    return key.rpartition(":")[2]


Damage = Callable[[World], object]

DAMAGES: list[tuple[str, Damage]] = [
    ("no-record", lambda w: w.raw.delete(job_in(w, "completed"))),
    ("no-record", lambda w: w.raw.zadd(w.key(0, "queue:q:dead"), {"nobody": 1})),
    ("no-record", lambda w: w.raw.sadd(w.key(0, "queue:q:running"), "nobody")),
    ("nowhere", lambda w: w.raw.delete(w.key(0, "queue:q:completed"))),
    ("nowhere", lambda w: w.raw.zrem(w.key(0, "queue:q:retrying"), ident(job_in(w, "retrying")))),
    ("two-places", lambda w: w.raw.rpush(w.key(0, "queue:q:completed"), ident(job_in(w, "dead")))),
    ("two-places", lambda w: w.raw.rpush(w.key(0, "queue:q:ready:2"), ident(job_in(w, "queued")))),
    ("wrong-place", lambda w: w.raw.hset(job_in(w, "dead"), "state", "cancelled")),
    ("wrong-place", lambda w: w.raw.hdel(next(job for job in _parked(w)), "parked")),
    ("ghosts", lambda w: w.raw.hincrby(w.key(0, "queue:q"), "ghosts:ready:0", 1)),
    ("ghosts", lambda w: w.raw.rpush(w.key(0, "queue:q:ready:1"), "nobody")),
    ("ghost", lambda w: w.raw.hset(job_in(w, "dead"), "ghost", "ready:1")),
    ("ghost", lambda w: w.raw.rpush(w.key(0, "queue:q:ready:1"), ident(job_in(w, "running")))),
    ("ghost", lambda w: w.raw.hset(job_in(w, "queued"), "ghost", "ready:0")),
    ("ghosts", lambda w: w.raw.rpush(w.key(0, "queue:q:ready:1"), w.standing("cancelled")[-1].id)),
    ("two-places", lambda w: w.raw.rpush(w.key(0, "queue:q:ready:1"), w.standing("queued")[-1].id)),
    ("orphan", lambda w: w.raw.rpush(w.key(0, "runs:nobody"), "x")),
    ("orphan", lambda w: w.raw.rpush(w.key(0, "log:nobody"), "x")),
    ("unheld", lambda w: w.raw.hset(job_in(w, "running"), "worker", "nobody")),
    ("holds", lambda w: w.raw.hincrby(holder_of(w), "holds", 1)),
    (
        "unknown-to-worker",
        lambda w: w.raw.hset(holder_of(w), mapping={"vitals": '{"known":0}', "beat_at": w.now * 2}),
    ),
    ("score", lambda w: w.raw.zadd(w.key(0, "queue:q:retrying"), {ident(job_in(w, "retrying")): 1.5})),
    ("score", lambda w: w.raw.zadd(w.key(0, "queue:q:dead"), {ident(job_in(w, "dead")): 7})),
    ("order", lambda w: w.raw.rpush(w.key(0, "queue:q:completed"), w.raw.lpop(w.key(0, "queue:q:completed")) or b"")),
    ("state", lambda w: w.raw.hset(job_in(w, "dead"), "state", "lost")),
    ("queue", lambda w: w.raw.zrem(w.key(0, "queues"), "q")),
    ("attempts", lambda w: w.raw.hset(job_in(w, "dead"), "tries", 9)),
    ("attempts", lambda w: w.raw.hset(job_in(w, "dead"), mapping={"spec": '{"max_attempts":1}', "tries": 2, "n": 2})),
    ("poison", lambda w: w.raw.hset(job_in(w, "retrying"), mapping={"lost": 3, "n": 9})),
    ("totals", lambda w: w.raw.hset(w.key(0, "queue:q"), "completed", 1)),
    ("parked", lambda w: w.raw.zadd(w.key(0, "queue:q:parked"), {"v": 0})),
    ("parked", lambda w: w.raw.delete(w.key(0, "queue:q:parked"))),
    ("parked", lambda w: w.raw.hincrby(w.key(0, "queue:q"), "parked", 1)),
    ("parked", lambda w: w.raw.hset(job_in(w, "dead"), "parked", 1)),
    ("worker", lambda w: w.raw.sadd(w.key(0, "cancels:nobody"), "x")),
    ("worker", lambda w: w.raw.rpush(w.key(0, "mail:nobody"), "x")),
    ("worker", lambda w: w.raw.delete(w.key(0, "worker:w1"))),
    ("sleeper", lambda w: w.raw.srem(w.key(0, "idle:r"), "w2")),
    ("asleep", lambda w: w.raw.hset(w.key(0, "worker:w2"), "queues", "r q")),
    ("unknown-key", lambda w: w.raw.set(w.key(0, "surprise"), 1)),
    ("no-expiry", lambda w: w.raw.set(w.key(0, "idem:k"), 1)),
]


def _parked(world: World) -> list[str]:
    return [world.key(0, f"job:{job.id}") for job in world.standing("queued") if job.parked]


@pytest.mark.parametrize(("code", "damage"), DAMAGES, ids=[f"{n}-{code}" for n, (code, _) in enumerate(DAMAGES)])
def test_each_damage_is_seen(busy: World, code: str, damage: Damage) -> None:
    assert findings(busy) == []
    damage(busy)
    assert code in {finding.code for finding in findings(busy)}


def test_every_code_is_tried() -> None:
    from pathlib import Path
    from re import findall

    from boltq.broker import consistency as module

    assert set(findall(r'_report\("([\w-]+)"', Path(module.__file__).read_text())) == {code for code, _ in DAMAGES}


def test_what_heals_between_two_looks_is_not_reported(busy: World) -> None:
    key = busy.key(0, "surprise")
    busy.raw.set(key, 1, px=40)
    assert busy.run(audit(busy.broker, pauses=(0.1,))) == []
    busy.raw.set(key, 1)
    assert [finding.code for finding in busy.run(audit(busy.broker, pauses=(0.01, 0.01)))] == ["unknown-key"]


@pytest.mark.parametrize("field", ["n", "since"])
def test_a_job_that_moves_between_two_looks_is_not_reported(busy: World, field: str) -> None:
    job = job_in(busy, "retrying")
    busy.raw.hset(job, "state", "queued")
    assert [finding.code for finding in busy.run(audit(busy.broker, pauses=(0.01, 0.01)))] == ["wrong-place"]

    async def while_it_moves() -> list[Finding]:
        looking = asyncio.create_task(audit(busy.broker, pauses=(0.1, 0.1)))
        while not looking.done():
            busy.raw.hincrby(job, field, 1)
            await asyncio.sleep(0.01)
        return await looking

    assert busy.run(while_it_moves()) == []


async def test_a_system_at_work_has_no_findings(broker: Broker) -> None:
    for partition in range(broker.layout.partitions):
        await broker.register(partition, "w", info="", queues=["default"], types=None, lease_ms=600_000)
    stop = asyncio.Event()

    async def work() -> None:
        while not stop.is_set():
            answers = await broker.submit([NewJob(type="x", priority=n % 3) for n in range(200)])
            await broker.cancel([answer.id for answer in answers[:20] if not isinstance(answer, Exception)])
            for partition in range(broker.layout.partitions):
                jobs = (await broker.claim(partition, "w", 300)).jobs  # more than come: the line stays short
                verbs = ["completed", "completed", "dead", "released"]
                outcomes = [Settling(job.id, job.delivery, verbs[n % 4], 1, 0, "{}") for n, job in enumerate(jobs)]
                await broker.settle(partition, "w", outcomes)

    working = asyncio.create_task(work())
    found = [await audit(broker, pauses=(0.05, 0.1)) for _ in range(5)]
    stop.set()
    await working
    assert found == [[]] * 5
    assert await audit(broker, pauses=()) == []


async def test_pages_beyond_the_first(desk) -> None:
    await desk.worker()
    for _ in range(3):
        await desk.submit(1_000)
        await desk.submit(1_000, delay=90_000)
    await desk.settle(await desk.claim(1_000), "dead", text="{}")
    await desk.settle(await desk.claim(1_000))
    (last,) = (await desk.claim(1_000))[-1:]
    await desk.broker.redis.hset(desk.key(f"job:{last.id}"), "worker", "nobody")
    found = {finding.code: finding.id for finding in await audit(desk.broker, pauses=())}
    assert found == {"holds": "", "unheld": last.id}
    await desk.broker.redis.hset(desk.key(f"job:{last.id}"), "worker", "w")
