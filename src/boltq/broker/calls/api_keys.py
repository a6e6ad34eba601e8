"""Calls about API keys."""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from boltq.broker.call import Call, pack
from boltq.domain.api_keys import KEEP_ENDED_MS, MAX_KEYS, ApiKey

_HOME: Final = 0  # the partition


def create_api_key(
    key_id: str, name: str, digest: str, scopes: Sequence[str], created_by: str, life: int
) -> Call[ApiKey]:
    """A new key. `life` in milliseconds, 0 for ever."""
    about = pack([name, digest, scopes, created_by])
    return Call("create_api_key", _HOME, (key_id, about, life, MAX_KEYS, KEEP_ENDED_MS), _read)


def api_keys(key_id: str = "") -> Call[list[ApiKey]]:
    """One key, if it is there, or all of them."""
    return Call("api_keys", _HOME, (key_id,), _read_all)


def mark_api_key(key_id: str, mark: Literal["used", "revoked"], stands: int = 0) -> Call[ApiKey]:
    """Note that a key was used, or revoke it. `stands`: milliseconds for which a use is not noted again."""
    return Call("mark_api_key", _HOME, (key_id, mark, stands), _read)


_read: Final = msgspec.msgpack.Decoder(ApiKey).decode


def _read_all(reply: list[bytes]) -> list[ApiKey]:
    return [_read(key) for key in reply]
