"""What one event loop has of the store: a broker, and who batches submits, reads, watches and steers by it."""

from collections.abc import AsyncGenerator

from boltq.broker.broker import Broker
from boltq.broker.events import Watch
from boltq.broker.inspector import Inspector
from boltq.broker.submitter import Submitter
from boltq.broker.workflows.workflows import Workflows


class Connections:
    """One event loop's connections to the store."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.submitter = Submitter(broker)
        self.inspector = Inspector(broker)
        self.watch = Watch(broker)
        self.workflows = Workflows(broker)
        self._held = self._hold()

    async def open(self) -> None:
        """From now on they are closed with the loop: `asyncio.run` ends what generators it knows of."""
        await anext(self._held)

    async def close(self) -> None:
        """Close them."""
        await self._held.aclose()

    def let_go(self) -> None:
        """Close them without their loop, which is closed."""
        self.broker.let_go()
        self.submitter.let_go()
        self.watch.let_go()

    async def _hold(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await self.watch.close()
            await self.broker.close()
