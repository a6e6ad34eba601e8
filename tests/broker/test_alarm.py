"""The history of the store: its numbers, its eras, and the alarms that all processes hear."""

import logging

import pytest
from waiting import eventually

from boltq.broker.broker import Broker
from boltq.broker.checks import alarms
from boltq.broker.consistency import audit
from boltq.broker.history import UNKNOWN_WORKER, WENT_BACK, History
from boltq.broker.marks import NO_MARK, Mark
from boltq.domain.job import NewJob

ERA, LATER = "run 5 0", "other 9 40"


def told(history: History, *marks: Mark) -> list[int]:
    """What each answer told, if one call followed the other."""
    return [history.hear(0, history.mark(0), mark) for mark in marks]


def test_numbers_that_rise_tell_nothing() -> None:
    assert told(History(), Mark(1, ERA, 0), Mark(1, ERA, 0), Mark(9, ERA, 0)) == [0, 0, 0]


def test_a_restart_without_a_loss_tells_nothing() -> None:
    assert told(History(), Mark(40, ERA, 0), Mark(41, LATER, 0)) == [0, 0]


def test_a_new_era_that_began_before_what_was_heard_tells_what_is_lost() -> None:
    """Though its own numbers have caught up meanwhile."""
    assert told(History(), Mark(52, ERA, 0), Mark(99, LATER, 0), Mark(100, LATER, 0)) == [0, 12, 0]


def test_a_number_that_falls_tells_it_too() -> None:
    assert told(History(), Mark(52, ERA, 0), Mark(50, ERA, 0), Mark(51, ERA, 0)) == [0, 2, 0]


def test_an_answer_that_was_overtaken_tells_nothing() -> None:
    history = History()
    told(history, Mark(50, ERA, 0))
    before = history.mark(0)
    assert history.hear(0, before, Mark(60, ERA, 0)) == 0
    assert history.hear(0, before, Mark(55, ERA, 0)) == 0
    assert history.hear(0, before, Mark(70, LATER, 0)) == 10
    assert history.hear(0, before, Mark(71, LATER, 0)) == 0, "told once"
    assert history.hear(0, history.mark(0), Mark(58, ERA, 0)) == 0, "of an era that is over"


def test_a_store_without_any_history_has_lost_all() -> None:
    """And what begins in it then is nothing to speak of."""
    history = History()
    assert told(history, NO_MARK, Mark(3, ERA, 0), NO_MARK, NO_MARK, Mark(1, LATER, 0), Mark(2, LATER, 0)) == [
        0, 0, 3, 0, 0, 0,
    ]  # fmt: skip


async def test_calls_that_move_jobs_are_numbered(desk) -> None:
    await desk.submit(2)
    first = desk.broker.history.mark(0)
    await desk.worker()
    jobs = await desk.claim(2)
    await desk.settle(jobs)
    last = desk.broker.history.mark(0)
    assert (last.era, last.seq) == (first.era, first.seq + 2)
    assert first != NO_MARK


async def test_an_alarm_is_heard_by_every_process_once(valkey, namespace, partitions, caplog) -> None:
    """Whoever notices it says so, and all others at their next call; what comes again within a minute is counted."""
    async with (
        Broker(valkey, namespace=namespace, partitions=partitions) as one,
        Broker(valkey, namespace=namespace, partitions=partitions) as other,
    ):
        for broker in (one, other):
            await broker.submit([NewJob(type="x", id=f"{len(namespace) + id(broker) % 10**9:024d}00")])
        for _ in range(3):
            one.alarm(0, UNKNOWN_WORKER, "nobody knows w")
        await eventually(lambda: not one._errands)
        for _ in range(3):
            await other.listen()
        await eventually(lambda: not other._errands)
        assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == [
            "nobody knows w"
        ] * 2
        [alarm] = await other.alarms()
        assert (alarm.kind, alarm.times, alarm.text) == (UNKNOWN_WORKER, 3, "nobody knows w")
        assert (await alarms(other)).state == "warning"
        other.alarm(0, WENT_BACK, "jobs are gone")
        await eventually(lambda: not other._errands)
        found = await alarms(one)
        assert found.state == "failed"
        assert "jobs are gone" in found.text
        assert await audit(one, pauses=()) == []


async def test_what_happened_in_every_partition_is_one_finding(valkey, namespace) -> None:
    async with Broker(valkey, namespace=namespace, partitions=3) as broker:
        for partition in range(3):
            broker.alarm(partition, UNKNOWN_WORKER, "nobody knows w")
        broker.alarm(1, WENT_BACK, "jobs are gone")
        await eventually(lambda: not broker._errands)
        found = await alarms(broker)
        assert (found.text.count("nobody knows w"), found.text.count("jobs are gone")) == (1, 1)
        assert "nobody knows w (in 3 partitions)" in found.text


async def test_a_clock_that_was_set_back_is_an_alarm(desk, clock, caplog) -> None:
    await desk.submit()
    clock.now -= 60_000
    await desk.submit()
    await desk.submit()
    await eventually(lambda: not desk.broker._errands)
    [alarm] = await desk.broker.alarms()
    assert (alarm.kind, alarm.times) == ("clock", 1)
    assert alarm.text == "the clock of the server was set back by 60 s"
    assert [record.message for record in caplog.records] == [alarm.text]


@pytest.mark.parametrize("seconds", [9, 0])
async def test_a_clock_that_is_held_is_none(desk, clock, seconds) -> None:
    await desk.submit()
    clock.now -= seconds * 1_000
    await desk.submit()
    assert await desk.broker.alarms() == []
