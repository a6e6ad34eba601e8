"""Plants known bugs, one at a time, and checks that our own checks find each of them."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import flow_scenarios
import pytest
import redis.asyncio
import scenarios
from bugs import FLOW_BUGS, LUA_BUGS, OTHER_BUGS, LuaBug
from flow_lives import MAP_OUTPUT, MAP_RAN, Life, a_map, audited
from hypothesis import Phase, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test
from model.flow_machine import FlowMachine, FlowWorld, small_budget
from model.job import Broken, must
from model.machine import Machine
from model.world import World
from night import one_in

from boltq.broker import broker as broker_module, calls
from boltq.broker.broker import Broker, SyncBroker, repeated
from boltq.broker.contract import NewJobRow
from boltq.broker.inspector import Inspector
from boltq.broker.outage import Outage
from boltq.broker.scripts import Rewrite
from boltq.domain.errors import BoltQError, StoreUnavailable, UnknownWorker
from boltq.domain.job import NewJob
from boltq.domain.states import JobState
from boltq.worker.leases import Leases
from boltq.worker.run import Run

pytestmark = pytest.mark.any_partitions  # it checks our checks, which run with one and with four

CAUGHT: dict[int, str] = {}

Check = Callable[[str, int, Rewrite | None], None]


def in_a_world(url: str, partitions: int, rewrite: Rewrite | None, scenario: scenarios.Scenario) -> None:
    """Live through a scenario; raises what the model or the store has to object."""
    world = World(url, partitions=partitions, rewrite=rewrite)
    try:
        scenario(world)
    finally:
        world.close()


def a_burst(url: str, rewrite: Rewrite | None) -> None:
    """Many jobs of one time, more than one call promotes."""

    async def run() -> None:
        now = [1_800_000_000_000]
        async with Broker(url, namespace="burst", now=lambda: now[0], rewrite=rewrite) as broker:
            jobs = [NewJob(type="x", run_at=now[0] + 1, id=f"{n:024d}00") for n in range(500)]
            await broker.submit(jobs)
            await broker.register(0, "w", info="", queues=["default"], types=None, lease_ms=15_000)
            now[0] += 1
            seen = set()
            while claimed := (await broker.claim(0, "w", 1_000)).jobs:
                seen |= {job.id for job in claimed}
            if len(seen) != len(jobs):
                raise Broken(f"{len(jobs) - len(seen)} jobs were lost")

    flush(url)
    asyncio.run(run())


def flush(url: str) -> None:
    client = redis.Redis.from_url(url)
    client.flushall()
    client.close()


def check(scenario: str, url: str, partitions: int, rewrite: Rewrite | None) -> None:
    if scenario == "a_burst":
        a_burst(url, rewrite)
    else:
        in_a_world(url, partitions, rewrite, getattr(scenarios, scenario))


@pytest.mark.parametrize("bug", LUA_BUGS, ids=lambda bug: f"{bug.number}-{bug.scenario}")
def test_a_bug_in_the_scripts_is_found(bug: LuaBug, valkey: str, partitions: int) -> None:
    check(bug.scenario, valkey, partitions, None)  # without the bug, all is well
    with pytest.raises((Broken, BoltQError, redis.exceptions.RedisError)) as found:
        check(bug.scenario, valkey, partitions, bug.rewrite)
    CAUGHT[bug.number] = f"{bug.name}: {str(found.value).splitlines()[0]}"


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_random_lives_find_many_of_them_too(valkey: str, partitions: int) -> None:
    """Which ones is chance, though a fixed one: the lives change with the code. The scripted ones above find each.

    By day every third of them is planted here, at night all are.
    """
    if partitions > 1:
        pytest.skip("with one partition a life meets more")
    within_reach = one_in(3, [bug for bug in LUA_BUGS if bug.scenario != "a_burst"])  # which needs hundreds of jobs
    missed = [bug.name for bug in within_reach if not random_lives_find(bug, valkey)]
    assert len(missed) <= len(within_reach) // 2, missed


OFTEN = {101, 103, 104, 106, 109, 110}
"""Bugs of workflows that random lives come upon soon."""


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_random_lives_of_workflows_find_many_too(valkey: str, partitions: int) -> None:
    if partitions > 1:
        pytest.skip("with one partition a life meets more")
    within_reach = one_in(3, [bug for bug in FLOW_BUGS if bug.number in OFTEN])
    missed = [bug.name for bug in within_reach if not random_lives_find(bug, valkey, FlowMachine)]
    assert len(missed) <= len(within_reach) // 2, missed


def random_lives_find(bug: LuaBug, url: str, machine: type[Machine | FlowMachine] = Machine) -> bool:
    class Buggy(machine):  # type: ignore[valid-type, misc]
        rewrite = staticmethod(bug.rewrite)

    Buggy.url = url
    quick = settings(max_examples=60, stateful_step_count=40, phases=[Phase.generate], database=None, derandomize=True)
    try:
        run_state_machine_as_test(Buggy, settings=quick)
    except (Broken, AssertionError, BoltQError, redis.exceptions.RedisError, Flaky):
        return True
    return False


# Workflows


def in_a_flow_world(url: str, partitions: int, rewrite: Rewrite | None, scenario: str) -> None:
    """Live through a scenario of workflows, once as they are and once with small budgets."""
    for small in (False, True):
        both = with_small_budget(rewrite) if small else rewrite
        world = FlowWorld(url, partitions=partitions, rewrite=both, patient=small)
        try:
            getattr(flow_scenarios, scenario)(world)
        finally:
            world.close()


def with_small_budget(rewrite: Rewrite | None) -> Rewrite:
    return lambda name, text: small_budget(name, rewrite(name, text) if rewrite else text)


def in_a_map(url: str, rewrite: Rewrite | None) -> None:
    async def run() -> None:
        clock = [1_800_000_000_000]
        async with Broker(url, namespace="map", now=lambda: clock[0], rewrite=rewrite) as broker:
            life = Life(broker, clock, a_map())
            found = await life.live(), sorted(life.ran), await audited(broker)
            must(found == (("completed", MAP_OUTPUT), MAP_RAN, []), f"{found}")

    flush(url)
    asyncio.run(run())


def check_flow(scenario: str, url: str, partitions: int, rewrite: Rewrite | None) -> None:
    if scenario == "a_map":
        in_a_map(url, rewrite)
    else:
        in_a_flow_world(url, partitions, rewrite, scenario)


@pytest.mark.parametrize("bug", FLOW_BUGS, ids=lambda bug: f"{bug.number}-{bug.scenario}")
def test_a_bug_of_workflows_is_found(bug: LuaBug, valkey: str, partitions: int) -> None:
    check_flow(bug.scenario, valkey, partitions, None)  # without the bug, all is well
    with pytest.raises((Broken, AssertionError, BoltQError, redis.exceptions.RedisError)) as found:
        check_flow(bug.scenario, valkey, partitions, bug.rewrite)
    CAUGHT[bug.number] = f"{bug.name}: {str(found.value).splitlines()[0]}"


# 8: a reply that is lost on the way


class Proxy:
    """Stands between a client and the server, and can lose the reply to a command: it closes the line instead."""

    def __init__(self, server: str) -> None:
        self._server = server
        self.lose_reply_to = b""
        self.lost = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_unix_connection(self._server)
        try:
            while request := await reader.read(1 << 20):
                to_server.write(request)
                reply = await from_server.read(1 << 20)
                if self.lose_reply_to and self.lose_reply_to in request:
                    self.lose_reply_to = b""
                    self.lost += 1
                    return
                writer.write(reply)
        finally:
            to_server.close()
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await asyncio.gather(to_server.wait_closed(), writer.wait_closed())


@asynccontextmanager
async def lossy(url: str, folder: Path) -> AsyncIterator[tuple[str, Proxy]]:
    """The address of a proxy before the server, and the proxy."""
    proxy = Proxy(url.removeprefix("unix://"))
    server = await asyncio.start_unix_server(proxy.serve, folder / "p")
    try:
        yield f"unix://{folder / 'p'}", proxy
    finally:
        server.close()


SERVER_MADE_IDS = (
    "submit.lua",
    "for i = 1, #jobs do\n",
    "for i = 1, #jobs do\n  jobs[i][1] = string.format('%024d00', call('HINCRBY', partition_key, 'made', 1))\n",
)


async def queued_after_a_lost_reply(url: str, namespace: str, folder: Path, rewrite: Rewrite | None) -> int:
    """Submit one job through a proxy that loses the first answer; how many there are then."""
    async with lossy(url, folder) as (address, proxy), Broker(address, namespace=namespace, rewrite=rewrite) as broker:
        proxy.lose_reply_to = b"_submit"
        job = NewJob(type="x", id=f"{1:024d}00")
        with contextlib.suppress(StoreUnavailable):
            await broker.submit([job])
        assert proxy.lost == 1
        return (await Inspector(broker).counts())[JobState.QUEUED]


async def test_a_lost_reply_makes_one_job(valkey: str, namespace: str, tmp_path: Path) -> None:
    assert await queued_after_a_lost_reply(valkey, namespace, tmp_path, None) == 1


async def test_and_the_caller_may_repeat_it(valkey: str, namespace: str, tmp_path: Path) -> None:
    async with lossy(valkey, tmp_path) as (address, proxy), Broker(address, namespace=namespace) as broker:
        proxy.lose_reply_to = b"_submit"
        (answer,) = await repeated(lambda: broker.submit([NewJob(type="x", id=f"{1:024d}00")]))
        assert not answer.created
        assert (await Inspector(broker).counts())[JobState.QUEUED] == 1


async def test_8_a_client_that_repeats_by_itself_is_found(
    valkey: str, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(address: str, *, blocking: bool = False) -> Any:
        socket = address.removeprefix("unix://")
        return redis.asyncio.Redis(unix_socket_path=socket, protocol=2)  # with redis-py's own idea of a retry

    def rewrite(name: str, text: str) -> str:
        file, old, new = SERVER_MADE_IDS
        if name != file:
            return text
        assert text.count(old) == 1, "bug 8: submit.lua has changed"
        return text.replace(old, new)

    monkeypatch.setattr(broker_module, "connect", connect)
    assert await queued_after_a_lost_reply(valkey, namespace, tmp_path, rewrite) == 2
    CAUGHT[8] = f"{OTHER_BUGS[8]}: one submission made 2 jobs"


# 9: whose clock


def test_9_a_clients_clock_is_found(valkey: str, partitions: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = calls.jobs.wire
    clients = [0]

    def wire(job: NewJob) -> NewJobRow:
        row = ours(job)
        row.delay, row.run_at = 0, clients[0] + job.delay if job.delay else row.run_at
        return row

    in_a_world(valkey, partitions, None, scenarios.times)
    clients[0] = 1_800_000_000_000 + 600_000  # ten minutes ahead
    monkeypatch.setattr(calls.jobs, "wire", wire)
    with pytest.raises(Broken) as found:
        in_a_world(valkey, partitions, None, scenarios.times)
    CAUGHT[9] = f"{OTHER_BUGS[9]}: {found.value}"


# 12: a heartbeat that does not come while the event loop is blocked

LEASE = 0.6


class Reaper(threading.Thread):
    """Another worker: beats, and takes back what the dead hold."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(daemon=True)
        self._broker = SyncBroker(broker)
        self._end = threading.Event()
        self.taken_back = 0

    def run(self) -> None:
        register = calls.workers.register(0, "reaper", info="", queues=["none"], types=None, lease_ms=60_000)
        self._broker.send(register)
        before = time.monotonic()
        while not self._end.wait(0.05):
            elapsed, before = round((time.monotonic() - before) * 1_000), time.monotonic()
            self._broker.send(calls.workers.extend(0, "reaper", 60_000, max(1, elapsed)))
            self.taken_back += self._broker.send(calls.workers.reap(0, "reaper")).taken_back
        self._broker.close()

    def stop(self) -> None:
        self._end.set()
        self.join()


@pytest.fixture
async def reaper(broker: Broker) -> AsyncIterator[Reaper]:
    thread = Reaper(broker)
    thread.start()
    yield thread
    thread.stop()


class Nobody:
    """A worker that runs nothing."""

    def running(self) -> list[Run]:
        return []

    def vitals(self, _partition: int) -> tuple[str, list[tuple[str, int]]]:
        return "", []

    def nothing(self, *_: object) -> None:
        pass

    stuck = heard = lost = nothing


def leases_of(broker: Broker) -> Leases:
    return Leases(SyncBroker(broker), LEASE, Nobody(), asyncio.get_running_loop(), Outage())


async def hold_a_job(broker: Broker) -> None:
    await broker.submit([NewJob(type="x", id=f"{1:024d}00")])
    await broker.register(0, "w", info="", queues=["default"], types=None, lease_ms=round(LEASE * 1_000))
    assert len((await broker.claim(0, "w", 1)).jobs) == 1


async def test_a_blocked_event_loop_keeps_its_jobs(broker: Broker, reaper: Reaper) -> None:
    await asyncio.sleep(2.1)  # until then, one that has just come takes nothing back
    await hold_a_job(broker)
    leases = leases_of(broker)
    leases.hold(0, "w")
    leases.start()
    time.sleep(4 * LEASE)  # noqa: ASYNC251 - this is the point
    leases.stop()
    assert reaper.taken_back == 0


async def test_12_a_heartbeat_on_the_event_loop_is_found(broker: Broker, reaper: Reaper) -> None:
    await asyncio.sleep(2.1)
    await hold_a_job(broker)

    async def beat() -> None:
        while True:
            await broker.extend(0, "w", round(LEASE * 1_000), round(LEASE / 3 * 1_000))
            await asyncio.sleep(LEASE / 3)

    task = asyncio.create_task(beat())
    await asyncio.sleep(LEASE / 2)
    time.sleep(4 * LEASE)  # noqa: ASYNC251
    with pytest.raises(UnknownWorker):
        await asyncio.wait_for(task, 2)
    assert reaper.taken_back == 1
    CAUGHT[12] = f"{OTHER_BUGS[12]}: a job of a living worker was taken back"


@pytest.fixture(scope="module", autouse=True)
def tally() -> Iterator[None]:
    yield
    print(f"\nseeded bugs caught: {len(CAUGHT)} of {14 + len(FLOW_BUGS)}")
    for number in sorted(CAUGHT):
        print(f"  {number:2} {CAUGHT[number]}")


def test_all_sixteen_and_those_of_workflows() -> None:
    assert {bug.number for bug in LUA_BUGS} | set(OTHER_BUGS) == set(range(1, 17))
    expected = {*range(1, 17), *(bug.number for bug in FLOW_BUGS)}
    assert set(CAUGHT) == expected, f"caught {len(CAUGHT)} of {len(expected)}"
