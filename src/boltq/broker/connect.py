"""Connections to the store: one place that knows how a client must be made.

redis-py repeats a command whose reply was lost, by default: one lost reply then puts a job into the queue twice
(token-throttle#21, sidekiq#3303). So its retries are off; what is safe to repeat is repeated by us.
"""

import contextlib
from typing import Any, Final
from urllib.parse import urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from boltq.domain.errors import StoreError

SOCKET_TIMEOUT: Final = 5.0  # seconds
CONNECT_TIMEOUT: Final = 3.0
MOST_CONNECTIONS: Final = 64  # of one event loop, for calls
MOST_READERS: Final = 10_000  # two a partition: its mailbox and its events
BLOCK_SECONDS: Final = 10  # a blocking read asks again after this time, and gives up a dead line after twice of it


def as_url(address: str) -> str:
    """A store's address as a URL; "host:port" and "host" are accepted as well.

    Raises StoreError for a scheme that BoltQ does not speak, and for a port that is none.
    """
    if "://" not in address:
        host, _, port = address.rpartition(":") if ":" in address else (address, "", "6379")
        return _checked(f"redis://{host}:{port}/0")
    scheme = address.split("://", 1)[0]
    if scheme not in {"redis", "rediss", "unix", "valkey", "valkeys"}:
        raise StoreError(f"REDIS_ADDR: cannot use {scheme}://; give host:port, redis://, rediss:// or unix://")
    return _checked(address.replace("valkey", "redis", 1) if scheme.startswith("valkey") else address)


def without_secret(address: str) -> str:
    """The address as it may be shown: without user and password, and without the options, which may have one too."""
    scheme, mark, rest = address.rpartition("://")
    return f"{scheme}{mark}{rest.rsplit('@', 1)[-1].partition('?')[0]}"


def connect(address: str, *, blocking: bool = False) -> "redis.asyncio.Redis":
    """An asyncio client. `blocking` is for reads that wait on the server: each keeps a connection, and waits longer.

    Other calls share a bounded number of connections, and wait for one: redis-py's ordinary pool would fail instead.
    """
    retry, url = AsyncRetry(NoBackoff(), 0), as_url(address)
    if blocking:
        options = _options(BLOCK_SECONDS * 2)
        return redis.asyncio.Redis.from_url(url, retry=retry, max_connections=MOST_READERS, **options)
    pool: Any = redis.asyncio.BlockingConnectionPool.from_url(
        url, retry=retry, max_connections=MOST_CONNECTIONS, timeout=SOCKET_TIMEOUT, **_options(SOCKET_TIMEOUT)
    )
    return redis.asyncio.Redis.from_pool(pool)


def connect_sync(address: str, *, timeout: float = SOCKET_TIMEOUT) -> "redis.Redis":
    """A client for a thread of its own."""
    return redis.Redis.from_url(as_url(address), retry=Retry(NoBackoff(), 0), **_options(timeout))


def let_go(client: "redis.asyncio.Redis") -> None:
    """Close the sockets of a client whose event loop is closed: its own way of closing would need that loop.

    Without a word, too: a transport that is dropped while it is open warns of it.
    """
    pool: Any = client.connection_pool
    for connection in [*getattr(pool, "_available_connections", ()), *getattr(pool, "_in_use_connections", ())]:
        writer, connection._writer, connection._reader = connection._writer, None, None  # noqa: SLF001 - see above
        if writer is not None:
            _close_socket(writer.transport)


def _close_socket(transport: Any) -> None:
    found = getattr(transport.get_extra_info("socket"), "_sock", None)
    if found is not None:
        found.close()
    under: Any = getattr(getattr(transport, "_ssl_protocol", None), "_transport", None)
    for part in (transport, under):
        with contextlib.suppress(AttributeError):  # uvloop's have closed with their loop
            part._closing, part._sock = True, None  # noqa: SLF001 - see above


def _checked(url: str) -> str:
    """The URL, if it can be taken apart. What stands where its port should be may be a part of the password."""
    try:
        _ = urlsplit(url).port
    except ValueError:
        raise StoreError("REDIS_ADDR: no port; in a password, write / ? # @ as %2F %3F %23 %40") from None
    return url


def _options(timeout: float) -> dict[str, Any]:
    return {
        "socket_timeout": timeout,
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "health_check_interval": 0,
        "retry_on_error": [],
        "protocol": 2,
        "client_name": "boltq",
    }
