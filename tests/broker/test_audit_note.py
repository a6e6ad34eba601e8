import pytest

from boltq.broker import audit_log as audit_log_module
from boltq.broker.audit_log import MAX_TEXT, AuditLog


@pytest.fixture
def audit_log(desk) -> AuditLog:
    return AuditLog(desk.broker)


async def test_what_was_done_is_noted(audit_log: AuditLog, desk) -> None:
    entry_id = await audit_log.note("ann", "queue.pause", "mail", "provider down", "req-1", "ok")
    (entry,) = (await audit_log.page()).entries
    assert (entry.id, entry.at, entry.by, entry.action) == (entry_id, desk.clock.now, "ann", "queue.pause")
    assert (entry.target, entry.reason, entry.request_id, entry.result) == ("mail", "provider down", "req-1", "ok")


async def test_long_and_strange_texts_are_cut_and_not_refused(audit_log: AuditLog) -> None:
    await audit_log.note("a" * 10_000, "", "\ud800", "é\n\0")
    (entry,) = (await audit_log.page()).entries
    assert (entry.by, entry.action, entry.target, entry.reason) == ("a" * MAX_TEXT, "", "\ufffd", "é\n\0")


async def test_only_the_newest_are_kept(audit_log: AuditLog, desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_log_module, "MAX_ENTRIES", 300)
    for number in range(1_000):
        await audit_log.note("ann", "x", str(number))
    assert 300 <= await desk.broker.redis.xlen(desk.key("audit")) < 600
    assert (await audit_log.page(limit=1)).entries[0].target == "999"
