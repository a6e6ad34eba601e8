"""How full the store's memory is."""

from typing import Any

from redis import exceptions as redis_errors

from boltq.broker.broker import Broker
from boltq.broker.scripts import translate


async def memory_share(broker: Broker) -> float:
    """Used memory as a share of `maxmemory`; 0 where the store has no such bound. Raises StoreUnavailable."""
    try:
        info: Any = await broker.redis.info("memory")
    except (redis_errors.RedisError, OSError) as error:
        raise translate(error) from error
    most = int(info.get("maxmemory", 0))
    return int(info["used_memory"]) / most if most else 0.0
