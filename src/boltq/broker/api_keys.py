"""Where API keys are kept: in the first partition, by their ids, and never with their secrets."""

from collections.abc import Sequence
from typing import Final

from boltq.broker.broker import Broker
from boltq.broker.calls import api_keys as calls
from boltq.domain.api_keys import ApiKey, Secret, check_new_key, new_secret

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
        life = round((expires_in or 0) * 1_000)
        each_once = list(dict.fromkeys(scopes))
        call = calls.create_api_key(secret.id, name, secret.digest, each_once, created_by, life)
        return await self._broker.send(call), secret

    async def get(self, key_id: str) -> ApiKey | None:
        """A key; None when there is none of that id. Raises StoreError."""
        found = await self._broker.send(calls.api_keys(key_id))
        return found[0] if found else None

    async def all(self) -> list[ApiKey]:
        """All keys, the oldest first; those that ended are kept for a while. Raises StoreError."""
        found = await self._broker.send(calls.api_keys())
        return sorted(found, key=lambda key: (key.created_at, key.id))

    async def note_use(self, key_id: str) -> ApiKey:
        """Note that a key is used now, if nobody did within the last minute. Raises NotFound, StoreError."""
        return await self._broker.send(calls.mark_api_key(key_id, "used", USE_STANDS_MS))

    async def revoke(self, key_id: str) -> ApiKey:
        """End a key; one that is revoked already stays so. Raises NotFound, StoreError."""
        return await self._broker.send(calls.mark_api_key(key_id, "revoked"))
