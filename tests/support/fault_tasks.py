"""Tasks for worker processes that tests start and hurt: `boltq worker fault_tasks:app`.

Each run leaves a mark in a file.
"""

import asyncio
import os
import signal
import time
from pathlib import Path

from boltq import Backoff, BoltQ

app = BoltQ()
AT_ONCE = Backoff(base=0.01, floor=0.01)


def mark(path: str, word: str) -> None:
    """One line, whole, even from many processes."""
    with Path(path).open("ab", buffering=0) as file:
        file.write(f"{word} {os.getpid()}\n".encode())


@app.task
async def note(path: str, word: str) -> str:
    """Only leaves its mark."""
    mark(path, word)
    return word


@app.task
async def nap(path: str, seconds: float) -> str:
    """Waits politely."""
    mark(path, "begin")
    await asyncio.sleep(seconds)
    mark(path, "end")
    return "slept"


@app.task
async def block(path: str, seconds: float) -> str:
    """Holds up the event loop."""
    mark(path, "begin")
    time.sleep(seconds)  # noqa: ASYNC251 - that is what it is for
    mark(path, "end")
    return "blocked"


@app.task(timeout=0.3, max_attempts=1)
async def wedge(path: str) -> None:
    """Holds up the event loop for ever."""
    mark(path, "begin")
    while True:
        pass


@app.task
def doze(path: str, seconds: float) -> str:
    """Holds a thread."""
    mark(path, "begin")
    time.sleep(seconds)
    mark(path, "end")
    return "dozed"


@app.task(executor="process")
def toil(path: str, seconds: float) -> str:
    """Holds a process."""
    mark(path, "begin")
    time.sleep(seconds)
    mark(path, "end")
    return "toiled"


@app.task
async def stubborn(path: str) -> None:
    """Does not let itself be cancelled."""
    mark(path, "begin")
    while True:
        try:
            await asyncio.sleep(3_600)
        except asyncio.CancelledError:
            mark(path, "asked")


@app.task
async def hoard(path: str) -> None:
    """Holds all of the loop's own threads, for ever."""
    mark(path, "begin")
    await asyncio.gather(*(asyncio.to_thread(time.sleep, 3_600) for _ in range(100)))


@app.task
async def murder(path: str) -> None:
    """Takes its worker down."""
    mark(path, "begin")
    os.kill(os.getpid(), signal.SIGKILL)
