"""Checks the server behind the store, and then every job in it: what is fine, what is worth a look, what is wrong."""

import shutil
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, Literal, NamedTuple

from boltq.broker.broker import Broker
from boltq.broker.consistency import audit
from boltq.broker.history import WENT_BACK, Alarm
from boltq.broker.inspector import Inspector, StoreServer, inspect_server
from boltq.broker.scripts import translate
from boltq.domain.errors import StoreUnfit
from boltq.settings import Settings

State = Literal["ok", "warning", "failed"]

GOOD: Final = "ok"
WARN: Final = "warning"
BAD: Final = "failed"

_PINGS: Final = 100
_SLOW_MS: Final = 5.0
_CLOCK_MS: Final = 1_000
_LISTPACK: Final = 2_048
_NEARLY_FULL: Final = 0.8
_LITTLE_DISK: Final = 1 << 30
_NO_DISK: Final = 100 << 20
_SHOWN: Final = 10  # findings
_DAY_MS: Final = 86_400_000


class Check(NamedTuple):
    """What was looked at, how it is, and what to do about it."""

    name: str
    state: State
    text: str
    hint: str = ""


async def checks_of(
    broker: Broker, settings: Settings, *, quick: bool, tell: Callable[[str], None] = lambda _: None
) -> AsyncIterator[Check]:
    """All of them, as they are done; a quick look leaves out the audit, which reads every job. Raises StoreError."""
    server = await inspect_server(broker)
    yield version(server)
    if server.too_old:
        return
    yield eviction(server)
    yield persistence(server)
    yield writing(server)
    yield memory(server)
    yield await latency(broker)
    yield await clock(broker)
    yield await listpack(broker)
    if not settings.redis_addr and settings.data_path.exists():
        yield disk(settings)
    yield await workers(broker)
    yield await alarms(broker)
    if not quick:
        yield await audited(broker, tell)


def version(server: StoreServer) -> Check:
    """Whether BoltQ works on it."""
    text = f"{server.flavour.capitalize()} {server.version}"
    if server.too_old:
        return Check("server", BAD, text, "use Valkey, or Redis 7 or later")
    return Check("server", GOOD, text)


def eviction(server: StoreServer) -> Check:
    """A server that evicts forgets accepted jobs."""
    policy = str(server.info.get("maxmemory_policy", "noeviction"))
    if policy == "noeviction":
        return Check("eviction", GOOD, policy)
    text = f"maxmemory-policy is {policy}: under memory pressure the server deletes jobs"
    return Check("eviction", BAD, text, "CONFIG SET maxmemory-policy noeviction, and in its configuration file")


def persistence(server: StoreServer) -> Check:
    """A server without an append-only file loses accepted jobs in a crash."""
    if not server.forgets:
        return Check("persistence", GOOD, "append-only file")
    text = "the append-only file is off: a crash of the server loses what came since its last snapshot, or all"
    return Check("persistence", BAD, text, "CONFIG SET appendonly yes, and in its configuration file")


def writing(server: StoreServer) -> Check:
    """Whether what was written last has reached the disk."""
    fields = ("aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status")
    failed = [field for field in fields if server.info.get(field, "ok") != "ok"]
    if failed:
        return Check("disk writes", BAD, f"{', '.join(failed)}: failed", "is the server's disk full? See its log")
    return Check("disk writes", GOOD, "the last ones succeeded")


def memory(server: StoreServer) -> Check:
    """How near the server is to refusing new jobs."""
    used, most = int(server.info.get("used_memory", 0)), int(server.info.get("maxmemory", 0))
    text = f"{_size(used)} used of {_size(most) if most else 'no limit'}"
    if most and used > most * _NEARLY_FULL:
        return Check("memory", WARN, text, "beyond the limit new jobs are refused: raise maxmemory")
    return Check("memory", GOOD, text)


async def latency(broker: Broker) -> Check:
    """The median round trip."""
    taken = []
    for _ in range(_PINGS):
        begun = time.perf_counter()
        await _ask(broker, "PING")
        taken.append((time.perf_counter() - begun) * 1_000)
    median = statistics.median(taken)
    text = f"{median:.2f} ms, the median of {_PINGS} round trips; the longest {max(taken):.1f} ms"
    if median > _SLOW_MS:
        return Check("latency", WARN, text, "run workers near the store: each batch costs a round trip")
    return Check("latency", GOOD, text)


async def clock(broker: Broker) -> Check:
    """Times are the server's; ours matters only for what people read."""
    before = time.time() * 1_000
    server = await Inspector(broker).now_ms()
    difference = server - (before + time.time() * 1_000) / 2
    text = f"the server's is {abs(difference):.0f} ms {'ahead' if difference >= 0 else 'behind'}"
    if abs(difference) > _CLOCK_MS:
        return Check("clock", WARN, text, "delays and leases follow the server's clock: let NTP set both")
    return Check("clock", GOOD, text)


async def listpack(broker: Broker) -> Check:
    """Up to this size of its data a job takes half of the memory."""
    name = "hash-max-listpack-value"
    try:
        answer = await _ask(broker, "CONFIG", "GET", name)
    except Exception as error:
        if not isinstance(error, StoreUnfit):
            raise
        return Check("job memory", GOOD, f"{name}: this login may not ask")
    value = int(_second(answer) or 0)
    if value < _LISTPACK:
        text = f"{name} is {value}: a job with more data than that takes about twice the memory"
        return Check("job memory", WARN, text, f"CONFIG SET {name} {_LISTPACK}, and in the server's configuration file")
    return Check("job memory", GOOD, f"{name} is {value}")


def disk(settings: Settings) -> Check:
    """The disk under the embedded store."""
    path = settings.data_path
    free = shutil.disk_usage(path).free
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    text = f"{_size(size)} in {path}, {_size(free)} free"
    if free < _LITTLE_DISK:
        hint = "with a full disk nothing is accepted: make room, or set BOLTQ_DATA to another place"
        return Check("disk", BAD if free < _NO_DISK else WARN, text, hint)
    return Check("disk", GOOD, text)


async def workers(broker: Broker) -> Check:
    """Whether anybody would run a job."""
    found, now = await Inspector(broker).workers(), await Inspector(broker).now_ms()
    alive = [worker for worker in found if worker.lease_ends_at >= now]
    served = {queue for worker in alive for queue in worker.queues}
    waiting = [stats.name for stats in await Inspector(broker).queues() if stats.queued and stats.name not in served]
    if waiting:
        text = f"{len(alive)} alive, and none serves {', '.join(waiting)}, where jobs wait"
        return Check("workers", WARN, text, f"boltq worker --queues {','.join(waiting)}")
    return Check("workers", GOOD, f"{len(alive)} alive") if alive else Check("workers", WARN, "none", "boltq worker")


async def alarms(broker: Broker) -> Check:
    """What any process has noticed within the last day that must not happen in a store that keeps its promises."""
    now = await Inspector(broker).now_ms()
    found = [alarm for alarm in await broker.alarms() if now - alarm.at < _DAY_MS]
    if not found:
        return Check("history", GOOD, "nothing was lost within the last day, as far as anybody noticed")
    worst = any(alarm.kind == WENT_BACK for alarm in found)
    kinds = Counter(alarm.kind for alarm in found)
    newest = {alarm.kind: alarm for alarm in sorted(found, key=lambda alarm: alarm.at)}
    text = "; ".join(_about(alarm, now, kinds[alarm.kind]) for alarm in sorted(newest.values(), key=lambda a: -a.at))
    hint = "compare with what you expect to be there; submissions may be repeated with the same ids and keys"
    if not worst:
        hint = "see the logs of the workers and of the server of that time"
    return Check("history", BAD if worst else WARN, text, hint)


def _about(alarm: Alarm, now: int, partitions: int) -> str:
    """An alarm, once for all partitions that heard of the same."""
    beside = f" (in {partitions} partitions)" if partitions > 1 else ""
    return f"{max(0, now - alarm.at) // 60_000} min ago: {alarm.text}{beside}"


async def audited(broker: Broker, tell: Callable[[str], None] = lambda _: None) -> Check:
    """Whether every job is where its record says, and all counts agree."""
    findings = await audit(broker, tell=tell)
    counts = await Inspector(broker).counts()
    jobs = ", ".join(f"{number} {state}" for state, number in counts.items() if number) or "no jobs"
    if not findings:
        return Check("audit", GOOD, f"nothing wrong: {jobs}")
    codes = Counter(finding.code for finding in findings)
    kinds = ", ".join(f"{number} {code}" for code, number in codes.most_common())
    shown = "; ".join(f"{finding.place} {finding.id} {finding.text}" for finding in findings[:_SHOWN])
    return Check("audit", BAD, f"{len(findings)} findings: {kinds} ({jobs})", f"please report this: {shown}")


async def _ask(broker: Broker, *command: str) -> Any:
    """What the server answers. Raises StoreUnavailable, and StoreUnfit for what we may not ask."""
    try:
        return await broker.redis.execute_command(*command)  # type: ignore[no-untyped-call]
    except Exception as error:
        raise translate(error) from error


def _second(answer: Any) -> Any:
    """The value in an answer of CONFIG GET: a mapping, or a flat list."""
    return next(iter(answer.values()), None) if isinstance(answer, dict) else (list(answer) or [None, None])[1]


def _size(octets: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if octets < 1_024:  # noqa: PLR2004
            return f"{octets:.0f} {unit}" if unit == "B" else f"{octets:.1f} {unit}"
        octets /= 1_024
    return f"{octets:.1f} TiB"
