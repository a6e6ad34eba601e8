"""The built-in job types: an application that `boltq worker` runs when it is given no other."""

import asyncio
from typing import Any

from boltq.app import BoltQ

app = BoltQ()


@app.task
async def echo(**data: Any) -> dict[str, Any]:
    """Give back what was sent."""
    return data


@app.task
async def sleep(seconds: float = 1.0) -> dict[str, float]:
    """Wait for some seconds."""
    await asyncio.sleep(seconds)
    return {"slept": seconds}
