"""Tells who makes a request: by the server's own token, by an API key, or because nobody has to log in here.

Keys are kept for a few seconds, so that a request costs a look into a dictionary and one comparison. A key that was
revoked counts no more within five seconds; while the store does not answer, keys that were seen before go on.
"""

import asyncio
import contextlib
import hashlib
import hmac
import ipaddress
import logging
import math
import re
import time
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from boltq.domain.api_keys import MAX_KEYS, ApiKey, key_id_of
from boltq.domain.errors import NotFound, StoreError
from boltq.domain.scopes import ScopeGrants
from boltq.server.http.caller import LOCAL, NOBODY, TOKEN, Caller, unauthorized
from boltq.server.http.guard import Headers
from boltq.server.http.problems import Problem

log = logging.getLogger(__name__)

FRESH_SECONDS: Final = 4.0  # a key is asked for again after that; with the asking it has to be less than five
LOOK_SECONDS: Final = 1.0  # between looks for the keys of who comes from where too many have failed
ASK_AGAIN_SECONDS: Final = 1.0  # after the store did not answer
USE_SECONDS: Final = 60.0  # a use is told to the store that often

MOST_FAILURES: Final = 10  # of one address ...
FAILURE_SECONDS: Final = 60.0  # ... in this time
MOST_ADDRESSES: Final = 10_000  # that are remembered

SecondsClock = Callable[[], float]
Peer = tuple[str, int] | None  # who is at the other end of the line


class KeyStore(Protocol):
    """Where the keys are; see broker/api_keys.py."""

    async def get(self, key_id: str) -> ApiKey | None:
        """A key. Raises StoreError."""

    async def all(self) -> list[ApiKey]:
        """All keys. Raises StoreError."""

    async def note_use(self, key_id: str) -> ApiKey:
        """Note that it is used. Raises NotFound, StoreError."""


class Gate:
    """Names the caller of each request. `token` None: nobody has to log in."""

    def __init__(self, keys: Callable[[], KeyStore], token: str | None, clock: SecondsClock = time.monotonic) -> None:
        self._token = hashlib.sha256(token.encode()).digest() if token else None
        self._stranger = NOBODY if token else LOCAL
        self._ring = KeyRing(keys, clock)
        self._failures = Failures(clock)

    def known(self, headers: Headers) -> Caller | None:
        """The caller, as far as it can be told at once; None: see `admit`."""
        stated = headers.get(b"authorization")
        if stated is None:
            return self._stranger
        text = _bearer(stated)
        digest = hashlib.sha256(text).digest()
        if self._token and hmac.compare_digest(digest, self._token):
            return TOKEN
        if key_id := key_id_of(text):
            return self._ring.at_hand(key_id, digest)
        # Where nobody has to log in, a header that is not for us (of a proxy with a login of its own) is no mistake.
        return LOCAL if self._stranger is LOCAL else None

    async def admit(self, headers: Headers, client: Peer) -> Caller:
        """The caller of a request that `known` could not name. Raises Problem, such as unauthorized."""
        address = _address(client)
        try:
            return await self._holder_of(_bearer(headers[b"authorization"]), address)
        except LoginFailed as failure:
            if seconds := self._failures.too_many(address):
                raise _too_many(address, seconds) from None
            self._failures.note(address)
            log.warning("a login from %s failed: %s", address, failure.reason)
            raise unauthorized(str(failure), "invalid_token") from None

    async def _holder_of(self, text: bytes, address: str) -> Caller:
        key_id = key_id_of(text)
        if key_id is None:
            raise LoginFailed("the header is no Bearer with a key or with this server's token")
        # A right key gets in whatever others at its address did: behind a proxy, all callers have one address.
        if self._failures.too_many(address) and not await self._ring.has(key_id):
            raise _too_many(address, math.ceil(LOOK_SECONDS))
        return await self._ring.find(key_id, hashlib.sha256(text).digest())


class LoginFailed(Exception):
    """A login that failed, and why: in words for the caller, and in words for the log."""

    def __init__(self, detail: str, reason: str = "") -> None:
        super().__init__(detail)
        self.reason = reason or detail


class KeyRing:
    """The keys that were used lately."""

    def __init__(self, keys: Callable[[], KeyStore], clock: SecondsClock) -> None:
        self._keys = keys
        self._clock = clock
        self._held: dict[str, _Held] = {}
        self._asking: dict[str, asyncio.Task[_Held | None]] = {}
        self._looking = asyncio.Lock()
        self._look_at = -math.inf

    async def has(self, key_id: str) -> bool:
        """Whether there is such a key. However often it is asked, the store is not, but every second."""
        async with self._looking:
            if key_id not in self._held and self._clock() >= self._look_at:
                self._look_at = self._clock() + LOOK_SECONDS
                with contextlib.suppress(StoreError):
                    for key in await self._keys().all():
                        if key.id not in self._held:
                            self._hold(key)
        return key_id in self._held

    def at_hand(self, key_id: str, digest: bytes) -> Caller | None:
        """The holder of a key, when nothing has to be asked or told."""
        held = self._held.get(key_id)
        if held is None or not hmac.compare_digest(digest, held.digest):
            return None
        now = self._clock()
        if now >= held.ask_at or now >= held.tell_at or held.key.ended(time.time() * 1_000):
            return None
        return held.caller

    async def find(self, key_id: str, digest: bytes) -> Caller:
        """The holder of a key. Raises LoginFailed, or Problem when the store does not answer."""
        held = self._held.get(key_id)
        if held is None or self._clock() >= held.ask_at:
            held = await self._ask_once(key_id)
        if held is None:
            raise LoginFailed(_WRONG, f"there is no API key {key_id}")
        if not hmac.compare_digest(digest, held.digest):
            raise LoginFailed(_WRONG, f"wrong secret for API key {key_id} ({held.key.name})")
        if held.key.ended(time.time() * 1_000):
            what = "was revoked" if held.key.revoked_at else "has run out"
            raise LoginFailed(f"this key {what}", f"API key {key_id} ({held.key.name}) {what}")
        if self._clock() >= held.tell_at:
            await self._tell(held)
        return held.caller

    async def _ask_once(self, key_id: str) -> "_Held | None":
        """One question for all who wait for its answer."""
        task = self._asking.get(key_id)
        if task is None:
            task = self._asking[key_id] = asyncio.create_task(self._ask(key_id))
            task.add_done_callback(lambda done: self._asked(key_id, done))
        return await asyncio.shield(task)

    def _asked(self, key_id: str, task: "asyncio.Task[_Held | None]") -> None:
        del self._asking[key_id]
        if not task.cancelled():
            task.exception()  # all who waited may have left: then nobody else would look at it

    async def _ask(self, key_id: str) -> "_Held | None":
        known = self._held.get(key_id)
        try:
            key = await self._keys().get(key_id)
        except StoreError:
            if known is None:
                raise Problem(
                    "store-unavailable", "the store does not answer, so this key cannot be checked; nothing was done"
                ) from None
            known.ask_at = self._clock() + ASK_AGAIN_SECONDS
            return known
        if key is None:
            self._held.pop(key_id, None)
            return None
        return self._hold(key)

    def _hold(self, key: ApiKey) -> "_Held":
        known = self._held.pop(key.id, None)
        while len(self._held) >= MAX_KEYS:
            del self._held[next(iter(self._held))]
        held = _Held.of(key, self._clock() + FRESH_SECONDS, known.tell_at if known else 0.0)
        self._held[key.id] = held
        return held

    async def _tell(self, held: "_Held") -> None:
        held.tell_at = self._clock() + USE_SECONDS
        with contextlib.suppress(StoreError, NotFound):
            await self._keys().note_use(held.key.id)


class Failures:
    """Counts failed logins by address, and says when there were too many. The oldest addresses are forgotten first."""

    def __init__(self, clock: SecondsClock) -> None:
        self._clock = clock
        self._counts: dict[str, tuple[int, float]] = {}  # address -> how many, and when they are forgotten

    def too_many(self, address: str) -> int:
        """For how many seconds no more may fail from an address; 0: some may."""
        count, ends = self._counts.get(address, (0, 0.0))
        return max(0, math.ceil(ends - self._clock())) if count >= MOST_FAILURES else 0

    def note(self, address: str) -> None:
        """Count one more."""
        now = self._clock()
        count, ends = self._counts.pop(address, (0, 0.0))
        if ends <= now:
            count, ends = 0, now + FAILURE_SECONDS
        while len(self._counts) >= MOST_ADDRESSES:
            del self._counts[next(iter(self._counts))]
        self._counts[address] = count + 1, ends


class _Held(msgspec.Struct):
    """A key at hand, and when the store has to be asked for it or told of its use."""

    key: ApiKey
    digest: bytes
    caller: Caller
    ask_at: float
    tell_at: float

    @classmethod
    def of(cls, key: ApiKey, ask_at: float, tell_at: float) -> "_Held":
        caller = Caller(key.name, ScopeGrants(key.scopes), key)
        return cls(key, bytes.fromhex(key.digest), caller, ask_at, tell_at)


_WRONG: Final = "this key is not known here"
_BEARER: Final = re.compile(rb"bearer +([^ ]+) *", re.IGNORECASE)
_SITE_BITS: Final = 64  # of an IPv6 address: what follows, each of its machines chooses for itself


def _too_many(address: str, seconds: int) -> Problem:
    detail = f"too many logins from {address} have failed: try again in {seconds} s"
    return Problem("too-many-failures", detail, headers={"Retry-After": str(seconds)})


def _bearer(stated: bytes) -> bytes:
    """The token of an Authorization header; nothing when it is of another kind."""
    found = _BEARER.fullmatch(stated)
    return found[1] if found else b""


def _address(client: Peer) -> str:
    """Whose failures are counted together."""
    host = client[0] if client else "a socket"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return host if address.version == 4 else str(ipaddress.ip_network((address, _SITE_BITS), strict=False))  # noqa: PLR2004
