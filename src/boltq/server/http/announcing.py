"""Announces each request that the API has answered. Stands before the API only when somebody listens."""

import time
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from boltq.domain.happenings import Announce, RequestAnswered
from boltq.server.http.stamps import WRITE_WHOLE

ROUTE: Final = "boltq.route"  # where a request's scope has the path of its call, as it is described
_STATUS: Final = slice(len(b"HTTP/1.1 "), len(b"HTTP/1.1 200"))


class Announcing:
    """An ASGI application that passes everything on, and looks at the answers."""

    def __init__(self, app: ASGIApp, announce: Announce) -> None:
        self._app = app
        self._announce = announce

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, seen = time.monotonic(), _Seen(scope, send)
        try:
            await self._app(scope, receive, seen)
        finally:
            route = scope.get(ROUTE, "")
            self._announce(RequestAnswered(scope["method"], route, seen.status, time.monotonic() - began))


class _Seen:
    """Both ways in which an answer is sent, and the status that went over one of them."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.status = 0
        self._send = send
        self._write: Any = scope.get(WRITE_WHOLE)
        if self._write is not None:
            scope[WRITE_WHOLE] = self._write_whole

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)

    def _write_whole(self, answer: bytes) -> bool:
        written: bool = self._write(answer)
        if written:
            self.status = int(answer[_STATUS])
        return written
