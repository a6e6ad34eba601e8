"""One HTTP GET for whoever submits jobs: only to where it may go, only as large as it may be.

A name is looked up once, all its addresses are checked, and the connection goes to one that was checked: there is no
second look-up that could answer differently. Proxies of the environment are not asked.
"""

import asyncio
import email.utils
import logging
import re
import socket
import time
import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import httpcore

from boltq.domain.outcome import DataError, RateLimited, RetryLater, TransientError
from boltq.tasks.addresses import Reach

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

MAX_REDIRECTS = 3
MAX_URL_CHARS = 8_000
MAX_HEADERS = 50
MAX_HEADER_BYTES = 16_384
MAX_RETRY_AFTER = 86_400.0

logging.getLogger("httpcore").setLevel(logging.WARNING)  # its debug lines have the headers of answers


@dataclass(frozen=True)
class HttpReply:
    """What came back with a status of 2xx."""

    status: int
    url: "Target"  # after redirects
    content_type: str
    body: bytes


async def lookup(host: str, port: int) -> Sequence[str]:
    """The addresses of a host. Raises TransientError."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise TransientError(f"the name {host} cannot be resolved: {error}") from None
    return list(dict.fromkeys(str(row[4][0]) for row in found))


async def get(
    url: str, headers: Mapping[str, str], *, reach: Reach, max_bytes: int, resolve: Resolve = lookup, tls: Any = None
) -> HttpReply:
    """The answer to a GET, after at most three redirects. `tls`: an SSLContext, by default one that checks.

    Raises DataError, RateLimited, RetryLater, TransientError. No message has a query or a header in it.
    """
    target, sent = parse_url(url, reach), checked_headers(headers)
    backend = _Checked(reach, resolve)
    async with httpcore.AsyncConnectionPool(ssl_context=tls, max_connections=1, network_backend=backend) as pool:
        for _ in range(MAX_REDIRECTS + 1):
            found = await _ask(pool, target, sent, max_bytes)
            if isinstance(found, HttpReply):
                return found
            following = parse_url(_joined(target.shown, found), reach)
            if following.origin != target.origin:
                sent = {name: value for name, value in sent.items() if name in _HARMLESS}
            target = following
    raise DataError(f"{target.site}: more than {MAX_REDIRECTS} redirects")


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        raise DataError("url: it redirects to what is no URL") from None


# --- what is asked --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    """A URL that may be asked for."""

    scheme: str
    host: str
    port: int
    path: str
    query: str

    @property
    def origin(self) -> tuple[str, str, int]:
        """Whom the headers are meant for."""
        return self.scheme, self.host, self.port

    @property
    def netloc(self) -> str:
        """Host and port, as the header Host has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def asked(self) -> str:
        """What the request line has."""
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def site(self) -> str:
        """As messages have it: without path and query, which may have a secret in them."""
        return f"{self.scheme}://{self.netloc}"

    @property
    def shown(self) -> str:
        """Without the query."""
        return f"{self.scheme}://{self.netloc}{self.path}"


def parse_url(url: str, reach: Reach) -> Target:
    """The target of a URL. Raises DataError that does not repeat what may be secret."""
    if len(url) > MAX_URL_CHARS:
        raise DataError(f"url: longer than {MAX_URL_CHARS} characters")
    if _CONTROL.search(url) or "\\" in url:
        raise DataError("url: has a space, a line break, a control character or a backslash in it")
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme.lower(), _host(parts.hostname or ""), parts.port
    except _BadHost as error:
        raise DataError(f"url: {error}") from None
    except ValueError:  # its text repeats the host or the port
        raise DataError("url: its host or port cannot be read") from None
    if scheme not in _PORTS:
        raise DataError("url: must begin with http:// or https://")
    if "@" in parts.netloc:
        raise DataError("url: must not have a user or a password in it; send an Authorization header instead")
    if not host:
        raise DataError("url: has no host")
    port = _PORTS[scheme] if port is None else port
    if port not in reach.ports:
        raise DataError(f"url: port {port} is not allowed, only {', '.join(map(str, sorted(reach.ports)))}")
    return Target(scheme, host, port, quote(parts.path or "/", safe=_SAFE), quote(parts.query, safe=_SAFE + "?"))


def checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that are sent, by their names in small letters. Raises DataError that does not repeat a value."""
    if len(headers) > MAX_HEADERS or sum(len(name) + len(value) for name, value in headers.items()) > MAX_HEADER_BYTES:
        raise DataError(f"headers: at most {MAX_HEADERS}, of {MAX_HEADER_BYTES} characters in all")
    sent = {"accept": "*/*", "user-agent": "boltq", "accept-encoding": "gzip"}
    for at, (name, value) in enumerate(headers.items(), 1):
        if not _HEADER_NAME.fullmatch(name):
            raise DataError(f"headers: the name of number {at} is no name of a header")
        if name.lower() in _OURS or name.lower().startswith("proxy-"):
            raise DataError(f"headers: {name} is not yours to set")
        if not _HEADER_VALUE.fullmatch(value):
            raise DataError(f"headers: the value of {name} has a character in it that no header may have")
        sent[name.lower()] = value.strip(" \t")
    return sent


class _BadHost(ValueError):
    """Why a host cannot be one; does not repeat it."""


def _host(name: str) -> str:
    if ":" in name:
        if "%" in name:
            raise _BadHost("an address must not have a zone")
        return str(IPv6Address(name))
    host = name.encode("idna").decode().lower() if not name.isascii() else name
    if name and not _HOST.fullmatch(host):
        raise _BadHost("its host is no name of a host")
    return host


_PORTS = {"http": 80, "https": 443}
_SAFE = "/%:@!$&'()*+,;=~-._"
_CONTROL = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\ud800-\udfff]")
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")
_HARMLESS = {"accept", "accept-encoding", "accept-language", "user-agent"}  # the others may be secrets of one host
_OURS = {"host", "connection", "content-length", "transfer-encoding", "accept-encoding", "te", "trailer", "upgrade",
         "expect", "keep-alive", "range", "http2-settings"}  # fmt: skip


# --- where it goes --------------------------------------------------------------------------------------------------


class _Checked(httpcore.AnyIOBackend):
    """Connects to an address that was checked, whatever its name says the next time."""

    def __init__(self, reach: Reach, resolve: Resolve) -> None:
        self._reach = reach
        self._resolve = resolve

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - there is one for all of a fetch, and ours for each address
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first of the host's addresses that answers. Raises DataError, TransientError."""
        addresses = await self._resolve(host, port)
        for address in addresses:
            if kind := self._reach.refusal(host, address):
                raise DataError(f"{host} is {kind}, which fetch_data may not reach")
        error: Exception | None = None
        for address in addresses[:_MOST_ADDRESSES]:
            try:
                return await super().connect_tcp(address, port, _CONNECT_SECONDS, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as failed:
                error = failed
        raise TransientError(f"{host}:{port} cannot be connected to: {error or 'it has no address'}")


_MOST_ADDRESSES = 4
_CONNECT_SECONDS = 10.0


# --- what comes back ------------------------------------------------------------------------------------------------


async def _ask(
    pool: httpcore.AsyncConnectionPool, target: Target, headers: Mapping[str, str], max_bytes: int
) -> HttpReply | str:
    """The answer, or where it is to be found."""
    where = httpcore.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.asked)
    sent = [("Host", target.netloc), *headers.items()]
    try:
        async with pool.stream("GET", where, headers=sent) as response:
            found = {_text(name).lower(): _text(value) for name, value in response.headers}
            if response.status in _REDIRECTS and "location" in found:
                return found["location"]
            _check_status(target, response.status, found)
            body = await _read(response, found, max_bytes)
            return HttpReply(response.status, target, found.get("content-type", ""), body)
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise TransientError(f"{target.site}: {type(error).__name__}: {error}") from None


def _text(header: bytes) -> str:
    try:
        return header.decode()
    except UnicodeDecodeError:
        return header.decode("latin-1")


_REDIRECTS = {301, 302, 303, 307, 308}
_TOO_MANY, _TRY_AGAIN = 429, {408, 425}


def _check_status(target: Target, status: int, headers: Mapping[str, str]) -> None:
    """Raise what a status that is no success means for the job."""
    message = f"{target.site} answered {status}"
    if 200 <= status < 300:  # noqa: PLR2004 - a success
        return
    if status == _TOO_MANY:
        raise RateLimited(message, retry_after=_retry_after(headers))
    if status in _TRY_AGAIN or status >= 500:  # noqa: PLR2004 - its fault, not ours
        raise RetryLater(_retry_after(headers), message)
    raise DataError(message)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from a number or a date; None when there is none that can be read."""
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}", text):
        return min(float(text), MAX_RETRY_AFTER)
    try:
        wait = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError, OSError):
        return None
    return min(max(0.0, wait), MAX_RETRY_AFTER)


async def _read(response: httpcore.Response, headers: Mapping[str, str], max_bytes: int) -> bytes:
    """The body, unpacked; it is never larger than it may be, neither packed nor unpacked."""
    packing = headers.get("content-encoding", "identity").strip().lower() or "identity"
    if packing not in {"identity", "gzip", "x-gzip"}:
        raise DataError(f"the answer is packed as {packing!r:.40}, which was not asked for")
    too_large = DataError(f"the answer is larger than max_bytes={max_bytes}")
    if re.fullmatch(r"\d{1,18}", size := headers.get("content-length", "")) and int(size) > max_bytes:
        raise too_large
    unpack = _Gunzip() if packing != "identity" else None
    body, packed = bytearray(), 0
    async for chunk in response.aiter_stream():
        packed += len(chunk)
        body += unpack(chunk, max_bytes + 1 - len(body)) if unpack else chunk
        if packed > max_bytes or len(body) > max_bytes:
            raise too_large
    if unpack:
        unpack.check_end()
    return bytes(body)


class _Gunzip:
    """Unpacks gzip, in one part or several."""

    def __init__(self) -> None:
        self._part = zlib.decompressobj(_GZIP)
        self._begun = False

    def __call__(self, chunk: bytes, most: int) -> bytes:
        """What a chunk holds, but not more than that. Raises DataError."""
        out = b""
        try:
            while chunk and len(out) < most:
                if self._part.eof:
                    self._part = zlib.decompressobj(_GZIP)
                self._begun = True
                out += self._part.decompress(chunk, most - len(out))
                chunk = self._part.unused_data
        except zlib.error as error:
            raise DataError(f"the answer is no gzip: {error}") from None
        return out

    def check_end(self) -> None:
        """Raise TransientError when something is missing."""
        if self._begun and not self._part.eof:
            raise TransientError("the answer ended before its gzip did")


_GZIP = 16 + zlib.MAX_WBITS
