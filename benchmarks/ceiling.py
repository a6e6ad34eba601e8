"""How near BoltQ comes to a hand-written worker that has none of its duties, on the same server, in turn.

The ceiling is a stream, one XREADGROUP for 200 entries, a task for each job, and one EVALSHA for each batch that
acknowledges, deletes and writes the result to a status hash. No retries, timeouts, priorities, leases, events, history
or recovery: what it leaves out is what a queue has to spend.

    REDIS_ADDR=127.0.0.1:6379 .venv/bin/python benchmarks/ceiling.py --jobs 100000 --rounds 3
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import uvloop
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from boltq.broker.connect import connect
from boltq.broker.embedded import EmbeddedStore, StoreOptions

STREAM = "boltq-ceiling:stream"
SUBMIT = """
for i = 1, #ARGV do
  local id = redis.call('XADD', KEYS[1], '*', 'b', ARGV[i])
  redis.call('HSET', 'boltq-ceiling:job:' .. id, 's', 'queued', 'b', ARGV[i])
end
"""
FETCH = """
local got = redis.call('XREADGROUP', 'GROUP', 'g', ARGV[1], 'COUNT', 200, 'STREAMS', KEYS[1], '>')
if not got then return nil end
for _, entry in ipairs(got[1][2]) do
  redis.call('HSET', 'boltq-ceiling:job:' .. entry[1], 's', 'running', 'w', ARGV[1])
end
return got
"""
SETTLE = """
local ids = {}
for i = 1, #ARGV, 2 do
  ids[#ids + 1] = ARGV[i]
  redis.call('HSET', 'boltq-ceiling:job:' .. ARGV[i], 's', 'completed', 'r', ARGV[i + 1])
  redis.call('EXPIRE', 'boltq-ceiling:job:' .. ARGV[i], 600)
end
redis.call('XACK', KEYS[1], 'g', unpack(ids))
redis.call('XDEL', KEYS[1], unpack(ids))
"""


async def nothing(i: int) -> None:
    """Do nothing."""


async def drain(address: str, n: int) -> float:
    """Run n jobs; answers the seconds from the first fetch to the last acknowledgement."""
    redis: Redis = connect(address)
    fetch, settle = redis.register_script(FETCH), redis.register_script(SETTLE)
    sending: set[asyncio.Task[object]] = set()

    async def run(entry: list[bytes], body: list[bytes]) -> tuple[list[bytes], str]:
        return entry, json.dumps(await nothing(**json.loads(body[1])))

    done, began = 0, time.perf_counter()
    while done < n:
        got = await fetch(keys=[STREAM], args=[str(os.getpid())])
        if not got:
            break
        ended = await asyncio.gather(*[asyncio.create_task(run(*entry)) for entry in got[0][1]])
        call = asyncio.create_task(settle(keys=[STREAM], args=[part for pair in ended for part in pair]))
        sending.add(call)
        call.add_done_callback(sending.discard)
        if len(sending) > 4:
            await asyncio.wait(sending, return_when=asyncio.FIRST_COMPLETED)
        done += len(ended)
    await asyncio.gather(*sending)
    seconds = time.perf_counter() - began
    await redis.aclose()
    return seconds


async def fill(address: str, n: int) -> None:
    """Put n jobs into the stream."""
    redis: Redis = connect(address)
    with contextlib.suppress(ResponseError):
        await redis.xgroup_create(STREAM, "g", id="0", mkstream=True)
    submit = redis.register_script(SUBMIT)
    for start in range(0, n, 1_000):
        await submit(keys=[STREAM], args=[f'{{"i":{i}}}' for i in range(start, min(n, start + 1_000))])
    await redis.aclose()


async def clear(address: str) -> None:
    """Take away what a round has left."""
    redis: Redis = connect(address)
    keys = [key async for key in redis.scan_iter("boltq-ceiling:*", count=1_000)]
    for start in range(0, len(keys), 1_000):
        await redis.unlink(*keys[start : start + 1_000])
    await redis.aclose()


def ceiling(address: str, n: int) -> float:
    """Jobs a second of the hand-written worker, in a process of its own."""
    uvloop.run(fill(address, n))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        seconds = pool.apply(_drain_here, (address, n))
    uvloop.run(clear(address))
    return n / seconds


def _drain_here(address: str, n: int) -> float:
    return float(uvloop.run(drain(address, n)))


def boltq(address: str, n: int) -> dict[str, float]:
    """The drain figures of `boltq bench`."""
    command = [sys.executable, "-m", "boltq", "bench", "--only", "drain", "--json", "--jobs", str(n)]
    done = subprocess.run(
        command, env={**os.environ, "REDIS_ADDR": address}, check=True, capture_output=True, text=True
    )
    return {row["key"]: row["value"] for row in json.loads(done.stdout)["figures"]}


def compare(address: str, args: argparse.Namespace) -> None:
    """Both in turn, and the medians."""
    rounds = []
    for _ in range(args.rounds):
        ours = boltq(address, args.jobs)
        rounds.append((ceiling(address, args.jobs), ours["drain_1"], ours["drain_2"]))
        print(
            "ceiling {:>9,.0f}/s   boltq, 1 worker {:>9,.0f}/s   2 workers {:>9,.0f}/s".format(*rounds[-1]), flush=True
        )
    ratio = statistics.median(one / top for top, one, _ in rounds)
    print(f"\nboltq with one worker reaches {ratio:.2f} of the ceiling (median of {args.rounds} rounds, pair by pair)")


def main() -> None:
    """On REDIS_ADDR, or on an embedded store of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    if address := os.environ.get("REDIS_ADDR"):
        compare(address, args)
        return
    with tempfile.TemporaryDirectory() as folder, EmbeddedStore(Path(folder), StoreOptions()) as store:
        compare(store.start(), args)


if __name__ == "__main__":
    main()
