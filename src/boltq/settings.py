"""Every knob: its default, its environment name, what it is for. The only reader of the environment.

`docs/reference/settings.md` is made from this table.
"""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from boltq.domain.limits import SURROGATE, bad_name


class BadSetting(ValueError):
    """An environment variable has a value that cannot be used."""


def _knob(default: Any, names: str, about: str, *, secret: bool = False) -> Any:
    """A setting: its default, its environment names (the first one set counts) and one sentence."""
    return field(default=default, repr=not secret, metadata={"names": names.split(), "about": about})


@dataclass(frozen=True)
class Settings:
    """What can be set from outside. Durations in seconds, sizes in the unit that the name says."""

    api_port: int = _knob(8080, "API_PORT PORT", "the API's TCP port")
    api_host: str = _knob("127.0.0.1", "BOLTQ_HOST", "the address on which the API listens")
    auth: str = _knob("", "BOLTQ_AUTH", "on: the API asks for a login on loopback too; elsewhere it always does")
    token: str = _knob(
        "", "BOLTQ_TOKEN", "the API's own token, 32 characters or more; empty: it makes one, in BOLTQ_DATA", secret=True
    )
    open_network: str = _knob(
        "", "BOLTQ_ALLOW_UNAUTHENTICATED_NETWORK", "I-understand: other machines may use the API without a login"
    )
    allowed_hosts: str = _knob("", "BOLTQ_ALLOWED_HOSTS", "names under which the API is reached, such as a proxy's")
    allowed_origins: str = _knob(
        "", "BOLTQ_ALLOWED_ORIGINS", "other web sites whose pages may use the API (CORS), such as https://app.example"
    )
    redis_addr: str = _knob("", "REDIS_ADDR", "host:port or URL of the store; empty: the embedded Valkey")
    url: str = _knob("", "BOLTQ_URL", "the API that clients and commands use; commands: empty: the store itself")
    num_workers: int = _knob(4, "NUM_WORKERS", "slots of a worker process: how many jobs it runs at once")
    max_attempts: int = _knob(3, "MAX_ATTEMPTS", "runs of a job that neither its task nor its submission bounds")
    environment: str = _knob(
        "development", "ENVIRONMENT", "dev, development, prod or production; in production, log lines are JSON"
    )
    polling_interval: float = _knob(
        1.0, "POLLING_INTERVAL", "of the first version; accepted and not needed: workers are woken"
    )
    namespace: str = _knob("boltq", "BOLTQ_NAMESPACE", "what the keys in the store begin with")
    partitions: int = _knob(1, "BOLTQ_PARTITIONS", "partitions of a new namespace; an existing one keeps its number")
    data_dir: str = _knob(".boltq", "BOLTQ_DATA", "the embedded store's directory")
    fsync: str = _knob("everysec", "BOLTQ_FSYNC", "of the embedded store: everysec, or always")
    queues: str = _knob("default", "BOLTQ_QUEUES", "the queues that a worker serves, separated by commas")
    lease: float = _knob(15.0, "BOLTQ_LEASE", "how long a silent worker is believed to live")
    grace: float = _knob(30.0, "BOLTQ_GRACE", "how long running jobs may take to finish at shutdown")
    cleanup: float = _knob(
        5.0, "BOLTQ_CLEANUP", "how long a coroutine that was interrupted may clean up before it is interrupted again"
    )
    job_timeout: float = _knob(300.0, "BOLTQ_JOB_TIMEOUT", "of a job whose task and submission name none")
    max_queue_depth: int = _knob(0, "BOLTQ_MAX_QUEUE_DEPTH", "jobs that may wait in a queue; 0: no limit")
    max_queues: int = _knob(
        10_000, "BOLTQ_MAX_QUEUES", "queues of a partition; a job for a further one is refused; 0: no limit"
    )
    keep_completed: int = _knob(10_000, "BOLTQ_KEEP_COMPLETED", "completed and cancelled jobs kept, each, a queue")
    keep_completed_hours: float = _knob(24.0, "BOLTQ_KEEP_COMPLETED_HOURS", "how long they are kept")
    keep_dead: int = _knob(10_000, "BOLTQ_KEEP_DEAD", "dead jobs kept, a queue")
    keep_dead_days: float = _knob(30.0, "BOLTQ_KEEP_DEAD_DAYS", "how long they are kept")
    keep_keys_hours: float = _knob(24.0, "BOLTQ_KEEP_KEYS_HOURS", "how long an idempotency key is remembered")
    priority_patience: float = _knob(
        60.0, "BOLTQ_PRIORITY_PATIENCE", "how long a lower priority waits before it gets its turn"
    )
    poison_limit: int = _knob(3, "BOLTQ_POISON_LIMIT", "workers that a job may take down before it is buried")
    memory_limit: float = _knob(
        0.85, "BOLTQ_MEMORY_LIMIT", "share of the store's maxmemory from which on it takes no new jobs"
    )
    strict_types: bool = _knob(
        False, "BOLTQ_STRICT_TYPES", "refuse a job of a type that no worker has published: true or false"
    )
    log_level: str = _knob("info", "BOLTQ_LOG_LEVEL", "debug, info, warning or error")
    fetch_ports: str = _knob("80,443", "BOLTQ_FETCH_PORTS", "ports that `fetch_data` may connect to")
    fetch_allow: str = _knob(
        "", "BOLTQ_FETCH_ALLOW", "networks and host names that `fetch_data` may reach although they are not public"
    )
    smtp_url: str = _knob(
        "",
        "BOLTQ_SMTP_URL",
        "of `email`: smtp://user:password@host:587 or smtps://user:password@host; empty: mails are written to files",
        secret=True,
    )
    email_from: str = _knob("", "BOLTQ_EMAIL_FROM", "the sender of mails; needed with BOLTQ_SMTP_URL")
    email_allowed_from: str = _knob(
        "", "BOLTQ_EMAIL_ALLOWED_FROM", "other senders that a job may name: domains and addresses"
    )
    outbox: str = _knob("", "BOLTQ_OUTBOX", "where mails are written to without a server; empty: outbox in BOLTQ_DATA")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **over: Any) -> "Settings":
        """The settings of this process; `over` (without Nones) overrules the environment. Raises BadSetting."""
        found = dict(_found(os.environ if environ is None else environ))
        found.update({name: value for name, value in over.items() if value is not None})
        settings = cls(**found)
        settings.check()
        return settings

    def check(self) -> None:
        """Raise BadSetting for a value out of range."""
        for knob in fields(self):
            text = getattr(self, knob.name)
            if isinstance(text, str) and knob.name not in _PATHS and not _is_text(text):
                raise BadSetting(f"{_names(knob.name)[0]}: is not UTF-8, or has a NUL in it")
        for knob_name, given in (("namespace", [self.namespace]), ("queues", self.queue_names)):
            if bad := next(filter(None, map(bad_name, given)), None):
                raise BadSetting(f"{_names(knob_name)[0]}: {bad}")
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if not low <= value <= high:
                raise BadSetting(f"{_names(name)[0]}={value}: from {low} to {high}")
        if self.environment not in _ENVIRONMENTS:
            raise BadSetting(f"ENVIRONMENT={self.environment:.80}: must be one of {', '.join(_ENVIRONMENTS)}")
        if self.fsync not in {"everysec", "always"}:
            raise BadSetting(f"BOLTQ_FSYNC={self.fsync}: everysec or always")
        self._check_access()
        self._check_tasks()

    def _check_access(self) -> None:
        """Who may use the API. A token is not repeated."""
        if self.auth not in {"", "on"}:
            raise BadSetting(f"BOLTQ_AUTH={self.auth}: on, or nothing")
        if self.token and not TOKEN.fullmatch(self.token):
            raise BadSetting(f"BOLTQ_TOKEN {TOKEN_RULE}")
        if self.open_network not in {"", OPEN_NETWORK}:
            name = "BOLTQ_ALLOW_UNAUTHENTICATED_NETWORK"
            raise BadSetting(f"{name}={self.open_network}: only {OPEN_NETWORK} counts, exactly so")
        if bad := [name for name in listed(self.allowed_hosts) if not _HOST.fullmatch(name)]:
            raise BadSetting(f"BOLTQ_ALLOWED_HOSTS: {bad[0]!r} is no host name (without scheme, port or *)")
        if bad := [origin for origin in listed(self.allowed_origins) if not _ORIGIN.fullmatch(origin)]:
            raise BadSetting(f"BOLTQ_ALLOWED_ORIGINS: {bad[0]!r} is no origin, such as https://app.example")

    def _check_tasks(self) -> None:
        """What the built-in tasks are told. An address with a password in it is not repeated."""
        if bad := [port for port in listed(self.fetch_ports) if not (port.isdecimal() and 0 < int(port) <= _MAX_PORT)]:
            raise BadSetting(f"BOLTQ_FETCH_PORTS: {bad[0]!r} is no port")
        if bad := [name for name in listed(self.fetch_allow) if not (_is_network(name) or _HOST.fullmatch(name))]:
            raise BadSetting(f"BOLTQ_FETCH_ALLOW: {bad[0]!r} is neither a network, such as 10.0.0.0/8, nor a host name")
        if self.smtp_url and not _SMTP_URL.fullmatch(self.smtp_url):
            raise BadSetting("BOLTQ_SMTP_URL: must be smtp://user:password@host:587 or smtps://user:password@host")
        if self.smtp_url and not self.email_from:
            raise BadSetting("BOLTQ_SMTP_URL is set, so BOLTQ_EMAIL_FROM must be set too")

    @property
    def in_production(self) -> bool:
        """Whether this is a machine that people depend on."""
        return self.environment in {"prod", "production"}

    @property
    def queue_names(self) -> list[str]:
        """The queues that a worker serves."""
        return listed(self.queues)

    @property
    def data_path(self) -> Path:
        """The embedded store's directory."""
        return Path(self.data_dir).expanduser().absolute()

    @property
    def token_path(self) -> Path:
        """The file in which the API keeps the token that it made."""
        return self.data_path / "token"

    @property
    def outbox_path(self) -> Path:
        """The folder of mails that were not sent."""
        return Path(self.outbox).expanduser().absolute() if self.outbox else self.data_path / "outbox"


def listed(text: str) -> list[str]:
    """The parts of a list that is written with commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def runtime_dir() -> Path | None:
    """The user's directory for sockets, where the system has one."""
    path = os.environ.get("XDG_RUNTIME_DIR")
    return Path(path) if path else None


def inherited_environment(**extra: str) -> dict[str, str]:
    """This process's environment, for a child, with additions."""
    return {**os.environ, **extra}


def table() -> list[tuple[str, str, str]]:
    """Every setting as (environment name, default, about), for the reference page."""
    return [(" or ".join(_names(f.name)), str(f.default), f.metadata["about"]) for f in fields(Settings)]


OPEN_NETWORK = "I-understand"  # a word would be too quickly said
TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{32,512}")
TOKEN_RULE = "must be 32 to 512 characters of A-Z a-z 0-9 . _ ~ + / = -"  # noqa: S105 - says what one looks like

_ENVIRONMENTS = ("dev", "development", "prod", "production")
_MAX_PORT = 65_535
_PATHS = {"data_dir", "outbox"}  # may have any bytes in their names
_ORIGIN = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_SMTP_URL = re.compile(r"smtps?://([^\s/@:]+:[^\s/@]+@)?([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?/?")

_RANGES: list[tuple[str, float, float]] = [
    ("api_port", 0, 65_535),
    ("num_workers", 1, 10_000),
    ("max_attempts", 1, 1_000),
    ("partitions", 1, 1_024),
    ("lease", 0.1, 3_600),
    ("grace", 0, 86_400),
    ("cleanup", 0, 3_600),
    ("job_timeout", 0.001, 604_800),
    ("max_queue_depth", 0, 1e12),
    ("max_queues", 0, 1e7),
    ("keep_completed", 0, 1e7),
    ("keep_dead", 0, 1e7),
    ("keep_completed_hours", 0, 1e6),
    ("keep_dead_days", 0, 1e5),
    ("keep_keys_hours", 0, 1e6),
    ("polling_interval", 0, 1e9),
    ("poison_limit", 1, 1_000),
    ("priority_patience", 0, 1e9),
    ("memory_limit", 0.01, 1),
]


def _is_text(text: str) -> bool:
    """Whether it can be sent anywhere: bytes of the environment that are not UTF-8 come as halves of characters."""
    return "\0" not in text and not SURROGATE.search(text)


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _names(attribute: str) -> list[str]:
    names: list[str] = next(f.metadata["names"] for f in fields(Settings) if f.name == attribute)
    return names


def _found(environ: Mapping[str, str]) -> list[tuple[str, Any]]:
    found = []
    for knob in fields(Settings):
        name = next((n for n in knob.metadata["names"] if environ.get(n, "") != ""), None)
        if name:
            found.append((knob.name, _convert(name, environ[name], type(knob.default))))
    return found


_SWITCH = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def _convert(name: str, text: str, kind: type) -> Any:
    try:
        return _SWITCH[text.strip().lower()] if kind is bool else kind(text.strip())
    except (ValueError, KeyError):
        wanted = {int: "a whole number", float: "a number", bool: "true or false"}.get(kind, "text")
        raise BadSetting(f"{name}={text!r}: must be {wanted}") from None
