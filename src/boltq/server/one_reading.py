"""A reading of the store that all who wait for it at once share."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from boltq.domain.errors import StoreError


class OneReading:
    """`read` is called when somebody waits and no reading is under way."""

    def __init__(self, read: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._read = read
        self._reading: asyncio.Task[None] | None = None

    async def end(self) -> bool:
        """Wait for the end of the reading that is under way, or of a new one. False: the store did not answer."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        try:
            await asyncio.shield(self._reading)  # who leaves does not end it for the others
        except StoreError:
            return False
        return True
