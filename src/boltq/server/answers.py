"""Sends JSON: through Starlette for most calls, and straight to the server for the one that must be fast."""

from typing import Any, Final

import msgspec
from starlette.responses import Response
from starlette.types import Send

as_json: Final = msgspec.json.Encoder().encode


def json_response(content: Any, status: int = 200) -> Response:
    """An answer in JSON."""
    return Response(as_json(content), status, media_type="application/json")


async def send_json(send: Send, status: int, body: bytes, location: bytes) -> None:
    """An answer in JSON about the thing at `location`."""
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"location", location),
        (b"x-content-type-options", b"nosniff"),  # the others are about pages, and each one costs a microsecond
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
