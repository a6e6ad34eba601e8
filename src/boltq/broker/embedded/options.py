"""What the embedded server is told: its options, and the configuration that they become."""

import hashlib
import os
import string
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Fsync = Literal["everysec", "always"]

HINT = "choose another data directory, or set REDIS_ADDR to use a server of your own"

# What an application may do: everything with its data, and nothing to the server. That is more than manners:
# `CONFIG SET tls-port` crashes a server that was built without TLS, as this one is.
APPLICATION_RIGHTS = (
    "~* &* -@all +@read +@write +@transaction +@pubsub +@connection -@dangerous"
    " +eval +eval_ro +evalsha +evalsha_ro +script|load +script|exists"
    " +fcall +fcall_ro -function +function|load +function|list"
    " +time +wait +waitaof +command +client|list -client|import-source"
    " +info +role +config|get +memory|usage +memory|stats +slowlog|get +slowlog|len"
    " +latency|latest +latency|history +latency|doctor"
)
ADMIN = "admin"


class EmbeddedError(RuntimeError):
    """The embedded store cannot be had; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """What the server that we launch is told."""

    fsync: Fsync = "everysec"  # a power cut costs the last second; with "always", nothing. A crash costs nothing
    maxmemory: str | None = None  # such as "512mb": submits are refused beyond it; None is no limit
    password: str | None = field(default=None, repr=False)  # asked of applications, besides the private socket
    debug_command: bool = False  # for tests: lets the admin say DEBUG
    patience: float = 120.0  # seconds of silence until we give up; one that loads a big file is not silent


def configuration(options: StoreOptions, directory: Path, socket: Path, admin_password: str) -> bytes:
    """What the server reads on its standard input."""
    login = f"#{_sha256(options.password)}" if options.password else "nopass"
    lines = [
        "port 0",  # the socket alone: loopback is open to every user of the machine
        f"unixsocket {_quoted(socket)}",
        "unixsocketperm 700",
        "daemonize no",
        f"dir {_quoted(directory)}",
        "databases 1",
        # The append-only file is the data. Snapshots beside it would cost a fork each, for less.
        "appendonly yes",
        "appenddirname appendonlydir",
        f"appendfsync {options.fsync}",
        "aof-load-truncated yes",  # a power cut may tear the last record: drop it, start
        "aof-timestamp-enabled yes",  # so that one can go back to a second, by cutting there
        "auto-aof-rewrite-percentage 100",
        "auto-aof-rewrite-min-size 64mb",
        'save ""',
        f"maxmemory {_quoted(options.maxmemory or '0')}",
        "maxmemory-policy noeviction",  # refuse what is new; never forget what was accepted
        # A job's hash stays compact (half the memory) with payloads of up to 2 KiB.
        "hash-max-listpack-entries 512",
        "hash-max-listpack-value 2048",
        "latency-monitor-threshold 0",
        f"enable-debug-command {'local' if options.debug_command else 'no'}",
        "enable-protected-configs no",
        f"user default on {login} {APPLICATION_RIGHTS}",
        f"user {ADMIN} on #{_sha256(admin_password)} ~* &* +@all",
    ]
    return "\n".join([*lines, ""]).encode()


def _quoted(value: Path | str) -> str:
    """A value as the config parser takes it, whatever bytes it has."""
    harmless = string.ascii_letters.encode() + string.digits.encode() + b"/._- "
    return '"' + "".join(chr(b) if b in harmless else f"\\x{b:02x}" for b in os.fsencode(value)) + '"'


def _sha256(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()
