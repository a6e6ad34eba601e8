"""The store is killed with -9 between any two scripts of a workflow's life: it goes on as if nothing had happened."""

import os
import random as chance
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from flow_lives import OUTPUT, RAN, Life, audited, life
from mortal_store import MortalBroker
from night import one_in

from boltq.broker.broker import Broker
from boltq.broker.embedded import EmbeddedStore
from boltq.broker.workflows.claimed_steps import ClaimedSteps
from boltq.domain.errors import StoreUnavailable

LONGEST = 120  # scripts in one life


@pytest.fixture
def store(tmp_path) -> Iterator[EmbeddedStore]:
    with EmbeddedStore(tmp_path / "data", fsync="always") as embedded:
        yield embedded


@asynccontextmanager
async def life_on(store: EmbeddedStore, namespace: str) -> AsyncIterator[Life]:
    clock = [1_800_000_000_000]
    async with MortalBroker(store, namespace, lambda: clock[0]) as broker:
        broker.calls = 0
        yield Life(broker, clock, life())


async def must_end_well(life: Life) -> None:
    assert await life.live() == ("completed", OUTPUT)
    assert sorted(life.ran) == RAN
    assert await audited(life.broker) == []
    assert set((await ends_of_jobs(life)).values()) == {1}


async def ends_of_jobs(life: Life) -> Counter[bytes]:
    """How often each job has ended, as the events tell."""
    found: Counter[bytes] = Counter()
    for _, fields in await life.broker.redis.xrange(f"{life.broker.layout.prefix(0)}events"):
        for text, ids in fields.items():
            if text.split(b" ")[-1] in (b"completed", b"dead", b"cancelled"):
                found.update(ids.split(b" "))
    return found


async def test_a_life_without_a_death_has_an_end(store: EmbeddedStore) -> None:
    async with life_on(store, "calm") as life:
        await must_end_well(life)
        assert len(RAN) < life.broker.calls < LONGEST


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("when", ["before", "after"])
async def test_the_store_dies_at_any_one_script(store: EmbeddedStore, when: str) -> None:
    """Before it ran, or after, so that nobody hears its answer. One life for each script; by day for every third."""
    for victim in one_in(3, range(1, LONGEST)):
        async with life_on(store, f"{when}{victim}") as life:
            setattr(life.broker, when, lambda number, victim=victim: number == victim)
            await must_end_well(life)
            if not life.broker.deaths:
                return
    raise AssertionError(f"a life has more than {LONGEST} scripts")


@pytest.mark.parametrize("when", ["before", "after"])
async def test_the_store_dies_again_and_again(store: EmbeddedStore, when: str) -> None:
    """At every third script, as chance will have it."""
    random = chance.Random(when)
    async with life_on(store, "storm") as life:
        setattr(life.broker, when, lambda _: random.random() < 1 / 3)
        await must_end_well(life)
        assert life.broker.deaths > len(RAN)


async def test_a_dead_store_that_is_asked_for_the_time_does_not_answer(store: EmbeddedStore) -> None:
    """A worker asks it before a step waits: any other error would end the worker."""
    async with Broker(store.url, namespace="time") as broker:
        os.kill(store.pid, signal.SIGKILL)
        with pytest.raises(StoreUnavailable):
            await ClaimedSteps(broker).now_ms()
