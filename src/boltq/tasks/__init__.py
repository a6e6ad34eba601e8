"""The built-in job types: an application that `boltq worker` runs when it is given no other."""

import asyncio
from typing import Any

from boltq.app import BoltQ
from boltq.tasks.email import add_email
from boltq.tasks.fetch_data import add_fetch_data
from boltq.tasks.process_data import add_process_data


def add_to(app: BoltQ) -> None:
    """Register the built-in job types with an application of your own; they go by its settings."""
    app.task(echo)
    app.task(sleep)
    add_fetch_data(app)
    add_process_data(app)
    add_email(app)


async def echo(**data: Any) -> dict[str, Any]:
    """Give back what was sent."""
    return data


async def sleep(seconds: float = 1.0) -> dict[str, float]:
    """Wait for some seconds."""
    await asyncio.sleep(seconds)
    return {"slept": seconds}


app = BoltQ()
add_to(app)
