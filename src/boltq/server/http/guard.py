"""Keeps web pages of other sites away from the API, and says how an answer may be used by a browser.

Whoever can reach a port on this machine includes every page that is open in a browser here. So a loopback server
answers only to loopback names (a page can point a name of its own at 127.0.0.1), and every method but the safe ones is
refused when a browser says that another site asks for it (Ray CVE-2025-62593 and CVE-2026-27482 are what happens
otherwise). The User-Agent plays no part: pages can choose it.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from boltq.server.http.problems import Problem

Headers = dict[bytes, bytes]
RawHeaders = Sequence[tuple[bytes, bytes]]

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
OWN_SITES: Final = frozenset({b"same-origin", b"none"})  # of Sec-Fetch-Site
ONE_ONLY: Final = (
    b"host", b"origin", b"sec-fetch-site", b"authorization", b"content-type", b"content-length", b"content-encoding",
    b"idempotency-key",
)  # fmt: skip

SECURITY_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""Part of every answer that does not say otherwise."""

SECURITY_LINES: Final = b"".join(b"%b: %b\r\n" % header for header in SECURITY_HEADERS)
"""The security headers as lines, ready to be written."""


class Guard:
    """Judges the headers of a request. `names` None: any Host will do; `addresses`: an IP address will do as well."""

    def __init__(self, names: Iterable[str] | None, origins: Iterable[str] = (), *, addresses: bool = False) -> None:
        self._names = None if names is None else frozenset(name.lower().encode() for name in names)
        self._addresses = addresses
        self._origins = frozenset(origin.lower().encode() for origin in origins)
        self._knows = lru_cache(maxsize=256)(self._judge_host)

    @classmethod
    def of_bind(
        cls, host: str, names: Iterable[str] = (), origins: Iterable[str] = (), *, login: bool = True
    ) -> "Guard":
        """The guard of a server that is bound to `host`: on loopback, only loopback names and `names` will do.

        Elsewhere any Host will do, but only because a token is asked for, which a page that rebinds a name of its own
        to this address does not have. Without a `login`, or when names are given, it has to be one of them, one of
        loopback, or an address: no page can rebind an address, and probes use them.
        """
        names = list(names)
        own = f"[{host}]" if ":" in host else host
        known = {*LOOPBACK_NAMES, own, *names}
        if is_loopback(host):
            return cls(known, origins)
        return cls(None if login and not names else known, origins, addresses=True)

    def invites(self, origin: bytes) -> bool:
        """Whether the pages of that web site may use the API."""
        return origin.lower() in self._origins

    def check(self, method: str, headers: Headers, raw: RawHeaders) -> None:
        """Raise the Problem of a request that must not be served. `headers` are the `raw` ones as a dictionary."""
        if len(headers) != len(raw):
            _check_repeats(raw)
        host = headers.get(b"host", b"")
        if not self._knows(host):
            raise Problem(
                "wrong-host",
                f"Host {_shown(host)} is not a name of this server; BOLTQ_ALLOWED_HOSTS has its other names",
            )
        if b"transfer-encoding" in headers and unknown_coding(raw):
            raise Problem("unknown-coding", "the only transfer coding here is chunked")
        if method in SAFE_METHODS:
            return
        if b"content-encoding" in headers:
            _check_packing(headers[b"content-encoding"])
        if b"sec-fetch-site" in headers or b"origin" in headers:
            self._check_site(headers.get(b"origin"), headers.get(b"sec-fetch-site"), host)
        if headers.get(b"content-type") != b"application/json":
            _check_type(headers)

    def _judge_host(self, host: bytes) -> bool:
        if self._names is None:
            return True
        name, colon, port = host.lower().rpartition(b":")
        if not colon or not (port.isdigit() or not port):
            name = host.lower()
        return name in self._names or (self._addresses and _is_address(name))

    def _check_site(self, origin: bytes | None, site: bytes | None, host: bytes) -> None:
        """As Go's http.CrossOriginProtection does: what the browser says of itself counts before the Origin.

        Behind a proxy that changes the Host, only the browser knows whether the page and the API are of one site, and
        no page can change what it says.
        """
        if site in OWN_SITES or (origin and self.invites(origin)):
            return
        if site:
            raise _of_another_site(f"Sec-Fetch-Site is {_shown(site)}", origin)
        scheme, _, place = (origin or b"").lower().partition(b"://")
        if origin and (scheme not in {b"http", b"https"} or place != host.lower()):
            raise _of_another_site(f"Origin {_shown(origin)} is not this server's own, {_shown(host)}", origin)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that is bound to `host`."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return host == "localhost"
    # Whether ::ffff:127.0.0.1 is loopback differs between versions of Python: it never is, which asks for a login.
    return address.is_loopback and not getattr(address, "ipv4_mapped", None)


def unknown_coding(raw: RawHeaders) -> bool:
    """Whether a body comes in a transfer coding besides chunks, which are the last where there are any."""
    stated = b",".join(value for name, value in raw if name == b"transfer-encoding")
    codings = [coding.strip().lower() for coding in stated.split(b",")] if stated else []
    return bool(codings) and codings != [b"chunked"] and b"chunked" not in codings[:-1]


def _is_address(name: bytes) -> bool:
    try:
        ipaddress.ip_address(name.decode("latin-1").removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def _check_type(headers: Headers) -> None:
    """A body has to be called JSON: what a page can send without asking first is never called so."""
    stated = headers.get(b"content-type")
    if _has_no_body(headers):
        return
    kind, *parameters = (part.strip().lower() for part in (stated or b"").split(b";"))
    if kind != b"application/json":
        got = f", not {_shown(stated)}" if stated else ""
        raise Problem("not-json", f"send the header Content-Type: application/json{got}")
    charsets = {text.partition(b"=")[2].strip(b'"') for text in parameters if text.startswith(b"charset=")}
    if charsets - {b"utf-8", b"utf8", b"us-ascii"}:
        raise Problem("not-json", "the character set of JSON is UTF-8")


def _check_packing(stated: bytes) -> None:
    """A body has to come as it is: what is unpacked may be a thousand times as large."""
    if stated.strip().lower() not in {b"", b"identity"}:
        detail = f"Content-Encoding is {_shown(stated)}: send the body as it is"
        raise Problem("packed", detail, headers={"Accept-Encoding": "identity"})


def _has_no_body(headers: Headers) -> bool:
    return b"transfer-encoding" not in headers and headers.get(b"content-length", b"0") == b"0"


def _check_repeats(raw: RawHeaders) -> None:
    names = [name for name, _ in raw]
    for name in ONE_ONLY:
        if names.count(name) > 1:
            raise Problem("bad-request", f"the header {name.decode()} is there more than once")


def _of_another_site(why: str, origin: bytes | None) -> Problem:
    site = _shown(origin) if origin and b"://" in origin else "its site"
    return Problem("cross-site", f"{why}; if {site} may call this API, list it in BOLTQ_ALLOWED_ORIGINS")


def _shown(value: bytes) -> str:
    return f"{value[:100].decode('latin-1')!r}"
