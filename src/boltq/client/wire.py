"""The wires to a server: they send one request and bring its answer, over connections that are kept."""

from importlib import metadata
from typing import Any, Final

import httpx

from boltq.client.place import Place
from boltq.client.request import Request
from boltq.client.talk import Lost, Reply

TIMEOUT: Final = 15.0  # seconds that one request may take, once there is a connection for it
CONNECTIONS: Final = 100  # at once; who follows more jobs than that takes turns

_UNSENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


class Wire:
    """A thread's way to the server; threads may share it."""

    def __init__(self, place: Place, timeout: float = TIMEOUT) -> None:
        self._url = place.url
        self._timeout = timeout
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        self._http = httpx.Client(**_options(place), limits=limits)

    def exchange(self, request: Request[Any]) -> Reply | Lost:
        """Send a request, and wait for its answer."""
        try:
            return _reply(self._http.request(**_words(request, self._timeout)))
        except httpx.RequestError as error:
            return _lost(error, self._url)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


class AsyncWire:
    """An event loop's way to the server."""

    def __init__(self, place: Place, timeout: float = TIMEOUT, *, connections: int = CONNECTIONS) -> None:
        self._url = place.url
        self._timeout = timeout
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._http = httpx.AsyncClient(**_options(place), limits=limits)

    async def exchange(self, request: Request[Any]) -> Reply | Lost:
        """Send a request, and wait for its answer."""
        try:
            return _reply(await self._http.request(**_words(request, self._timeout)))
        except httpx.RequestError as error:
            return _lost(error, self._url)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def _options(place: Place) -> dict[str, Any]:
    """The token goes to this server only: no redirect is followed, and no proxy is asked to carry it in plain text."""
    headers = {"accept": "application/json", "user-agent": f"boltq/{metadata.version('boltq')}"}
    if place.token:
        headers["authorization"] = f"Bearer {place.token}"
    return {
        "base_url": place.url,
        "headers": headers,
        "follow_redirects": False,
        "trust_env": place.url.startswith("https:"),
    }


def _words(request: Request[Any], timeout: float) -> dict[str, Any]:
    return {
        "method": request.route.method,
        "url": request.target,
        "content": request.content,
        "headers": request.headers,
        "timeout": httpx.Timeout(timeout, read=timeout + request.ask.patience, pool=None),
    }


def _reply(answer: httpx.Response) -> Reply:
    return Reply(answer.status_code, answer.headers, answer.content)


def _lost(error: httpx.RequestError, url: str) -> Lost:
    """What is known of a request without an answer. The messages of httpx name no header."""
    return Lost(f"{url}: {str(error) or type(error).__name__}", sent=not isinstance(error, _UNSENT))
