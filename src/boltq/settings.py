"""Every knob: its default, its environment name, what it is for. The only reader of the environment.

`docs/reference/settings.md` is made from this table.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any


class BadSetting(ValueError):
    """An environment variable has a value that cannot be used."""


def _knob(default: Any, names: str, about: str) -> Any:
    """A setting: its default, its environment names (the first one set counts) and one sentence."""
    return field(default=default, metadata={"names": names.split(), "about": about})


@dataclass(frozen=True)
class Settings:
    """What can be set from outside. Durations in seconds, sizes in the unit that the name says."""

    api_port: int = _knob(8080, "API_PORT PORT", "the API's TCP port")
    api_host: str = _knob("127.0.0.1", "BOLTQ_HOST", "the address on which the API listens")
    redis_addr: str = _knob("", "REDIS_ADDR", "host:port or URL of the store; empty: the embedded Valkey")
    num_workers: int = _knob(4, "NUM_WORKERS", "slots of a worker process: how many jobs it runs at once")
    max_attempts: int = _knob(3, "MAX_ATTEMPTS", "runs of a job that neither its task nor its submission bounds")
    environment: str = _knob("development", "ENVIRONMENT", "development or production")
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
    job_timeout: float = _knob(300.0, "BOLTQ_JOB_TIMEOUT", "of a job whose task and submission name none")
    max_queue_depth: int = _knob(0, "BOLTQ_MAX_QUEUE_DEPTH", "jobs that may wait in a queue; 0: no limit")
    keep_completed: int = _knob(10_000, "BOLTQ_KEEP_COMPLETED", "completed and cancelled jobs kept, each, a queue")
    keep_completed_hours: float = _knob(24.0, "BOLTQ_KEEP_COMPLETED_HOURS", "how long they are kept")
    keep_dead: int = _knob(10_000, "BOLTQ_KEEP_DEAD", "dead jobs kept, a queue")
    keep_dead_days: float = _knob(30.0, "BOLTQ_KEEP_DEAD_DAYS", "how long they are kept")
    keep_keys_hours: float = _knob(24.0, "BOLTQ_KEEP_KEYS_HOURS", "how long an idempotency key is remembered")
    priority_patience: float = _knob(
        60.0, "BOLTQ_PRIORITY_PATIENCE", "how long a lower priority waits before it gets its turn"
    )
    poison_limit: int = _knob(3, "BOLTQ_POISON_LIMIT", "workers that a job may take down before it is buried")
    log_level: str = _knob("info", "BOLTQ_LOG_LEVEL", "debug, info, warning or error")

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
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if not low <= value <= high:
                raise BadSetting(f"{_names(name)[0]}={value}: from {low} to {high}")
        if self.fsync not in {"everysec", "always"}:
            raise BadSetting(f"BOLTQ_FSYNC={self.fsync}: everysec or always")

    @property
    def queue_names(self) -> list[str]:
        """The queues that a worker serves."""
        return [name.strip() for name in self.queues.split(",") if name.strip()]

    @property
    def data_path(self) -> Path:
        """The embedded store's directory."""
        return Path(self.data_dir).expanduser().absolute()


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


_RANGES: list[tuple[str, float, float]] = [
    ("api_port", 0, 65_535),
    ("num_workers", 1, 10_000),
    ("max_attempts", 1, 1_000),
    ("partitions", 1, 1_024),
    ("lease", 0.1, 3_600),
    ("grace", 0, 86_400),
    ("job_timeout", 0.001, 604_800),
    ("max_queue_depth", 0, 1e12),
    ("keep_completed", 0, 1e7),
    ("keep_dead", 0, 1e7),
    ("poison_limit", 1, 1_000),
    ("priority_patience", 0, 1e9),
]


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


def _convert(name: str, text: str, kind: type) -> Any:
    try:
        return kind(text.strip())
    except ValueError:
        wanted = {int: "a whole number", float: "a number"}.get(kind, "text")
        raise BadSetting(f"{name}={text!r}: must be {wanted}") from None
