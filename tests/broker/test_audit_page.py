import pytest

from boltq.broker import audit_log as audit_log_module
from boltq.broker.audit_log import AuditLog
from boltq.domain.errors import InvalidJob


async def targets(audit_log: AuditLog, **choice) -> list[str]:
    """All targets, page by page."""
    found, before = [], None
    while True:
        page = await audit_log.page(before, 7, **choice)
        found += [int(entry.target) for entry in page.entries]
        before = page.cursor
        if before is None:
            return found


@pytest.fixture
async def audit_log(desk) -> AuditLog:
    made = AuditLog(desk.broker)
    for number in range(250):
        await made.note("ann" if number % 2 else "bob", "cancel" if number % 50 else "purge", str(number))
    return made


async def test_page_by_page_the_newest_first(audit_log: AuditLog) -> None:
    assert await targets(audit_log) == list(range(249, -1, -1))


async def test_by_whom_and_what(audit_log: AuditLog) -> None:
    assert await targets(audit_log, by="ann") == list(range(249, -1, -2))
    assert await targets(audit_log, action="purge") == [200, 150, 100, 50, 0]
    assert await targets(audit_log, by="bob", action="purge") == [200, 150, 100, 50, 0]
    assert await targets(audit_log, by="eve") == []


async def test_a_page_looks_at_so_many_and_no_more(audit_log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_log_module, "MAX_EXAMINED", 120)
    page = await audit_log.page(by="eve")
    assert page.entries == []
    assert page.cursor
    assert await targets(audit_log, action="purge") == [200, 150, 100, 50, 0]


async def test_an_empty_one(desk) -> None:
    page = await AuditLog(desk.broker).page()
    assert (page.entries, page.cursor) == ([], None)


async def test_what_is_no_entry_is_refused(desk) -> None:
    with pytest.raises(InvalidJob):
        await AuditLog(desk.broker).page("nonsense")
