"""Finds the store that the settings name, or starts the embedded one; and opens a broker on it."""

import logging
from types import TracebackType
from typing import Self

from boltq.broker.broker import Broker
from boltq.broker.connect import without_secret
from boltq.broker.embedded import EmbeddedStore, Fsync
from boltq.broker.inspector import StoreServer, inspect_server
from boltq.broker.knobs import knobs_of
from boltq.domain.errors import StoreUnfit
from boltq.settings import Settings, runtime_dir

log = logging.getLogger(__name__)


class Store:
    """The store of this process: the server at REDIS_ADDR, or else the embedded Valkey, which runs while it is open.

    Raises EmbeddedError when the embedded server cannot start.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.embedded: EmbeddedStore | None = None
        self.address = settings.redis_addr

    def open(self) -> str:
        """The address; starts or attaches to the embedded store where it is wanted."""
        if not self.address:
            fsync: Fsync = "always" if self.settings.fsync == "always" else "everysec"
            self.embedded = EmbeddedStore(self.settings.data_path, fsync=fsync, runtime_dir=runtime_dir())
            self.address = self.embedded.start()
            self.embedded.watch()
        return self.address

    def close(self) -> None:
        """Leave the store; the last one out stops the embedded server."""
        if self.embedded:
            self.embedded.stop()

    def forget(self) -> None:
        """In a forked child: it is the parent's store."""
        if self.embedded:
            self.embedded.forget()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def broker(self) -> Broker:
        """A broker on this store, not opened yet. Belongs to one event loop."""
        return broker_at(self.address, self.settings)


def place_of(settings: Settings) -> str:
    """Where the settings say that the store is, in words without its password: what two processes have to share."""
    if settings.redis_addr:
        return f"the store: {without_secret(settings.redis_addr)}, namespace {settings.namespace}"
    where = f"the embedded Valkey in {settings.data_path}, namespace {settings.namespace}"
    return f"the store: {where}; only processes with this folder share it, others need REDIS_ADDR or BOLTQ_DATA"


def broker_at(address: str, settings: Settings) -> Broker:
    """A broker with the settings' namespace and bounds, not opened yet."""
    return Broker(
        address,
        namespace=settings.namespace,
        partitions=settings.partitions,
        knobs=knobs_of(settings),
    )


async def check_server(broker: Broker) -> StoreServer:
    """The server, with its problems named in the log. Raises StoreUnfit when it is too old, StoreError."""
    server = await inspect_server(broker)
    if server.too_old:
        what, hint = server.problems[0]
        raise StoreUnfit(f"{what}: {hint}")
    for what, hint in server.problems:
        log.warning("the store: %s; %s", what, hint)
    return server
