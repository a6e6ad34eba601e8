"""Sends JSON: through Starlette for most calls, and straight to the server for the one that must be fast."""

from functools import cache
from http import HTTPStatus
from typing import Any, Final

import msgspec
from starlette.responses import Response
from starlette.types import Send

from boltq.server.http.guard import SECURITY_HEADERS, SECURITY_LINES
from boltq.server.http.stamps import Stamped

as_json: Final = msgspec.json.Encoder().encode


def json_response(content: Any, status: int = 200) -> Response:
    """An answer in JSON."""
    return Response(as_json(content), status, media_type="application/json")


async def send_json(send: Send, status: int, body: bytes, location: bytes = b"") -> None:
    """An answer in JSON, about the thing at `location` where there is one. Written at once, where that can be done."""
    if isinstance(send, Stamped):
        about = b"location: %b\r\n" % location if location else b""
        if send.whole(_head(status) % (len(body), about), body):
            return
    headers = [*_HEADERS, (b"content-length", b"%d" % len(body))]
    if location:
        headers.append((b"location", location))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


_HEADERS: Final = ((b"content-type", b"application/json"), *SECURITY_HEADERS)


@cache
def _head(status: int) -> bytes:
    """The head of an answer as it is written, but for its length and what follows that."""
    first = b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\n" % (status, HTTPStatus(status).phrase.encode())
    return first + SECURITY_LINES + b"content-length: %d\r\n%b"
