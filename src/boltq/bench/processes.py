"""The processes of a measurement: workers and an API, as users run them, and what they count."""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import uvloop

from boltq.app import BoltQ
from boltq.bench.store import until
from boltq.broker.broker import Broker
from boltq.broker.inspector import Inspector
from boltq.server.serve import run as run_api
from boltq.settings import Settings
from boltq.worker.worker import Worker

_spawn = multiprocessing.get_context("spawn")

app = BoltQ()


@app.task
async def nothing(i: int = 0, pad: str = "") -> None:
    """Do nothing."""


@app.task
async def same(i: int) -> int:
    """The same number."""
    return i


@app.task
async def stamp(sent: int) -> int:
    """Nanoseconds between the submit and here; both ends are on this machine."""
    return time.time_ns() - sent


def run_loop(work: Any) -> Any:
    """What a coroutine answers, run on the loop that workers and the API use."""
    return uvloop.run(work)


async def start_workers(broker: Broker, settings: Settings, slots: int, workers: int, cpu: str) -> list[SpawnProcess]:
    """Worker processes that have registered and found nothing to do."""
    args = (broker.address, settings.namespace, slots, cpu)
    processes = [_spawn.Process(target=_work, args=args) for _ in range(workers)]
    for process in processes:
        process.start()

    async def here() -> bool:
        return len(await Inspector(broker).workers()) >= workers

    await until(here, "the workers")
    await asyncio.sleep(0.3)  # their first look
    return processes


@contextlib.asynccontextmanager
async def api(broker: Broker, settings: Settings) -> AsyncIterator[int]:
    """An API process on the broker's store; its port."""
    port = _free_port()
    process = _spawn.Process(target=_serve, args=(broker.address, settings.namespace, port), daemon=True)
    process.start()
    try:
        await until(lambda: _listens(port), "the API")
        yield port
    finally:
        await end([process])


async def end(processes: list[SpawnProcess]) -> None:
    """Have them stop, and wait for it."""
    for process in processes:
        process.terminate()
    for process in processes:
        await asyncio.to_thread(process.join, 20)


@contextlib.contextmanager
def cpu_file() -> Iterator[Path]:
    """A file into which processes write how much processor time they have used."""
    with tempfile.NamedTemporaryFile(prefix="boltq-cpu-") as file:
        yield Path(file.name)


def in_process(target: Callable[..., float], *args: Any) -> float:
    """What the target answers, run in a process of its own, so that it does not share ours."""
    with _spawn.Pool(1) as pool:
        return pool.apply(target, args)


def _work(address: str, namespace: str, slots: int, cpu: str) -> None:
    """A worker process; writes its processor time when it ends."""

    async def running() -> None:
        bench = BoltQ(settings=Settings.from_env(namespace=namespace, redis_addr=address))
        bench.tasks = app.tasks
        worker = Worker(bench, slots=slots)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
        run = asyncio.create_task(worker.run())
        await worker.started.wait()
        began = time.process_time()
        await run
        _append(cpu, time.process_time() - began)
        await bench.close()

    run_loop(running())


def _append(path: str, number: float) -> None:
    with Path(path).open("a") as file:
        file.write(f"{number}\n")


def _serve(address: str, namespace: str, port: int) -> None:
    """An API process."""
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):  # our own output may be JSON
        run_api(Settings.from_env(namespace=namespace, redis_addr=address, api_port=port), address)


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
