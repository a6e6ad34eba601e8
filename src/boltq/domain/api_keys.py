"""API keys: how one is made and taken apart, and what is kept of it. Its secret is never kept."""

import hashlib
import re
import secrets
from collections.abc import Sequence
from typing import Final

import msgspec

from boltq.domain import limits
from boltq.domain.errors import InvalidJob
from boltq.domain.scopes import bad_scope

MAX_KEYS: Final = 1_000  # of a namespace
MAX_SCOPES: Final = 100  # of a key
MAX_LIFE_SECONDS: Final = 10 * 365 * 86_400
KEEP_ENDED_MS: Final = 30 * 86_400_000  # how long a key is listed that is revoked or has run out
OWNER: Final = "token"  # who holds the server's own token, and may do everything
OWN_NAMES: Final = frozenset({"local", "token", "nobody"})  # of callers without a key; see server/http/caller.py

ID: Final = re.compile(r"[0-9a-z]{10}")


class ApiKey(msgspec.Struct, array_like=True, frozen=True):
    """What the store keeps of a key. Times in milliseconds, 0: never."""

    id: str
    name: str
    digest: str  # SHA-256 of the whole key, in hexadecimal digits
    scopes: tuple[str, ...]
    created_by: str
    created_at: int
    expires_at: int = 0
    last_used_at: int = 0
    revoked_at: int = 0

    def ended(self, now: float) -> bool:
        """Whether the key has run out or is revoked."""
        return bool(self.revoked_at) or 0 < self.expires_at <= now


class Secret(msgspec.Struct, frozen=True):
    """A key as its holder has it: `bq_<id>_<43 characters>`."""

    id: str
    text: str

    @property
    def digest(self) -> str:
        """The record that the store keeps of the key."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def new_secret() -> Secret:
    """A key that nobody can guess: 256 bits of chance."""
    key_id = "".join(secrets.choice(_LETTERS) for _ in range(10))
    return Secret(key_id, f"bq_{key_id}_{secrets.token_urlsafe(32)}")


def key_id_of(text: bytes) -> str | None:
    """The id in a key; None for a text that is no BoltQ key."""
    found = _KEY.fullmatch(text)
    return found[1].decode() if found else None


def check_new_key(name: str, scopes: Sequence[str], expires_in: float | None) -> None:
    """Raise InvalidJob, with a pointer to each field, for a key that cannot be made. `expires_in` in seconds."""
    mistakes = [("/name", reason)] if (reason := _bad_name(name)) else []
    if not 1 <= len(scopes) <= MAX_SCOPES:
        mistakes.append(("/scopes", f"name from 1 to {MAX_SCOPES}: a key without a right is of no use"))
    mistakes += [(f"/scopes/{place}", bad) for place, scope in enumerate(scopes) if (bad := bad_scope(scope))]
    if expires_in is not None and not 1 <= expires_in <= MAX_LIFE_SECONDS:
        mistakes.append(("/expires_in_seconds", f"from 1 to {MAX_LIFE_SECONDS}; leave it out for a key without an end"))
    if mistakes:
        raise InvalidJob(mistakes)


_LETTERS: Final = "0123456789abcdefghjkmnpqrstvwxyz"  # none that look alike
_KEY: Final = re.compile(rb"bq_([0-9a-z]{10})_[A-Za-z0-9_-]{43}")


def _bad_name(name: str) -> str | None:
    if name in OWN_NAMES:
        return f"{name} is what the server calls callers without a key"
    return limits.bad_name(name)
