"""Lets the pages of listed web sites use the API (CORS). Nobody is listed unless BOLTQ_ALLOWED_ORIGINS says so.

There are no cookies here, so credentials in CORS' sense are never allowed: a page sends a key of its own.
"""

from collections.abc import Awaitable
from typing import Final

from starlette.types import Message, Send

from boltq.server.http.guard import SECURITY_HEADERS, Headers

METHODS: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE"
SENT: Final = b"authorization, content-type, idempotency-key, if-none-match, traceparent, x-request-id"
READ: Final = b"allow, etag, location, retry-after, www-authenticate, x-request-id, x-server-time"
KEEP_SECONDS: Final = b"600"


def is_preflight(method: str, headers: Headers) -> bool:
    """Whether a browser asks if a page may make a request."""
    return method == "OPTIONS" and b"access-control-request-method" in headers


async def answer_preflight(send: Send) -> None:
    """Say what a page may do; meant for one whose origin is listed, see `shared`."""
    headers = [
        (b"access-control-allow-methods", METHODS),
        (b"access-control-allow-headers", SENT),
        (b"access-control-max-age", KEEP_SECONDS),
        (b"content-length", b"0"),
        *SECURITY_HEADERS,
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def shared(send: Send, origin: bytes) -> Send:
    """Lets a page of that origin read the answer."""

    def sending(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            shares = (
                (b"access-control-allow-origin", origin),
                (b"access-control-expose-headers", READ),
                (b"vary", b"Origin"),
            )
            message["headers"] = [*message["headers"], *shares]
        return send(message)

    return sending
