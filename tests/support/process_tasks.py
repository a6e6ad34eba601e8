"""Tasks of executor="process": a child process imports the module in which they stand, so they cannot be in a test."""

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from contextvars import ContextVar
from pathlib import Path

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


@app.task(executor="process")
def starts_a_program(path: str, seconds: float) -> None:
    """Leaves another program running, and its number in a file; then it waits, or returns."""
    program = subprocess.Popen(["sleep", "300"])
    Path(path).write_text(f"{os.getpid()} {program.pid}")
    time.sleep(seconds)


@app.task(executor="process")
def holds_the_gil(path: str) -> None:
    """Leaves another program running, and then lets no other thread of its process run, for five minutes."""
    program = subprocess.Popen(["sleep", "300"])
    Path(path).write_text(f"{os.getpid()} {program.pid}")
    ctypes.PyDLL(None).sleep(300)


@app.task(executor="process")
def starts_and_dies(path: str) -> None:
    """Leaves another program running, and is gone."""
    program = subprocess.Popen(["sleep", "300"])
    Path(path).write_text(f"{os.getpid()} {program.pid}")
    os._exit(3)


@app.task(executor="process")
def leaves_a_holder(path: str, way: str, *, dies: bool) -> None:
    """Leaves a copy that holds its end of the pipe, maybe in a session of its own; then it dies, or waits."""
    copy = os.fork()
    if not copy:
        if way == "daemon":
            os.setsid()
        time.sleep(300)
        os._exit(0)
    Path(path).write_text(str(copy))
    if dies:
        os._exit(3)
    time.sleep(300)


@app.task(executor="process")
def forks_and_returns(path: str, way: str) -> str:
    """Both of it come to an end: the copy returns as well, or wants to leave."""
    copy = os.fork()
    if not copy:
        time.sleep(0.3)
        if way == "leaves":
            sys.exit()
        return "from the copy"
    Path(path).write_text(str(copy))
    return "from the job"


@app.task(executor="process")
def ends_its_program() -> int:
    """Starts another program and ends it by SIGTERM, as one does."""
    program = subprocess.Popen(["sleep", "300"])
    program.terminate()
    return program.wait(10)


def double(n: int) -> int:
    return 2 * n


@app.task(executor="process")
def multiplies(way: str) -> list[int]:
    """Has processes of its own."""
    with multiprocessing.get_context(way).Pool(2) as pool:
        return pool.map(double, range(5))


@app.task(executor="process")
def multiplies_by_futures() -> list[int]:
    """The same by the other library."""
    with ProcessPoolExecutor(2) as pool:
        return list(pool.map(double, range(5)))


@app.task(executor="process")
def hears_signals(path: str) -> str:
    """Is sent what a unit's processes are sent when the unit is stopped."""
    Path(path).write_text(str(os.getpid()))
    time.sleep(1.0)
    return "undisturbed"


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
