"""Bulk operations: one action on many jobs, durable in the store, carried out step by step by whoever runs it.

An operation is a list of (id, since) in the first partition, a place in it, and counts. A step takes the next few, acts
on them, and records what became of them. Only the one that holds its lease runs it; when that process dies, another
takes the same few again: each job is fenced by `since`, so what was done already is left alone, and is skipped.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec

from boltq.broker.broker import Broker, repeated
from boltq.broker.calls import operations as calls
from boltq.broker.inspector import Inspector
from boltq.broker.verdicts import JobVerdict
from boltq.domain import limits
from boltq.domain.errors import Conflict, InvalidJob, LeaseLost, NotFound
from boltq.domain.filters import JobFilter
from boltq.domain.ids import ALPHABET, new_id
from boltq.domain.job import JobRecord, NewJob
from boltq.domain.merge import merge_patch

MAX_ITEMS: Final = 100_000
MAX_KNOWN: Final = 1_000  # operations
MAX_ERRORS: Final = 20  # that are kept of an operation
MAX_PATCH_BYTES: Final = 65_536
MIN_RATE: Final = 0.01
MAX_RATE: Final = 100_000.0
CHUNK: Final = 100  # jobs of a step
EDITED_CHUNK: Final = 20  # of a step that reads and writes their data
FILLED_AT_A_TIME: Final = 1_000
LEASE_MS: Final = 15_000
KEEP_SECONDS: Final = 86_400  # after its last step
KEEP_HALF_MADE_SECONDS: Final = 600

Sleep = Callable[[float], Awaitable[None]]
Items = Sequence[tuple[str, int]]  # id, and JobRecord.since as it was when somebody chose it; 0: never mind


class BulkAction(StrEnum):
    """What can be done to many jobs."""

    CANCEL = "cancel"
    REPLAY = "replay"
    RUN_NOW = "run_now"
    DELETE = "delete"
    REPLAY_AS = "replay_as"  # new jobs with edited data


class OperationState(StrEnum):
    """Where an operation stands."""

    RUNNING = "running"
    CANARY = "canary"  # the first few are done; it waits for somebody to say go on
    DONE = "done"
    STOPPED = "stopped"  # by somebody, or by too many failures
    FAILED = "failed"  # it cannot go on: its list of jobs is gone


class BulkItemError(msgspec.Struct, frozen=True, array_like=True):
    """A job on which the action failed; `code` is a verdict's word, or INVALID."""

    id: str
    code: str
    message: str


class BulkOperation(msgspec.Struct, kw_only=True):
    """An operation as it stands. `done` is `ok`, `failed` and `skipped` together. Times in milliseconds."""

    id: str
    action: BulkAction
    state: OperationState
    total: int
    done: int = 0
    ok: int = 0
    failed: int = 0
    skipped: int = 0  # they had moved since they were chosen
    errors: list[BulkItemError] = []
    rate_per_s: float = msgspec.field(name="rate", default=0.0)  # 0: as fast as it goes
    canary: int = 0  # how many are done before it asks
    stop_on_failures: int = msgspec.field(name="stop_after", default=0)  # 0: never
    by: str = ""
    reason: str = ""
    started_at: int = 0
    finished_at: int | None = None
    partial: bool = False  # there were more jobs than one operation takes
    filter: str = ""  # JSON text of the JobFilter that chose them, if one did
    patch: str = ""  # JSON merge patch on their data

    @property
    def ended(self) -> bool:
        """Whether nothing more will be done."""
        return self.state not in {OperationState.RUNNING, OperationState.CANARY}


class Operations:
    """Makes, runs and shows bulk operations."""

    def __init__(self, broker: Broker, *, sleep: Sleep = asyncio.sleep) -> None:
        self._broker, self._sleep = broker, sleep
        self._inspector = Inspector(broker)

    async def create(  # noqa: PLR0913 - what a bulk operation can be asked for
        self,
        action: BulkAction,
        items: Items,
        *,
        by: str = "",
        reason: str = "",
        rate_per_s: float = 0.0,
        canary: int = 0,
        stop_on_failures: int = 0,
        chosen_by: JobFilter | None = None,
        partial: bool = False,
        patch: str = "",
    ) -> BulkOperation:
        """Store an operation on these jobs; nothing is done yet, see `run`. Raises InvalidJob, and Conflict.

        One that is only half stored when its maker dies is never run, and is forgotten.
        """
        _check(items, rate_per_s, canary, stop_on_failures)
        _check_texts(action, by, reason, patch)
        op_id = f"op_{new_id(0)}"
        rows = [f"{job_id} {since}" for job_id, since in dict(items).items()]
        for filled in range(0, len(rows), FILLED_AT_A_TIME):
            await self._fill(op_id, filled, rows[filled : filled + FILLED_AT_A_TIME])
        fields = {
            "action": action.value,
            "rate": f"{rate_per_s:g}" if rate_per_s else "",
            "canary": str(canary or ""),
            "stop_after": str(stop_on_failures or ""),
            "by": by,
            "reason": reason,
            "partial": "true" if partial else "",
            "filter": msgspec.json.encode(chosen_by).decode() if chosen_by else "",
            "patch": patch,
        }
        flat = [text for field in fields.items() if field[1] for text in field]
        start = calls.start(op_id, len(rows), flat, MAX_KNOWN, KEEP_SECONDS)
        await repeated(lambda: self._broker.send(start))
        return await self.get(op_id)

    async def _fill(self, op_id: str, start: int, rows: Sequence[str]) -> None:
        fill = calls.fill(op_id, start, rows, KEEP_HALF_MADE_SECONDS)
        if await repeated(lambda: self._broker.send(fill)) != start + len(rows):
            raise Conflict(f"operation {op_id} was forgotten while it was made")

    async def snapshot(self, what: JobFilter) -> Items:
        """All jobs that fit now, as items. Raises InvalidJob when they are more than MAX_ITEMS."""
        return await self._inspector.snapshot(what, MAX_ITEMS)

    async def get(self, op_id: str) -> BulkOperation:
        """One operation. Raises NotFound."""
        found = await self._read([op_id])
        if not found:
            raise NotFound(f"no operation {op_id:.60}: the id is wrong, or it is older than a day")
        return found[0]

    async def list(self, state: OperationState | None = None) -> Sequence[BulkOperation]:
        """The operations that are known, the newest first, without their patches."""
        return [operation for operation in await self._read([]) if state in {None, operation.state}]

    async def stop(self, op_id: str) -> BulkOperation:
        """Do no more of it; the few jobs of the step that is on its way may still follow. Raises NotFound, Conflict."""
        await self._broker.send(calls.steer(op_id, "stop"))
        return await self.get(op_id)

    async def continue_(self, op_id: str) -> BulkOperation:
        """The canary was fine: do the rest. Somebody has to run it again. Raises NotFound, Conflict."""
        await self._broker.send(calls.steer(op_id, "continue"))
        return await self.get(op_id)

    async def run(self, op_id: str) -> BulkOperation:
        """Carry it out until it ends, waits for somebody, or another runs it. Raises NotFound, StoreError.

        Any number of processes may call it at once; after an error, call it again.
        """
        owner = secrets.token_hex(8)
        while (pause := await repeated(lambda: self.advance(op_id, owner))) is not None:
            await self._sleep(min(pause, LEASE_MS / 3_000))
        return await self.get(op_id)

    async def run_all(self) -> None:
        """Carry out, side by side, all that run and that nobody else runs: call it now and then."""
        running = await self.list(OperationState.RUNNING)
        await asyncio.gather(*(self.run(operation.id) for operation in running))

    async def advance(self, op_id: str, owner: str) -> float | None:
        """One step, for the holder of its lease. Seconds to wait before the next; None when there is none for us."""
        operation = await self.get(op_id)
        word, wait, done, items = await self.take(operation, owner)
        if word == "wait":
            return wait / 1_000
        if word != "go":
            return None
        verdicts = await self.act(operation, items)
        try:
            state = await self.record(op_id, owner, done, verdicts)
        except LeaseLost:
            return None
        return 0.0 if state is OperationState.RUNNING else None

    async def take(self, operation: BulkOperation, owner: str) -> tuple[str, int, int, Items]:
        """The first part of a step: what to do (see op_take.lua), ms to wait, how many are done, the next jobs."""
        most = EDITED_CHUNK if operation.action is BulkAction.REPLAY_AS else CHUNK
        taken = await self._broker.send(calls.take(operation.id, owner, LEASE_MS, most, KEEP_SECONDS))
        items = [(job_id, int(since)) for job_id, since in (row.split(" ") for row in taken.rows)]
        return taken.word, taken.wait, taken.done, items

    async def act(self, operation: BulkOperation, items: Items) -> Sequence["ItemVerdict"]:
        """The second part: the action itself, on a few jobs."""
        match operation.action:
            case BulkAction.CANCEL:
                verdicts = await self._broker.cancel(items, operation.reason or "cancelled")
            case BulkAction.REPLAY:
                verdicts = await self._broker.replay(items)
            case BulkAction.RUN_NOW:
                verdicts = await self._broker.run_now(items)
            case BulkAction.DELETE:
                verdicts = await self._broker.delete(items)
            case BulkAction.REPLAY_AS:
                return await self._replay_edited(operation, items)
        return [_judged(item, verdict) for item, verdict in zip(items, verdicts, strict=True)]

    async def record(self, op_id: str, owner: str, done: int, verdicts: Sequence["ItemVerdict"]) -> OperationState:
        """The third part: what became of them. Raises LeaseLost when another has gone on meanwhile."""
        counts = [sum(kind == verdict for verdict, _ in verdicts) for kind in ("ok", "failed", "skipped")]
        errors = [error for _, error in verdicts if error]
        call = calls.record(op_id, owner, done, counts, errors[:MAX_ERRORS], MAX_ERRORS)
        return OperationState(await self._broker.send(call))

    async def _replay_edited(self, operation: BulkOperation, items: Items) -> Sequence["ItemVerdict"]:
        records = await self._inspector.jobs([job_id for job_id, _ in items])
        return [await self._replay_one(operation, item, record) for item, record in zip(items, records, strict=True)]

    async def _replay_one(
        self, operation: BulkOperation, item: tuple[str, int], job: JobRecord | None
    ) -> "ItemVerdict":
        job_id, since = item
        if job is None:
            return _judged(item, JobVerdict(job_id, "NOT_FOUND"))
        try:
            new = _edited(operation, job)
            new.check()
        except ValueError as error:  # InvalidJob is one
            return "failed", BulkItemError(job_id, "INVALID", f"{error}"[: limits.MAX_MESSAGE_CHARS])
        return _judged(item, await self._broker.replay_as(job_id, new, since))

    async def _read(self, ids: Sequence[str]) -> Sequence[BulkOperation]:
        return [_operation(*row) for row in await self._broker.send(calls.read(ids))]


ItemVerdict = tuple[str, BulkItemError | None]  # ok, failed or skipped; and of the failed, why


def _operation(flat: Sequence[str], errors: list[Any]) -> BulkOperation:
    fields = dict(zip(flat[1::2], flat[2::2], strict=True))
    return msgspec.convert({"id": flat[0], **fields, "errors": errors}, BulkOperation, strict=False)


def _judged(item: tuple[str, int], verdict: JobVerdict) -> ItemVerdict:
    job_id, since = item
    if verdict.ok:
        return "ok", None
    if verdict.word == "CHANGED" or (verdict.word == "NOT_FOUND" and since):
        return "skipped", None  # somebody else was there first, or we, before a crash
    reason = verdict.advice or _WHY[verdict.word].format(state=verdict.state)
    return "failed", BulkItemError(job_id, verdict.word, reason)


_WHY: Final = {
    "NOT_FOUND": "there is no such job",
    "CONFLICT": "it is {state}",
    "FULL": "the queue is full",
    "QUEUES": "there are as many queues as there may be",
}


def _edited(operation: BulkOperation, job: JobRecord) -> NewJob:
    """The new job for an old one: always the same one, so that a repeated step finds it there."""
    return NewJob(
        id=_id_for(operation.id, job.id),
        type=job.type,
        data=merge_patch(job.data, operation.patch) if operation.patch else job.data,
        queue=job.queue,
        priority=job.priority,
        tags=job.tags,
        created_by=operation.by,
        spec=job.spec,
    )


def _id_for(op_id: str, job_id: str) -> str:
    """A job id made of an operation's time and a hash of both, in the old job's partition."""
    chance = int.from_bytes(hashlib.sha256(f"{op_id} {job_id}".encode()).digest()[:10])
    letters = "".join(ALPHABET[(chance >> (5 * place)) & 31] for place in range(14))
    return f"{op_id[3:13]}{letters}{job_id[-2:]}"


def _check(items: Items, rate_per_s: float, canary: int, stop_on_failures: int) -> None:
    bad_ids = [job_id for job_id, _ in items if not limits.ID.fullmatch(job_id)]
    fits = rate_per_s == 0 or MIN_RATE <= rate_per_s <= MAX_RATE
    _raise_wrong(
        {
            "/ids": f"{bad_ids[0]!r:.60} is not a job id" if bad_ids else None,
            "/items": f"more than {MAX_ITEMS} jobs" if len(items) > MAX_ITEMS else None,
            "/rate_per_s": None if fits else f"from {MIN_RATE:g} to {MAX_RATE:g}, or 0 for no limit",
            "/canary": None if 0 <= canary <= MAX_ITEMS else f"from 0 to {MAX_ITEMS}",
            "/stop_on_failures": None if 0 <= stop_on_failures <= MAX_ITEMS else f"from 0 to {MAX_ITEMS}",
        }
    )


def _check_texts(action: BulkAction, by: str, reason: str, patch: str) -> None:
    _raise_wrong(
        {
            "/by": limits.bad_text(by, limits.MAX_NAME_CHARS),
            "/reason": limits.bad_text(reason, limits.MAX_REASON_CHARS),
            "/patch": _bad_patch(action, patch),
        }
    )


def _raise_wrong(reasons: dict[str, str | None]) -> None:
    if errors := [(pointer, why) for pointer, why in reasons.items() if why]:
        raise InvalidJob(errors)


def _bad_patch(action: BulkAction, patch: str) -> str | None:
    if not patch:
        return None
    if action is not BulkAction.REPLAY_AS:
        return f"{action} takes none; use {BulkAction.REPLAY_AS}"
    if len(patch.encode()) > MAX_PATCH_BYTES:
        return f"larger than {MAX_PATCH_BYTES} bytes"
    try:
        merge_patch("{}", patch)
    except ValueError as error:
        return str(error)
    return None
