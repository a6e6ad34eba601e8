"""The figures of `boltq bench`, in the order in which they are measured."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from boltq.bench.ceiling import ceiling_per_s
from boltq.bench.figure import Bench, Figure
from boltq.bench.http_load import CONNECTIONS, http_load
from boltq.bench.processes import api, cpu_file, end, in_process, start_workers
from boltq.bench.store import done, fill, server_seconds, until, used_memory
from boltq.bench.workflows import workflow_chain, workflow_diamond, workflow_map
from boltq.broker.inspector import Inspector
from boltq.broker.submitter import Submitter
from boltq.domain.errors import StoreError
from boltq.domain.job import NewJob

CALLERS: Final = 500  # that await one submit after the other, in one process
LATENCY_JOBS, LATENCY_GAP = 400, 0.01  # seconds between two jobs
PAD: Final = "x" * 183  # makes 200 bytes of JSON


async def submit_batch(bench: Bench) -> list[Figure]:
    """Submitting in batches, and what the server spends on it."""
    before = await server_seconds(bench.broker)
    seconds = await fill(bench.broker, bench.jobs)
    server = (await server_seconds(bench.broker) - before) / bench.jobs * 1e6
    what = "submit from Python, in batches of 1,000"
    return [
        Figure("submit_batch_per_s", what, bench.jobs / seconds, "jobs/s", "≥ 150,000"),
        Figure("server_us_submit", "server time per submitted job", server, "µs", "≤ 5"),
    ]


async def submit_callers(bench: Bench) -> list[Figure]:
    """Submitting one by one, by many callers in one process."""
    submitter, n = Submitter(bench.broker), bench.jobs // 2
    numbers = iter(range(n))

    async def caller() -> None:
        for i in numbers:
            await submitter.submit(NewJob(type="nothing", data=f'{{"i":{i}}}'))

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    rate = n / (time.perf_counter() - began)
    what = f"submit from Python, awaited one by one by {CALLERS} callers"
    return [Figure("submit_callers_per_s", what, rate, "jobs/s", "≥ 40,000")]


async def submit_http(bench: Bench) -> list[Figure]:
    """Submitting over HTTP to one API process, its guard on."""
    n = bench.jobs // 2
    with cpu_file() as cpu:  # a worker has been here once, so the job type is known
        await end(await start_workers(bench.broker, bench.settings, bench.slots, 1, str(cpu)))
    async with api(bench.broker, bench.settings) as port:
        seconds = await asyncio.to_thread(in_process, http_load, port, n)
    stored = sum(stats.queued for stats in await Inspector(bench.broker).queues())
    if stored != n:
        raise StoreError(f"{n} jobs were accepted over HTTP, {stored} are stored")
    what = f"submit over HTTP, a job a request, {CONNECTIONS} connections"
    return [Figure("submit_http_per_s", what, n / seconds, "jobs/s", "≥ 20,000")]


async def drain_1(bench: Bench) -> list[Figure]:
    """One worker process on a full queue, and the ceiling beside it."""
    rate, server, own = await _drain(bench, workers=1)
    ceiling = await asyncio.to_thread(ceiling_per_s, bench.broker.address, bench.jobs)
    what = "the ceiling: a bare batch loop with none of our duties"
    return [
        Figure("drain_1_per_s", "drain a full queue, 1 worker process", rate, "jobs/s", "≥ 60,000"),
        Figure("server_us_process", "server time per job, claim + settle", server, "µs", "≤ 10"),
        Figure("worker_us_process", "the worker's own time per job", own, "µs"),
        Figure("ceiling_per_s", what, ceiling, "jobs/s"),
        Figure("drain_1_of_ceiling", "one worker process, as a share of the ceiling", rate / ceiling, "", "≥ 0.6"),
    ]


async def drain_2(bench: Bench) -> list[Figure]:
    """Two worker processes on a full queue."""
    rate, _, _ = await _drain(bench, workers=2)
    return [Figure("drain_2_per_s", "drain a full queue, 2 worker processes", rate, "jobs/s", "≥ with 1")]


async def latency(bench: Bench) -> list[Figure]:
    """From a submit to the start of the function, when nothing else is to be done."""
    with cpu_file() as cpu:
        running = await start_workers(bench.broker, bench.settings, bench.slots, 1, str(cpu))
        submitter, ids = Submitter(bench.broker), []
        for _ in range(LATENCY_JOBS):
            job = NewJob(type="stamp", data=f'{{"sent":{time.time_ns()}}}')
            ids.append((await submitter.submit(job)).id)
            await asyncio.sleep(LATENCY_GAP)
        await until(lambda: done(bench.broker, LATENCY_JOBS), "the worker")
        await end(running)
    found = await Inspector(bench.broker).jobs(ids[20:])
    took = sorted(int(job.result or 0) / 1e6 for job in found if job)
    p50, p99 = statistics.median(took), took[int(len(took) * 0.99)]
    return [
        Figure("latency_p50_ms", "idle system, submit → function starts, p50", p50, "ms", "≤ 0.8"),
        Figure("latency_p99_ms", "idle system, submit → function starts, p99", p99, "ms", "≤ 1.5"),
    ]


async def memory_queued(bench: Bench) -> list[Figure]:
    """Bytes of a job that waits."""
    n, before = 50_000, await used_memory(bench.broker)
    await fill(bench.broker, n, PAD)
    size = (await used_memory(bench.broker) - before) / n
    return [Figure("bytes_per_queued_job", "memory per queued job with 200 B of data", size, "B", "≤ 450")]


async def memory_completed(bench: Bench) -> list[Figure]:
    """Bytes of a job in the history."""
    n, before = 10_000, await used_memory(bench.broker)  # as many as are kept
    await fill(bench.broker, n, PAD)
    with cpu_file() as cpu:
        running = await start_workers(bench.broker, bench.settings, bench.slots, 1, str(cpu))
        await until(lambda: done(bench.broker, n), "the worker")
        await end(running)
    size = (await used_memory(bench.broker) - before) / n
    return [Figure("bytes_per_completed_job", "memory per completed job with 200 B of data", size, "B")]


FIGURES: Final[Mapping[str, Callable[[Bench], Awaitable[list[Figure]]]]] = {
    "submit_batch": submit_batch,
    "submit_callers": submit_callers,
    "submit_http": submit_http,
    "drain_1": drain_1,
    "drain_2": drain_2,
    "latency": latency,
    "workflow_diamond": workflow_diamond,
    "workflow_chain": workflow_chain,
    "workflow_map": workflow_map,
    "memory_queued": memory_queued,
    "memory_completed": memory_completed,
}


async def _drain(bench: Bench, *, workers: int) -> tuple[float, float, float]:
    """Jobs a second, the server's and the workers' microseconds a job."""
    await bench.broker.pause("default")
    await fill(bench.broker, bench.jobs)
    with cpu_file() as cpu:
        running = await start_workers(bench.broker, bench.settings, bench.slots, workers, str(cpu))
        before, began = await server_seconds(bench.broker), time.perf_counter()
        await bench.broker.resume("default")
        await until(lambda: done(bench.broker, bench.jobs), "the workers", pause=0.02)
        seconds = time.perf_counter() - began
        server = (await server_seconds(bench.broker) - before) / bench.jobs * 1e6
        await end(running)
        own = sum(float(line) for line in cpu.read_text().split()) / bench.jobs * 1e6
    return bench.jobs / seconds, server, own
