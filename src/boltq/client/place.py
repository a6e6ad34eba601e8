"""Where the API is, and the token for it: as given, or as the settings say."""

import ipaddress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from boltq.settings import BadSetting, Settings

MAX_TOKEN_CHARS: Final = 512


class Place:
    """A server's address, and what to show it. No text of this has the token."""

    def __init__(self, url: str, token: str = "") -> None:
        self.url = _checked(url)
        if not (token.isascii() and token.isprintable() and " " not in token and len(token) <= MAX_TOKEN_CHARS):
            raise BadSetting(f"the token must be at most {MAX_TOKEN_CHARS} printable ASCII characters without spaces")
        self.token = token

    def __repr__(self) -> str:
        return f"Place({self.url})"


def find_place(url: str | None = None, token: str | None = None) -> Place:
    """Where the API is: `url`, or BOLTQ_URL, or this machine's API_PORT. Raises BadSetting.

    The token is `token`, or BOLTQ_TOKEN, or for an API on this machine the one that it keeps in its data directory.
    """
    settings = Settings.from_env()
    url = url or settings.url or f"http://127.0.0.1:{settings.api_port or 8080}"
    if token is None:
        token = settings.token or (_kept(settings.token_path) if is_here(url) else "")
    return Place(url, token)


def is_here(url: str) -> bool:
    """Whether it is an address of this machine's own."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _checked(url: str) -> str:
    """The URL without a slash at its end. Raises BadSetting, which never repeats a password."""
    try:
        parts = urlsplit(url)
        ok = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        raise BadSetting("the API's URL cannot be read: use http://host:port") from None
    if parts.username is not None or parts.password is not None:
        raise BadSetting("the API's URL must have no password in it: give a token")
    if not ok or parts.query or parts.fragment or not url.isprintable() or " " in url:
        raise BadSetting(f"{url!r:.100} is no address of an API: use http://host:port or https://host")
    return url.rstrip("/")


def _kept(path: Path) -> str:
    try:
        with path.open(encoding="ascii") as file:
            return file.read(MAX_TOKEN_CHARS + 1).strip()
    except (OSError, UnicodeDecodeError):
        return ""
