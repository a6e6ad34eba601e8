"""An application for the programs that are started, and what their functions leave behind."""

import fault_tasks
import pytest
from worker_processes import LEASE, Marks

from boltq import BoltQ, Settings


@pytest.fixture
async def app(valkey, namespace, partitions):
    """The application of the programs that are started, with a lease that a test can wait for."""
    settings = Settings(redis_addr=valkey, namespace=namespace, partitions=partitions, lease=LEASE)
    async with BoltQ(settings=settings) as opened:
        for name, task in fault_tasks.app.tasks.items():
            opened.task(name=name, timeout=task.timeout_seconds, max_attempts=task.retry.max_attempts)(task.function)
        yield opened


@pytest.fixture
def marks(tmp_path):
    return Marks(tmp_path / "marks")
