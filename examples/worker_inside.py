"""A worker inside your own program: for small services, and for tests of your tasks.

Run it:  python worker_inside.py
"""

import asyncio
from contextlib import asynccontextmanager

from boltq import BoltQ, Worker

app = BoltQ()


@app.task
async def greet(name: str) -> str:
    """Say hello."""
    return f"Hello, {name}"


@asynccontextmanager
async def working(app):
    """A worker beside the block. After the block it finishes what it runs, and ends."""
    worker = Worker(app, slots=2)
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        await worker.started.wait()
        yield worker
        worker.stop()


async def main():
    async with app, working(app):
        job = await greet.submit("Ann")
        print(await job.result(timeout=30))


if __name__ == "__main__":
    asyncio.run(main())
