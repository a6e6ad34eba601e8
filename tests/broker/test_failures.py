import pytest

from boltq.broker import search
from boltq.domain.filters import JobFilter
from boltq.domain.job_error import Category, JobError, as_json


async def die(
    desk, mark: str, count: int = 1, message: str = "", category: Category = Category.DATA, **fields
) -> list[str]:
    """Jobs that died of errors with this fingerprint."""
    ids = await desk.submit(count, **fields)
    error = as_json(JobError(f"Error{mark}", message, category, mark, 'File "x", line 1\n"traceback":"'))
    await desk.settle(await desk.claim(count), "dead", text=error)
    return ids


@pytest.fixture
async def failing(desk):
    await desk.worker(queues="default mail")
    return desk


async def test_by_fingerprint_most_first(failing) -> None:
    start = failing.clock.now
    await die(failing, "a", 3, "old words", type="one")
    failing.clock.now += search.RECENT_MS + 1
    (last,) = await die(failing, "a", 1, 'new "words"', type="two", queue="mail")
    await die(failing, "b", 2, category=Category.TIMEOUT)
    await failing.submit(5)
    a, b = await failing.inspector.failure_groups(JobFilter())
    assert (a.key, a.fingerprint, a.class_name, a.message, a.category) == ("a", "a", "Errora", 'new "words"', "data")
    assert (a.types, a.queues, a.count, a.count_1h) == ({"one": 3, "two": 1}, {"default": 3, "mail": 1}, 4, 1)
    assert (a.first_at, a.last_at, a.sample_job_id) == (start, failing.clock.now, last)
    assert (b.key, b.count, b.category, b.count_1h) == ("b", 2, "timeout", 2)


async def test_by_type_and_by_queue(failing) -> None:
    await die(failing, "a", 3, type="one")
    await die(failing, "b", 2, type="two", queue="mail")
    await die(failing, "b", 2, type="one", queue="mail")
    one, two = await failing.inspector.failure_groups(JobFilter(), by="type")
    assert (one.key, one.count, one.types, one.queues) == ("one", 5, {"one": 5}, {"default": 3, "mail": 2})
    assert (two.key, two.count) == ("two", 2)
    mail, default = await failing.inspector.failure_groups(JobFilter(), by="queue")
    assert (mail.key, mail.count, default.key, default.count) == ("mail", 4, "default", 3)


async def test_only_what_the_filter_chooses(failing) -> None:
    await die(failing, "a", 3, type="one")
    await die(failing, "b", 2, type="two", queue="mail")
    groups = await failing.inspector.failure_groups(JobFilter(queues=("mail",)))
    assert [(group.key, group.count) for group in groups] == [("b", 2)]
    groups = await failing.inspector.failure_groups(JobFilter(fingerprint="a"))
    assert [(group.key, group.count) for group in groups] == [("a", 3)]


async def test_the_whole_set_and_not_a_page_of_it(failing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "GROUPED_AT_A_TIME", 7)
    for mark in "abc" * 5:
        await die(failing, mark, 5)
    groups = await failing.inspector.failure_groups(JobFilter())
    assert [(group.key, group.count) for group in groups] == [("a", 25), ("b", 25), ("c", 25)]


async def test_beyond_the_bound_the_rest_is_one(failing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MAX_GROUPS", 2)
    for mark, count in (("a", 4), ("b", 3), ("c", 2), ("d", 1)):
        await die(failing, mark, count)
    groups = await failing.inspector.failure_groups(JobFilter())
    assert [(group.key, group.count) for group in groups] == [("a", 4), ("b", 3), ("other", 3)]
    assert groups[2].types == {"x": 3}


async def test_an_error_that_says_nothing(failing) -> None:
    await failing.submit(2)
    await failing.settle(await failing.claim(2), "dead", text="{}")
    (group,) = await failing.inspector.failure_groups(JobFilter())
    assert (group.key, group.class_name, group.count) == ("", "", 2)


async def test_no_failures(desk) -> None:
    assert await desk.inspector.failure_groups(JobFilter()) == []


async def test_portions_of_many_dead_jobs_are_the_same_groups(failing) -> None:
    """A portion ends after some jobs and says where to go on; merged, they are what one look at all finds."""
    for queue in ("default", "mail"):
        await die(failing, "a", 3, queue=queue)
        await die(failing, "b", 2, queue=queue)
    whole = await failing.inspector.failure_groups(JobFilter())
    found, cursor, portions = [], None, 0
    while True:
        portion = await failing.inspector.failure_portion(JobFilter(), cursor=cursor, most=1)
        found, cursor, portions = search.merged_groups([*found, *portion.groups]), portion.cursor, portions + 1
        if cursor is None:
            break
    assert portions > 1
    assert [(group.key, group.count, group.queues) for group in found] == [
        (group.key, group.count, group.queues) for group in whole
    ]
