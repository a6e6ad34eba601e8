"""Where API keys are kept: in the first partition, by their ids, and never with their secrets."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from boltq.broker.broker import Broker
from boltq.broker.calls import Call, pack
from boltq.domain.api_keys import KEEP_ENDED_MS, MAX_KEYS, ApiKey, Secret, check_new_key, new_secret

HOME: Final = 0  # the partition
USE_STANDS_MS: Final = 60_000


class ApiKeys:
    """The API keys of a namespace."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def create(
        self, name: str, scopes: Sequence[str], *, expires_in: float | None = None, created_by: str
    ) -> tuple[ApiKey, Secret]:
        """A new key, and the secret that is nowhere kept; `expires_in` in seconds.

        Raises InvalidJob for a name, scope or time that cannot be, Conflict when there are MAX_KEYS, StoreError.
        """
        check_new_key(name, scopes, expires_in)
        secret = new_secret()
        about = pack([name, secret.digest, list(dict.fromkeys(scopes)), created_by])
        life = round((expires_in or 0) * 1_000)
        call = Call("add_api_key", HOME, (secret.id, about, life, MAX_KEYS, KEEP_ENDED_MS), _read)
        return await self._broker.send(call), secret

    async def get(self, key_id: str) -> ApiKey | None:
        """A key; None when there is none of that id. Raises StoreError."""
        found = await self._broker.send(Call("api_keys", HOME, (key_id,), _read_all))
        return found[0] if found else None

    async def all(self) -> list[ApiKey]:
        """All keys, the oldest first; those that ended are kept for a while. Raises StoreError."""
        found = await self._broker.send(Call("api_keys", HOME, ("",), _read_all))
        return sorted(found, key=lambda key: (key.created_at, key.id))

    async def note_use(self, key_id: str) -> ApiKey:
        """Note that a key is used now, if nobody did within the last minute. Raises NotFound, StoreError."""
        return await self._broker.send(Call("mark_api_key", HOME, (key_id, "used", USE_STANDS_MS), _read))

    async def revoke(self, key_id: str) -> ApiKey:
        """End a key; one that is revoked already stays so. Raises NotFound, StoreError."""
        return await self._broker.send(Call("mark_api_key", HOME, (key_id, "revoked", 0), _read))


_read: Final = msgspec.msgpack.Decoder(ApiKey).decode


def _read_all(reply: list[Any]) -> list[ApiKey]:
    return [_read(key) for key in reply]
