"""The audit log: who did what to what, and why. Kept in the first partition, the newest entries only."""

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from boltq.broker.broker import Broker
from boltq.broker.calls import audit_log as calls
from boltq.domain import limits
from boltq.domain.errors import InvalidJob
from boltq.domain.job_error import clean

MAX_ENTRIES: Final = 10_000  # about: the store forgets them in batches
MAX_EXAMINED: Final = 2_000  # entries that one page looks at
MAX_TEXT: Final = 500  # characters of each text of an entry; what is longer is cut


class AuditRecord(msgspec.Struct, kw_only=True):
    """One thing that somebody did. `at` in milliseconds."""

    id: str
    at: int
    by: str = ""
    action: str = ""
    target: str = ""
    reason: str = ""
    request_id: str = msgspec.field(name="request", default="")
    result: str = ""


class AuditPage(msgspec.Struct):
    """The newest entries first; `cursor` is the `before` of the next page, None at the end."""

    entries: list[AuditRecord]
    cursor: str | None


class AuditLog:
    """Notes what people do, and shows it."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def note(
        self, by: str, action: str, target: str, reason: str = "", request_id: str = "", result: str = "ok"
    ) -> str:
        """Note that somebody did something; answers the entry's id. Texts are cut to MAX_TEXT characters."""
        texts = [clean(text)[:MAX_TEXT] for text in (by, action, target, reason, request_id, result)]
        return await self._broker.send(calls.note(texts, MAX_ENTRIES))

    async def page(
        self, before: str | None = None, limit: int = 50, *, by: str | None = None, action: str | None = None
    ) -> AuditPage:
        """Entries older than `before`, of one person or of one action. It may be empty and not the end: see `cursor`.

        Raises InvalidJob when `before` is no cursor.
        """
        if before and not _ID.fullmatch(before):
            raise InvalidJob([("/before", "not the id of an entry")])
        most = min(limit, limits.MAX_PAGE)
        page = await self._broker.send(calls.page(before or "", most, MAX_EXAMINED, by or "", action or ""))
        return AuditPage([_entry(row) for row in page.found], page.following or None)


_ID: Final = re.compile(r"\d{1,15}-\d{1,15}")


def _entry(row: Sequence[Any]) -> AuditRecord:
    fields = dict(zip(row[1::2], row[2::2], strict=True))
    return msgspec.convert({"id": row[0], **fields}, AuditRecord, strict=False)
