"""A worker for the chaos story: it writes down every start and end of a run, in a file that outlives its death.

    python worker_program.py LEDGER     the store and all settings come by the environment

One record: job number, attempt, what happened, when (the machine's monotonic clock, the same for all processes). Each
is one `write` to a file opened for appending, so that a kill -9 leaves whole records only.
"""

import asyncio
import os
import signal
import struct
import sys
import time
from pathlib import Path

from boltq import Backoff, BoltQ, JobContext, StoreError, Worker

RECORD = struct.Struct("<IHHQ")
START, DONE, FAILED = 1, 2, 3

app = BoltQ()
soon = Backoff(base=0.2, floor=0.05)
_ledger = -1


def record(number: int, attempt: int, what: int) -> None:
    """One line of the ledger."""
    os.write(_ledger, RECORD.pack(number, attempt, what, time.monotonic_ns()))


@app.task(backoff=soon)
async def nothing(job: JobContext, n: int) -> int:
    """Most jobs."""
    record(n, job.attempt, START)
    record(n, job.attempt, DONE)
    return n


@app.task(backoff=soon)
async def nap(job: JobContext, n: int, ms: int) -> int:
    """Waits a little."""
    record(n, job.attempt, START)
    await asyncio.sleep(ms / 1_000)
    record(n, job.attempt, DONE)
    return n


@app.task(backoff=soon)
def doze(job: JobContext, n: int, ms: int) -> int:
    """Waits a little in a thread, and tells how far it is."""
    record(n, job.attempt, START)
    job.progress(0.5)
    time.sleep(ms / 1_000)
    record(n, job.attempt, DONE)
    return n


@app.task(backoff=soon)
async def stumble(job: JobContext, n: int) -> int:
    """Fails the first time."""
    record(n, job.attempt, START)
    if job.attempt == 1:
        record(n, job.attempt, FAILED)
        raise ConnectionError("as it must")
    record(n, job.attempt, DONE)
    return n


@app.task(max_attempts=1)
async def fall(job: JobContext, n: int) -> None:
    """Fails for good."""
    record(n, job.attempt, START)
    record(n, job.attempt, FAILED)
    raise ValueError("as it must")


async def main() -> None:
    """Work until SIGTERM."""
    worker = Worker(app, slots=8)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
    while not worker.stopping.is_set():
        try:
            async with app:
                await worker.run()
        except StoreError:  # just now it is dead
            await asyncio.sleep(0.1)


if __name__ == "__main__":
    _ledger = os.open(Path(sys.argv[1]), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    asyncio.run(main())
