"""Worker processes for tests: `boltq worker fault_tasks:app`, each started, hurt and watched."""

import asyncio
import os
import sys
from contextlib import contextmanager
from pathlib import Path

import fault_tasks
from processes import Program, boltq_command, clean_environment, running

from boltq import JobState

LEASE = 0.6
SUPPORT = str(Path(fault_tasks.__file__).parent)


class Marks:
    """What functions have left in a file, from whatever process."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def words(self) -> list[str]:
        path = Path(self.path)
        return [line.split(" ")[0] for line in path.read_text().splitlines()] if path.exists() else []

    def processes(self) -> set[int]:
        return {int(line.split(" ")[1]) for line in Path(self.path).read_text().splitlines()}


@contextmanager
def worker_process(app, *words: str, name="far", supervised=False, **environment: str):
    """`boltq worker` as a process of its own, by itself or under the supervisor that would replace it."""
    known = clean_environment(
        REDIS_ADDR=app.settings.redis_addr,
        BOLTQ_NAMESPACE=app.settings.namespace,
        BOLTQ_LEASE=str(LEASE),
        PYTHONPATH=os.pathsep.join([SUPPORT, *sys.path]),
        **environment,
    )
    alone = [] if supervised else ["--child"]
    command = boltq_command("worker", "fault_tasks:app", *alone, "--name", name, *words)
    with running(command, Path(SUPPORT), known) as program:
        yield program


async def here(app, name: str) -> list:
    """The worker's registrations."""
    return [one for one in await (await app.connections()).inspector.workers() if one.id.startswith(f"{name}.")]


async def ended(program: Program) -> int:
    return await asyncio.to_thread(program.wait)


async def state_of(job) -> JobState:
    return (await job.record()).state
