"""The system over HTTP: what this API is and allows, the store behind it, its checks, and who did what."""

import asyncio
import dataclasses
import platform
import time
from importlib import metadata
from typing import Annotated, Final, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from boltq.broker.audit_log import AuditLog, AuditRecord
from boltq.broker.broker import Broker, repeated
from boltq.broker.checks import Check, checks_of
from boltq.broker.connect import without_secret
from boltq.broker.inspector import Inspector, StoreServer, inspect_server
from boltq.broker.search import MAX_SNAPSHOT
from boltq.domain import limits
from boltq.domain.errors import StoreUnavailable
from boltq.domain.job import Priority
from boltq.domain.scopes import Scope
from boltq.domain.workflow import bounds
from boltq.server.backend import Backend
from boltq.server.http.answers import json_response
from boltq.server.http.caller import caller_of
from boltq.server.http.calls import ApiCall
from boltq.server.http.moments import rfc3339
from boltq.server.http.query import Limit, NoQuery, read_query
from boltq.settings import Settings

VERSION: Final = metadata.version("boltq")
CHECK_SECONDS: Final = 20.0  # for all checks

Settable = str | int | float | bool


class CallerView(msgspec.Struct, kw_only=True):
    """Who asks."""

    name: str
    scopes: list[str]


class LimitsView(msgspec.Struct, kw_only=True):
    """What one request may ask for."""

    data_bytes: int = limits.MAX_DATA_BYTES
    result_bytes: int = limits.MAX_RESULT_BYTES
    batch: int = limits.MAX_BATCH
    page: int = limits.MAX_PAGE
    bulk_ids: int = limits.MAX_BATCH
    bulk_filter: int = MAX_SNAPSHOT
    max_attempts: int = limits.MAX_ATTEMPTS
    delay_seconds: int = limits.MAX_DELAY_SECONDS
    tags: int = limits.MAX_TAGS
    log_lines: int = limits.MAX_LOG_LINES
    workflow_bytes: int = bounds.MAX_WORKFLOW_BYTES
    workflow_steps: int = bounds.MAX_STEPS
    map_items: int = bounds.MAX_MAP_ITEMS


class RetentionView(msgspec.Struct, kw_only=True):
    """How long, and how many of a queue, jobs are kept that have ended."""

    completed_seconds: float
    completed_jobs: int
    dead_seconds: float
    dead_jobs: int
    idempotency_key_seconds: float


class FeaturesView(msgspec.Struct, kw_only=True):
    """What this server can do."""

    bulk: bool = True
    workflows: bool = True
    schedules: bool = False
    live_updates: bool = False
    metrics: bool = False


class MetaView(msgspec.Struct, kw_only=True):
    """What a client has to know of this API."""

    version: str
    server_time: str
    namespace: str
    partitions: int
    caller: CallerView
    priorities: list[str]
    limits: LimitsView
    retention: RetentionView
    features: FeaturesView


class StoreView(msgspec.Struct, kw_only=True):
    """The server behind the store."""

    flavour: Literal["valkey", "redis"]
    version: str
    address: Annotated[str, msgspec.Meta(description="without user and password")]
    embedded: bool
    mode: str
    role: str
    uptime_seconds: int
    used_memory_bytes: int
    max_memory_bytes: Annotated[int | None, msgspec.Meta(description="null: no bound")]
    eviction_policy: str
    append_only_file: bool
    clients: int
    commands_per_s: int
    rtt_ms: Annotated[float, msgspec.Meta(description="one round trip, just now")]


class SystemView(msgspec.Struct, kw_only=True):
    """This API's process, and its store."""

    version: str
    python: str
    uptime_seconds: int
    store: StoreView
    settings: Annotated[dict[str, Settable], msgspec.Meta(description="of this process; secrets are blotted out")]


class CheckView(msgspec.Struct, kw_only=True):
    """What was looked at, how it is, and what to do about it."""

    name: str
    status: Literal["ok", "warning", "failed"]
    text: str
    hint: str | None


class ChecksView(msgspec.Struct, kw_only=True):
    """What `boltq doctor --quick` says."""

    ok: Annotated[bool, msgspec.Meta(description="whether nothing failed; a warning is no failure")]
    items: list[CheckView]


class AuditLogQuery(msgspec.Struct, kw_only=True):
    """Which entries of the audit log."""

    limit: Limit = 50
    before: Annotated[str | None, msgspec.Meta(description="`next_cursor` of the page before")] = None
    by: Annotated[str | None, msgspec.Meta(description="who")] = None
    action: Annotated[str | None, msgspec.Meta(description="such as queue.pause")] = None


class EntryView(msgspec.Struct, kw_only=True):
    """One thing that somebody did."""

    id: str
    at: str
    by: str
    action: str
    target: str
    reason: str
    request_id: str
    result: str


class AuditLogView(msgspec.Struct, kw_only=True):
    """One page of the audit log, the newest first. It may be empty and not the end, which is a null `next_cursor`."""

    items: list[EntryView]
    next_cursor: str | None


class SystemCalls:
    """The calls about the system."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._started = time.monotonic()
        self._checking = asyncio.Lock()

    def calls(self) -> list[ApiCall]:
        """The calls of this resource, for the list in app.py."""
        return [
            ApiCall(
                "GET", "/api/v1/meta", "meta", "what this API is, who asks, and what may be asked", self.meta,
                scope=Scope.READ, answers={200: MetaView}, tag="system",
            ),
            ApiCall(
                "GET", "/api/v1/system", "getSystem", "this process, the store behind it, and the settings",
                self.system, scope=Scope.READ, answers={200: SystemView}, tag="system",
            ),
            ApiCall(
                "GET", "/api/v1/system/checks", "checkSystem", "check the store and who works, as boltq doctor does",
                self.checks, scope=Scope.READ, answers={200: ChecksView}, tag="system",
            ),
            ApiCall(
                "GET", "/api/v1/audit", "listAudit", "who changed what, and why", self.audit,
                scope=Scope.ADMIN, query=AuditLogQuery, answers={200: AuditLogView}, tag="system",
            ),
        ]  # fmt: skip

    async def meta(self, request: Request) -> Response:
        """Tell what a client has to know before it begins."""
        read_query(request, NoQuery)
        caller, layout = caller_of(request), self._backend.broker.layout
        now = await self._backend.read(Inspector.now_ms)
        view = MetaView(
            version=VERSION,
            server_time=rfc3339(now),
            namespace=layout.namespace,
            partitions=layout.partitions,
            caller=CallerView(name=caller.name, scopes=[str(scope) for scope in caller.scopes]),
            priorities=[priority.word for priority in reversed(Priority)],
            limits=LimitsView(),
            retention=_retention(self._backend.settings),
            features=FeaturesView(),
        )
        return json_response(view)

    async def system(self, request: Request) -> Response:
        """Show this process, the store behind it, and the settings without their secrets."""
        read_query(request, NoQuery)
        broker, settings = self._backend.broker, self._backend.settings
        server = await inspect_server(broker)
        view = SystemView(
            version=VERSION,
            python=platform.python_version(),
            uptime_seconds=round(time.monotonic() - self._started),
            store=_store(broker, settings, server, await _round_trip(self._backend)),
            settings=redacted(settings),
        )
        return json_response(view)

    async def checks(self, request: Request) -> Response:
        """Check the server behind the store and who works. Leaves out the audit, which reads every job.

        One at a time: who asks meanwhile waits.
        """
        read_query(request, NoQuery)
        broker, settings = self._backend.broker, self._backend.settings
        try:
            async with asyncio.timeout(CHECK_SECONDS), self._checking:
                items = [_check(check) async for check in checks_of(broker, settings, quick=True)]
        except TimeoutError:
            raise StoreUnavailable("the store is too slow to be checked") from None
        return json_response(ChecksView(ok=all(item.status != "failed" for item in items), items=items))

    async def audit(self, request: Request) -> Response:
        """Show the audit log, the newest entries first."""
        query = read_query(request, AuditLogQuery)
        audit_log = AuditLog(self._backend.broker)
        page = await repeated(lambda: audit_log.page(query.before, query.limit, by=query.by, action=query.action))
        return json_response(AuditLogView(items=[_entry(entry) for entry in page.entries], next_cursor=page.cursor))


def redacted(settings: Settings) -> dict[str, Settable]:
    """The settings as they may be shown: of secrets only whether they are set, of addresses no password."""
    shown: dict[str, Settable] = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if not field.repr:
            value = "(set)" if value else ""
        elif isinstance(value, str) and field.name in {"redis_addr", "url"}:
            value = without_secret(value).partition("?")[0]
        shown[field.name] = value
    return shown


def _retention(settings: Settings) -> RetentionView:
    return RetentionView(
        completed_seconds=settings.keep_completed_hours * 3_600,
        completed_jobs=settings.keep_completed,
        dead_seconds=settings.keep_dead_days * 86_400,
        dead_jobs=settings.keep_dead,
        idempotency_key_seconds=settings.keep_keys_hours * 3_600,
    )


def _store(broker: Broker, settings: Settings, server: StoreServer, rtt_ms: float) -> StoreView:
    info = server.info
    return StoreView(
        flavour="valkey" if server.flavour == "valkey" else "redis",
        version=server.version,
        address=without_secret(broker.address).partition("?")[0],
        embedded=not settings.redis_addr,
        mode=str(info.get("server_mode") or info.get("redis_mode") or "standalone"),
        role=str(info.get("role", "master")),
        uptime_seconds=int(info.get("uptime_in_seconds", 0)),
        used_memory_bytes=int(info.get("used_memory", 0)),
        max_memory_bytes=int(info.get("maxmemory", 0)) or None,
        eviction_policy=str(info.get("maxmemory_policy", "noeviction")),
        append_only_file=bool(int(info.get("aof_enabled", 0))),
        clients=int(info.get("connected_clients", 0)),
        commands_per_s=int(info.get("instantaneous_ops_per_sec", 0)),
        rtt_ms=rtt_ms,
    )


async def _round_trip(backend: Backend) -> float:
    begun = time.perf_counter()
    await backend.read(Inspector.now_ms)
    return round((time.perf_counter() - begun) * 1_000, 3)


def _entry(entry: AuditRecord) -> EntryView:
    fields = msgspec.structs.asdict(entry)
    return EntryView(**fields | {"at": rfc3339(entry.at)})


def _check(check: Check) -> CheckView:
    return CheckView(name=check.name, status=check.state, text=check.text, hint=check.hint or None)
