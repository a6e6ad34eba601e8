"""`boltq bench`: how fast this machine is with BoltQ. A server, real processes, jobs that do nothing, all duties on."""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import msgspec

from boltq.app import BoltQ
from boltq.broker.broker import Broker
from boltq.broker.embedded import EmbeddedStore
from boltq.broker.inspector import Inspector, inspect_server
from boltq.broker.store import broker_at
from boltq.broker.submitter import Submitter
from boltq.domain.errors import StoreError
from boltq.domain.job import NewJob
from boltq.settings import Settings
from boltq.worker.worker import Worker

_spawn = multiprocessing.get_context("spawn")

CALLERS = 500  # that await one submit after the other, in one process
CONNECTIONS = 64  # of HTTP
LATENCY_JOBS, LATENCY_GAP = 400, 0.01  # seconds between two jobs

app = BoltQ()


@app.task
async def nothing(i: int = 0, pad: str = "") -> None:
    """Do nothing."""


@app.task
async def stamp(sent: int) -> int:
    """Nanoseconds between the submit and here; both ends are on this machine."""
    return time.time_ns() - sent


class Row(msgspec.Struct):
    """One measured figure."""

    key: str
    what: str
    value: float
    unit: str
    goal: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `boltq bench`."""
    parser.add_argument("--jobs", type=int, default=100_000, help="jobs of each throughput figure (default 100000)")
    parser.add_argument("--slots", type=int, default=4, help="slots of each worker (default 4)")
    parser.add_argument("--only", metavar="WORD", help="only figures whose key has this word, such as drain")
    parser.add_argument("--rounds", type=int, default=1, help="measure so often and give the median (default 1)")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")


def run(args: argparse.Namespace) -> int:
    """Measure on REDIS_ADDR, or on an embedded store of its own in a temporary directory."""
    settings = Settings.from_env(namespace=f"boltq-bench-{os.getpid()}")
    with _store(settings) as address:
        report = _run_loop(_measure_all(address, settings, args))
    print(json.dumps(report, indent=2) if args.json else _table(report))
    return 0


@contextlib.contextmanager
def _store(settings: Settings) -> Iterator[str]:
    if settings.redis_addr:
        yield settings.redis_addr
        return
    with tempfile.TemporaryDirectory(prefix="boltq-bench-") as folder, EmbeddedStore(Path(folder)) as store:
        yield store.start()


def _run_loop(work: Any) -> Any:
    import uvloop

    return uvloop.run(work)


async def _measure_all(address: str, settings: Settings, args: argparse.Namespace) -> dict[str, Any]:
    broker = broker_at(address, settings)
    server = await inspect_server(broker)
    rounds: list[list[Row]] = []
    try:
        for _ in range(args.rounds):
            rounds.append([row async for row in _measure(broker, settings, args)])  # noqa: PERF401 - one after the other
    finally:
        await _clear(broker)
        await broker.close()
    rows = [_median([each[i] for each in rounds]) for i in range(len(rounds[0]))]
    where = {"server": f"{server.flavour} {server.version}", "cores": os.cpu_count(), "rounds": args.rounds}
    return {"where": where, "jobs": args.jobs, "figures": [msgspec.to_builtins(row) for row in rows]}


async def _measure(broker: Broker, settings: Settings, args: argparse.Namespace) -> AsyncIterator[Row]:
    for key, figure in _FIGURES.items():
        if args.only and args.only not in key:
            continue
        _say(f"{key} …")
        await _clear(broker)
        await broker.open()
        for row in await figure(broker, settings, args):
            yield row


async def _submit_batched(broker: Broker, _: Settings, args: argparse.Namespace) -> list[Row]:
    before = await _server_seconds(broker)
    seconds = await _fill(broker, args.jobs)
    server = (await _server_seconds(broker) - before) / args.jobs * 1e6
    return [
        Row("submit_batched", "submit from Python, in batches of 1,000", args.jobs / seconds, "jobs/s", "≥ 150,000"),
        Row("server_submit", "server time per submitted job", server, "µs", "≤ 5"),
    ]


async def _submit_awaited(broker: Broker, _: Settings, args: argparse.Namespace) -> list[Row]:
    submitter, n = Submitter(broker), args.jobs // 2
    numbers = iter(range(n))

    async def caller() -> None:
        for i in numbers:
            await submitter.submit(NewJob(type="nothing", data=f'{{"i":{i}}}'))

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    rate = n / (time.perf_counter() - began)
    what = f"submit from Python, awaited one by one by {CALLERS} callers"
    return [Row("submit_awaited", what, rate, "jobs/s", "≥ 40,000")]


async def _submit_http(broker: Broker, settings: Settings, args: argparse.Namespace) -> list[Row]:
    port = _free_port()
    n = args.jobs // 2
    api = _spawn.Process(target=_serve, args=(broker.address, settings.namespace, port), daemon=True)
    api.start()
    try:
        await _until(lambda: _listens(port), "the API")
        seconds = await asyncio.to_thread(_in_process, _http_load, (port, n))
    finally:
        await _end([api])
    stored = sum(stats.queued for stats in await Inspector(broker).queues())
    if stored != n:
        raise StoreError(f"{n} jobs were accepted over HTTP, {stored} are stored")
    what = f"submit over HTTP, a job a request, {CONNECTIONS} connections"
    return [Row("submit_http", what, n / seconds, "jobs/s", "≥ 20,000")]


async def _drain_one(broker: Broker, settings: Settings, args: argparse.Namespace) -> list[Row]:
    rate, server, cpu = await _drain(broker, settings, args, workers=1)
    return [
        Row("drain_1", "drain a full queue, 1 worker process", rate, "jobs/s", "≥ 60,000"),
        Row("server_drain", "server time per job, claim + settle", server, "µs", "≤ 10"),
        Row("worker_drain", "worker's own time per job", cpu, "µs"),
    ]


async def _drain_two(broker: Broker, settings: Settings, args: argparse.Namespace) -> list[Row]:
    rate, _, _ = await _drain(broker, settings, args, workers=2)
    return [Row("drain_2", "drain a full queue, 2 worker processes", rate, "jobs/s", "≥ with 1")]


async def _drain(
    broker: Broker, settings: Settings, args: argparse.Namespace, *, workers: int
) -> tuple[float, float, float]:
    """Jobs a second, the server's and the workers' microseconds a job."""
    await broker.pause("default")
    await _fill(broker, args.jobs)
    with _cpu_file() as cpu:
        running = await _start_workers(broker, settings, args.slots, workers, str(cpu))
        before, began = await _server_seconds(broker), time.perf_counter()
        await broker.resume("default")
        await _until(lambda: _done(broker, args.jobs), "the workers", pause=0.02)
        seconds = time.perf_counter() - began
        server = (await _server_seconds(broker) - before) / args.jobs * 1e6
        await _end(running)
        own = sum(float(line) for line in cpu.read_text().split()) / args.jobs * 1e6
    return args.jobs / seconds, server, own


async def _latency(broker: Broker, settings: Settings, args: argparse.Namespace) -> list[Row]:
    with _cpu_file() as cpu:
        running = await _start_workers(broker, settings, args.slots, 1, str(cpu))
        submitter = Submitter(broker)
        ids = []
        for _ in range(LATENCY_JOBS):
            job = NewJob(type="stamp", data=f'{{"sent":{time.time_ns()}}}')
            ids.append((await submitter.submit(job)).id)
            await asyncio.sleep(LATENCY_GAP)
        await _until(lambda: _done(broker, LATENCY_JOBS), "the worker")
        await _end(running)
    found = await Inspector(broker).jobs(ids[20:])
    took = sorted(int(job.result or 0) / 1e6 for job in found if job)
    return [
        Row("latency_p50", "idle system, submit → function starts, p50", statistics.median(took), "ms", "≤ 0.8"),
        Row("latency_p99", "idle system, submit → function starts, p99", took[int(len(took) * 0.99)], "ms", "≤ 1.5"),
    ]


async def _memory(broker: Broker, _: Settings, __: argparse.Namespace) -> list[Row]:
    n, pad = 50_000, "x" * 183  # 200 bytes of JSON
    before = await _used_memory(broker)
    await _fill(broker, n, pad)
    for partition in range(broker.layout.partitions):  # the event stream is bounded: it does not grow with the queue
        await broker.redis.xtrim(f"{broker.layout.prefix(partition)}events", maxlen=0, approximate=False)
    size = (await _used_memory(broker) - before) / n
    return [Row("memory_queued", "memory per queued job with 200 B of data", size, "B", "≤ 450")]


async def _used_memory(broker: Broker) -> int:
    """What the server uses for data: without the buffers of clients and of the append-only file."""
    info = await broker.redis.info("memory")
    return int(info["used_memory"]) - int(info["mem_clients_normal"]) - int(info.get("mem_aof_buffer", 0))


_FIGURES: dict[str, Callable[[Broker, Settings, argparse.Namespace], Any]] = {
    "submit_batched": _submit_batched,
    "submit_awaited": _submit_awaited,
    "submit_http": _submit_http,
    "drain_1": _drain_one,
    "drain_2": _drain_two,
    "latency": _latency,
    "memory": _memory,
}


# Parts of a measurement


async def _fill(broker: Broker, n: int, pad: str = "") -> float:
    """Submit n jobs, two calls at a time; answers the seconds."""
    jobs = [NewJob(type="nothing", data=f'{{"i":{i},"pad":"{pad}"}}' if pad else f'{{"i":{i}}}') for i in range(n)]
    batches = iter([jobs[start : start + 1_000] for start in range(0, n, 1_000)])

    async def send() -> None:
        for batch in batches:
            await broker.submit(batch)

    began = time.perf_counter()
    await asyncio.gather(send(), send())
    return time.perf_counter() - began


async def _start_workers(broker: Broker, settings: Settings, slots: int, workers: int, cpu: str) -> list[SpawnProcess]:
    args = (broker.address, settings.namespace, slots, cpu)
    processes = [_spawn.Process(target=_work, args=args) for _ in range(workers)]
    for process in processes:
        process.start()

    async def here() -> bool:
        return len(await Inspector(broker).workers()) >= workers

    await _until(here, "the workers")
    await asyncio.sleep(0.3)  # their first look
    return processes


async def _done(broker: Broker, n: int) -> bool:
    return sum(stats.completed_total for stats in await Inspector(broker).queues()) >= n


async def _until(condition: Callable[[], Any], who: str, *, pause: float = 0.05, seconds: float = 120) -> None:
    until = time.perf_counter() + seconds
    while not await condition():
        if time.perf_counter() > until:
            raise StoreError(f"{who} took more than {seconds:g} s")
        await asyncio.sleep(pause)


async def _end(processes: list[SpawnProcess]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        await asyncio.to_thread(process.join, 20)


async def _server_seconds(broker: Broker) -> float:
    info = await broker.redis.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


async def _clear(broker: Broker) -> None:
    for partition in range(broker.layout.partitions):
        keys = [key async for key in broker.redis.scan_iter(f"{broker.layout.prefix(partition)}*", count=1_000)]
        for start in range(0, len(keys), 1_000):
            await broker.redis.unlink(*keys[start : start + 1_000])


@contextlib.contextmanager
def _cpu_file() -> Iterator[Path]:
    with tempfile.NamedTemporaryFile(prefix="boltq-cpu-") as file:
        yield Path(file.name)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


# In other processes


def _work(address: str, namespace: str, slots: int, cpu: str) -> None:
    """A worker process; writes its processor time when it ends."""
    import signal

    async def work() -> None:
        bench = BoltQ(settings=Settings.from_env(namespace=namespace, redis_addr=address))
        bench.tasks = app.tasks
        worker = Worker(bench, slots=slots)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
        running = asyncio.create_task(worker.run())
        await worker.started.wait()
        began = time.process_time()
        await running
        _append(cpu, time.process_time() - began)
        await bench.close()

    _run_loop(work())


def _append(path: str, number: float) -> None:
    with Path(path).open("a") as file:
        file.write(f"{number}\n")


def _serve(address: str, namespace: str, port: int) -> None:
    """An API process."""
    from boltq.server import serve

    serve.run(Settings.from_env(namespace=namespace, redis_addr=address, api_port=port), address)


def _in_process(target: Callable[..., float], args: tuple[Any, ...]) -> float:
    """What the target answers, run in a process of its own, so that it does not share ours."""
    with _spawn.Pool(1) as pool:
        return pool.apply(target, args)


def _http_load(port: int, n: int) -> float:
    """Send n submits over kept-alive connections, each after the answer to the one before; answers the seconds."""
    return float(_run_loop(_http_clients(port, n)))


async def _http_clients(port: int, n: int) -> float:
    loop = asyncio.get_running_loop()
    left = iter(range(n))
    ended: list[asyncio.Future[None]] = [loop.create_future() for _ in range(CONNECTIONS)]
    began = time.perf_counter()
    for future in ended:
        await loop.create_connection(lambda f=future: _HttpClient(left, f), "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.gather(*ended)
    return time.perf_counter() - began


class _HttpClient(asyncio.Protocol):
    """One connection: as little of HTTP as a load needs."""

    def __init__(self, left: Iterator[int], ended: "asyncio.Future[None]") -> None:
        self._left, self._ended = left, ended
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if not self._answer.endswith(b"}"):  # head and body may come apart
            return
        answer, self._answer = self._answer, b""
        if answer.startswith(b"HTTP/1.1 201"):
            self._send()
        elif not self._ended.done():
            self._ended.set_exception(StoreError(f"the API answered {answer[:200]!r}"))

    def _send(self) -> None:
        i = next(self._left, None)
        if i is None:
            self._ended.set_result(None)
            self._transport.close()
            return
        body = b'{"type":"nothing","data":{"i":%d}}' % i
        head = b"POST /api/v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: "
        self._transport.write(b"%s%d\r\n\r\n%s" % (head, len(body), body))


# Showing


def _median(rows: list[Row]) -> Row:
    return msgspec.structs.replace(rows[0], value=statistics.median(row.value for row in rows))


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(text, file=sys.stderr)


def _table(report: dict[str, Any]) -> str:
    where = report["where"]
    head = f"{where['server']}, {where['cores']} cores, {report['jobs']:,} jobs a figure, rounds: {where['rounds']}"
    lines = [head, ""]
    for row in report["figures"]:
        value = f"{row['value']:,.0f}" if row["value"] >= 100 else f"{row['value']:.2f}"  # noqa: PLR2004
        lines.append(f"{row['what']:<68} {value:>10} {row['unit']:<7} {'goal ' + row['goal'] if row['goal'] else ''}")
    return "\n".join(lines)
