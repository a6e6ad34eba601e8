"""The store goes back in time: a failover to a replica that lagged, an older copy of its data, FLUSHALL."""

import asyncio
import logging
import os
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis
from holes import holes_before
from servers import running_server
from waiting import eventually

from boltq import BoltQ, JobState, Settings, Worker
from boltq.broker.broker import Broker
from boltq.broker.checks import alarms
from boltq.broker.embedded import EmbeddedStore, server_binary
from boltq.broker.settling import Settling
from boltq.domain.errors import NotFound
from boltq.domain.job import NewJob
from boltq.server.backend import LOOK_AGAIN_SECONDS, Backend

LEASE = 3.0


@pytest.fixture
def pair() -> Iterator[tuple[str, str]]:
    """The URLs of a primary and of its replica, which has caught up."""
    with ExitStack() as stack:
        primary = stack.enter_context(running_server(server_binary(), "--port", "21710", "--bind", "127.0.0.1"))
        replica = stack.enter_context(running_server(server_binary(), "--replicaof", "127.0.0.1 21710"))
        yield primary, replica


def until_caught_up(primary: str, replica: str) -> None:
    ours, theirs = redis.Redis.from_url(primary), redis.Redis.from_url(replica)
    while theirs.info("replication").get("master_link_status") != "up":
        pass
    while theirs.info("replication")["slave_repl_offset"] < ours.info("replication")["master_repl_offset"]:
        pass


def promote(replica: str) -> None:
    """From now on it hears nothing of its primary; and it takes commands."""
    redis.Redis.from_url(replica).execute_command("REPLICAOF", "NO", "ONE")


def warnings_of(caplog: pytest.LogCaptureFixture, text: str) -> int:
    return sum(text in record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING)


async def test_a_fence_holds_though_deliveries_are_given_again(tmp_path: Path, namespace: str) -> None:
    """A claims a job; the store is set back to before that; B claims it as delivery 1 again. A's end is refused."""
    store = EmbeddedStore(tmp_path / "data", fsync="always")
    with store:
        async with Broker(store.url, namespace=namespace) as broker:
            for name in ("a", "b"):
                await broker.register(0, name, info="{}", queues=["default"], types=None, lease_ms=15_000)
            [job] = await broker.submit([NewJob(type="x")])
            os.kill(store.pid, signal.SIGSTOP)
            shutil.copytree(tmp_path / "data", tmp_path / "copy", ignore=shutil.ignore_patterns("*.sock", "*.pid"))
            os.kill(store.pid, signal.SIGCONT)
            [ours] = (await broker.claim(0, "a", 1)).jobs
    older = EmbeddedStore(tmp_path / "copy", fsync="always")
    with older:
        async with Broker(older.url, namespace=namespace) as broker:
            [theirs] = (await broker.claim(0, "b", 1)).jobs
            assert (theirs.id, theirs.delivery) == (ours.id, ours.delivery) == (job.id, 1)
            late = [Settling(ours.id, ours.delivery, "completed", 1, 0, '"late"')]
            assert (await broker.settle(0, "a", late)).refused == [(0, "LEASE_LOST")]
            assert await broker.progress(0, "a", [(job.id, 1, 0.5, "", [])]) == [[0, "LEASE_LOST"]]
            assert (await broker.settle(0, "b", [Settling(job.id, 1, "completed", 1, 0, '"b"')])).refused == []


async def test_after_a_failover_to_a_replica_that_lagged_everybody_says_so_and_nothing_hangs(
    pair: tuple[str, str], namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker lets go of what the store does not know of, and keeps what it knows; each process warns."""
    primary, replica = pair
    runs: Counter[int] = Counter()
    hold = asyncio.Event()
    async with holes_before(primary) as line:
        settings = Settings(redis_addr=line.address, namespace=namespace, lease=LEASE, grace=10.0)

        def app() -> BoltQ:
            made = BoltQ(settings=settings)

            @made.task
            async def work(n: int) -> int:
                runs[n] += 1
                if n >= 100:
                    await hold.wait()
                return n

            return made

        async with app() as client, app() as working:
            worker = Worker(working, slots=4)
            running = asyncio.create_task(worker.run())
            await worker.started.wait()
            assert await (await client.submit("work", {"n": 1})).result(20) == 1
            kept = await client.submit("work", {"n": 100})
            await eventually(lambda: runs[100] == 1)
            until_caught_up(primary, replica)
            promote(replica)
            lost = [await client.submit("work", {"n": n}) for n in (2, 3, 101)]
            assert await lost[0].result(20) == 2
            await eventually(lambda: runs[101] == 1)

            line.turn_to(replica)

            after = await client.submit("work", {"n": 4})
            assert await after.result(20) == 4
            await eventually(lambda: len(worker._running) == 1, LEASE * 4)  # it lets go of 101, and keeps 100
            assert next(iter(worker._running)).job.id == kept.id
            hold.set()
            assert await kept.result(20) == 100
            assert runs[100] == 1
            await eventually(lambda: warnings_of(caplog, "went back in time") >= 2)
            await asyncio.sleep(0.5)
            assert warnings_of(caplog, "went back in time") == 2, "each of the two processes, once"
            broker = (await client.connections()).broker
            assert (await alarms(broker)).state == "failed"
            assert [(await broker.redis.exists(f"{broker.layout.prefix(0)}job:{job.id}")) for job in lost] == [0, 0, 0]
            worker.stop()
            await running


async def test_after_flushall_everybody_says_so_and_work_goes_on(
    valkey: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    with running_server(server_binary()) as url:
        settings = Settings(redis_addr=url, lease=LEASE, grace=10.0)
        client, working = BoltQ(settings=settings), BoltQ(settings=settings)

        @working.task
        async def work(n: int) -> int:
            return n

        async with client, working:
            worker = Worker(working)
            running = asyncio.create_task(worker.run())
            await worker.started.wait()
            for n in range(3):
                assert await (await client.submit("work", {"n": n})).result(20) == n
            await (await client.connections()).broker.redis.flushall()
            job = await client.submit("work", {"n": 9})
            assert await job.result(LEASE * 3) == 9
            await eventually(lambda: warnings_of(caplog, "went back in time") >= 2, LEASE * 3)
            await eventually(lambda: warnings_of(caplog, "was not known to the store") >= 1)
            await asyncio.sleep(1)
            assert warnings_of(caplog, "went back in time") == 2
            broker = (await client.connections()).broker
            found = await alarms(broker)
            assert found.state == "failed"
            kinds = {alarm.kind for alarm in await broker.alarms()}
            assert kinds == {"went_back", "unknown_worker"}
            assert (await job.record()).state is JobState.COMPLETED
            worker.stop()
            await running


async def test_a_program_that_only_waits_hears_of_it_too(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody else is there who could notice: it asks, now and then, where the history stands."""
    with running_server(server_binary()) as url:
        async with BoltQ(settings=Settings(redis_addr=url)) as app:
            job = await app.submit("never", {})
            waiting = asyncio.create_task(job.result())
            broker = (await app.connections()).broker
            await asyncio.sleep(0.2)
            await broker.redis.flushall()
            with pytest.raises(NotFound):
                await asyncio.wait_for(waiting, 20)
            await eventually(lambda: warnings_of(caplog, "went back in time") == 1)
            await eventually(lambda: not broker._errands)
            assert (await alarms(broker)).state == "failed"


def test_an_api_that_nobody_calls_hears_of_it_too(caplog: pytest.LogCaptureFixture, namespace: str) -> None:
    with running_server(server_binary()) as url:
        settings = Settings(redis_addr=url, namespace=namespace)

        async def idle() -> None:
            async with Backend(Broker(url, namespace=namespace), settings), Broker(url, namespace=namespace) as other:
                await other.submit([NewJob(type="x")])
                await asyncio.sleep(LOOK_AGAIN_SECONDS + 0.5)
                await other.redis.flushall()
                await eventually(lambda: warnings_of(caplog, "went back in time") == 1, LOOK_AGAIN_SECONDS * 4)
                assert [alarm.kind for alarm in await other.alarms()] == ["went_back"]

        asyncio.run(idle())
