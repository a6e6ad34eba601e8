"""What is on every answer: the id of its request, and what time it is here."""

import itertools
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Final

from starlette.types import Message, Send

from boltq.server.http.guard import Headers

WRITE_WHOLE: Final = "boltq.write"  # where a request's scope has the server's way to write a whole answer
SAID_ALL: Final = "boltq.said_all"  # True in a request's scope: its client sends nothing more, and still listens
ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")


def request_id_of(headers: Headers) -> str:
    """The id that the client gave its request, if it is a fit one; else a new one."""
    stated = headers.get(b"x-request-id")
    if stated is not None and ID.fullmatch(stated):
        return stated.decode()
    return f"{_PROCESS}-{next(_NUMBERS):x}"


def server_time() -> bytes:
    """Now, as RFC 3339 with milliseconds: clients learn from it how far their clocks are off."""
    second, millis = divmod(time.time_ns() // 1_000_000, 1_000)
    return _pattern(second) % millis


class Stamped:
    """Sends an answer with both on it. No coroutine of its own: this is on the way of every request.

    `write` is the server's way to send a whole answer at once, where it has one; see protocol.py.
    """

    __slots__ = ("_request_id", "_send", "_write")

    def __init__(self, send: Send, request_id: str, write: Callable[[bytes], bool] | None = None) -> None:
        self._send, self._request_id, self._write = send, request_id, write

    def __call__(self, message: Message) -> Awaitable[None]:
        """Send one message of an answer."""
        if message["type"] == "http.response.start":
            stamps = (b"x-request-id", self._request_id.encode()), (b"x-server-time", server_time())
            message["headers"] = [*message["headers"], *stamps]
        return self._send(message)

    def whole(self, head: bytes, body: bytes) -> bool:
        """Send all of an answer, if the server can; `head` ends where the stamps and the empty line follow."""
        stamps = b"x-request-id: %b\r\nx-server-time: %b\r\n\r\n" % (self._request_id.encode(), server_time())
        return self._write is not None and self._write(b"".join((head, stamps, body)))


@lru_cache(maxsize=2)
def _pattern(second: int) -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%%03dZ", time.gmtime(second)).encode()


_PROCESS: Final = secrets.token_hex(5)
_NUMBERS: Final = itertools.count(1)
