import pytest

from boltq.broker import journal as journal_module
from boltq.broker.journal import MAX_TEXT, Journal


@pytest.fixture
def journal(desk) -> Journal:
    return Journal(desk.broker)


async def test_what_was_done_is_noted(journal: Journal, desk) -> None:
    entry_id = await journal.note("ann", "queue.pause", "mail", "provider down", "req-1", "ok")
    (entry,) = (await journal.page()).entries
    assert (entry.id, entry.at, entry.by, entry.action) == (entry_id, desk.clock.now, "ann", "queue.pause")
    assert (entry.target, entry.reason, entry.request_id, entry.result) == ("mail", "provider down", "req-1", "ok")


async def test_long_and_strange_texts_are_cut_and_not_refused(journal: Journal) -> None:
    await journal.note("a" * 10_000, "", "\ud800", "é\n\0")
    (entry,) = (await journal.page()).entries
    assert (entry.by, entry.action, entry.target, entry.reason) == ("a" * MAX_TEXT, "", "\ufffd", "é\n\0")


async def test_only_the_newest_are_kept(journal: Journal, desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "MAX_ENTRIES", 300)
    for number in range(1_000):
        await journal.note("ann", "x", str(number))
    assert 300 <= await desk.broker.redis.xlen(desk.key("audit")) < 600
    assert (await journal.page(limit=1)).entries[0].target == "999"
