import pytest

from boltq.broker import journal as journal_module
from boltq.broker.journal import Journal
from boltq.domain.errors import InvalidJob


async def targets(journal: Journal, **choice) -> list[str]:
    """All targets, page by page."""
    found, before = [], None
    while True:
        page = await journal.page(before, 7, **choice)
        found += [int(entry.target) for entry in page.entries]
        before = page.cursor
        if before is None:
            return found


@pytest.fixture
async def journal(desk) -> Journal:
    made = Journal(desk.broker)
    for number in range(250):
        await made.note("ann" if number % 2 else "bob", "cancel" if number % 50 else "purge", str(number))
    return made


async def test_page_by_page_the_newest_first(journal: Journal) -> None:
    assert await targets(journal) == list(range(249, -1, -1))


async def test_by_whom_and_what(journal: Journal) -> None:
    assert await targets(journal, by="ann") == list(range(249, -1, -2))
    assert await targets(journal, action="purge") == [200, 150, 100, 50, 0]
    assert await targets(journal, by="bob", action="purge") == [200, 150, 100, 50, 0]
    assert await targets(journal, by="eve") == []


async def test_a_page_looks_at_so_many_and_no_more(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "MAX_EXAMINED", 120)
    page = await journal.page(by="eve")
    assert page.entries == []
    assert page.cursor
    assert await targets(journal, action="purge") == [200, 150, 100, 50, 0]


async def test_an_empty_one(desk) -> None:
    page = await Journal(desk.broker).page()
    assert (page.entries, page.cursor) == ([], None)


async def test_what_is_no_entry_is_refused(desk) -> None:
    with pytest.raises(InvalidJob):
        await Journal(desk.broker).page("nonsense")
