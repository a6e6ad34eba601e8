"""Maps: items in their order, and how many may fail."""

import json
import random

import pytest
from hypothesis import given, strategies as st
from map_rules import count, items_to_rerun, next_items, state_of_map

from boltq.domain.outcome import DataError
from boltq.domain.workflow.maps import gathered, has_lost, item_portions, items_of, tolerated
from boltq.domain.workflow.plan import PlannedMap
from boltq.domain.workflow.states import MapStats, StepState

PENDING, QUEUED, RUNNING, WAITING, OK, FAILED, SKIPPED, CANCELLED = StepState


def test_portions_are_bounded_by_number_and_by_bytes() -> None:
    assert [len(portion) for portion in item_portions([("{}", "")] * 1_201)] == [500, 500, 201]
    large = "é" * (3 << 16)  # 384 KiB
    rows = [(large, "")] * 5 + [("{}", ""), (large * 3, "x")]
    assert [len(portion) for portion in item_portions(rows)] == [2, 2, 2, 1]
    assert [row for portion in item_portions(rows) for row in portion] == rows
    assert list(item_portions([])) == []


def test_items_come_out_to_the_byte() -> None:
    assert items_of(' [1.50, {"a" : []}, "x",123456789012345678901, null ]') == [
        "1.50", '{"a" : []}', '"x"', "123456789012345678901", "null",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["{}", "null", "3", '"x"', "["])
def test_a_map_needs_a_list(text: str) -> None:
    with pytest.raises(DataError, match="a map needs a list"):
        items_of(text)


def test_a_map_has_ten_thousand_items_at_most() -> None:
    assert len(items_of(json.dumps([0] * 10_000))) == 10_000
    with pytest.raises(DataError, match="at most 10000 items, not 10001"):
        items_of(json.dumps([0] * 10_001))


def test_a_map_without_items_succeeded_with_an_empty_list() -> None:
    assert state_of_map(MapStats(0), 0, 0) is OK
    assert state_of_map(MapStats(0), 0, "0%") is OK
    assert gathered(0, {}) == "[]"


@pytest.mark.parametrize(
    ("failures", "total", "most"),
    [
        (0, 10, 0),
        (3, 10, 3),
        ("5%", 10_000, 500),
        ("0%", 10, 0),
        ("100%", 7, 7),
        ("5%", 19, 0),
        ("5%", 20, 1),
        ("33.3%", 1_000, 333),
    ],
)
def test_how_many_may_fail(failures: int | str, total: int, most: int) -> None:
    assert tolerated(failures, total) == most


@pytest.mark.parametrize(("failed", "state"), [(490, OK), (500, OK), (501, FAILED), (510, FAILED)])
def test_ten_thousand_items_of_which_five_percent_may_fail(failed: int, state: StepState) -> None:
    stats = MapStats(10_000, completed=10_000 - failed, failed=failed)
    assert state_of_map(stats, 10_000, "5%") is state


def test_a_map_that_has_lost_begins_no_more_and_ends_when_the_rest_has() -> None:
    stats = MapStats(100, completed=10, failed=2)
    assert has_lost(stats, 1)
    assert next_items(stats, 20, PlannedMap("[]", None, 1)) == range(20, 20)
    assert state_of_map(stats, 20, 1) is RUNNING
    assert state_of_map(MapStats(100, completed=18, failed=2), 20, 1) is FAILED


def test_a_map_that_was_stopped_is_cancelled_unless_it_was_done() -> None:
    assert state_of_map(MapStats(10, completed=3), 5, 0, stopped=True) is RUNNING
    assert state_of_map(MapStats(10, completed=5), 5, 0, stopped=True) is CANCELLED
    assert state_of_map(MapStats(10, completed=9, cancelled=1), 10, 0, stopped=True) is CANCELLED
    assert state_of_map(MapStats(10, completed=10), 10, 0, stopped=True) is OK
    assert state_of_map(MapStats(10, completed=9, cancelled=1), 10, 0) is FAILED


def test_so_many_at_a_time() -> None:
    assert next_items(MapStats(10), 0, PlannedMap("[]", 4)) == range(4)
    assert next_items(MapStats(10, completed=3), 4, PlannedMap("[]", 4)) == range(4, 7)
    assert next_items(MapStats(10, completed=3), 4, PlannedMap("[]")) == range(4, 10)
    assert next_items(MapStats(10, completed=9), 10, PlannedMap("[]", 4)) == range(10, 10)


def test_results_stand_in_the_order_of_the_items() -> None:
    assert (
        gathered(4, {3: '{"a" : 1}', 0: "12345678901234567890", 1: "[]"}) == '[12345678901234567890,[],null,{"a" : 1}]'
    )


def test_ten_thousand_results_are_gathered_and_too_large_ones_refused() -> None:
    assert len(json.loads(gathered(10_000, {n: str(n) for n in range(10_000)}))) == 10_000
    with pytest.raises(DataError, match="the results of the 10000 items"):
        gathered(10_000, dict.fromkeys(range(10_000), '"' + "x" * 200 + '"'))


def test_counts_and_what_is_run_again() -> None:
    states = [OK, FAILED, RUNNING, CANCELLED, QUEUED]
    assert count(7, states) == MapStats(7, 1, 1, 1)
    assert items_to_rerun([OK, FAILED, OK, CANCELLED]) == [1, 3]


@given(st.integers(0, 30), st.none() | st.integers(1, 5), st.integers(0, 5), st.integers(0, 999))
def test_any_map_ends_and_never_runs_too_many(total: int, most: int | None, failures: int, seed: int) -> None:
    chance = random.Random(seed)
    states: list[StepState] = []
    mapping = PlannedMap("[]", most, failures)
    while (state := state_of_map(count(total, states), len(states), failures)) is RUNNING:
        states += [RUNNING for _ in next_items(count(total, states), len(states), mapping)]
        running = [n for n, found in enumerate(states) if found is RUNNING]
        assert running
        assert len(running) <= (most or total)
        states[chance.choice(running)] = chance.choice([OK, OK, FAILED])
    assert state is (FAILED if states.count(FAILED) > failures else OK)
    assert state is FAILED or len(states) == total
