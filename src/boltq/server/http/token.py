"""The server's own token: whether a login is asked for at all, and where the token comes from."""

import contextlib
import logging
import os
import secrets
from pathlib import Path
from typing import NamedTuple

from boltq.server.http.guard import is_loopback
from boltq.settings import OPEN_NETWORK, TOKEN, BadSetting, Settings

log = logging.getLogger(__name__)


class Token(NamedTuple):
    """Gives every right to who sends it. `made`: just now, so nobody can know it yet."""

    text: str
    path: Path | None = None  # the file in which it is kept; None: BOLTQ_TOKEN has it
    made: bool = False


def asks_for_login(settings: Settings) -> bool:
    """Whether the API asks for a login: unless only this machine can reach it, or somebody understands the risk.

    It is judged by the address that it listens on. Who asks proves nothing: behind a proxy on this machine, all do so
    from loopback.
    """
    return settings.auth == "on" or not (is_loopback(settings.api_host) or settings.open_network == OPEN_NETWORK)


def token_of(settings: Settings) -> Token | None:
    """The server's token; None when no login is asked for. Makes one and keeps it, where there is none yet.

    Raises BadSetting when the file that should have it cannot be read or written, or has something else in it.
    """
    if not asks_for_login(settings):
        return None
    if settings.token:
        return Token(settings.token)
    path = settings.token_path
    try:
        made = _make(path)
        text = path.read_text("utf-8").strip()
        _close_to_others(path)
    except (OSError, UnicodeDecodeError) as error:
        raise BadSetting(f"the token in {path} cannot be had ({error}): set BOLTQ_TOKEN, or BOLTQ_DATA") from None
    if not TOKEN.fullmatch(text):
        raise BadSetting(f"{path} has no token in it: delete it, and a new one is made")
    return Token(text, path, made)


def _new_text() -> str:
    """A random text that does not begin with `-`: on command lines that would be an option."""
    while (text := secrets.token_urlsafe(32)).startswith("-"):
        pass
    return text


def _make(path: Path) -> bool:
    """Make a token, unless there is one; whether it did. Never half a one: the file gets its name when it is whole."""
    if path.exists():
        return False
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
        file.write(f"{_new_text()}\n")
    try:
        with contextlib.suppress(FileExistsError):  # another process was quicker: its token counts
            os.link(draft, path)
            return True
        return False
    finally:
        draft.unlink()


def _close_to_others(path: Path) -> None:
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)
        log.warning("%s could be read by others: it is closed to them now; delete it to get a new token", path)
