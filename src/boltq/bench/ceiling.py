"""The ceiling: a hand-written worker that has none of BoltQ's duties, on the same server.

A stream, one XREADGROUP for 200 entries, a task for each job, and one script for each batch that acknowledges, deletes
and writes the result to a status hash. No retries, timeouts, priorities, leases, events, history or recovery: what it
leaves out is what a queue has to spend.
"""

import asyncio
import json
import os
import time
from typing import Any, Final

from boltq.bench.processes import in_process, run_loop
from boltq.broker.connect import connect

PREFIX: Final = "{boltq-ceiling}:"
_STREAM: Final = f"{PREFIX}stream"
_SUBMIT: Final = """
for i = 1, #ARGV do
  local id = redis.call('XADD', KEYS[1], '*', 'b', ARGV[i])
  redis.call('HSET', '{boltq-ceiling}:job:' .. id, 's', 'queued', 'b', ARGV[i])
end
"""
_FETCH: Final = """
local got = redis.call('XREADGROUP', 'GROUP', 'g', ARGV[1], 'COUNT', 200, 'STREAMS', KEYS[1], '>')
if not got then return nil end
for _, entry in ipairs(got[1][2]) do
  redis.call('HSET', '{boltq-ceiling}:job:' .. entry[1], 's', 'running', 'w', ARGV[1])
end
return got
"""
_SETTLE: Final = """
local ids = {}
for i = 1, #ARGV, 2 do
  ids[#ids + 1] = ARGV[i]
  redis.call('HSET', '{boltq-ceiling}:job:' .. ARGV[i], 's', 'completed', 'r', ARGV[i + 1])
  redis.call('EXPIRE', '{boltq-ceiling}:job:' .. ARGV[i], 600)
end
redis.call('XACK', KEYS[1], 'g', unpack(ids))
redis.call('XDEL', KEYS[1], unpack(ids))
"""


def ceiling_per_s(address: str, n: int) -> float:
    """Jobs a second of the hand-written worker, in a process of its own."""
    run_loop(_fill(address, n))
    seconds = in_process(_drain_here, address, n)
    run_loop(_clear(address))
    return n / seconds


def _drain_here(address: str, n: int) -> float:
    return float(run_loop(_drain(address, n)))


async def _nothing(i: int) -> None:
    """Do nothing."""


async def _drain(address: str, n: int) -> float:
    """Run n jobs; answers the seconds from the first fetch to the last acknowledgement."""
    redis: Any = connect(address)
    fetch, settle = redis.register_script(_FETCH), redis.register_script(_SETTLE)
    sending: set[asyncio.Task[object]] = set()

    async def run(entry: list[bytes], body: list[bytes]) -> tuple[list[bytes], str]:
        return entry, json.dumps(await _nothing(**json.loads(body[1])))  # type: ignore[func-returns-value]

    done, began = 0, time.perf_counter()
    while done < n:
        got = await fetch(keys=[_STREAM], args=[str(os.getpid())])
        if not got:
            break
        ended = await asyncio.gather(*[asyncio.create_task(run(*entry)) for entry in got[0][1]])
        call = asyncio.create_task(settle(keys=[_STREAM], args=[part for pair in ended for part in pair]))
        sending.add(call)
        call.add_done_callback(sending.discard)
        if len(sending) > 4:  # noqa: PLR2004 - as many as are under way at once
            await asyncio.wait(sending, return_when=asyncio.FIRST_COMPLETED)
        done += len(ended)
    await asyncio.gather(*sending)
    seconds = time.perf_counter() - began
    await redis.aclose()
    return seconds


async def _fill(address: str, n: int) -> None:
    """Put n jobs into the stream."""
    await _clear(address)
    redis: Any = connect(address)
    await redis.xgroup_create(_STREAM, "g", id="0", mkstream=True)
    submit = redis.register_script(_SUBMIT)
    for start in range(0, n, 1_000):
        await submit(keys=[_STREAM], args=[f'{{"i":{i}}}' for i in range(start, min(n, start + 1_000))])
    await redis.aclose()


async def _clear(address: str) -> None:
    redis: Any = connect(address)
    keys = [key async for key in redis.scan_iter(f"{PREFIX}*", count=1_000)]
    for start in range(0, len(keys), 1_000):
        await redis.unlink(*keys[start : start + 1_000])
    await redis.aclose()
