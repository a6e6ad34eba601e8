import pytest
from model.world import World

from boltq.broker.broker import Broker
from boltq.broker.inspector import Inspector
from boltq.domain.errors import Conflict, NotFound, QueueFull
from boltq.domain.job import NewJob, Spec, Submitted


def test_each_item_of_a_batch_has_its_own_verdict(world: World) -> None:
    first = world.make(0, idempotency_key="k")
    world.submit(first)
    home = world.broker.layout.of_key("k")
    answers = world.submit(
        world.make(home),
        first,
        world.make(0, idempotency_key="k", type="x", data=first.data),
        world.make(0, idempotency_key="k", type="y"),
        world.make(home, queue="r"),
    )
    assert [type(answer) for answer in answers] == [Submitted, Submitted, Submitted, Conflict, Submitted]
    assert [answer.created for answer in answers if isinstance(answer, Submitted)] == [True, False, False, True]


def test_a_key_twice_in_one_batch_makes_one_job(world: World) -> None:
    one = world.make(0, idempotency_key="k", data='{"a":1}')
    same = world.make(0, idempotency_key="k", data='{"a":1}')
    other = world.make(0, idempotency_key="k", data='{"a":2}')
    world.submit(one, same, other)
    assert len(world.jobs) == 1


def test_a_full_queue_refuses_what_is_too_much_and_nothing_else(world: World) -> None:
    world.limit("q", 3 * world.partitions)
    answers = world.submit(*(world.make(0) for _ in range(5)), world.make(0, queue="r"))
    assert [type(answer) for answer in answers] == [Submitted] * 3 + [QueueFull] * 2 + [Submitted]


def test_cancelled_jobs_leave_room_in_a_full_queue(world: World) -> None:
    world.limit("q", 3 * world.partitions)
    world.submit(*(world.make(0) for _ in range(3)))
    world.cancel(*world.jobs)
    assert isinstance(world.submit(world.make(0))[0], Submitted)


def test_parked_jobs_take_room(world: World) -> None:
    world.limit("q", 2 * world.partitions)
    world.submit(world.make(0, type="y"), world.make(0, type="y"))
    worker = world.register(0, ["q"], {"x"})
    assert world.claim(0, worker, 5) == []
    assert isinstance(world.submit(world.make(0))[0], QueueFull)


async def test_a_refusal_writes_nothing(desk) -> None:
    await desk.broker.limit("default", 1)
    await desk.submit()
    before = await desk.digest()
    answers = await desk.broker.submit([NewJob(type="x", id=f"{99:024d}00")])
    assert isinstance(answers[0], QueueFull)
    assert await desk.digest() == before


async def test_a_thousand_in_one_call(desk) -> None:
    ids = await desk.submit(1_000)
    await desk.worker()
    assert await desk.ids(1_000) == ids


async def test_more_than_one_call_can_take(broker: Broker) -> None:
    answers = await broker.submit([NewJob(type="x") for _ in range(2_500)])
    assert len({answer.id for answer in answers if isinstance(answer, Submitted)}) == 2_500
    assert sum((await Inspector(broker).counts()).values()) == 2_500


async def test_a_key_finds_its_job_whichever_partition_is_next(valkey: str, namespace: str) -> None:
    async with Broker(valkey, namespace=namespace, partitions=4) as broker:
        for key in "abcdefgh":
            answers = [(await broker.submit([NewJob(type="x", idempotency_key=key)]))[0] for _ in range(5)]
            assert len({answer.id for answer in answers if isinstance(answer, Submitted)}) == 1


async def test_the_key_lives_as_long_as_it_is_said_to(desk) -> None:
    home = desk.broker.layout.of_key("k")
    await desk.broker.submit([NewJob(type="x", idempotency_key="k")])
    left = await desk.broker.redis.pttl(f"{desk.broker.layout.prefix(home)}idem:k")
    assert 86_390_000 < left <= 86_400_000


async def test_repeated_with_the_same_objects_nothing_is_made_twice(broker: Broker) -> None:
    jobs = [NewJob(type="x"), NewJob(type="x", idempotency_key="k")]
    await broker.submit(jobs)
    again = await broker.submit(jobs)
    assert again == [Submitted(job.id, created=False) for job in jobs]


async def test_an_id_of_no_partition_of_ours_is_refused_before_anything_is_written(broker: Broker) -> None:
    with pytest.raises(NotFound):
        await broker.submit([NewJob(type="x"), NewJob(type="x", id="0" * 24 + "ZZ")])
    assert sum((await Inspector(broker).counts()).values()) == 0


async def test_the_spec_is_kept_as_it_is(broker: Broker) -> None:
    specs = [Spec(headers={"a": "{}"}), Spec(headers={}), Spec(max_attempts=2, timeout=1.5), Spec()]
    jobs = [NewJob(type="x", spec=spec) for spec in specs]
    await broker.submit(jobs)
    stored = await Inspector(broker).jobs([job.id for job in jobs])
    assert [job.spec for job in stored if job] == specs


async def test_data_is_not_looked_into(broker: Broker) -> None:
    texts = ['{"a":[]}', '{"n":9007199254740993}', '{"t":"\\u0000 \U0001f600"}', '{ "spaces" : 1.0 }']
    jobs = [NewJob(type="x", data=text) for text in texts]
    await broker.submit(jobs)
    stored = await Inspector(broker).jobs([job.id for job in jobs])
    assert [job.data for job in stored if job] == texts


def test_a_time_in_the_past_is_now(world: World) -> None:
    job = world.make(0, run_at=world.now - 5)
    world.submit(job)
    assert world.jobs[job.id].state == "queued"
