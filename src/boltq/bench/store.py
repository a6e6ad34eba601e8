"""What the measurements do to a store: fill it, wait for it, ask it for its own figures, empty it."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from boltq.broker.broker import Broker
from boltq.broker.inspector import Inspector
from boltq.domain.errors import StoreError
from boltq.domain.job import NewJob


async def fill(broker: Broker, n: int, pad: str = "") -> float:
    """Submit n jobs, two calls at a time; answers the seconds."""
    jobs = [NewJob(type="nothing", data=f'{{"i":{i},"pad":"{pad}"}}' if pad else f'{{"i":{i}}}') for i in range(n)]
    batches = iter([jobs[start : start + 1_000] for start in range(0, n, 1_000)])

    async def send() -> None:
        for batch in batches:
            await broker.submit(batch)

    began = time.perf_counter()
    await asyncio.gather(send(), send())
    return time.perf_counter() - began


async def done(broker: Broker, n: int) -> bool:
    """Whether n jobs have been completed."""
    return sum(stats.completed_total for stats in await Inspector(broker).queues()) >= n


async def until(condition: Callable[[], Any], who: str, *, pause: float = 0.05, seconds: float = 120) -> None:
    """Wait until the condition holds. Raises StoreError when that takes too long."""
    latest = time.perf_counter() + seconds
    while not await condition():
        if time.perf_counter() > latest:
            raise StoreError(f"{who} took more than {seconds:g} s")
        await asyncio.sleep(pause)


async def server_seconds(broker: Broker) -> float:
    """Processor time that the server has used."""
    info = await broker.redis.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


async def used_memory(broker: Broker) -> int:
    """Bytes that the server uses for data.

    Without the buffers of clients and of the append-only file. The event stream, which is bounded, is emptied first.
    """
    for partition in range(broker.layout.partitions):
        await broker.redis.xtrim(f"{broker.layout.prefix(partition)}events", maxlen=0, approximate=False)
    info = await broker.redis.info("memory")
    return int(info["used_memory"]) - int(info["mem_clients_normal"]) - int(info.get("mem_aof_buffer", 0))


async def clear(broker: Broker) -> None:
    """Take away all that this namespace has."""
    for partition in range(broker.layout.partitions):
        keys = [key async for key in broker.redis.scan_iter(f"{broker.layout.prefix(partition)}*", count=1_000)]
        for start in range(0, len(keys), 1_000):
            await broker.redis.unlink(*keys[start : start + 1_000])
