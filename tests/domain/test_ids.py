import os
import threading

import pytest
from hypothesis import given, strategies as st

from boltq.domain import ids, limits
from boltq.domain.ids import MAX_PARTITIONS, IdMaker, new_id, partition_of


@given(st.integers(0, MAX_PARTITIONS - 1))
def test_an_id_names_its_partition_and_is_a_ulid(partition: int) -> None:
    made = new_id(partition)
    assert partition_of(made) == partition
    assert limits.ID.fullmatch(made)


def test_ids_rise() -> None:
    made = [new_id() for _ in range(50_000)]
    assert made == sorted(set(made))


def test_ids_rise_though_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_800_000_000_000
    times = iter([now, now + 5, now - 3_600_000, now + 6])
    monkeypatch.setattr(ids.time, "time_ns", lambda: next(times) * 1_000_000)
    maker = IdMaker()
    made = [maker.make() for _ in range(4)]
    assert made == sorted(set(made))


def test_ids_of_later_milliseconds_sort_later(monkeypatch: pytest.MonkeyPatch) -> None:
    maker, made = IdMaker(), []
    for millisecond in (1, 31, 32, 1 << 20, 1_234_567_890_123):
        monkeypatch.setattr(ids.time, "time_ns", lambda now=millisecond: now * 1_000_000)
        made.append(maker.make())
    assert made == sorted(set(made))


def test_threads_get_different_ids() -> None:
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.extend([new_id() for _ in range(5_000)])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 20_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_makes_ids_of_its_own() -> None:
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.write(writer, new_id().encode())
        os._exit(0)
    mine = new_id()
    os.wait()
    assert os.read(reader, 26).decode()[10:18] != mine[10:18]


@pytest.mark.parametrize("text", ["", "x", "0" * 25, "0" * 27, "0" * 24 + "U0", "0" * 24 + "a0"])
def test_what_is_no_id(text: str) -> None:
    with pytest.raises(ValueError, match="not a job id"):
        partition_of(text)
