"""Tasks of executor="process": a child process imports the module in which they stand, so they cannot be in a test."""

import os
import signal
import sys
import threading
import time
from contextvars import ContextVar

from boltq import BoltQ, JobContext, Snooze
from boltq.domain.errors import NotFound

app = BoltQ()


@app.task(executor="process")
def cube(n: int) -> int:
    """What a process can do as well as a thread."""
    return n**3


@app.task(executor="process")
async def awaited(n: int) -> int:
    """A coroutine function gets a loop of its own."""
    return n + 1


@app.task(executor="process")
def spin() -> None:
    """Holds the GIL and never returns."""
    while True:
        pass


@app.task(executor="process")
def telling(job: JobContext) -> int:
    """Speaks through the pipe."""
    job.progress(0.5, "half")
    job.log("from a child")
    return os.getpid()


@app.task(executor="process")
def leave(code: int) -> None:
    """Ends by sys.exit."""
    sys.exit(code)


@app.task(executor="process")
def die() -> None:
    """Its process is gone, as after a segmentation fault."""
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(executor="process")
def wait(seconds: float) -> None:
    """Holds its process for a while."""
    time.sleep(seconds)


@app.task(executor="process")
def snooze() -> None:
    """Says how its run ends."""
    raise Snooze(3_600)


@app.task(executor="process")
def before(job: JobContext) -> dict[str, object]:
    """Asks through the pipe, twice."""
    job.log("asks")
    return {"once": job.parents_sync(), "again": job.parents_sync()}


@app.task(executor="process")
async def before_awaited(job: JobContext) -> dict[str, object]:
    """Asks from a loop of its own."""
    return await job.parents()


_late: list[tuple[threading.Event, threading.Thread]] = []
_heard: list[str] = []


@app.task(executor="process")
def leave_a_thread(job: JobContext) -> None:
    """Its thread speaks through the pipe when the run is long over."""
    now = threading.Event()

    def speak() -> None:
        now.wait()
        job.log("too late")
        try:
            _heard.append(f"answered {job.parents_sync()}")
        except NotFound as error:
            _heard.append(str(error))

    thread = threading.Thread(target=speak, daemon=True)
    thread.start()
    _late.append((now, thread))


@app.task(executor="process")
def hear_the_thread() -> list[str]:
    """Lets it speak, in the same process."""
    for now, thread in _late:
        now.set()
        thread.join()
    return _heard


TENANT: ContextVar[str] = ContextVar("tenant", default="nobody")


@app.task(executor="process")
def set_tenant(tenant: str) -> tuple[str, int]:
    """Sets a context variable, and says what it was."""
    before = TENANT.get()
    TENANT.set(tenant)
    return before, os.getpid()


@app.task(executor="process")
async def set_tenant_awaited(tenant: str) -> tuple[str, int]:
    """The same in a coroutine."""
    before = TENANT.get()
    TENANT.set(tenant)
    return before, os.getpid()


def listed(target: BoltQ, *names: str, **options: object) -> None:
    """Register some of the above in an application, with options."""
    for name in names:
        target.task(executor="process", **options)(app.tasks[name].function)  # type: ignore[call-overload]
